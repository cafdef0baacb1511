"""Events and what was known of their members, gathered by sets: only what the rules need.

The same text serves one purchase and a hundred thousand, so that both are told the same.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from django.db import connection
from django.db.backends.utils import CursorWrapper
from psycopg import sql

from loyalty.rules.events import PURCHASE, BasketLine, Event, Facts, Need
from loyalty.tiers import Rung

# The tier of a member just before a moment.
TierBefore = Callable[[int, datetime], Rung]

# So many are held in memory at a time.
BATCH: Final = 5_000


@dataclass(frozen=True, slots=True)
class Gathered:
    """An event with its facts, and the id of its purchase or interaction."""

    id: int
    member_id: int
    event: Event
    facts: Facts


def of_purchase(cursor: CursorWrapper, purchase_id: int, needs: Need, tier_before: TierBefore) -> Gathered:
    """One purchase that is stored."""
    cursor.execute(_purchases(needs, _ONE), {"purchase": purchase_id})
    row = dict(zip([column.name for column in cursor.description], cursor.fetchone(), strict=True))
    return _gathered(row, needs, tier_before)


def of_purchases(cursor: CursorWrapper, needs: Need, tier_before: TierBefore) -> Iterator[list[Gathered]]:
    """The purchases of the temporary table ``loyalty_bought`` in order of time, in batches.

    ``loyalty_bought`` has ``purchase_id``. Between two batches the connection is free for other
    statements; ``tier_before`` is asked for one member's purchases in order of time.
    """
    with connection.connection.cursor(name="loyalty_gathering") as stream:
        stream.itersize = BATCH
        stream.execute(_purchases(needs, _BOUGHT))
        names = [column.name for column in stream.description]
        while rows := stream.fetchmany(BATCH):
            yield [_gathered(dict(zip(names, row, strict=True)), needs, tier_before) for row in rows]


def _purchases(needs: Need, source: sql.SQL) -> str:
    columns, joins = [_COLUMNS], [source]
    for part, (wanted, joined) in _PARTS.items():
        if part in needs:
            columns.append(wanted)
            joins.append(joined)
    statement = sql.SQL("SELECT {} FROM {} ORDER BY purchase.purchased_at, purchase.id").format(
        sql.SQL(", ").join(columns), sql.SQL(" ").join(joins)
    )
    return statement.as_string()  # as text: within a request, django-pghistory reads each statement


def _gathered(row: dict[str, Any], needs: Need, tier_before: TierBefore) -> Gathered:
    event = Event(
        kind=PURCHASE,
        member_id=row["member_id"],
        occurred_at=row["purchased_at"],
        value=row["value"],
        receipt=row["receipt"],
        channel=row["channel"],
        store=row["store"],
        category=row["category"],
        lines=_lines(row["lines"]),
    )
    rung = tier_before(row["member_id"], event.occurred_at) if Need.TIER in needs else None
    return Gathered(row["id"], row["member_id"], event, facts_of(row, rung))


def _lines(rows: Any) -> list[BasketLine]:
    """The lines of a purchase, from JSON with its numbers as text."""
    if rows is None:
        return []
    return [
        BasketLine(
            line_no=number,
            value=Decimal(value),
            quantity=Decimal(quantity),
            product=product,
            sku=sku,
            brand=brand,
            category=category,
        )
        for number, value, quantity, product, sku, brand, category in (
            json.loads(rows) if isinstance(rows, str) else rows
        )
    ]


def facts_of(row: dict[str, Any], rung: Rung | None) -> Facts:
    """What a row says of the member; what it does not say is unknown."""
    attributes = row.get("attributes")
    return Facts(
        nth=row.get("nth"),
        first_at=row.get("first_at"),
        previous_at=row.get("previous_at"),
        tier=rung.key if rung else None,
        tier_factor=Fraction(rung.multiplier) if rung else Fraction(1),
        birth_date=row.get("birth_date"),
        joined_at=row.get("joined_at"),
        gender=row.get("gender"),
        language=row.get("language"),
        attributes=json.loads(attributes) if isinstance(attributes, str) else attributes,
    )


_COLUMNS: Final = sql.SQL(
    "purchase.id, purchase.member_id, purchase.purchased_at, purchase.value, purchase.external_id AS receipt,"
    " purchase.channel, purchase.store, purchase.category,"
    # Always: a refund goes by the lines, whatever the rules asked for.
    " (SELECT jsonb_agg(jsonb_build_array(line_no, value::text, quantity::text, product, sku, brand, category)"
    " ORDER BY line_no) FROM members_purchaseline line WHERE line.purchase_id = purchase.id) AS lines"
)
_ONE: Final = sql.SQL("(SELECT * FROM members_purchase WHERE id = %(purchase)s) AS purchase")
_BOUGHT: Final = sql.SQL("loyalty_bought bought JOIN members_purchase purchase ON purchase.id = bought.purchase_id")

# Purchases of the same moment count in the order in which they came in.
_PARTS: Final = {
    Need.HISTORY: (
        sql.SQL("history.nth, history.first_at, history.previous_at"),
        sql.SQL(
            """CROSS JOIN LATERAL (
                SELECT count(*) + 1 AS nth, min(purchased_at) AS first_at, max(purchased_at) AS previous_at
                  FROM members_purchase earlier
                 WHERE earlier.member_id = purchase.member_id AND earlier.purchased_at <= purchase.purchased_at
                   AND (earlier.purchased_at, earlier.id) < (purchase.purchased_at, purchase.id)) history"""
        ),
    ),
    Need.PERSON: (
        sql.SQL("member.birth_date, member.joined_at, member.gender, member.language, member.attributes"),
        sql.SQL("JOIN members_member member ON member.id = purchase.member_id"),
    ),
}
