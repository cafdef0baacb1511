"""Breakage: which share of the points that were given out expires unused. Pure arithmetic, no database.

**Estimate.** A life table over the months since issue, pooled over issue months (cohorts). With ``R(c, a)`` the
points of cohort ``c`` that were there at the start of their ``a``-th month and ``D(c, a)`` those redeemed in it, the
share that is redeemed at age ``a`` is ``h(a) = sum_c D(c, a) / sum_c R(c, a)``, over complete months only. Points
that are now of age ``a`` and expire at age ``e`` are left over with ``P(a, e) = prod_{j=a}^{e-1} (1 - h(j))``. At ages
that no cohort has reached, ``h`` is the rate of the last six that were. Points that never expire never break.
Breakage is

    (expired so far + sum over outstanding points of P) / (issued - taken back, transferred, adjusted away)

**Range.** Delete-one jackknife over the issue months: the estimate without each, twice its standard error either way.

**Sources.** Gault, Llaguno and Ménard, "Loyalty Rewards and Gift Card Programs: Basic Actuarial Estimation
Techniques", CAS E-Forum, Summer 2012 (rates by age of issue cohorts, pooled, carried on to the ultimate); IFRS 15
B44-B47 (why the expectation is wanted); Efron and Stein, "The jackknife estimate of variance", 1981.

**Not known.** That points of an age will be redeemed as those before them: a new reward, another expiry, another
season or an economy changes that, and the range does not say so. Transfers and corrections count as never issued.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import count, takewhile
from math import sqrt
from typing import Final

# Complete months that must be there before anything is said, and from which on a range is given.
FEWEST_MONTHS: Final = 4
RANGE_MONTHS: Final = 6
# Ages whose pooled rate stands for those that no cohort has reached.
LAST_AGES: Final = 6
SPENT: Final = {"redeem", "return"}


@dataclass(frozen=True, kw_only=True)
class Move:
    """Points of an issue month that moved in a month, as :class:`loyalty.ledger.rollup.LotMonth` has it."""

    issued: date
    month: date
    kind: str
    points: int


@dataclass(frozen=True, kw_only=True)
class Held:
    """Outstanding points of an issue month, by the month in which they expire (None: never)."""

    issued: date
    expires: date | None
    points: int


@dataclass(frozen=True, kw_only=True)
class Cohort:
    """One issue month: what became of its points, and how many of those left are expected to expire."""

    issued_in: date
    issued: int
    redeemed: int
    expired: int
    left: int
    will_expire: float

    @property
    def share(self) -> float | None:
        """The share that expired or is expected to."""
        return (self.expired + self.will_expire) / self.issued if self.issued > 0 else None


@dataclass(frozen=True, kw_only=True)
class Breakage:
    """The estimate. ``share`` is of all points issued, ``of_outstanding`` of those outstanding now.

    ``low`` and ``high`` are twice the jackknife's standard error away, None with too few months.
    ``seen_ages`` is how many months of age have been observed.
    """

    share: float
    of_outstanding: float
    low: float | None
    high: float | None
    seen_ages: int
    cohorts: Sequence[Cohort]
    by_expiry: Mapping[date, float]


def estimate(moves: Iterable[Move], held: Collection[Held], this_month: date) -> Breakage | None:
    """Estimate breakage as of a month that is not over. None: too little history to say anything."""
    table = _Table.of(moves, this_month)
    if table.complete_months < FEWEST_MONTHS:
        return None
    found = _shares(table, held, without=None)
    if found is None:
        return None
    share, of_outstanding, left_over = found
    low, high = _range(table, held, share)
    return Breakage(
        share=share,
        of_outstanding=of_outstanding,
        low=low,
        high=high,
        seen_ages=len(table.rates(None)),
        cohorts=_cohorts(table, held, left_over),
        by_expiry=_by_expiry(held, left_over),
    )


def _cohorts(table: "_Table", held: Collection[Held], left_over: Mapping[Held, float]) -> list[Cohort]:
    left: dict[date, int] = defaultdict(int)
    will_expire: dict[date, float] = defaultdict(float)
    for part in held:
        left[part.issued] += part.points
        will_expire[part.issued] += part.points * left_over[part]
    return [
        Cohort(
            issued_in=month,
            issued=table.issued.get(month, 0),
            redeemed=table.redeemed.get(month, 0),
            expired=table.expired.get(month, 0),
            left=left[month],
            will_expire=will_expire[month],
        )
        for month in sorted({*table.issued, *left})
    ]


def _by_expiry(held: Iterable[Held], left_over: Mapping[Held, float]) -> dict[date, float]:
    """Of the points that expire in each month, how many are expected to be there still."""
    found: dict[date, float] = defaultdict(float)
    for part in held:
        if part.expires:
            found[part.expires] += part.points * left_over[part]
    return dict(found)


def _shares(
    table: "_Table", held: Collection[Held], without: date | None
) -> tuple[float, float, dict[Held, float]] | None:
    """Breakage of everything and of what is outstanding, without one cohort; and P for each part held."""
    survival = _survival(table.rates(without))
    left_over = {part: _left_over(part, survival, table.this_month) for part in held}
    counted = [part for part in held if part.issued != without]
    issued = sum(points for month, points in table.issued.items() if month != without)
    if issued <= 0:
        return None
    expired = sum(points for month, points in table.expired.items() if month != without)
    outstanding = sum(part.points for part in counted)
    will_expire = sum(part.points * left_over[part] for part in counted)
    return (expired + will_expire) / issued, will_expire / outstanding if outstanding else 0.0, left_over


def _range(table: "_Table", held: Collection[Held], share: float) -> tuple[float | None, float | None]:
    """Two standard errors of the delete-one jackknife over issue months, within 0 and 1."""
    without = [_shares(table, held, without=month) for month in table.issued]
    values = [found[0] for found in without if found]
    if len(values) < RANGE_MONTHS or table.complete_months < RANGE_MONTHS:
        return None, None
    mean = sum(values) / len(values)
    error = sqrt((len(values) - 1) / len(values) * sum((value - mean) ** 2 for value in values))
    return max(0.0, share - 2 * error), min(1.0, share + 2 * error)


def _survival(rates: Sequence[float]) -> list[float]:
    """The share that is not redeemed before each age, for as many ages as were seen and one more."""
    found = [1.0]
    for rate in rates:
        found.append(found[-1] * (1 - rate))
    return found


def _left_over(part: Held, survival: Sequence[float], this_month: date) -> float:
    """P(a, e): the share of these points that is still there when they expire."""
    if part.expires is None:
        return 0.0
    now, end = _months(part.issued, this_month), _months(part.issued, max(part.expires, this_month))
    return _survives(survival, end) / _survives(survival, now) if _survives(survival, now) > 0 else 0.0


def _survives(survival: Sequence[float], age: int) -> float:
    """Survival up to an age, carried on by the rate of the last ages seen."""
    age = max(age, 0)
    last = len(survival) - 1
    if age <= last:
        return survival[age]
    span = min(LAST_AGES, last)
    if not span or survival[last - span] <= 0:
        return survival[last]
    monthly = (survival[last] / survival[last - span]) ** (1 / span)
    return float(survival[last] * monthly ** (age - last))


def _months(earlier: date, later: date) -> int:
    return (later.year - earlier.year) * 12 + later.month - earlier.month


@dataclass(frozen=True, kw_only=True)
class _Table:
    """Moves by cohort and age, and their sums by cohort."""

    this_month: date
    issued: Mapping[date, int]
    redeemed: Mapping[date, int]
    expired: Mapping[date, int]
    # (cohort, age) → points at its start, and redeemed in it; complete months only.
    at_risk: Mapping[tuple[date, int], int]
    spent: Mapping[tuple[date, int], int]

    @classmethod
    def of(cls, moves: Iterable[Move], this_month: date) -> "_Table":
        """Lay moves out by age. A draw that happened before its lot (posted late) counts at age 0."""
        given: dict[date, int] = defaultdict(int)
        gone: dict[date, dict[int, int]] = defaultdict(lambda: defaultdict(int))
        spent: dict[tuple[date, int], int] = defaultdict(int)
        redeemed: dict[date, int] = defaultdict(int)
        expired: dict[date, int] = defaultdict(int)
        for move in moves:
            age = max(0, _months(move.issued, min(move.month, this_month)))
            if move.kind in SPENT:
                spent[move.issued, age] -= move.points
                redeemed[move.issued] -= move.points
                gone[move.issued][age] -= move.points
            elif move.kind == "expire":
                expired[move.issued] -= move.points
                gone[move.issued][age] -= move.points
            else:
                # Issued, or as good as never issued: taken back, transferred, corrected.
                given[move.issued] += move.points
        at_risk: dict[tuple[date, int], int] = {}
        for cohort, points in given.items():
            rest = points
            for age in range(max(0, _months(cohort, this_month))):
                at_risk[cohort, age] = max(rest, 0)
                rest -= gone[cohort][age]
        return cls(
            this_month=this_month, issued=given, redeemed=redeemed, expired=expired, at_risk=at_risk, spent=spent
        )

    @property
    def complete_months(self) -> int:
        """How long ago the first points were issued."""
        return max((_months(month, self.this_month) for month in self.issued), default=0)

    def rates(self, without: date | None) -> list[float]:
        """h(a) for each age that was seen, without one cohort; between 0 and 1."""
        there: dict[int, int] = defaultdict(int)
        taken: dict[int, int] = defaultdict(int)
        for (cohort, age), points in self.at_risk.items():
            if cohort != without and points > 0:
                there[age] += points
                taken[age] += self.spent.get((cohort, age), 0)
        seen = takewhile(lambda age: age in there, count())
        return [min(1.0, max(0.0, taken[age] / there[age])) for age in seen]
