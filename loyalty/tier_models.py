"""The rows of tiers: levels, the scheme that says how they are reached, standings, moves, grants and benefits."""

from typing import Any

import pghistory
from django.core.exceptions import ObjectDoesNotExist
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from members.models import Member


class Measure(models.TextChoices):
    """What can count for a tier. The order is that of pages and of evidence."""

    SPEND = "spend", _("spend")
    POINTS = "points", _("qualifying points")
    ORDERS = "orders", _("orders")
    MONTHS = "months", _("active months")
    REFERRALS = "referrals", _("referrals")


def _only_spend() -> list[str]:
    return [Measure.SPEND]


@pghistory.track(append_only=True)
class TierScheme(models.Model):
    """How tiers are reached, kept and lost: the one row that all tiers share.

    What counts is counted over ``window`` (``months`` of them for rolling months). ``valid_months`` is how
    long a tier lasts once it is reached; 0 is as long as it is earned. ``grace_days`` follow before it is lost.
    """

    class Window(models.TextChoices):
        ROLLING_MONTHS = "rolling_months", _("the months before")
        CALENDAR_YEAR = "calendar_year", _("the calendar year")
        MEMBERSHIP_YEAR = "membership_year", _("the year of membership")
        LIFETIME = "lifetime", _("all time")

    class Needs(models.TextChoices):
        ANY = "any", _("any one of them")
        ALL = "all", _("all of them")

    class Downgrade(models.TextChoices):
        NONE = "none", _("never: a tier once reached is kept")
        ONE_STEP = "one_step", _("one tier at a time")
        TO_EARNED = "to_earned", _("to the tier that is earned")

    class OnRefund(models.TextChoices):
        KEEP = "keep", _("keep the tier until it would have ended anyway")
        RECHECK = "recheck", _("take the tier away if it is no longer earned")

    window = models.CharField(_("counted over"), max_length=16, choices=Window.choices, default=Window.ROLLING_MONTHS)
    months = models.PositiveSmallIntegerField(_("months"), default=12)
    measures: Any = models.JSONField(_("what counts"), default=_only_spend)
    needs = models.CharField(_("a tier needs"), max_length=3, choices=Needs.choices, default=Needs.ANY)
    valid_months = models.PositiveSmallIntegerField(_("valid for months"), default=0)
    grace_days = models.PositiveSmallIntegerField(_("days of grace"), default=0)
    downgrade = models.CharField(_("downgrade"), max_length=9, choices=Downgrade.choices, default=Downgrade.TO_EARNED)
    warn_days = models.PositiveSmallIntegerField(_("warned days ahead"), default=30)
    # What happened before it is not judged by this scheme.
    in_force_since = models.DateTimeField(_("in force since"), null=True, editable=False)
    on_refund = models.CharField(_("after a refund"), max_length=7, choices=OnRefund.choices, default=OnRefund.RECHECK)

    class Meta:
        verbose_name = "tier scheme"
        constraints = [
            models.CheckConstraint(condition=Q(pk=1), name="loyalty_tier_scheme_one_row"),
            models.CheckConstraint(
                condition=Q(window__in=["rolling_months", "calendar_year", "membership_year", "lifetime"])
                & Q(needs__in=["any", "all"])
                & Q(downgrade__in=["none", "one_step", "to_earned"])
                & Q(on_refund__in=["keep", "recheck"]),
                name="loyalty_tier_scheme_known",
            ),
            models.CheckConstraint(condition=~Q(measures=[]), name="loyalty_tier_scheme_measures"),
            models.CheckConstraint(condition=Q(months__gte=1, months__lte=120), name="loyalty_tier_scheme_months"),
        ]

    def __str__(self) -> str:
        return str(_("The way tiers are reached"))


@pghistory.track(append_only=True)
class Tier(models.Model):
    """A level. What it takes to reach it stands in its thresholds; the lowest takes nothing."""

    key = models.SlugField(max_length=16, unique=True)
    name = models.CharField(_("name"), max_length=40)
    name_zh = models.CharField(_("name in Chinese"), max_length=40)
    rank = models.PositiveSmallIntegerField(unique=True)
    multiplier = models.DecimalField(_("points multiplier"), max_digits=4, decimal_places=2, default=1)

    class Meta:
        ordering = ["rank"]
        constraints = [models.CheckConstraint(condition=Q(multiplier__gt=0), name="loyalty_tier_positive")]

    def __str__(self) -> str:
        return self.name


