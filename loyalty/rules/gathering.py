"""Events and what was known of their members, gathered by sets: only what the rules need.

The same text serves one event and a hundred thousand, so that both are told the same.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from functools import cache
from operator import attrgetter
from typing import Any, Final, LiteralString

from django.db import connection
from django.db.backends.utils import CursorWrapper
from psycopg import sql

from loyalty.rules import vocabulary
from loyalty.rules.events import INTERACTION, PURCHASE, SURVEY, BasketLine, Event, EventKind, Facts, Need
from loyalty.rules.results import Terms
from loyalty.tiers import Rung
from members.models import Purchase, PurchaseLine

# The tier of a member just before a moment.
TierBefore = Callable[[int, datetime], Rung]

# What is told of a line of a purchase, in this order also by :data:`_COLUMNS`.
_LINE: Final = ("line_no", "value", "quantity", "product", "sku", "brand", "category")

# So many are held in memory at a time.
BATCH: Final = 5_000


@dataclass(frozen=True, slots=True)
class Gathered:
    """An event with its facts, and the id of its purchase or interaction."""

    id: int
    member_id: int
    event: Event
    facts: Facts


def of_one(
    cursor: CursorWrapper,
    kind: EventKind,
    event_id: int,
    needs: Need,
    tier_before: TierBefore,
    *,
    named: Mapping[str, int],
) -> Gathered:
    """One purchase or interaction that is stored; ``named`` as in :class:`~loyalty.rules.events.Event`."""
    return _gathered(kind, _row(cursor, kind, event_id, needs), needs, tier_before, named=named)


def _row(cursor: CursorWrapper, kind: EventKind, event_id: int, needs: Need) -> dict[str, Any]:
    cursor.execute(_query(kind, needs, is_one=True), {"id": event_id})
    return dict(zip([column.name for column in cursor.description], cursor.fetchone(), strict=True))


def of_purchase(
    cursor: CursorWrapper,
    purchase: Purchase,
    lines: Sequence[PurchaseLine],
    needs: Need,
    tier_before: TierBefore,
) -> Gathered:
    """A purchase that this transaction has written: asked for is only what was known before it."""
    event = event_of_purchase(purchase, sorted(lines, key=lambda line: line.line_no))
    member_id, at = purchase.member_id, purchase.purchased_at
    row = _row(cursor, PURCHASE, purchase.pk, needs) if needs & ~(Need.LINES | Need.TIER) else {}
    return Gathered(
        purchase.pk, member_id, event, facts_of(row, tier_before(member_id, at) if Need.TIER in needs else None)
    )


def event_of_purchase(purchase: Purchase, lines: Iterable[PurchaseLine]) -> Event:
    """A purchase with its lines as the engine takes it."""
    return Event(
        kind=PURCHASE,
        member_id=purchase.member_id,
        occurred_at=purchase.purchased_at,
        value=purchase.value,
        receipt=purchase.external_id,
        channel=purchase.channel,
        store=purchase.store,
        category=purchase.category,
        lines=[_line(attrgetter(*_LINE)(line)) for line in lines],
    )


def event_of(kind: EventKind, event_id: int) -> Event:
    """Something stored as the engine takes it, without the member whom it may name."""
    with connection.cursor() as cursor:
        return _event(kind, _row(cursor, kind, event_id, Need.NOTHING), {})


def of_many(
    cursor: CursorWrapper, kind: EventKind, needs: Need, tier_before: TierBefore, *, named: Mapping[str, int]
) -> Iterator[list[Gathered]]:
    """The events of the temporary table ``loyalty_events`` (column ``id``) in order of time, in batches.

    Between two batches the connection is free for other statements; ``tier_before`` is asked for one
    member's events in order of time.
    """
    with connection.connection.cursor(name="loyalty_gathering") as stream:
        stream.itersize = BATCH
        stream.execute(_query(kind, needs, is_one=False))
        names = [column.name for column in stream.description]
        while rows := stream.fetchmany(BATCH):
            yield [_gathered(kind, dict(zip(names, row, strict=True)), needs, tier_before, named=named) for row in rows]


def naming(terms: Iterable[Terms]) -> set[str]:
    """The properties by which these rules name another member."""
    return {one.definition.also.also_property for one in terms if one.definition.also}


def numbers_named(terms: Iterable[Terms], said: Iterable[Mapping[str, Any]]) -> list[str]:
    """What stands in the properties by which these rules name another member."""
    names = naming(terms)
    return sorted({str(properties[name]) for properties in said for name in names if properties.get(name)})


def members_named_in(
    cursor: CursorWrapper, terms: Iterable[Terms], rows: LiteralString, properties: LiteralString
) -> dict[str, int]:
    """Whom rows (of a table or a join, with properties in a column of JSON) name by these rules."""
    names = sorted(naming(terms))
    if not names:
        return {}
    statement = sql.SQL(
        "SELECT DISTINCT {properties}->>name FROM {rows}, unnest(%s::text[]) AS name"
        " WHERE {properties}->>name IS NOT NULL"
    ).format(rows=sql.SQL(rows), properties=sql.SQL(properties))
    cursor.execute(statement.as_string(), [names])
    return members_named(cursor, [row[0] for row in cursor.fetchall()])


def members_named(cursor: CursorWrapper, numbers: Iterable[str]) -> dict[str, int]:
    """The members with these numbers or outside ids; a number goes before an outside id."""
    wanted = sorted(set(numbers))
    if not wanted:
        return {}
    cursor.execute(_NAMED, {"numbers": wanted})
    return dict(cursor.fetchall())


def kept_of(cursor: CursorWrapper, member_id: int, at: datetime) -> Any:
    """What is kept of a member in rows, as at a moment, by the key of the fact."""
    statement = sql.SQL("SELECT {} FROM (SELECT %s::bigint AS member_id, %s::timestamptz AS at) event").format(_kept())
    cursor.execute(statement.as_string(), [member_id, at])
    return _json(cursor.fetchone()[0])


def history_of(
    cursor: CursorWrapper, kind: EventKind, member_id: int, at: datetime, purchase: Purchase | None
) -> dict[str, Any]:
    """What a member had bought when an event came in; as :func:`facts_of` reads it.

    Without a stored ``purchase``, one that is made up would come in now.
    """
    which = _CAME_BEFORE if purchase else "" if kind == PURCHASE else _MADE_BEFORE
    (columns, joined), (rewarded, _none) = _history(which), _rewarded_before(which)
    event = sql.SQL(
        "(SELECT %s::bigint AS member_id, %s::timestamptz AS at, %s::bigint AS id, %s::timestamptz AS came_at) event"
    )
    statement = sql.SQL("SELECT {}, {} FROM {} {}").format(columns, rewarded, event, joined)
    came = (None, datetime.max.replace(tzinfo=UTC)) if purchase is None else (purchase.pk, purchase.created_at)
    cursor.execute(statement.as_string(), [member_id, at, *came])
    return dict(zip([column.name for column in cursor.description], cursor.fetchone(), strict=True))


def facts_of(row: Mapping[str, Any], rung: Rung | None) -> Facts:
    """What a row says of the member; what it does not say is unknown."""
    return Facts(
        nth=row.get("nth"),
        place=row.get("place"),
        first_at=row.get("first_at"),
        previous_at=row.get("previous_at"),
        tier=rung.key if rung else None,
        tier_factor=Fraction(rung.multiplier) if rung else Fraction(1),
        birth_date=row.get("birth_date"),
        joined_at=row.get("joined_at"),
        gender=row.get("gender"),
        language=row.get("language"),
        attributes=_json(row.get("attributes")),
        kept=_json(row.get("kept")),
        rewarded=_rewarded(_json(row.get("rewarded"))),
        returned=frozenset(_json(row.get("returned")) or ()),
    )


@cache
def _query(kind: EventKind, needs: Need, *, is_one: bool) -> str:
    columns: list[sql.Composable] = [_COLUMNS[kind]]
    joins: list[sql.Composable] = [_ONE[kind] if is_one else _MANY[kind]]
    for part, (wanted, joined) in _PARTS[kind].items():
        if part in needs:
            columns.append(wanted)
            joins.append(joined)
    if kind == PURCHASE and Need.REWARDED in needs and not is_one:
        columns.append(_RETURNED)
    if Need.KEPT in needs:
        columns.append(sql.SQL("{} AS kept").format(_kept()))
    statement = sql.SQL("SELECT {} FROM {} ORDER BY event.at, event.id").format(
        sql.SQL(", ").join(columns), sql.SQL(" ").join(joins)
    )
    return statement.as_string()  # as text: within a request, django-pghistory reads each statement


def _kept() -> sql.Composed:
    """One JSON object of all that is kept, by the key of the fact; the keys are our own."""
    pairs = (sql.SQL("{}, {}").format(sql.Literal(key), value) for key, value in vocabulary.KEPT.items())
    return sql.SQL("jsonb_build_object({})").format(sql.SQL(", ").join(pairs))


def _gathered(
    kind: EventKind, row: dict[str, Any], needs: Need, tier_before: TierBefore, *, named: Mapping[str, int]
) -> Gathered:
    member_id = row["member_id"]
    rung = tier_before(member_id, row["at"]) if Need.TIER in needs else None
    return Gathered(row["id"], member_id, _event(kind, row, named), facts_of(row, rung))


def _event(kind: EventKind, row: Mapping[str, Any], named: Mapping[str, int]) -> Event:
    if kind == PURCHASE:
        return Event(
            kind=kind,
            member_id=row["member_id"],
            occurred_at=row["at"],
            value=row["value"],
            receipt=row["receipt"],
            channel=row["channel"],
            store=row["store"],
            category=row["category"],
            lines=_lines(row["lines"]),
        )
    if kind == SURVEY:
        return Event(
            kind=kind,
            member_id=row["member_id"],
            occurred_at=row["at"],
            survey=row["survey"],
            score=row["score"],
            has_comment=row["has_comment"],
        )
    return Event(
        kind=kind,
        member_id=row["member_id"],
        occurred_at=row["at"],
        channel=row["channel"],
        interaction=row["interaction"],
        properties=_json(row["properties"]),
        named=named,
    )


def _line(values: Iterable[Any]) -> BasketLine:
    return BasketLine(**dict(zip(_LINE, values, strict=True)))


def _lines(rows: Any) -> list[BasketLine]:
    """The lines of a purchase, from JSON with its numbers as text."""
    return [
        _line((number, Decimal(value), Decimal(quantity), *words))
        for number, value, quantity, *words in _json(rows) or ()
    ]


def _rewarded(rows: Any) -> dict[int, dict[str, str]]:
    """By rule and occasion, the receipt of the purchase that was rewarded for it."""
    found: dict[int, dict[str, str]] = {}
    for rule, occasion, receipt in rows or ():
        found.setdefault(int(rule), {})[occasion] = receipt
    return found


def _json(value: Any) -> Any:
    """Django leaves JSON as text for its own fields to read."""
    return json.loads(value) if isinstance(value, str) else value


_NAMED: Final = """
SELECT given.number, coalesce(
           (SELECT id FROM members_member WHERE number = given.number),
           (SELECT id FROM members_member WHERE external_id = given.number)) AS id
  FROM unnest(%(numbers)s::text[]) AS given(number)
 WHERE EXISTS (SELECT FROM members_member WHERE number = given.number OR external_id = given.number)
