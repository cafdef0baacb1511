"""A second person looks at a version before it may give points: one request among all that wait for approval."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import transaction
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from loyalty.models import RuleVersion
from loyalty.rules import sentences, versions
from staff import approvals
from staff.models import Approval, User
from staff.permissions import Permission

KIND = "rule.publish"


class OnlyWhoAsked(Exception):
    """Nobody takes back what somebody else asked for; they can refuse it."""


@transaction.atomic
def submit(version: RuleVersion, *, user: User, comment: str = "") -> None:
    """Ask for a second person's yes. Raises ``versions.WrongState`` unless it is a draft."""
    versions.submit(version, user=user)
    approvals.request(
        KIND,
        subject=str(version),
        payload={"version": version.pk, "rule": version.rule.name, "number": version.version},
        user=user,
        about=_about(version),
        url=reverse("loyalty:rule", args=[version.rule_id]),
        comment=comment,
    )


@transaction.atomic
def approve(version: RuleVersion, *, user: User) -> None:
    """The second person's yes. Raises ``versions.SecondPersonNeeded`` for who submitted it, and WrongState.

    Who wrote it and let somebody else submit it gets :class:`~staff.approvals.CannotBeDone`.
    """
    waiting = approvals.waiting_about(_about(version), kind=KIND)
    if not waiting:
        versions.approve(version, user=user)
        return
    with _deciding(version):
        approvals.approve(waiting[0], user=user)


@transaction.atomic
def refuse(version: RuleVersion, *, user: User, reason: str) -> None:
    """The second person's no, with its reason: the version is a draft again. Raises like :func:`approve`."""
    waiting = approvals.waiting_about(_about(version), kind=KIND)
    if not waiting:
        versions.send_back(version, user=user, reason=reason)
        return
    with _deciding(version):
        approvals.refuse(waiting[0], user=user, reason=reason)


@transaction.atomic
def take_back(version: RuleVersion, *, user: User) -> None:
    """Make a draft again of what waits or was approved. Raises ``versions.WrongState``.

    What waits is taken back by who asked: anybody else raises :class:`OnlyWhoAsked`.
    """
    for waiting in approvals.waiting_about(_about(version), kind=KIND):
        if waiting.requested_by_id != user.pk:
            raise OnlyWhoAsked
        approvals.withdraw(waiting, user=user)
        return
    versions.send_back(version, user=user)


def register() -> None:
    """Let the approvals page know this kind of request."""
    approvals.register(
        KIND,
        gettext_lazy("Earning rules"),
        Permission.PROGRAMME_VIEW,
        _approved,
        on_close=_closed,
        outlook=_outlook,
        title=_title,
    )


@contextmanager
def _deciding(version: RuleVersion) -> Iterator[None]:
    try:
        yield
    except approvals.OwnRequest as error:
        raise versions.SecondPersonNeeded from error
    except approvals.AlreadyDecided as error:
        raise versions.WrongState(version.state) from error


def _about(version: RuleVersion) -> str:
    return f"rule_version:{version.pk}"


def _version(approval: Approval) -> RuleVersion:
    return RuleVersion.objects.select_related("rule").get(pk=approval.payload["version"])


def _approved(approval: Approval) -> None:
    try:
        versions.approve(_version(approval), user=approval.decided_by)
    except versions.SecondPersonNeeded as error:
        raise approvals.CannotBeDone(_("You wrote this version. Somebody else has to approve it.")) from error
    except versions.WrongState as error:
        raise approvals.CannotBeDone(_("This version does not wait for approval any more.")) from error


def _closed(approval: Approval) -> None:
    version = _version(approval)
    if version.state == RuleVersion.State.IN_REVIEW:
        versions.send_back(version, user=approval.decided_by, reason=approval.reason)


def _outlook(approval: Approval) -> approvals.Outlook:
    version = _version(approval)
    figures = [(_("Rule"), version.rule.name), (_("Version"), str(version.version))]
    return approvals.Outlook(figures=[*figures, (_("What it says"), sentences.sentence(version.definition))])


def _title(approval: Approval) -> str:
    asked = approval.payload
    if "rule" not in asked:  # asked for before requests said so themselves
        version = _version(approval)
        asked = {"rule": version.rule.name, "number": version.version}
    return _("Earning rule “%(rule)s”, version %(version)d") % {"rule": asked["rule"], "version": asked["number"]}
