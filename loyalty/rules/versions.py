"""The versions of a rule: drafted, reviewed, approved by a second person, active, retired. Never edited once active."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

from django.db import transaction
from django.db.models import F, Max, QuerySet
from django.utils import timezone

from loyalty.models import EarningRule, RuleVersion
from loyalty.rules import reading
from loyalty.rules.results import Terms
from staff import audit
from staff.models import User
from staff.statements import prepared

State = RuleVersion.State


class WrongState(Exception):
    """The version is not in the state that this step starts from."""


class SecondPersonNeeded(Exception):
    """Nobody approves what they wrote or submitted themselves."""


class NotYet(Exception):
    """The version starts later."""


def active_versions() -> QuerySet[RuleVersion]:
    """The active version of each rule, the oldest rule first."""
    return RuleVersion.objects.filter(state=State.ACTIVE).select_related("rule").order_by("rule_id")


def terms_of(version: RuleVersion) -> Terms:
    """What a version says, for the engine. Raises :class:`~loyalty.rules.reading.DefinitionError` for a bad draft."""
    return Terms(
        version_id=version.pk,
        rule_id=version.rule_id,
        rule=version.rule.name,
        version=version.version,
        definition=reading.compiled(version.definition),
    )


def _told(first: datetime, last: datetime) -> str:
    with prepared() as cursor:
        cursor.execute(f"SELECT {IN_FORCE}", {"first": first, "last": last})
        told: str = cursor.fetchone()[0]
    return told


@lru_cache(maxsize=64)
def _spans(text: str) -> Sequence[tuple[datetime | None, datetime | None, Terms]]:
    """The versions of what :data:`IN_FORCE` gives and when they count, remembered: every purchase asks for them."""
    return tuple(
        (
            datetime.fromisoformat(start) if start else None,
            datetime.fromisoformat(end) if end else None,
            Terms(version_id=pk, rule_id=rule_id, rule=rule, version=number, definition=reading.compiled(definition)),
        )
        for start, end, pk, rule_id, rule, number, definition in json.loads(text)
    )


class Period:
    """The versions by which events between two moments (both included) earn, and which of them count at one.

    A retired version still counts for what happened before it was retired. ``told`` is what :data:`IN_FORCE` gave,
    where it was asked for together with something else.
    """

    def __init__(self, first: datetime, last: datetime, *, told: str | None = None) -> None:
        self._spans = _spans(_told(first, last) if told is None else told)
        self.terms = [terms for _start, _end, terms in self._spans]
        self._is_simple = all(
            (start is None or start <= first) and (end is None or end > last) for start, end, _terms in self._spans
        ) and len({terms.rule_id for terms in self.terms}) == len(self.terms)
        # Of one moment, one version of each rule: the newest where two count, as after one activated since ever.
        if first == last:
            self.terms = self.at(first)

    def at(self, moment: datetime) -> list[Terms]:
        """Of each rule the newest version that counts for what happened then."""
        if self._is_simple:
            return self.terms
        found: dict[int, Terms] = {}
        for start, end, terms in self._spans:
            if (start is None or start <= moment) and (end is None or moment < end):
                found.setdefault(terms.rule_id, terms)
        return list(found.values())


@transaction.atomic
def draft(
    rule: EarningRule,
    *,
    definition: Mapping[str, Any],
    user: User | None,
    starts_at: datetime | None = None,
    ends_at: datetime | None = None,
    legal_note: str = "",
) -> RuleVersion:
    """Write a new version of a rule; nothing earns by it before it is active.

    Raises :class:`~loyalty.rules.reading.DefinitionError`.
    """
    reading.parse(definition)
    EarningRule.objects.select_for_update().get(pk=rule.pk)  # two drafts at once get two numbers
    last = rule.versions.aggregate(last=Max("version"))["last"] or 0
    version = RuleVersion.objects.create(
        rule=rule,
        version=last + 1,
        definition=dict(definition),
        starts_at=starts_at,
        ends_at=ends_at,
        legal_note=legal_note,
        created_by=user,
    )
    audit.record(user, "rule.draft", version)
    return version


@transaction.atomic
def change(
    version: RuleVersion,
    *,
    definition: Mapping[str, Any],
    user: User | None,
    starts_at: datetime | None = None,
    ends_at: datetime | None = None,
    legal_note: str = "",
) -> RuleVersion:
    """Write a draft anew; whoever does is its author from then on. Raises :class:`WrongState`, DefinitionError."""
    reading.parse(definition)
    _move(
        version,
        State.DRAFT,
        State.DRAFT,
        definition=dict(definition),
        starts_at=starts_at,
        ends_at=ends_at,
        legal_note=legal_note,
        created_by=user,
    )
    audit.record(user, "rule.change", version)
    return version


@transaction.atomic
def submit(version: RuleVersion, *, user: User | None) -> RuleVersion:
    """Ask for a second person's approval. Raises :class:`WrongState` unless it is a draft."""
    reading.parse(version.definition)
    _move(version, State.DRAFT, State.IN_REVIEW, submitted_by=user, submitted_at=timezone.now())
    audit.record(user, "rule.submit", version)
    return version