"""
_COLUMNS: Final = {
    PURCHASE: sql.SQL(
        "event.id, event.member_id, event.at, event.value, event.receipt, event.channel, event.store, event.category,"
        # Always: a refund goes by the lines, whatever the rules asked for.
        " (SELECT jsonb_agg(jsonb_build_array(line_no, value::text, quantity::text, product, sku, brand, category)"
        " ORDER BY line_no) FROM members_purchaseline line WHERE line.purchase_id = event.id) AS lines"
    ),
    INTERACTION: sql.SQL("event.id, event.member_id, event.at, event.channel, event.interaction, event.properties"),
    SURVEY: sql.SQL("event.id, event.member_id, event.at, event.survey, event.score, event.has_comment"),
}
_PURCHASE: Final = """(SELECT id, member_id, purchased_at AS at, created_at AS came_at, value, external_id AS receipt,
    channel, store, category
    FROM members_purchase{}) AS event"""
_INTERACTION: Final = """(SELECT id, member_id, occurred_at AS at, occurred_at AS came_at, channel,
    kind AS interaction, properties
    FROM members_interaction{}) AS event"""
_SURVEY: Final = """(SELECT id, member_id, answered_at AS at, answered_at AS came_at, survey, score,
    comment <> '' AS has_comment
    FROM members_surveyresponse{}) AS event"""
_ONE: Final = {
    PURCHASE: sql.SQL(_PURCHASE.replace("{}", " WHERE id = %(id)s")),
    INTERACTION: sql.SQL(_INTERACTION.replace("{}", " WHERE id = %(id)s")),
    SURVEY: sql.SQL(_SURVEY.replace("{}", " WHERE id = %(id)s")),
}
_MANY: Final = {
    PURCHASE: sql.SQL("loyalty_events JOIN " + _PURCHASE.replace("{}", "") + " USING (id)"),
    INTERACTION: sql.SQL("loyalty_events JOIN " + _INTERACTION.replace("{}", "") + " USING (id)"),
    SURVEY: sql.SQL("loyalty_events JOIN " + _SURVEY.replace("{}", "") + " USING (id)"),
}

# What is asked of the member, in their own row.
PERSON: Final = ("birth_date", "joined_at", "gender", "language", "attributes")
_PERSON: Final = (
    sql.SQL(", ").join(sql.Identifier("member", name) for name in PERSON),
    sql.SQL("JOIN members_member member ON member.id = event.member_id"),
)
# A purchase that was given back whole by the time of the event is none, unless some of what it earned was let go: who
# kept a bonus for it does not earn that again (docs/adr/0010). One that stood then and was given back later counts.
# Of one that was made after the event, which came in late, it is asked whether it stood when that came in.
_STOOD: Final = """(earlier.refunded_value < earlier.value OR earlier.value = 0
    OR EXISTS (SELECT FROM members_refund refund WHERE refund.purchase_id = earlier.id AND refund.state = 'applied'
                  AND CASE WHEN earlier.purchased_at > event.at THEN refund.created_at > event.came_at
                           ELSE refund.refunded_at > event.at END)
    OR EXISTS (SELECT FROM loyalty_entry part WHERE part.purchase_id = earlier.id AND part.kind = 'clawback'
                  AND part.explanation ? 'let_go'
                  AND NOT EXISTS (SELECT FROM loyalty_entry reversal WHERE reversal.reverses_id = part.id)))"""
# What has come is numbered in the order in which it came in; a batch and a file come in by time.
_CAME_BEFORE: Final = "AND earlier.id < event.id"
# Of what else a member did, what they had bought by then counts.
_MADE_BEFORE: Final = "AND earlier.purchased_at <= event.at"


def _history(which: LiteralString) -> tuple[sql.Composable, sql.Composable]:
    """How many purchases of the member had come in by the event and were made by then, the first and the last."""
    joined = """CROSS JOIN LATERAL (
        SELECT count(*) + 1 AS nth, count(*) FILTER (WHERE earlier.purchased_at <= event.at) + 1 AS place,
               min(purchased_at) FILTER (WHERE earlier.purchased_at <= event.at) AS first_at,
               max(purchased_at) FILTER (WHERE earlier.purchased_at <= event.at) AS previous_at
          FROM members_purchase earlier
         WHERE earlier.member_id = event.member_id {} AND {}) history"""
    return sql.SQL("history.nth, history.place, history.first_at, history.previous_at"), sql.SQL(joined).format(
        sql.SQL(which), sql.SQL(_STOOD)
    )


def _rewarded_before(which: LiteralString) -> tuple[sql.Composable, sql.Composable]:
    """Which occasions of the member were rewarded by purchases that stand (``loyalty.rules.occasions``)."""
    column = """(SELECT jsonb_agg(jsonb_build_array(entry.explanation->'rule_id', entry.explanation->>'occasion',
                                                   entry.explanation->>'receipt'))
          FROM loyalty_entry entry JOIN members_purchase earlier ON earlier.id = entry.purchase_id
         WHERE entry.member_id = event.member_id AND entry.kind = 'earn' AND entry.explanation ? 'occasion'
           AND NOT EXISTS (SELECT FROM loyalty_entry reversal WHERE reversal.reverses_id = entry.id)
           {} AND {}) AS rewarded"""
    return sql.SQL(column).format(sql.SQL(which), sql.SQL(_STOOD)), sql.SQL("")


# Which purchases that came in before do not stand: what was reckoned for them, and is in no ledger, does not either.
_RETURNED: Final = sql.SQL("""(SELECT jsonb_agg(earlier.id) FROM members_purchase earlier
         WHERE earlier.member_id = event.member_id {} AND NOT {}) AS returned""").format(
    sql.SQL(_CAME_BEFORE), sql.SQL(_STOOD)
)
_BEHAVIOUR: Final = {Need.HISTORY: _history(_MADE_BEFORE), Need.PERSON: _PERSON}
_PARTS: Final = {
    PURCHASE: {
        Need.HISTORY: _history(_CAME_BEFORE),
        Need.REWARDED: _rewarded_before(_CAME_BEFORE),
        Need.PERSON: _PERSON,
    },
    INTERACTION: _BEHAVIOUR,
    SURVEY: _BEHAVIOUR,
}
