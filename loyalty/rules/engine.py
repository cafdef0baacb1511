"""What a purchase earns: a pure function, and the same arithmetic as SQL for many purchases at once.

``points = value ÷ per_amount × points × tier multiplier``, computed exactly as a fraction and rounded
once at the end. Both forms divide whole numbers, so they agree on every case at the boundary; a
property test holds them together.
"""

import math
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from loyalty.models import RuleVersion
from loyalty.months import add_months

# The unrounded figure in an explanation is cut to this many decimals (half up); the points are not.
SHOWN_DECIMALS: Final = 6


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What one version of a rule says."""

    version_id: int | None
    rule: str
    version: int
    points: Decimal
    per_amount: Decimal
    rounding: str
    expires_after_months: int | None

    def explained(self) -> dict[str, Any]:
        """The part of an explanation that is the same for each purchase under this version."""
        return {
            "rule": self.rule,
            "version": self.version,
            "points": f"{self.points:.2f}",
            "per_amount": f"{self.per_amount:.2f}",
            "rounding": self.rounding,
        }

    def expiry(self, earned_at: datetime) -> datetime | None:
        """When points of a purchase at that time expire; None where they never do."""
        return None if self.expires_after_months is None else add_months(earned_at, self.expires_after_months)


@dataclass(frozen=True, kw_only=True)
class TierTerms:
    """What a tier adds to a rule."""

    key: str
    multiplier: Decimal


@dataclass(frozen=True, kw_only=True)
class Earned:
    """Whole points (possibly none), and the explanation that stands in the ledger."""

    points: int
    explanation: dict[str, Any]


def earn(*, value: Decimal, tier: TierTerms, terms: Terms, currency: str, receipt: str = "") -> Earned:
    """What a purchase of ``value`` (in the programme's ``currency``) earns for a member of that tier."""
    exact = Fraction(value) * Fraction(terms.points) * Fraction(tier.multiplier) / Fraction(terms.per_amount)
    return Earned(
        points=round_points(exact, terms.rounding),
        explanation=terms.explained()
        | {
            "value": f"{value:.2f}",
            "currency": currency,
            "receipt": receipt,
            "tier": tier.key,
            "multiplier": f"{tier.multiplier:.2f}",
            "unrounded": _shown(exact),
        },
    )


def round_points(exact: Fraction, rounding: str) -> int:
    """To whole points as a rule version says."""
    if rounding == RuleVersion.Rounding.HALF_UP:
        return math.floor(exact + Fraction(1, 2))
    return math.floor(exact)


def _shown(exact: Fraction) -> str:
    scaled = math.floor(exact * 10**SHOWN_DECIMALS + Fraction(1, 2))
    whole, decimals = divmod(scaled, 10**SHOWN_DECIMALS)
    return f"{whole}.{decimals:0{SHOWN_DECIMALS}d}".rstrip("0").rstrip(".")


# The same as :func:`earn` over ``sale`` (columns value, currency, receipt, tier, multiplier) and the
# version's columns in ``terms`` (points, per_amount, rounding, and what ``Terms.explained`` gives as
# ``explained``). ``div`` is the whole quotient of exact numbers, as // is.
POINTS_SQL: Final = """CASE terms.rounding
    WHEN 'half_up' THEN div(2 * sale.value * terms.points * sale.multiplier + terms.per_amount, 2 * terms.per_amount)
    ELSE div(sale.value * terms.points * sale.multiplier, terms.per_amount) END::bigint"""

EXPLANATION_SQL: Final = """terms.explained || jsonb_build_object(
    'value', sale.value::numeric(14, 2)::text,
    'currency', sale.currency,
    'receipt', sale.receipt,
    'tier', sale.tier,
    'multiplier', sale.multiplier::numeric(4, 2)::text,
    'unrounded', trim_scale(div(2 * 1000000 * sale.value * terms.points * sale.multiplier + terms.per_amount,
                                2 * terms.per_amount) * 0.000001)::text)"""
