"""The people of the desk: invited, given a role, shut out.

At least one active administrator always remains, and nobody changes their own role or shuts
themselves out. Those who leave are kept, because the audit names them.
"""

import logging
from smtplib import SMTPException

from allauth.account.forms import default_token_generator
from allauth.account.utils import user_pk_to_url_str
from django.conf import settings
from django.core.mail import send_mail
from django.db import IntegrityError, transaction
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import translation
from django.utils.translation import gettext as _
from django.utils.translation import ngettext_lazy

from staff import audit
from staff.models import User
from staff.permissions import Role

logger = logging.getLogger(__name__)

# Django says this of a new password and its own Chinese catalogue lacks it; it stands here to be collected.
PASSWORD_TOO_SHORT = ngettext_lazy(
    "This password is too short. It must contain at least %d character.",
    "This password is too short. It must contain at least %d characters.",
    0,
)


class PeopleError(Exception):
    """What was asked for is not allowed; the text says why."""


def invite(*, email: str, name: str, role: str, language: str, by: User | None) -> User:
    """Add somebody who will choose their own password by the link of :func:`invitation_path`."""
    try:
        with transaction.atomic():
            user = User.objects.create_user(email=email, name=name, role=role, language=language)
            audit.record(by, "person.invited", user, detail={"role": role})
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


def change_role(user: User, role: str, *, by: User) -> None:
    """Give somebody another role; it counts from their next click."""
    if user.pk == by.pk:
        raise PeopleError(_("You cannot change your own role. Ask another administrator."))
    with transaction.atomic():
        others = _other_administrators(user)
        before = User.objects.get(pk=user.pk).role
        if before == role:
            return
        if role != Role.ADMINISTRATOR and not others:
            raise PeopleError(_("This is the last administrator. Make somebody else one first."))
        User.objects.filter(pk=user.pk).update(role=role)
        audit.record(by, "person.role-changed", user, detail={"role": role, "role_before": before})
    user.role = role


def deactivate(user: User, *, by: User) -> None:
    """Shut somebody out; their open sessions end at once."""
    if user.pk == by.pk:
        raise PeopleError(_("You cannot shut yourself out. Ask another administrator."))
    with transaction.atomic():
        if not _other_administrators(user):
            raise PeopleError(_("This is the last administrator. Make somebody else one first."))
        if User.objects.filter(pk=user.pk, is_active=True).update(is_active=False):
            audit.record(by, "person.deactivated", user)
    user.is_active = False


def reactivate(user: User, *, by: User) -> None:
    """Let somebody in again."""
    with transaction.atomic():
        if User.objects.filter(pk=user.pk, is_active=False).update(is_active=True):
            audit.record(by, "person.reactivated", user)
    user.is_active = True


def _other_administrators(user: User) -> list[int]:
    """The other active administrators. All are locked, so that two cannot remove each other at once."""
    active = User.objects.filter(role=Role.ADMINISTRATOR, is_active=True)
    locked = active.order_by("pk").select_for_update().values_list("pk", flat=True)
    return [pk for pk in locked if pk != user.pk]
