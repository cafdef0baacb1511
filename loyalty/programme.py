"""What a programme starts with, four tiers and one earning rule."""

from decimal import Decimal

from django.db import connection, transaction

from loyalty import rules
from loyalty.models import EarningRule, Measure, Tier, TierScheme, TierThreshold
from staff import audit
from staff.models import User

# key, English name, Chinese name, spend in 12 months (programme currency), points multiplier
TIERS = (
    ("bronze", "Bronze", "青铜", Decimal(0), Decimal("1.00")),
    ("silver", "Silver", "白银", Decimal(2_000), Decimal("1.10")),
    ("gold", "Gold", "黄金", Decimal(8_000), Decimal("1.25")),
    ("platinum", "Platinum", "铂金", Decimal(20_000), Decimal("1.50")),
)
RULE = "Points for purchases"


class StartedAlready(Exception):
    """There are tiers: what is to change is changed there, and an earning rule takes a second person."""


def _make_tiers() -> None:
    tiers = Tier.objects.bulk_create(
        [
            Tier(key=key, name=name, name_zh=name_zh, rank=rank, multiplier=multiplier)
            for rank, (key, name, name_zh, _threshold, multiplier) in enumerate(TIERS, 1)
        ]
    )
    TierScheme.objects.get_or_create(pk=1)
    TierThreshold.objects.bulk_create(
        [
            TierThreshold(tier=tier, measure=Measure.SPEND, value=threshold)
            for tier, (_key, _name, _name_zh, threshold, _multiplier) in zip(tiers, TIERS, strict=True)
            if threshold
        ]
    )


def _make_rule() -> None:
    version = rules.draft(EarningRule.objects.create(name=RULE), definition=rules.usual(), user=None)
    rules.submit(version, user=None)
    rules.approve(version, user=None)
    rules.activate(version, user=None, since_ever=True)


@transaction.atomic
def ensure_defaults() -> None:
    """Make the four tiers where there are none, and an active earning rule where there never was one."""
    _lock()
    if not Tier.objects.exists():
        _make_tiers()
    if not EarningRule.objects.exists():
        _make_rule()


@transaction.atomic
def start(*, user: User) -> bool:
    """Give a new programme its four tiers, and its earning rule where nobody wrote one; tells whether it got the rule.

    Raises :class:`StartedAlready`: nobody makes a rule active alone by starting a programme again.
    """
    _lock()
    if Tier.objects.exists():
        raise StartedAlready
    gets_rule = not EarningRule.objects.exists()
    ensure_defaults()
    audit.record(user, "programme.start")
    return gets_rule


def _lock() -> None:
    """Two processes may start at once."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('programme-defaults'))")
