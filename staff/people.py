"""The people of the desk: invited, given a role, shut out.

At least one active administrator always remains, and nobody changes their own role or shuts
themselves out. Those who leave are kept, because the audit names them.

A role that asks a second person or is one is itself given by two, where there are two, and the link into an account is
then seen by its owner alone: otherwise an administrator could be the second person of somebody they invented, or let
somebody they invented be theirs (docs/adr/0013). It is taken by one and at once, so that who leaves can do no harm.
"""

import logging
from smtplib import SMTPException
from typing import Any, Final

from allauth.account.forms import default_token_generator
from allauth.account.utils import user_pk_to_url_str
from django.conf import settings
from django.core.mail import send_mail
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import translation
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext_lazy

from staff import approvals, audit
from staff.models import Approval, User
from staff.permissions import ROLE_PERMISSIONS, Permission, Role

logger = logging.getLogger(__name__)

KIND: Final = "person.decides"
# Who may see what waits for a second person may ask one: no role has the one without the other.
PART: Final = frozenset({Permission.APPROVALS_VIEW, Permission.APPROVALS_DECIDE})

# Django says this of a new password and its own Chinese catalogue lacks it; it stands here to be collected.
PASSWORD_TOO_SHORT = ngettext_lazy(
    "This password is too short. It must contain at least %d character.",
    "This password is too short. It must contain at least %d characters.",
    0,
)


class PeopleError(Exception):
    """What was asked for is not allowed; the text says why."""


def invite(*, email: str, name: str, role: str, language: str, by: User | None) -> User:
    """Add somebody who will choose their own password by the link of :func:`invitation_path`.

    Where their role takes a second person, they are an executive until it is decided (:func:`waiting`). From the
    terminal there is nobody to ask.
    """
    asks = by is not None and brings_in(role) and approvals.others_may_decide(KIND, by)
    first = Role.EXECUTIVE if asks else role
    try:
        with transaction.atomic():
            user = User.objects.create_user(email=email, name=name, role=first, language=language)
            audit.record(by, "person.invited", user, detail={"role": first})
            if asks and by is not None:
                _ask(user, {"role": role}, by)
    except IntegrityError as error:
        raise PeopleError(_("Somebody with this e-mail address is already here.")) from error
    return user


def invitation_path(user: User) -> str:
    """The path where this person sets a password. It works once, and for ``PASSWORD_RESET_TIMEOUT`` seconds."""
    key = default_token_generator.make_token(user)
    return reverse("account_reset_password_from_key", kwargs={"uidb36": user_pk_to_url_str(user), "key": key})


def send_invitation(user: User, *, link: str, by: User) -> bool:
    """Write to the person in their language. False if the mail server did not take it."""
    days = settings.PASSWORD_RESET_TIMEOUT // 86_400
    with translation.override(user.language):
        text = render_to_string("staff/email/invitation.txt", {"user": user, "by": by, "link": link, "days": days})
        subject = _("Your account at the loyalty desk")
        try:
            send_mail(subject, text, None, [user.email])
        except (OSError, SMTPException):
            logger.exception("invitation not sent", extra={"user": user.pk})
            return False
    return True


def brings_in(role: str, before: str = Role.EXECUTIVE) -> bool:
    """Whether this role lets somebody ask for what a second person decides, or decide it, who could not before."""
    return bool(PART & (ROLE_PERMISSIONS[role] - ROLE_PERMISSIONS[before]))


def shows_links(user: User) -> bool:
    """Whether this person sees the links of those they invite: only where nobody could be their second person."""
    return not approvals.others_may_decide(KIND, user)


def waiting(user: User) -> Approval | None:
    """The newest request about the role of this person, or to let them in again."""
    return next(iter(approvals.waiting_about(_about(user), kind=KIND)), None)


def change_role(user: User, role: str, *, by: User) -> Approval | None:
    """Give somebody another role; it counts from their next click. Returns the request where it takes a second person.

    Raises :class:`PeopleError`.
    """
    if user.pk == by.pk:
        raise PeopleError(_("You cannot change your own role. Ask another administrator."))
    with transaction.atomic():
        others = _other_administrators(user.pk)
        before = User.objects.get(pk=user.pk).role
        if before == role:
            return None
        if role != Role.ADMINISTRATOR and not others:
            raise PeopleError(_("This is the last administrator. Make somebody else one first."))
        if brings_in(role, before) and approvals.others_may_decide(KIND, by, user):
            return _ask(user, {"role": role}, by)
        _give_role(user, role, before, by=by)
    user.role = role
    return None


