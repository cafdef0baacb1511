"""Facts collected for the KPI pages, and how far the collection is.

Two grains. *Facts* are one row per member and thing counted: the drill-down of a figure. *Rollups* are
what pages read: small tables whose size follows months, tiers, rewards and campaigns, never members.
Both are written by ``analytics/collect.py`` alone and can be rebuilt from the raw rows at any time, so
no fact holds a database constraint on a raw row: an undone import must not be stopped by a figure.
Months are their first day, days are days, both in the programme's time zone.
"""

from typing import Any

from django.db import models
from django.utils.translation import gettext_lazy as _

from campaigns.models import Campaign
from loyalty.models import Reward
from members.models import Member


class Collection(models.Model):
    """How far one collector is: its cursor into the raw rows, and the state of its last fill.

    Everything that was committed before ``as_of`` is in the figures. ``started`` means that a fill is
    under way, or was killed: the next one goes on where it stopped.
    """

    class State(models.TextChoices):
        STARTED = "started", _("started")
        DONE = "done", _("done")

    key = models.CharField(max_length=64, unique=True)
    state = models.CharField(max_length=8, choices=State.choices)
    cursor: Any = models.JSONField(default=dict)
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)
    as_of = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return self.key


class StaleMember(models.Model):
    """A member whose raw rows changed since their facts were collected: the collector's queue."""

    member_id = models.BigIntegerField(primary_key=True)

    def __str__(self) -> str:
        return str(self.member_id)


def member_key(**options: Any) -> "models.ForeignKey[Any, Any]":
    """A fact's link to its member, without a constraint in the database (see the module's text)."""
    return models.ForeignKey(Member, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+", **options)


class MemberFact(models.Model):
    """The two cohorts a member belongs to: the month of enrolment and of the first purchase."""

    member = models.OneToOneField(
        Member, primary_key=True, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+"
    )
    enrolment = models.DateField()
    first_purchase = models.DateField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["enrolment"], name="analytics_fact_enrolment"),
            models.Index(fields=["first_purchase"], name="analytics_fact_first_purchase"),
        ]

    def __str__(self) -> str:
        return str(self.member_id)


class MemberSpan(models.Model):
    """From which day until before which day a member was something.

    ``active``: bought or redeemed in the 90 days up to it; ``bought_year``: bought in the 365 days up to
    it; ``kept_year``: that, and in the 365 days before those too; ``tier:gold``: was in that tier. A
    span that is still open ends on the last day there is (``analytics.facts.FOREVER``).
    """

    member = member_key(db_index=False)
    state = models.CharField(max_length=24)
    from_day = models.DateField()
    until_day = models.DateField()

    class Meta:
        indexes = [
            models.Index(fields=["state", "until_day", "from_day"], name="analytics_span_by_state"),
            models.Index(fields=["member", "state"], name="analytics_span_by_member"),
        ]

    def __str__(self) -> str:
        return f"{self.member_id} {self.state}"


class MemberMonth(models.Model):
    """What one member did in one month. ``tier_key`` is the tier at its end.

    Issued, redeemed and expired points are those that stand: an entry that was taken back counts as
    never written. ``points_net`` is by how much what is left in their lots grew or fell: what
    a member owes is not taken off.
    """

    member = member_key()
    month = models.DateField()
    orders = models.IntegerField(default=0)
    spend = models.DecimalField(max_digits=14, decimal_places=2, default=0)
    points_issued = models.BigIntegerField(default=0)
    points_redeemed = models.BigIntegerField(default=0)
    points_expired = models.BigIntegerField(default=0)
    points_net = models.BigIntegerField(default=0)
    tier_key = models.CharField(max_length=16, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["month", "member"], name="analytics_member_month_once")]

    def __str__(self) -> str:
        return f"{self.member_id} {self.month:%Y-%m}"


class MemberReward(models.Model):
    """How often one member took one reward in one month, and for how many points."""

    member = member_key()
    month = models.DateField()
    reward = models.ForeignKey(Reward, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+")
    redemptions = models.IntegerField()
    points = models.BigIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["month", "reward", "member"], name="analytics_member_reward_once")
        ]

    def __str__(self) -> str:
        return f"{self.member_id} {self.month:%Y-%m}"


class ArmMember(models.Model):
    """One member in one arm of a campaign: exposed when, converted or not, and what came of it.

    ``revenue`` is the value of what they bought in the campaign's window. ``elsewhere`` marks the second
    and further arms of a member who stands in more than one. ``events`` counts events by name.
    """

    campaign = models.ForeignKey(Campaign, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+")
    arm = models.CharField(max_length=16)
    member = member_key()
    exposed_at = models.DateTimeField()
    converted = models.BooleanField(default=False)
    revenue = models.DecimalField(max_digits=14, decimal_places=2, default=0)
    elsewhere = models.BooleanField(default=False)
    events: Any = models.JSONField(default=dict)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["campaign", "arm", "member"], name="analytics_arm_member_once")]

    def __str__(self) -> str:
        return f"{self.member_id} {self.arm}"


class CohortKind(models.TextChoices):
    """What puts a member into a cohort."""

    FIRST_PURCHASE = "first_purchase", _("First purchase")
    ENROLMENT = "enrolment", _("Enrolment")


class CohortSize(models.Model):
    """How many members a cohort has."""

    kind = models.CharField(max_length=16, choices=CohortKind.choices)
    cohort = models.DateField()
    members = models.BigIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["kind", "cohort"], name="analytics_cohort_size_once")]

    def __str__(self) -> str:
        return f"{self.kind} {self.cohort:%Y-%m}"


