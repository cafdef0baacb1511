"""What events earn by the rules in force: one event, or many at once, by the same engine."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, NamedTuple

from django.db.backends.utils import CursorWrapper
from psycopg import sql

from loyalty import ledger, policies, rules, tiers
from loyalty.models import Account, Entry
from loyalty.rules import gathering
from loyalty.rules.caps import CapBook, share_caps
from loyalty.rules.events import PURCHASE, EventKind
from loyalty.rules.gathering import Gathered
from loyalty.rules.occasions import Rewarded
from members.models import Purchase

_STAGED: Final = (
    "member_id", "points", "qualifying", "key", "occurred_at", "activates_at", "held", "expires_at", "idle_months",
    "purchase_id", "rule_version_id", "explanation", "place",
)  # fmt: skip
_COPY: Final = sql.SQL("COPY loyalty_earning ({}) FROM STDIN").format(sql.SQL(", ").join(map(sql.Identifier, _STAGED)))


def key_of(one: Gathered, award: rules.Award) -> str:
    """The idempotency key of what an event earns by a rule; what a second member earns by it has its own."""
    key = f"{one.event.kind}:{one.id}:rule:{award.terms.rule_id}"
    return f"{key}:also" if award.also else key


def earn_for_one(
    cursor: CursorWrapper,
    gathered: Gathered,
    *,
    terms: Sequence[rules.Terms],
    look: tiers.Look,
    purchase: Purchase | None = None,
    account: Account | None = None,
) -> list[Entry]:
    """Award what one event earns: an entry for each rule that gives points.

    The accounts are locked; ``account`` is that of the event's member, where it was read then.
    """
    book = CapBook(cursor)
    book.load(rules.cap_keys(gathered.event, terms))
    reckoning = rules.reckon(gathered.event, gathered.facts, terms, book.used, point_value=_point_value(terms))
    entries = []
    for award in reckoning.awards:
        own = account if _receiver(award) == gathered.member_id else None
        entries.append(_award(gathered, award, purchase, own))
        look.gain(_receiver(award), award.occurred_at, award.qualifying)
        book.use(award.uses)
    book.save()
    return entries


def _receiver(award: rules.Award) -> int:
    if award.member_id is None:
        raise ValueError("this award is made up")
    return award.member_id


def _award(one: Gathered, award: rules.Award, purchase: Purchase | None, account: Account | None) -> Entry:
    return ledger.award(
        member_id=_receiver(award),
        points=award.points,
        qualifying=award.qualifying,
        key=key_of(one, award),
        occurred_at=award.occurred_at,
        explanation=award.explanation,
        purchase=purchase,
        rule_version_id=award.terms.version_id,
        activates_at=award.activates_at,
        held=award.activates_at is None,
        expires_at=award.expires_at,
        idle_months=award.idle_months,
        account=account,
    )


def earn_for_bought(cursor: CursorWrapper, *, now: datetime) -> dict[str, int]:
    """Post what the purchases of the temporary table ``loyalty_bought`` earn, and bring tiers up to date.

    ``loyalty_bought`` has ``purchase_id``, ``member_id`` and ``purchased_at``; the accounts of its
    members are locked. Each purchase earns by the rules that were in force and by the tier that its
    member had just before it, reckoned from all purchases that are known by now. Returns counts by name.
    Raises :class:`~loyalty.rules.TooManyPoints` with the ids of those that would earn absurdly much.
    """
    return _earn_for_many(cursor, PURCHASE, _BOUGHT, now, {})


def stage_for_bought(cursor: CursorWrapper, *, now: datetime) -> None:
    """The same without posting: the awards are left in the temporary table ``loyalty_earning``.

    For whoever posts them by :func:`loyalty.ledger.post_awards` in parts, and what else happened between them.
    """
    _stage_for_many(cursor, PURCHASE, _BOUGHT, now, {})


def earn_for_done(cursor: CursorWrapper, kind: EventKind, *, now: datetime, named: Mapping[str, int]) -> dict[str, int]:
    """What the interactions or survey answers of the temporary table ``loyalty_done`` earn, as :func:`earn_for_bought`.

    It has ``id``, ``member_id`` and ``at``; the accounts of its members and of all who are ``named`` are locked.
    """
    return _earn_for_many(cursor, kind, "SELECT id, member_id, at FROM loyalty_done", now, named)


# About so many events are reckoned at a time, with what counts for the tiers of their members.
PART: Final = 50_000
# Members of which each range has about so many events.
_RANGES: Final = """
SELECT min(member_id), max(member_id)
  FROM (SELECT member_id, div(sum(count(*)) OVER (ORDER BY member_id) - 1, %(most)s) AS part
          FROM loyalty_coming GROUP BY member_id) AS counted
 GROUP BY part ORDER BY part
