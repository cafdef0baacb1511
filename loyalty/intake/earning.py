"""What events earn by the rules in force: one event, or many purchases at once, by the same engine."""

import json
from datetime import datetime
from typing import Any, Final

from django.db.backends.utils import CursorWrapper
from psycopg import sql

from loyalty import ledger, rules, tiers
from loyalty.ledger.bulk import stage
from loyalty.ledger.expiry import expire_members
from loyalty.models import Entry, RuleVersion
from loyalty.rules import gathering
from loyalty.rules.caps import CapBook
from members.models import Purchase

_STAGED: Final = (
    "member_id", "points", "key", "occurred_at", "activates_at", "expires_at", "purchase_id", "rule_version_id",
    "explanation", "place",
)  # fmt: skip
_COPY: Final = sql.SQL("COPY loyalty_earning ({}) FROM STDIN").format(sql.SQL(", ").join(map(sql.Identifier, _STAGED)))


def key_of(kind: str, event_id: int, rule_id: int) -> str:
    """The idempotency key of what an event earns by a rule."""
    return f"{kind}:{event_id}:rule:{rule_id}"


def earn_for_purchase(cursor: CursorWrapper, purchase: Purchase, look: tiers.Look) -> list[Entry]:
    """Award what one purchase earns: an entry for each rule that gives points. Its account is locked."""
    versions = rules.Period(purchase.purchased_at, purchase.purchased_at).terms
    if not versions:
        return []
    gathered = gathering.of_purchase(cursor, purchase.pk, rules.needs(versions), look.before)
    book = CapBook(cursor)
    book.load(rules.cap_keys(gathered.event, versions))
    reckoning = rules.reckon(gathered.event, gathered.facts, versions, book.used)
    entries = [_award(purchase, award) for award in reckoning.awards]
    for award in reckoning.awards:
        book.use(award.uses)
        look.gain(purchase.member_id, purchase.purchased_at, award.qualifying)
    book.save()
    return entries


def _award(purchase: Purchase, award: rules.Award) -> Entry:
    return ledger.award(
        member_id=purchase.member_id,
        points=award.points,
        key=key_of("purchase", purchase.pk, award.terms.rule_id),
        occurred_at=purchase.purchased_at,
        explanation=award.explanation,
        purchase=purchase,
        rule_version=RuleVersion(pk=award.terms.version_id),
        activates_at=award.activates_at,
        expires_at=award.expires_at,
    )


def earn_for_bought(cursor: CursorWrapper, *, now: datetime) -> dict[str, int]:
    """Post what the purchases of the temporary table ``loyalty_bought`` earn, and bring tiers up to date.

    ``loyalty_bought`` has ``purchase_id``, ``member_id`` and ``purchased_at``; the accounts of its
    members are locked. Each purchase earns by the rules that were in force and by the tier that its
    member had just before it, reckoned from all purchases that are known by now. Returns counts by name.
    """
    cursor.execute("SELECT member_id, min(purchased_at), max(purchased_at) FROM loyalty_bought GROUP BY member_id")
    bought = {member_id: (first, last) for member_id, first, last in cursor.fetchall()}
    since = {member_id: first for member_id, (first, _last) in bought.items()}
    look = tiers.Look(cursor, list(bought), ladder=tiers.ladder(), now=now, since=since)
    entries = points = 0
    if bought:
        period = rules.Period(min(since.values()), max(last for _first, last in bought.values()))
        stage(cursor, "loyalty_earning")
        entries, points = _reckon(cursor, period, look)
        ledger.post_awards(cursor, "loyalty_earning")
    expired = expire_members(cursor, sorted(bought), now)
    moves = look.settle()
    return {
        "points_given": points,
        "entries_in_the_ledger": entries,
        "tier_changes": moves,
        "lots_of_points_expired": expired,
    }


def _reckon(cursor: CursorWrapper, period: rules.Period, look: tiers.Look) -> tuple[int, int]:
    """Put the awards of all purchases into the staging table; returns how many, and their points."""
    if not period.terms:
        return 0, 0
    book = CapBook(cursor)
    book.lock_programme(period.terms, "loyalty_bought")
    entries = points = 0
    for batch in gathering.of_purchases(cursor, rules.needs(period.terms), look.before):
        book.load(key for one in batch for key in rules.cap_keys(one.event, period.at(one.event.occurred_at)))
        rows: list[tuple[Any, ...]] = []
        for one in batch:
            event = one.event
            reckoning = rules.reckon(event, one.facts, period.at(event.occurred_at), book.used)
            for award in reckoning.awards:
                book.use(award.uses)
                look.gain(one.member_id, event.occurred_at, award.qualifying)
                points += award.points
                entries += 1
                rows.append((
                    event.member_id, award.points, key_of("purchase", one.id, award.terms.rule_id), event.occurred_at,
                    award.activates_at, award.expires_at, one.id, award.terms.version_id,
                    json.dumps(award.explanation), entries,
                ))  # fmt: skip
        with cursor.cursor.copy(_COPY) as stream:
            for row in rows:
                stream.write_row(row)
    book.save()
    return entries, points
