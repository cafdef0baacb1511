"""What the programme owes: points outstanding, how they came to be, when they expire and what they cost.

*Outstanding* is what is left in all lots: the balances of all members, with their debt added again (who owes
points holds none). That is the number that ``manage.py verify`` checks member by member.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Final

from django.conf import settings
from django.db import connection, transaction

from loyalty import breakage
from loyalty.breakage import Breakage, Held, Move
from loyalty.ledger import rollup
from loyalty.months import month_of, months_after
from loyalty.policies import settings_now

FORECAST_MONTHS: Final = 24
# The columns of the movement, in their order, and the kinds of entries that each holds.
COLUMNS: Final[Mapping[str, Sequence[str]]] = {
    "issued": ("earn",),
    "redeemed": ("redeem", "return"),
    "expired": ("expire",),
    "adjusted": ("adjust",),
    "reversed": ("reverse", "clawback"),
    "transferred": ("transfer",),
}


@dataclass(frozen=True, kw_only=True)
class Totals:
    """Points that members hold, by whether they can be spent: ``usable`` now, ``pending`` not yet,
    ``held`` until something happens, ``overdue`` no more (the nightly run takes them out).

    ``outstanding`` is their sum; ``balances`` and ``debt`` are what the accounts say.
    """

    outstanding: int
    pending: int
    held: int
    overdue: int
    members: int
    balances: int
    debt: int

    @property
    def usable(self) -> int:
        """What can be spent now."""
        return self.outstanding - self.pending - self.held - self.overdue

    @property
    def agrees(self) -> bool:
        """Whether the lots come to the balances and what is owed."""
        return self.outstanding == self.balances + self.debt


@dataclass(frozen=True, kw_only=True)
class Movement:
    """How outstanding points changed in one month: ``closing = opening + all columns + debt``.

    Columns are signed. ``debt`` are points that a member owes instead of having had them taken (positive),
    or with which they paid that off (negative).
    """

    month: date
    opening: int
    columns: Mapping[str, int]
    debt: int
    closing: int


@dataclass(frozen=True, kw_only=True)
class Expiry:
    """Points that expire in one month (None: never), and how many of them are expected to be unspent then."""

    month: date | None
    points: int
    unspent: float | None


@dataclass(frozen=True, kw_only=True)
class Liability:
    """Everything that the page says, as of one moment and from one snapshot of the data."""

    at: datetime
    point_value: Decimal
    totals: Totals
    movements: Sequence[Movement]
    expiries: Sequence[Expiry]
    breakage: Breakage | None

    @property
    def value(self) -> Decimal:
        """Outstanding points at the value of a point, in the programme's currency."""
        return self.totals.outstanding * self.point_value

    @property
    def expected_value(self) -> Decimal | None:
        """The same without what is expected to expire."""
        if self.breakage is None:
            return None
        return self.value * (1 - Decimal(str(self.breakage.of_outstanding)))


def liability(now: datetime) -> Liability:
    """Everything that the page says. Costs the open lots and the months, not the entries."""
    with _one_snapshot():
        totals = _totals(now)
        months = rollup.entry_months()
        lots = rollup.lot_months()
        held = [*_held(lots), *_sliding()]
    this_month = month_of(now)
    moves = [Move(issued=lot.issued, month=lot.month, kind=lot.kind, points=lot.points) for lot in lots]
    expected = breakage.estimate(moves, held, this_month)
    return Liability(
        at=now,
        point_value=settings_now().point_value,
        totals=totals,
        movements=movements(months, this_month),
        expiries=_expiries(held, this_month, expected),
        breakage=expected,
    )