@pghistory.track(append_only=True)
class TierThreshold(models.Model):
    """From how much of a measure on a tier is reached: money in the programme's currency, or a number."""

    tier = models.ForeignKey(Tier, on_delete=models.CASCADE, related_name="thresholds")
    measure = models.CharField(_("measure"), max_length=9, choices=Measure.choices)
    value = models.DecimalField(_("threshold"), max_digits=14, decimal_places=2)

    class Meta:
        verbose_name = "tier threshold"
        constraints = [
            models.UniqueConstraint(fields=["tier", "measure"], name="loyalty_tier_threshold_per_measure"),
            # Deferred, so that two tiers can change places.
            models.UniqueConstraint(
                fields=["measure", "value"], name="loyalty_tier_threshold_once", deferrable=models.Deferrable.DEFERRED
            ),
            models.CheckConstraint(condition=Q(value__gt=0), name="loyalty_tier_threshold_positive"),
            models.CheckConstraint(
                condition=Q(measure__in=["spend", "points", "orders", "months", "referrals"]),
                name="loyalty_tier_threshold_measure",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.tier} {self.measure}"


@pghistory.track(append_only=True)
class TierBenefit(models.Model):
    """What a tier gives besides points. ``yearly_value`` is its cost per member and year, where it has one.

    A gift that names a ``reward`` or ``points`` is handed out to each who earns the tier from ``created_at`` on
    (docs/adr/0019), with ``when_passed`` also to those who rise past it in one move; one that names neither is words
    only.
    """

    class Kind(models.TextChoices):
        SERVICE = "service", _("priority service")
        EARLY_ACCESS = "early_access", _("early access")
        DELIVERY = "delivery", _("free delivery")
        GIFT = "gift", _("gift on reaching the tier")
        OTHER = "other", _("other")

    tier = models.ForeignKey(Tier, on_delete=models.CASCADE, related_name="benefits")
    kind = models.CharField(_("kind"), max_length=12, choices=Kind.choices)
    text = models.CharField(_("benefit"), max_length=120)
    text_zh = models.CharField(_("benefit in Chinese"), max_length=120, blank=True)
    yearly_value = models.DecimalField(_("cost per member and year"), max_digits=12, decimal_places=2, null=True)
    reward = models.ForeignKey(
        "loyalty.Reward",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        verbose_name=_("reward that is given"),
    )
    points = models.PositiveIntegerField(_("points that are given"), default=0, db_default=0)
    when_passed = models.BooleanField(
        _("also given to those who rise past the tier in one move"), default=True, db_default=True
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = "tier benefit"
        ordering = ["tier__rank", "pk"]
        constraints = [
            models.CheckConstraint(
                condition=Q(kind="gift") | Q(reward__isnull=True, points=0), name="loyalty_tier_benefit_only_gifts_give"
            ),
            models.CheckConstraint(
                condition=Q(yearly_value__isnull=True) | Q(yearly_value__gte=0), name="loyalty_tier_benefit_value"
            ),
            models.CheckConstraint(
                condition=Q(kind__in=["service", "early_access", "delivery", "gift", "other"]),
                name="loyalty_tier_benefit_kind",
            ),
        ]

    def __str__(self) -> str:
        return self.text


class TierStanding(models.Model):
    """Where a member stands now. A member without a row is in the lowest tier.

    ``earned_tier`` is what stands without a grant (empty: the same). ``next_at`` is the first moment at which
    the standing can change by itself; ``falls_at`` and ``falls_to`` where it goes if nothing more is done.
    """

    member = models.OneToOneField(Member, primary_key=True, on_delete=models.CASCADE, related_name="standing")
    tier = models.ForeignKey(Tier, on_delete=models.PROTECT)
    since = models.DateTimeField()
    measures: Any = models.JSONField(default=dict)
    evaluated_at = models.DateTimeField()
    earned_tier = models.ForeignKey(Tier, null=True, on_delete=models.PROTECT, related_name="+")
    valid_until = models.DateTimeField(null=True)
    grace_until = models.DateTimeField(null=True)
    next_at = models.DateTimeField(null=True)
    falls_at = models.DateTimeField(null=True)
    falls_to = models.ForeignKey(Tier, null=True, on_delete=models.PROTECT, related_name="+")

    class Meta:
        indexes = [
            models.Index(fields=["falls_at"], name="loyalty_standing_falling", condition=Q(falls_at__isnull=False)),
        ]

    def __str__(self) -> str:
        return str(self.tier)


class TierGrant(models.Model):
    """A tier that somebody of the desk gave a member until a day, with the reason."""

    member = models.ForeignKey(Member, on_delete=models.CASCADE, related_name="tier_grants")
    tier = models.ForeignKey(Tier, on_delete=models.PROTECT, related_name="+")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    reason = models.CharField(_("reason"), max_length=200)
    granted_by = models.ForeignKey("staff.User", null=True, on_delete=models.SET_NULL, related_name="+")

    class Meta:
        indexes = [models.Index(fields=["member", "starts_at"], name="loyalty_tier_grant_by_member")]
        constraints = [
            models.CheckConstraint(condition=Q(ends_at__gte=models.F("starts_at")), name="loyalty_tier_grant_in_order")
        ]

    def __str__(self) -> str:
        return f"{self.tier} ({self.reason})"


class TierChange(models.Model):
    """One move of a member between tiers, with the measure, value, threshold and window that prove it."""

    member = models.ForeignKey(Member, on_delete=models.CASCADE, related_name="tier_changes")
    from_tier = models.ForeignKey(Tier, null=True, on_delete=models.PROTECT, related_name="+")
    to_tier = models.ForeignKey(Tier, on_delete=models.PROTECT, related_name="+")
    changed_at = models.DateTimeField()
    evidence = models.JSONField(default=dict)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        indexes = [models.Index(fields=["member", "changed_at"], name="loyalty_tier_change_by_member")]

    def __str__(self) -> str:
        return f"{self.from_tier} → {self.to_tier}"


class TierGift(models.Model):
    """What a member gets for having earned a tier: due, and since ``given_at`` theirs.

    It keeps what was promised, whatever becomes of the benefit. ``tier`` was reached, or passed, by the move at
    ``reached_at`` that earned it; ``lost_at`` is the moment of the last fall out of the tier before it which ended an
    earlier claim (empty: none). ``redemption`` is how the reward went out.
    """

    member = models.ForeignKey(Member, on_delete=models.CASCADE, related_name="tier_gifts", db_index=False)
    benefit = models.ForeignKey(TierBenefit, null=True, on_delete=models.SET_NULL, related_name="gifts")
    tier = models.ForeignKey(Tier, on_delete=models.PROTECT, related_name="+")
    text = models.CharField(max_length=120)
    text_zh = models.CharField(max_length=120, blank=True)
    reward = models.ForeignKey("loyalty.Reward", null=True, on_delete=models.PROTECT, related_name="+")
    points = models.PositiveIntegerField(default=0)
    reached_at = models.DateTimeField()
    lost_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)
    given_at = models.DateTimeField(null=True)
    redemption = models.OneToOneField("loyalty.Redemption", null=True, on_delete=models.PROTECT, related_name="gift")

    class Meta:
        indexes = [
            models.Index(fields=["member", "reached_at"], name="loyalty_tier_gift_by_member"),
            models.Index(fields=["id"], name="loyalty_tier_gift_due", condition=Q(given_at__isnull=True)),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["member", "benefit", "lost_at"],
                name="loyalty_tier_gift_once",
                condition=Q(benefit__isnull=False),
                nulls_distinct=False,
            ),
            models.CheckConstraint(
                condition=Q(reward__isnull=False) | Q(points__gt=0), name="loyalty_tier_gift_is_something"
            ),
            models.CheckConstraint(
                condition=Q(given_at__isnull=True, redemption__isnull=True)
                | Q(given_at__isnull=False, reward__isnull=True, redemption__isnull=True)
                | Q(given_at__isnull=False, reward__isnull=False, redemption__isnull=False),
                name="loyalty_tier_gift_given_whole",
            ),
        ]

    def __str__(self) -> str:
        return self.text


class ForeseenMove(models.Model):
    """A member who would move under the scheme that a preview (``tiers/preview.py``) looked at."""

    job = models.ForeignKey("staff.Job", on_delete=models.CASCADE, related_name="+", db_index=False)
    from_tier = models.ForeignKey(Tier, on_delete=models.CASCADE, related_name="+", db_index=False)
    to_tier = models.ForeignKey(Tier, on_delete=models.CASCADE, related_name="+", db_index=False)
    member = models.ForeignKey(
        Member, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+", db_index=False
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["job", "from_tier", "to_tier", "member"], name="loyalty_foreseen_move_once")
        ]

    def __str__(self) -> str:
        return f"{self.from_tier} → {self.to_tier}"


def scheme() -> TierScheme:
    """The scheme as it stands; that of a new programme where none was saved."""
    try:
        return TierScheme.objects.get(pk=1)
    except ObjectDoesNotExist:
        return TierScheme(pk=1)
