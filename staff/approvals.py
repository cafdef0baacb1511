"""Acts that need a second person: asked for by one, decided once by another.

A room registers a kind in its ``apps.py`` and asks for what goes above a limit::

    approvals.register("points.adjust", _("Points by service"), Permission.APPROVALS_DECIDE, carry_out)
    approvals.request("points.adjust", subject="+2,500 points for M-00000017", payload={...}, user=request.user)

``carry_out(approval)`` runs in the transaction of the decision: either both are kept or neither. The approval is
decided before anything else is locked, and nothing that holds an account touches an approval that exists already,
so the two cannot wait for each other (docs/adr/0013).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Final

from django.apps import apps
from django.core.exceptions import ObjectDoesNotExist
from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _

from staff import audit
from staff.models import Approval, User
from staff.permissions import ROLE_PERMISSIONS, Permission

State = Approval.State
# So long somebody still counts who may decide no more: shutting the others out lets nobody act alone at once.
LATELY: Final = timedelta(days=14)
# How a state is shown, as the tone of a badge.
TONES = {State.REQUESTED: "look", State.APPROVED: "good", State.REFUSED: "bad", State.WITHDRAWN: "idle"}


class ApprovalError(Exception):
    """A request or a decision was refused; nothing was written."""


class OwnRequest(ApprovalError):
    """Nobody decides what they asked for themselves."""


class NotTheirs(ApprovalError):
    """The person's role does not decide requests of this kind, or the request is not theirs to take back."""


class AlreadyDecided(ApprovalError):
    """Somebody was faster: the request is decided or withdrawn."""


class ReasonMissing(ApprovalError):
    """A refusal says why."""


class KeyReused(ApprovalError):
    """A request's key came back with other content."""


class CannotBeDone(ApprovalError):
    """What was approved cannot be carried out now; the text says why, in words for whoever decides."""


@dataclass(frozen=True)
class Outlook:
    """What will happen, in names and figures, and what stands in its way (or should make one think)."""

    figures: Sequence[tuple[str, str]] = ()
    warning: str = ""


@dataclass(frozen=True)
class Kind:
    """What a room registered. ``permission`` is needed to decide, besides ``approvals.decide``."""

    label: str | Promise
    permission: Permission
    on_approve: Callable[[Approval], object]
    on_close: Callable[[Approval], object] | None = None
    outlook: Callable[[Approval], Outlook] = field(default=lambda _approval: Outlook())
    title: Callable[[Approval], str] = str


_kinds: dict[str, Kind] = {}


def register(
    kind: str,
    label: str | Promise,
    permission: Permission,
    on_approve: Callable[[Approval], object],
    *,
    on_close: Callable[[Approval], object] | None = None,
    outlook: Callable[[Approval], Outlook] | None = None,
    title: Callable[[Approval], str] | None = None,
) -> None:
    """Let requests of a kind be made.

    ``on_close`` is called when one is refused or withdrawn, ``outlook`` tells what approving it would do now,
    ``title`` says what it is about in the reader's language (else its subject).
    """
    _kinds[kind] = Kind(label, permission, on_approve, on_close, outlook or (lambda _approval: Outlook()), title or str)


def kind_of(approval: Approval) -> Kind | None:
    """What the room registered for it; None for a kind that no room knows any more."""
    return _kinds.get(approval.kind)


def choices() -> list[tuple[str, str]]:
    """The kinds and their words, for a filter."""
    return sorted(((kind, str(known.label)) for kind, known in _kinds.items()), key=lambda choice: choice[1])


def title(approval: Approval) -> str:
    """What it is about, in the reader's language where its room can say so."""
    kind = kind_of(approval)
    return kind.title(approval) if kind else approval.subject


def outlook(approval: Approval) -> Outlook:
    """What approving it would do now; once it is decided, what the second person saw."""
    if approval.state != State.REQUESTED:
        return Outlook([(name, value) for name, value in approval.seen])
    kind = kind_of(approval)
    try:
        found = kind.outlook(approval) if kind else Outlook()
    except ObjectDoesNotExist:
        return Outlook(warning=_gone())
    return replace(found, warning=_left(approval)) if asker_left(approval) else found


def asker_left(approval: Approval) -> bool:
    """Whether the person who asked may ask for nothing any more: nobody then answers for it.

    What a machine asked for stays: its key works on when the person left who made it.
    """
    asker = approval.requested_by
    if asker is None or approval.requested_label != str(asker):
        return False
    return not asker.may(Permission.APPROVALS_VIEW)


def others_may_decide(kind: str, *but: User) -> bool:
    """Whether somebody other than these could decide a request of a kind, or could have within :data:`LATELY`.

    Who was invited and has not come yet decides nothing, and does not count.
    """
    return others_decide_now(kind, *but) or _others_decided_lately(kind, *but)


def others_decide_now(kind: str, *but: User) -> bool:
    """Whether somebody other than these may decide a request of a kind at this moment."""
    return _others(*but).filter(is_active=True, role__in=_roles(kind)).exists()


def is_stuck(approval: Approval) -> bool:
    """Whether it waits, and nobody is there who may decide it."""
    but = [approval.requested_by] if approval.requested_by else []
    waits = approval.state == State.REQUESTED and approval.kind in _kinds
    return waits and not others_decide_now(approval.kind, *but)


def waiting_for(user: User) -> QuerySet[Approval]:
    """The requests that this person may decide: of their kinds, and not their own."""
    mine = [name for name, kind in _kinds.items() if _decides(user, kind)]
    return Approval.objects.filter(state=State.REQUESTED, kind__in=mine).exclude(requested_by=user)