"""
_BOUGHT: Final = "SELECT purchase_id AS id, member_id, purchased_at AS at FROM loyalty_bought"


class _Staged(NamedTuple):
    """What came of staging the awards of many events: whose they are, and counts."""

    members: Sequence[int]
    entries: int
    points: int
    tier_changes: int


def _earn_for_many(
    cursor: CursorWrapper, kind: EventKind, events: str, now: datetime, named: Mapping[str, int]
) -> dict[str, int]:
    notes = Counter({"points_given": 0, "entries_in_the_ledger": 0, "tier_changes": 0, "lots_of_points_expired": 0})
    for part in _parts(cursor, kind, events):
        staged = _stage_for_many(cursor, kind, part, now, named)
        if staged.entries:
            ledger.post_awards(cursor, "loyalty_earning")
        notes["points_given"] += staged.points
        notes["entries_in_the_ledger"] += staged.entries
        notes["tier_changes"] += staged.tier_changes
        notes["lots_of_points_expired"] += ledger.expire_members(cursor, staged.members, now)
    return dict(notes)


def _parts(cursor: CursorWrapper, kind: EventKind, events: str) -> list[str]:
    """The events as queries of all events of some members each, so that memory does not grow with their number.

    One query for all of them where members share a cap, which is theirs in order of time.
    """
    cursor.execute("DROP TABLE IF EXISTS pg_temp.loyalty_coming")
    cursor.execute("CREATE TEMPORARY TABLE loyalty_coming ON COMMIT DROP AS " + events)
    cursor.execute("SELECT min(at), max(at) FROM loyalty_coming")
    first, last = cursor.fetchone()
    if first is None:
        return []
    if share_caps(terms for terms in rules.Period(first, last).terms if terms.definition.event == kind):
        return ["TABLE loyalty_coming"]
    cursor.execute(_RANGES, {"most": PART})
    return [
        sql.SQL("SELECT * FROM loyalty_coming WHERE member_id BETWEEN {} AND {}").format(*ids).as_string()
        for ids in cursor.fetchall()
    ]


def _stage_for_many(
    cursor: CursorWrapper, kind: EventKind, events: str, now: datetime, named: Mapping[str, int]
) -> _Staged:
    """Put what the events earn into ``loyalty_earning``, and bring tiers up to date."""
    cursor.execute("DROP TABLE IF EXISTS pg_temp.loyalty_events")
    cursor.execute("CREATE TEMPORARY TABLE loyalty_events ON COMMIT DROP AS " + events)
    cursor.execute("ANALYZE loyalty_events")
    cursor.execute("SELECT member_id, min(at), max(at) FROM loyalty_events GROUP BY member_id")
    spans = {member_id: (first, last) for member_id, first, last in cursor.fetchall()}
    since = {member_id: first for member_id, (first, _last) in spans.items()}
    members = sorted({*spans, *named.values()})
    look = tiers.Look(cursor, members, ladder=tiers.ladder(), now=now, since=since)
    ledger.stage(cursor, "loyalty_earning")
    entries = points = 0
    if spans:
        period = rules.Period(min(since.values()), max(last for _first, last in spans.values()))
        entries, points = _reckon(cursor, kind, period, look, named)
    return _Staged(members, entries, points, look.settle())


def _reckon(
    cursor: CursorWrapper, kind: EventKind, period: rules.Period, look: tiers.Look, named: Mapping[str, int]
) -> tuple[int, int]:
    """Put the awards of all events into the staging table; returns how many, and their points."""
    if not any(terms.definition.event == kind for terms in period.terms):
        return 0, 0
    book, worth, rewarded = CapBook(cursor), _point_value(period.terms), Rewarded()
    book.lock_programme(period.terms)
    entries = points = 0
    too_many: dict[int, str] = {}
    for batch in gathering.of_many(cursor, kind, rules.needs(period.terms), look.before, named=named):
        book.load(key for one in batch for key in rules.cap_keys(one.event, period.at(one.event.occurred_at)))
        rows: list[tuple[Any, ...]] = []
        for one in batch:
            terms = period.at(one.event.occurred_at)
            try:
                facts = rewarded.facts(one.member_id, one.facts)
                reckoning = rules.reckon(one.event, facts, terms, book.used, point_value=worth)
            except rules.TooManyPoints as error:
                too_many[one.id] = error.rule
                continue
            rewarded.note(one.id, reckoning.awards)
            for award in reckoning.awards:
                book.use(award.uses)
                look.gain(_receiver(award), award.occurred_at, award.qualifying)
                points += award.points
                entries += 1
                rows.append(_row(one, award, entries))
        with cursor.cursor.copy(_COPY) as stream:
            for row in rows:
                stream.write_row(row)
    if too_many:
        raise rules.TooManyPoints(next(iter(too_many.values())), sorted(too_many))
    book.save()
    return entries, points


def _row(one: Gathered, award: rules.Award, place: int) -> tuple[Any, ...]:
    """An award in the order of :data:`_STAGED`."""
    return (
        award.member_id, award.points, award.qualifying, key_of(one, award), award.occurred_at, award.activates_at,
        award.activates_at is None, award.expires_at, award.idle_months,
        one.id if one.event.kind == PURCHASE else None, award.terms.version_id, json.dumps(award.explanation), place,
    )  # fmt: skip


def _point_value(terms: Sequence[rules.Terms]) -> Decimal:
    """What a point is worth now; only caps of money ask for it."""
    if any(cap.money is not None for one in terms for cap in one.definition.caps):
        return policies.settings_now().point_value
    return Decimal(0)