def deactivate(user: User, *, by: User) -> None:
    """Shut somebody out; their open sessions end at once."""
    if user.pk == by.pk:
        raise PeopleError(_("You cannot shut yourself out. Ask another administrator."))
    with transaction.atomic():
        if not _other_administrators(user.pk):
            raise PeopleError(_("This is the last administrator. Make somebody else one first."))
        if User.objects.filter(pk=user.pk, is_active=True).update(is_active=False):
            audit.record(by, "person.deactivated", user)
    user.is_active = False


def reactivate(user: User, *, by: User) -> Approval | None:
    """Let somebody in again. Returns the request where it takes a second person."""
    with transaction.atomic():
        now = User.objects.select_for_update().get(pk=user.pk)
        if not now.is_active and brings_in(now.role) and approvals.others_may_decide(KIND, by, user):
            return _ask(user, {"is_active": True}, by)
        _let_in(user, by=by)
    user.is_active = True
    return None


def register() -> None:
    """Let it be approved that somebody takes part in approvals."""
    approvals.register(
        KIND,
        gettext_lazy("Who may ask or decide"),
        Permission.APPROVALS_DECIDE,
        _carry_out,
        outlook=_outlook,
        title=_title,
    )


def _give_role(user: User, role: str, before: str, *, by: User | None) -> None:
    User.objects.filter(pk=user.pk).update(role=role)
    audit.record(by, "person.role-changed", user, detail={"role": role, "role_before": before})


def _let_in(user: User, *, by: User | None) -> None:
    if User.objects.filter(pk=user.pk, is_active=False).update(is_active=True):
        audit.record(by, "person.reactivated", user)


def _ask(user: User, change: dict[str, Any], by: User) -> Approval:
    """The request for a role, or to let somebody in again; the same while it waits."""
    for found in approvals.waiting_about(_about(user), kind=KIND):
        if found.payload["change"] == change:
            return found
    return approvals.request(
        KIND,
        subject=f"{user.email}: {', '.join(map(str, change.values()))}",
        payload={"person": user.pk, "name": user.name, "email": user.email, "change": change},
        user=by,
        about=_about(user),
    )


def _carry_out(approval: Approval) -> None:
    change = approval.payload["change"]
    others = _other_administrators(approval.payload["person"])
    user = User.objects.select_for_update().get(pk=approval.payload["person"])
    if _takes_the_last(user, change, has_others=bool(others)):
        raise approvals.CannotBeDone(_("This is the last administrator. Make somebody else one first."))
    if "role" in change:
        _give_role(user, change["role"], user.role, by=approval.decided_by)
    else:
        _let_in(user, by=approval.decided_by)


def _takes_the_last(user: User, change: dict[str, Any], *, has_others: bool) -> bool:
    """Whether a request that waited would leave nobody to administer the desk."""
    is_one = user.is_active and user.role == Role.ADMINISTRATOR
    return is_one and not has_others and change.get("role", user.role) != Role.ADMINISTRATOR


def _outlook(approval: Approval) -> approvals.Outlook:
    user = User.objects.get(pk=approval.payload["person"])
    change = approval.payload["change"]
    role = user.get_role_display()
    lines = [
        (_("Person"), user.name),
        (_("E-mail"), user.email),
        (_("Role"), f"{role} → {Role(change['role']).label}" if "role" in change else role),
        (_("Has signed in"), _("yes") if user.last_login else _("no")),
    ]
    return approvals.Outlook(lines, _warning(user, change))


def _warning(user: User, change: dict[str, Any]) -> str:
    if _takes_the_last(user, change, has_others=_administrators().exclude(pk=user.pk).exists()):
        return _("This is the last administrator: approving it will be refused.")
    if Permission.APPROVALS_DECIDE in ROLE_PERMISSIONS[change.get("role", user.role)]:
        return _("They may then decide what others ask for. Be sure that you know them and that the address is theirs.")
    return _("They may then ask for points and changes. Be sure that you know them and that the address is theirs.")


def _title(approval: Approval) -> str:
    change, name = approval.payload["change"], approval.payload["name"]
    if "role" in change:
        return _("Let %(name)s be %(role)s") % {"name": name, "role": Role(change["role"]).label}
    return _("Let %(name)s in again") % {"name": name}


def _about(user: User) -> str:
    return f"person:{user.pk}"


def _other_administrators(but: int) -> list[int]:
    """The other active administrators. All are locked, so that two cannot remove each other at once."""
    locked = _administrators().select_for_update().values_list("pk", flat=True)
    return [pk for pk in locked if pk != but]


def _administrators() -> QuerySet[User]:
    return User.objects.filter(role=Role.ADMINISTRATOR, is_active=True).order_by("pk")
