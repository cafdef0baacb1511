"""Who did what: the desk's own record, beside the change history of configuration rows (``staff.changes``)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Any

from django.db import models
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.utils.translation import gettext_noop

from staff.models import AuditEntry, User

# Who acted where it was no person, keys of entries and names of models: kept in English, translated when shown.
NAMES = (
    gettext_noop("system"),
    gettext_noop("command"),
    gettext_noop("Scopes"),
    gettext_noop("Email"),
    gettext_noop("Role"),
    gettext_noop("Role before"),
    gettext_noop("api key"),
    gettext_noop("job"),
    gettext_noop("approval"),
    gettext_noop("Approval"),
    gettext_noop("Kind"),
    gettext_noop("Reason"),
)

_words: dict[str, str | Promise] = {
    "sign-in": _("signed in"),
    "sign-in.failed": _("failed to sign in"),
    "sign-out": _("signed out"),
    "password.changed": _("changed their password"),
    "second-factor.added": _("set up a second step"),
    "second-factor.removed": _("took away a second step"),
    "second-factor.renewed": _("renewed recovery codes"),
    "second-factor.failed": _("typed a wrong code"),
    "person.invited": _("invited somebody"),
    "person.role-changed": _("changed a role"),
    "person.deactivated": _("shut somebody out"),
    "person.reactivated": _("let somebody in again"),
    "api-key.created": _("made an API key"),
    "api-key.revoked": _("revoked an API key"),
    "job.cancelled": _("cancelled a job"),
    "approval.request": _("asked for an approval"),
    "approval.approve": _("approved what another asked for"),
    "approval.refuse": _("refused what another asked for"),
    "approval.withdraw": _("took a request back"),
}


def describe(words: Mapping[str, str | Promise]) -> None:
    """Say in words what a room's actions are, e.g. ``{"member.reveal": _("revealed personal data")}``."""
    _words.update(words)


def in_words(action: str) -> str:
    """An action as a person reads it; one that nobody described, as it is."""
    return str(_words.get(action, action))


def record(
    actor: User | None,
    action: str,
    subject: models.Model | None = None,
    *,
    detail: dict[str, Any] | None = None,
    address: str | None = None,
    label: str = "",
) -> AuditEntry:
    """Write one act, e.g. ``record(user, "member.reveal", member, detail={"field": "phone"})``.

    Without an actor it was the system itself (a job, a command); ``label`` then names it.
    """
    entry = _entry(actor, action, subject, detail or {}, label)
    entry.address = address
    entry.save(force_insert=True)
    return entry


def record_all(action: str, acts: Iterable[tuple[models.Model, dict[str, Any]]], *, label: str) -> None:
    """Write many acts of one machine at once: of each, the subject and the detail."""
    AuditEntry.objects.bulk_create(_entry(None, action, subject, detail, label) for subject, detail in acts)


def _entry(
    actor: User | None, action: str, subject: models.Model | None, detail: dict[str, Any], label: str
) -> AuditEntry:
    return AuditEntry(
        actor=actor,
        actor_label=label or (str(actor) if actor else "system"),
        action=action,
        subject_type=subject._meta.label_lower if subject else "",
        subject_id=str(subject.pk) if subject else "",
        subject_label=str(subject)[:200] if subject else "",
        detail=detail,
    )


@dataclass(frozen=True, kw_only=True)
class Search:
    """What somebody looks for in the audit. Days are of the programme's zone, both included."""

    text: str = ""
    person: int | None = None
    action: str = ""
    subject_type: str = ""
    subject_id: str = ""
    since: date | None = None
    until: date | None = None

    def entries(self) -> QuerySet[AuditEntry]:
        """The matching entries, newest first."""
        found = AuditEntry.objects.select_related("actor").order_by("-pk")
        for name in ("action", "subject_type", "subject_id"):
            if value := getattr(self, name):
                found = found.filter(**{name: value})
        if self.person is not None:
            found = found.filter(actor_id=self.person)
        if self.since:
            found = found.filter(at__gte=_aware(self.since, time.min))
        if self.until:
            found = found.filter(at__lte=_aware(self.until, time.max))
        if self.text:
            found = found.filter(Q(actor_label__icontains=self.text) | Q(subject_label__icontains=self.text))
        return found


def actions() -> list[str]:
    """Every action that occurs, in alphabetical order; a loose index scan, so it costs the same at any length."""
    found: list[str] = []
    last = ""
    while True:
        next_one = AuditEntry.objects.filter(action__gt=last).order_by("action").values_list("action", flat=True)
        action = next_one.first()
        if action is None:
            return found
        found.append(action)
        last = action


def _aware(day: date, at: time) -> datetime:
    return timezone.make_aware(datetime.combine(day, at))