def movements(months: Sequence[rollup.EntryMonth], this_month: date) -> list[Movement]:
    """The movement of each month up to this one, oldest first; months without entries stand there too.

    What happened "later" than this month (a till whose clock is ahead) counts in this one.
    """
    columns: dict[date, dict[str, int]] = defaultdict(lambda: dict.fromkeys(COLUMNS, 0))
    debts: dict[date, int] = defaultdict(int)
    of_kind = {kind: column for column, kinds in COLUMNS.items() for kind in kinds}
    for row in months:
        month = min(row.month, this_month)
        columns[month][of_kind[row.kind]] += row.points
        debts[month] += row.debt
    found: list[Movement] = []
    balance = 0
    month = min(columns, default=this_month)
    while month <= this_month:
        change = sum(columns[month].values()) + debts[month]
        found.append(
            Movement(
                month=month,
                opening=balance,
                columns=columns[month],
                debt=debts[month],
                closing=balance + change,
            )
        )
        balance += change
        month = months_after(month, 1)
    return found


def _expiries(held: Sequence[Held], this_month: date, expected: Breakage | None) -> list[Expiry]:
    """The next months, each also where nothing expires in it; then everything later, and what never does."""
    points: dict[date | None, int] = defaultdict(int)
    for part in held:
        points[part.expires] += part.points
    unspent = expected.by_expiry if expected else {}
    months = [months_after(this_month, number) for number in range(FORECAST_MONTHS)]
    found = [
        Expiry(month=month, points=points[month], unspent=unspent.get(month, 0.0) if expected else None)
        for month in months
    ]
    return found if any(points.values()) else []


def _totals(now: datetime) -> Totals:
    with connection.cursor() as cursor:
        cursor.execute(_TOTALS, {"now": now})
        outstanding, pending, held, overdue, members, balances, debt = cursor.fetchone()
    return Totals(
        outstanding=int(outstanding),
        pending=int(pending),
        held=int(held),
        overdue=int(overdue),
        members=members,
        balances=int(balances),
        debt=int(debt),
    )


def _held(lots: Sequence[rollup.LotMonth]) -> list[Held]:
    """What is left of lots whose expiry stands: all their moves added up."""
    left: dict[tuple[date, date | None], int] = defaultdict(int)
    for lot in lots:
        if not lot.slides:
            left[lot.issued, lot.expires] += lot.points
    return [Held(issued=issued, expires=expires, points=points) for (issued, expires), points in left.items() if points]


def _sliding() -> list[Held]:
    """What is left of lots whose expiry activity moves on: read from the lots."""
    with connection.cursor() as cursor:
        cursor.execute(_SLIDING, {"zone": settings.TIME_ZONE})
        return [Held(issued=issued, expires=expires, points=int(points)) for issued, expires, points in cursor]


@contextmanager
def _one_snapshot() -> Iterator[None]:
    """Let every statement see the data of the same moment, so that figures add up while points move."""
    if connection.in_atomic_block:
        yield
        return
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield


_TOTALS: Final = """
SELECT lots.*, accounts.*
  FROM (SELECT coalesce(sum(remaining), 0),
               coalesce(sum(remaining) FILTER (WHERE activates_at > %(now)s
                                                 AND (expires_at IS NULL OR expires_at > %(now)s)), 0),
               coalesce(sum(remaining) FILTER (WHERE activates_at IS NULL
                                                 AND (expires_at IS NULL OR expires_at > %(now)s)), 0),
               coalesce(sum(remaining) FILTER (WHERE expires_at <= %(now)s), 0)
          FROM loyalty_lot WHERE remaining > 0) lots,
       (SELECT count(*) FILTER (WHERE balance + debt > 0), coalesce(sum(balance), 0), coalesce(sum(debt), 0)
          FROM loyalty_account) accounts
"""

_SLIDING: Final = """
SELECT date_trunc('month', entry.occurred_at AT TIME ZONE %(zone)s)::date AS issued,
       date_trunc('month', lot.expires_at AT TIME ZONE %(zone)s)::date AS expires, sum(lot.remaining)
  FROM loyalty_lot lot JOIN loyalty_entry entry ON entry.id = lot.entry_id
 WHERE lot.remaining > 0 AND lot.idle_months IS NOT NULL GROUP BY 1, 2 ORDER BY 1, 2
"""