@transaction.atomic
def send_back(version: RuleVersion, *, user: User | None, reason: str = "") -> RuleVersion:
    """Make a draft again of what is in review or approved. Raises :class:`WrongState`."""
    version.refresh_from_db()
    if version.state not in {State.IN_REVIEW, State.APPROVED}:
        raise WrongState(version.state)
    cleared = {"submitted_by": None, "submitted_at": None, "approved_by": None, "approved_at": None}
    _move(version, State(version.state), State.DRAFT, **cleared)
    audit.record(user, "rule.send-back", version, detail={"reason": reason} if reason else None)
    return version


@transaction.atomic
def approve(version: RuleVersion, *, user: User | None) -> RuleVersion:
    """A second person's yes. Raises :class:`WrongState`, and :class:`SecondPersonNeeded` for its author."""
    version.refresh_from_db()
    if user is not None and user.pk in {version.created_by_id, version.submitted_by_id}:
        raise SecondPersonNeeded
    _move(version, State.IN_REVIEW, State.APPROVED, approved_by=user, approved_at=timezone.now())
    audit.record(user, "rule.approve", version)
    return version


@transaction.atomic
def activate(version: RuleVersion, *, user: User | None, since_ever: bool = False) -> RuleVersion:
    """Let events earn by an approved version; the one before it is retired.

    Where it names no start it counts from now on; ``since_ever`` lets everything that comes in earn by it,
    however old, also where the one before it counted then. Activating an active version again changes nothing.
    Raises :class:`WrongState`, and :class:`NotYet` where it starts later.
    """
    EarningRule.objects.select_for_update().get(pk=version.rule_id)
    version.refresh_from_db()
    if version.state == State.ACTIVE:
        return version
    now = timezone.now()
    if version.starts_at and version.starts_at > now:
        raise NotYet(version.starts_at.isoformat())
    starts_at = version.starts_at if version.starts_at or since_ever else now
    # What happens between the start that was set and now, and comes in late, earns by the new version.
    RuleVersion.objects.filter(rule_id=version.rule_id, state=State.ACTIVE).update(
        state=State.RETIRED, retired_at=starts_at or now
    )
    _move(version, State.APPROVED, State.ACTIVE, active_from=now, starts_at=starts_at)
    audit.record(user, "rule.activate", version)
    return version


@transaction.atomic
def retire(version: RuleVersion, *, user: User | None) -> RuleVersion:
    """Let nothing earn by an active version from now on. Raises :class:`WrongState`."""
    _move(version, State.ACTIVE, State.RETIRED, retired_at=timezone.now())
    audit.record(user, "rule.retire", version)
    return version


def start_due(now: datetime) -> int:
    """Activate approved versions whose start has come, retire active ones whose end has; returns how many."""
    changed = 0
    due = RuleVersion.objects.filter(state=State.APPROVED, starts_at__lte=now).order_by("starts_at", "pk")
    for version in due:
        try:
            activate(version, user=None)
        except WrongState:  # sent back or activated in the meantime
            continue
        changed += 1
    for version in RuleVersion.objects.filter(state=State.ACTIVE, ends_at__lte=now):
        with transaction.atomic():
            _move(version, State.ACTIVE, State.RETIRED, retired_at=F("ends_at"))
            audit.record(None, "rule.retire", version)
        changed += 1
    return changed


def _move(version: RuleVersion, before: State, after: State, **fields: Any) -> None:
    """The step itself: a conditional UPDATE, so that of two people only one takes it."""
    moved = RuleVersion.objects.filter(pk=version.pk, state=before).update(state=after, **fields)
    version.refresh_from_db()
    if not moved:
        raise WrongState(version.state)


# One value, of which a larger statement can be made; of each rule the newest first. "least" passes over an end that is
# not set.
IN_FORCE: Final = """(
SELECT coalesce(jsonb_agg(
           jsonb_build_array(starts_at, least(ends_at, retired_at), version.id, rule_id, rule.name, version.version,
                             definition) ORDER BY rule_id, version.version DESC), '[]')::text
  FROM loyalty_ruleversion version JOIN loyalty_earningrule rule ON rule.id = rule_id
 WHERE state IN ('active', 'retired') AND active_from IS NOT NULL
   AND (starts_at IS NULL OR starts_at <= %(last)s)
   AND (least(ends_at, retired_at) IS NULL OR least(ends_at, retired_at) > %(first)s))"""