def waiting_about(about: str, *, kind: str = "") -> list[Approval]:
    """What waits for a decision about one thing ("member:88213"), of one kind or of any, newest first."""
    found = Approval.objects.filter(about=about, state=State.REQUESTED)
    return list((found.filter(kind=kind) if kind else found).order_by("-pk"))


@transaction.atomic
def request(
    kind: str,
    *,
    subject: str,
    payload: dict[str, Any],
    user: User | None,
    label: str = "",
    about: str = "",
    key: str | None = None,
    url: str = "",
    comment: str = "",
) -> Approval:
    """Ask for something. Without a user it was a machine; ``label`` then names it.

    The same key with the same content returns the first request, whatever became of it; with other content it
    raises :class:`KeyReused`.
    """
    if kind not in _kinds:
        raise LookupError(f"No room registered approvals of kind {kind!r}.")
    told = {
        "kind": kind,
        "subject": subject[:200],
        "payload": payload,
        "about": about,
        "url": url,
        "comment": comment,
        "requested_by": user,
        "requested_label": label or (str(user) if user else "system"),
    }
    if key is None:
        approval, made = Approval.objects.create(**told), True
    else:
        approval, made = Approval.objects.get_or_create(key=key, defaults=told)
    if made:
        audit.record(user, "approval.request", approval, detail={"kind": kind, "reason": comment}, label=label)
    elif (approval.kind, approval.payload) != (kind, payload):
        raise KeyReused(key)
    return approval


@transaction.atomic
def approve(approval: Approval, *, user: User, reason: str = "") -> Approval:
    """Decide for it, and carry it out in the same transaction.

    Raises :class:`OwnRequest`, :class:`NotTheirs`, :class:`AlreadyDecided`, and :class:`CannotBeDone` where the
    room cannot carry it out or who asked has left; the request then still waits, and can be refused.
    """
    kind = _deciding(approval, user)
    _decide(approval, State.APPROVED, user, reason, seen=list(outlook(approval).figures))
    if asker_left(approval):
        raise CannotBeDone(_left(approval))
    try:
        kind.on_approve(approval)
    except ObjectDoesNotExist as error:
        raise CannotBeDone(_gone()) from error
    audit.record(user, "approval.approve", approval, detail={"kind": approval.kind, "reason": reason})
    return approval


@transaction.atomic
def refuse(approval: Approval, *, user: User, reason: str) -> Approval:
    """Decide against it, saying why. Raises like :func:`approve`, and :class:`ReasonMissing`."""
    kind = _deciding(approval, user)
    if not reason.strip():
        raise ReasonMissing
    _decide(approval, State.REFUSED, user, reason, seen=list(outlook(approval).figures))
    if kind.on_close:
        kind.on_close(approval)
    audit.record(user, "approval.refuse", approval, detail={"kind": approval.kind, "reason": reason})
    return approval


@transaction.atomic
def withdraw(approval: Approval, *, user: User) -> Approval:
    """Take one's own request back before somebody decides. Raises :class:`NotTheirs`, :class:`AlreadyDecided`."""
    if approval.requested_by_id != user.pk:
        raise NotTheirs
    _decide(approval, State.WITHDRAWN, user, "", seen=[])
    kind = kind_of(approval)
    if kind and kind.on_close:
        kind.on_close(approval)
    audit.record(user, "approval.withdraw", approval, detail={"kind": approval.kind})
    return approval


def may_decide(approval: Approval, user: User) -> bool:
    """Whether this person could decide it now."""
    try:
        _deciding(approval, user)
    except ApprovalError:
        return False
    return approval.state == State.REQUESTED


def _others(*but: User) -> QuerySet[User]:
    return User.objects.have_come().exclude(pk__in=[user.pk for user in but])


def _others_decided_lately(kind: str, *but: User) -> bool:
    """Whether for one of the others a state that may decide ended within :data:`LATELY`, or stands."""
    since = timezone.now() - LATELY
    states = apps.get_model("staff", "UserEvent")._default_manager
    ended = states.filter(pgh_obj=OuterRef("pgh_obj"), pgh_id__gt=OuterRef("pgh_id"), pgh_created_at__lte=since)
    able = states.filter(pgh_obj__in=_others(*but), is_active=True, role__in=_roles(kind))
    return bool(able.exclude(Exists(ended)).exists())


def _roles(kind: str) -> list[str]:
    needed = {Permission.APPROVALS_DECIDE, _kinds[kind].permission}
    return [role for role, allowed in ROLE_PERMISSIONS.items() if needed <= allowed]


def _decides(user: User, kind: Kind) -> bool:
    return user.may(Permission.APPROVALS_DECIDE) and user.may(kind.permission)


def _deciding(approval: Approval, user: User) -> Kind:
    if approval.requested_by_id == user.pk:
        raise OwnRequest
    kind = kind_of(approval)
    if kind is None or not _decides(user, kind):
        raise NotTheirs
    return kind


def _left(approval: Approval) -> str:
    text = _("%(name)s may not ask for this any more: refuse it. Then somebody who works here can ask for it anew.")
    return text % {"name": approval.requested_label}


def _gone() -> str:
    return _("What it is about is not there any more.")


def _decide(approval: Approval, state: str, user: User, reason: str, *, seen: list[tuple[str, str]]) -> None:
    """Move it out of waiting in one conditional statement: the row count says who was first."""
    decided = Approval.objects.filter(pk=approval.pk, state=State.REQUESTED).update(
        state=state, decided_by=user, decided_at=timezone.now(), reason=reason.strip(), seen=seen
    )
    approval.refresh_from_db()
    if not decided:
        raise AlreadyDecided(approval.get_state_display())