class CohortMonth(models.Model):
    """How many members of a cohort bought in a month."""

    kind = models.CharField(max_length=16, choices=CohortKind.choices)
    cohort = models.DateField()
    month = models.DateField()
    members = models.BigIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["kind", "cohort", "month"], name="analytics_cohort_month_once")]

    def __str__(self) -> str:
        return f"{self.kind} {self.cohort:%Y-%m} {self.month:%Y-%m}"


class PointsMonth(models.Model):
    """Points and the members behind them, by month and tier at its end.

    ``active`` counts members who bought or redeemed in the month, ``redeemers`` those who redeemed.
    """

    month = models.DateField()
    tier_key = models.CharField(max_length=16, blank=True)
    issued = models.BigIntegerField()
    redeemed = models.BigIntegerField()
    expired = models.BigIntegerField()
    net = models.BigIntegerField()
    active = models.BigIntegerField()
    redeemers = models.BigIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["month", "tier_key"], name="analytics_points_month_once")]

    def __str__(self) -> str:
        return f"{self.month:%Y-%m} {self.tier_key}"


class RewardMonth(models.Model):
    """How often a reward was taken in a month, for how many points and by how many members."""

    month = models.DateField()
    reward = models.ForeignKey(Reward, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+")
    redemptions = models.BigIntegerField()
    points = models.BigIntegerField()
    members = models.BigIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["month", "reward"], name="analytics_reward_month_once")]

    def __str__(self) -> str:
        return f"{self.month:%Y-%m} {self.reward_id}"


class SpanDay(models.Model):
    """By how many members a state (see :class:`MemberSpan`) grew or shrank on a day: summed up, its size."""

    state = models.CharField(max_length=24)
    day = models.DateField()
    change = models.BigIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["state", "day"], name="analytics_span_day_once")]

    def __str__(self) -> str:
        return f"{self.state} {self.day}"


class NpsMonth(models.Model):
    """How many answers of a survey gave a score in a month; no month where the day is unknown."""

    survey = models.CharField(max_length=64)
    month = models.DateField(null=True)
    score = models.SmallIntegerField()
    answers = models.BigIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["survey", "month", "score"], name="analytics_nps_month_once", nulls_distinct=False
            )
        ]

    def __str__(self) -> str:
        return f"{self.survey} {self.month}"


class ArmDay(models.Model):
    """Sums over the members of a campaign's arm who were exposed on one day: all that statistics needs."""

    campaign = models.ForeignKey(Campaign, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+")
    arm = models.CharField(max_length=16)
    day = models.DateField()
    members = models.BigIntegerField()
    conversions = models.BigIntegerField()
    revenue = models.DecimalField(max_digits=20, decimal_places=2)
    revenue_squares = models.DecimalField(max_digits=34, decimal_places=4)
    elsewhere = models.BigIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["campaign", "arm", "day"], name="analytics_arm_day_once")]

    def __str__(self) -> str:
        return f"{self.campaign_id} {self.arm} {self.day}"


class ArmEvent(models.Model):
    """How often an event happened in an arm of a campaign, and to how many members."""

    campaign = models.ForeignKey(Campaign, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+")
    arm = models.CharField(max_length=16)
    event = models.CharField(max_length=32)
    events = models.BigIntegerField()
    members = models.BigIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["campaign", "arm", "event"], name="analytics_arm_event_once")]

    def __str__(self) -> str:
        return f"{self.campaign_id} {self.arm} {self.event}"


class MemberValue(models.Model):
    """What a member will probably do in the 12 months after the last valuation (``analytics/valuing.py``).

    ``purchases`` and ``value`` are expectations, ``alive`` is the chance that the member has not left, ``tier`` the key
    of the tier at that moment. Members who never bought have no row.
    """

    member = models.OneToOneField(
        Member, primary_key=True, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+"
    )
    purchases = models.FloatField()
    value = models.DecimalField(max_digits=16, decimal_places=2)
    alive = models.FloatField()
    band = models.CharField(max_length=6)
    tier = models.CharField(max_length=16, default="", db_default="")

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(band__in=["top", "high", "middle", "low"]), name="analytics_value_band"
            ),
            models.CheckConstraint(
                condition=models.Q(purchases__gte=0, value__gte=0, alive__gte=0, alive__lte=1),
                name="analytics_value_in_range",
            ),
        ]
        indexes = [models.Index(fields=["band", "member"], name="analytics_value_by_band")]

    def __str__(self) -> str:
        return f"{self.member_id} {self.band}"


class ValueFit(models.Model):
    """One valuation of all members: when, of how many, the parameters of both models, and what all are worth.

    ``groups`` are sums over the rows by band and tier, ``holdout`` what was foretold for the weeks before beside what
    was bought (``valuing.py`` writes both).
    """

    as_of = models.DateTimeField()
    members = models.IntegerField()
    r = models.FloatField()
    alpha = models.FloatField()
    a = models.FloatField()
    b = models.FloatField()
    p = models.FloatField()
    q = models.FloatField()
    v = models.FloatField()
    expected = models.FloatField()
    groups: Any = models.JSONField(default=list, db_default=models.Value([], models.JSONField()))
    holdout: Any = models.JSONField(default=dict, db_default=models.Value({}, models.JSONField()))

    def __str__(self) -> str:
        return f"{self.members} at {self.as_of:%Y-%m-%d}"
