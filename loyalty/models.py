"""What the programme promises: points, the rules that give them, tiers and rewards."""

from decimal import Decimal
from typing import Any

import pghistory
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from loyalty.rule_models import CapUse as CapUse
from loyalty.rule_models import EarningRule as EarningRule
from loyalty.rule_models import RuleVersion as RuleVersion
from loyalty.sealed import Block, EntryMonth, LotMonth, SealNote  # noqa: F401 (models of this room)
from loyalty.service_models import AdjustReason as AdjustReason
from loyalty.service_models import DayUse as DayUse
from loyalty.tier_models import ForeseenMove as ForeseenMove
from loyalty.tier_models import Measure as Measure
from loyalty.tier_models import Tier as Tier
from loyalty.tier_models import TierBenefit as TierBenefit
from loyalty.tier_models import TierChange as TierChange
from loyalty.tier_models import TierGift as TierGift
from loyalty.tier_models import TierGrant as TierGrant
from loyalty.tier_models import TierScheme as TierScheme
from loyalty.tier_models import TierStanding as TierStanding
from loyalty.tier_models import TierThreshold as TierThreshold
from members.models import Member, Purchase


class Policy(models.TextChoices):
    """What happens to points that are taken back and are spent already."""

    REFUSE = "refuse", _("refuse to take them back")
    TAKE = "take", _("take what is there")
    DEBT = "debt", _("let later earnings pay for them")


@pghistory.track(append_only=True)
class ProgrammeSettings(models.Model):
    """What the programme does where nothing else says otherwise. One row, made when it is first asked for."""

    clawback_policy = models.CharField(
        _("points taken back that are spent"), max_length=8, choices=Policy.choices, default=Policy.DEBT
    )
    # For points that come back to a member after they would have expired.
    grace_days = models.PositiveSmallIntegerField(_("days to spend returned points"), default=30)
    adjust_daily_limit = models.PositiveIntegerField(_("points one person may adjust in a day"), default=5_000)
    adjust_approval_above = models.PositiveIntegerField(_("points above which a second person decides"), default=1_000)
    adjust_expires_after_months = models.PositiveSmallIntegerField(
        _("months after which points given by service expire"), null=True, blank=True, default=24
    )
    transfer_approval_above = models.PositiveIntegerField(
        _("points moved between members above which a second person decides"), default=5_000
    )
    transfer_daily_limit = models.PositiveIntegerField(
        _("points one person may move between members in a day"), default=20_000, db_default=20_000
    )
    giver_daily_limit = models.PositiveIntegerField(
        _("points moved away from one member in a day"), default=10_000, db_default=10_000
    )
    household_approval_above = models.PositiveIntegerField(
        _("points that come into reach of others in a household above which a second person decides"),
        default=5_000,
        db_default=5_000,
    )
    # Programme currency.
    point_value = models.DecimalField(_("value of a point"), max_digits=10, decimal_places=4, default=Decimal("0.01"))

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(id=1), name="loyalty_programme_settings_one_row"),
            models.CheckConstraint(
                condition=Q(clawback_policy__in=["refuse", "take", "debt"]),
                name="loyalty_programme_settings_policy_known",
            ),
            models.CheckConstraint(condition=Q(point_value__gte=0), name="loyalty_programme_settings_value"),
        ]

    def __str__(self) -> str:
        return "programme settings"


class Account(models.Model):
    """A member's points. Locked first, in member order, by everything that moves points.

    ``balance`` is what all entries add up to, ``debt`` what the member owes, ``version`` the number of
    entries. What is left in the lots is ``balance + debt``; who owes points holds none.
    """

    # Triggers stand in for the foreign keys within the ledger and from it to members and purchases: they are
    # checked set-based, and let a member or purchase of an undone import go once all its points are taken
    # back (docs/adr/0003).
    member = models.OneToOneField(
        Member, primary_key=True, on_delete=models.PROTECT, db_constraint=False, related_name="account"
    )
    balance = models.BigIntegerField(default=0)
    debt = models.BigIntegerField(default=0, db_default=0)
    version = models.BigIntegerField(default=0)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(debt__gte=0, balance__gte=-F("debt")), name="loyalty_account_negative_by_debt_only"
            ),
        ]
        indexes = [models.Index(fields=["member"], name="loyalty_account_in_debt", condition=Q(debt__gt=0))]

    def __str__(self) -> str:
        return f"{self.balance} points"


# Without the stock, which moves with each redemption.
@pghistory.track(exclude=["stock"], append_only=True)
class Reward(models.Model):
    """Something to get for points. ``stock`` is what is left; empty means without end."""

    name = models.CharField(_("name"), max_length=120, unique=True)
    name_zh = models.CharField(_("name in Chinese"), max_length=120, blank=True)
    points = models.PositiveIntegerField(_("points"))
    cost = models.DecimalField(_("cost"), max_digits=12, decimal_places=2, default=0)
    stock = models.IntegerField(_("stock"), null=True)
    active = models.BooleanField(_("offered"), default=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(stock__isnull=True) | Q(stock__gte=0), name="loyalty_reward_stock"),
            models.CheckConstraint(condition=Q(points__gt=0), name="loyalty_reward_points_positive"),
        ]

    def __str__(self) -> str:
        return self.name


class Redemption(models.Model):
    """One reward for one member: reserved, then confirmed and fulfilled, or cancelled.

    Points are taken when it is reserved and come back to their lots when it is cancelled.
    """

    class State(models.TextChoices):
        RESERVED = "reserved", _("reserved")
        CONFIRMED = "confirmed", _("confirmed")
        FULFILLED = "fulfilled", _("fulfilled")
        CANCELLED = "cancelled", _("cancelled")

    member = models.ForeignKey(Member, on_delete=models.PROTECT, related_name="redemptions")
    # What it paid a part of, if anything: its refund gives the points back.
    purchase = models.ForeignKey(Purchase, null=True, on_delete=models.PROTECT, related_name="redemptions")
    reward = models.ForeignKey(Reward, on_delete=models.PROTECT, related_name="redemptions")
    points = models.PositiveIntegerField()
    state = models.CharField(max_length=10, choices=State.choices)
    idempotency_key = models.CharField(max_length=128, unique=True)
    created_by = models.ForeignKey("staff.User", null=True, on_delete=models.SET_NULL, related_name="+")
    redeemed_at = models.DateTimeField()
    confirmed_at = models.DateTimeField(null=True)
    cancelled_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["member", "redeemed_at"], name="loyalty_redemption_by_member"),
            models.Index(fields=["redeemed_at"], name="loyalty_redemption_by_time"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=["reserved", "confirmed", "fulfilled", "cancelled"]),
                name="loyalty_redemption_state_known",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.reward} ({self.state})"


class EntryQuerySet(models.QuerySet["Entry"]):
    """Reads of the ledger."""

    def standing(self) -> "EntryQuerySet":
        """Without reversed entries and without reversals: what counts as issued, redeemed and expired.

        It adds up to the same as all entries.
        """
        return self.filter(reverses__isnull=True, reversed_by__isnull=True)


class Entry(models.Model):
    """One movement of points. Append-only: a trigger refuses every UPDATE, DELETE and TRUNCATE.

    ``points`` is signed. ``seq`` counts the member's entries from 1 and ``balance_after`` is the sum
    up to and including this one. ``occurred_at`` is when the cause happened, ``created_at`` when it
    was written. ``explanation`` holds all that is needed to say in words why it is there.

    ``qualifying`` points count for tiers, at ``counts_at`` (empty: at ``occurred_at``); a reversal and a
    clawback count when what they take back did. ``debt`` is by how much the member owes more (or less), so
    that for each entry ``points = lot - draws - debt``.

    ``award`` is the entry that this one is a part of: of a clawback the award that it takes from, of a
    return the redemption's entry that it gives back a part of, of points received the transfer that gave them.
    """

    class Kind(models.TextChoices):
        EARN = "earn", _("earned")
        REDEEM = "redeem", _("redeemed")
        EXPIRE = "expire", _("expired")
        ADJUST = "adjust", _("adjusted")
        REVERSE = "reverse", _("taken back")
        CLAWBACK = "clawback", _("partly taken back")
        TRANSFER = "transfer", _("transferred")
        RETURN = "return", _("partly given back")

    member = models.ForeignKey(
        Member, on_delete=models.PROTECT, db_constraint=False, related_name="entries", db_index=False
    )
    seq = models.BigIntegerField()
    kind = models.CharField(max_length=8, choices=Kind.choices)
    points = models.BigIntegerField()
    balance_after = models.BigIntegerField()
    qualifying = models.BigIntegerField(default=0, db_default=0)
    counts_at = models.DateTimeField(null=True)
    debt = models.BigIntegerField(default=0, db_default=0)
    debt_after = models.BigIntegerField(default=0, db_default=0)
    occurred_at = models.DateTimeField()
    created_at = models.DateTimeField(auto_now_add=True)
    idempotency_key = models.CharField(max_length=160, unique=True)
    input_hash = models.BinaryField(max_length=32)
    purchase = models.ForeignKey(
        Purchase, null=True, on_delete=models.PROTECT, db_constraint=False, related_name="entries"
    )
    redemption = models.ForeignKey(Redemption, null=True, on_delete=models.PROTECT, related_name="entries")
    rule_version = models.ForeignKey(RuleVersion, null=True, on_delete=models.PROTECT, related_name="+", db_index=False)
    reverses = models.OneToOneField(
        "self", null=True, on_delete=models.PROTECT, db_constraint=False, related_name="reversed_by"
    )
    award = models.ForeignKey(
        "self", null=True, on_delete=models.PROTECT, db_constraint=False, db_index=False, related_name="parts"
    )
    explanation: Any = models.JSONField(default=dict)

    objects = EntryQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["member", "seq"], name="loyalty_entry_seq_once"),
            # A clawback may come to nothing, where all it would take has expired: it says so.
            models.CheckConstraint(
                condition=~Q(points=0) | ~Q(qualifying=0) | Q(kind__in=["clawback", "reverse"]),
                name="loyalty_entry_moves_something",
            ),
            models.CheckConstraint(
                condition=Q(debt_after__gte=0, balance_after__gte=-F("debt_after")),
                name="loyalty_entry_negative_by_debt_only",
            ),
            models.CheckConstraint(
                condition=Q(debt=0)
                | Q(debt__gt=0, points__lte=-F("debt"), kind__in=["clawback", "reverse"])
                | Q(debt__lt=0, points__gte=-F("debt")),
                name="loyalty_entry_debt_within_points",
            ),
            models.CheckConstraint(
                condition=Q(kind="reverse", reverses__isnull=False) | (~Q(kind="reverse") & Q(reverses__isnull=True)),
                name="loyalty_entry_reverse_names_entry",
            ),
            models.CheckConstraint(
                condition=Q(kind__in=["clawback", "return"], award__isnull=False)
                | Q(kind="transfer", points__gt=0, award__isnull=False)
                | Q(kind="transfer", points__lt=0, award__isnull=True)
                | (~Q(kind__in=["clawback", "return", "transfer"]) & Q(award__isnull=True)),
                name="loyalty_entry_part_names_whole",
            ),
            # Refuses an unknown kind as well.
            models.CheckConstraint(
                condition=Q(kind="earn", points__gte=0, qualifying__gte=0)
                | Q(kind="clawback", points__lte=0, qualifying__lte=0)
                | Q(kind="return", points__gt=0, qualifying=0)
                | Q(kind__in=["redeem", "expire"], points__lt=0, qualifying=0)
                | (Q(kind="transfer", qualifying=0) & ~Q(points=0))
                | Q(kind__in=["adjust", "reverse"]),
                name="loyalty_entry_sign_of_kind",
            ),
        ]
        indexes = [
            models.Index(fields=["member", "occurred_at"], name="loyalty_entry_by_member"),
            models.Index(fields=["occurred_at"], name="loyalty_entry_by_time"),
            models.Index(fields=["award"], name="loyalty_entry_by_award", condition=Q(award__isnull=False)),
            # What a rule gave lately is added up from the index alone.
            models.Index(
                fields=["rule_version", "occurred_at"],
                name="loyalty_entry_by_rule",
                condition=Q(rule_version__isnull=False),
                include=["kind", "points"],
            ),
            # What a rule gives a member once, a few entries of many.
            models.Index(
                fields=["member"],
                name="loyalty_entry_once",
                condition=Q(kind="earn", explanation__has_key="occasion"),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.points:+d}"


class Lot(models.Model):
    """Points that one entry brought, and what is left of them.

    Usable from ``activates_at`` (empty: held until it is released) until ``expires_at`` (empty: without
    end). With ``idle_months`` the expiry moves on with each activity of the member. Nothing else of it
    changes but ``remaining``.
    """

    entry = models.OneToOneField(Entry, on_delete=models.PROTECT, db_constraint=False, related_name="lot")
    member = models.ForeignKey(
        Member, on_delete=models.PROTECT, db_constraint=False, related_name="lots", db_index=False
    )
    points = models.BigIntegerField()
    remaining = models.BigIntegerField()
    activates_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(null=True)
    idle_months = models.PositiveSmallIntegerField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(points__gt=0, remaining__gte=0, remaining__lte=F("points")),
                name="loyalty_lot_remaining_range",
            ),
            models.CheckConstraint(
                condition=Q(idle_months__isnull=True) | Q(idle_months__gt=0, expires_at__isnull=False),
                name="loyalty_lot_idle_expires",
            ),
        ]
        indexes = [
            models.Index(
                fields=["member", "expires_at"],
                name="loyalty_lot_open",
                condition=Q(remaining__gt=0),
                include=["remaining"],
            ),
            models.Index(
                fields=["entry"],
                name="loyalty_lot_sliding",
                condition=Q(remaining__gt=0, idle_months__isnull=False),
            ),
            # Only what expires at all: the check at commit must never take this index for the one above, which to
            # the planner look alike while the table is empty. Its plan is kept, and then reads everything per member.
            models.Index(
                fields=["expires_at"],
                name="loyalty_lot_expiring",
                condition=Q(remaining__gt=0, expires_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.remaining} of {self.points}"


class Draw(models.Model):
    """How many points an entry took from a lot (or gave back to it: negative)."""

    entry = models.ForeignKey(Entry, on_delete=models.PROTECT, db_constraint=False, related_name="draws")
    lot = models.ForeignKey(Lot, on_delete=models.PROTECT, db_constraint=False, related_name="draws")
    points = models.BigIntegerField()

    class Meta:
        constraints = [
            # The condition always holds. It keeps the index from standing in for those of entry and lot alone, which
            # to the planner look alike while the table is empty: by lot it would be read from end to end.
            models.UniqueConstraint(fields=["entry", "lot"], name="loyalty_draw_once", condition=~Q(points=0)),
            models.CheckConstraint(condition=~Q(points=0), name="loyalty_draw_not_zero"),
        ]

    def __str__(self) -> str:
        return f"{self.points}"


class LotSource(models.Model):
    """How many points of a lot that came back were first brought by which entry.

    Points whose old lot has expired, or that had paid debt, come back as a lot of their own. Its sources add up to
    it, so that what expires in it counts as expired for the awards that once gave it.
    """

    lot = models.ForeignKey(Lot, on_delete=models.PROTECT, related_name="sources", db_index=False)
    award = models.ForeignKey(Entry, on_delete=models.PROTECT, db_constraint=False, related_name="+")
    points = models.BigIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["lot", "award"], name="loyalty_lot_source_once"),
            models.CheckConstraint(condition=Q(points__gt=0), name="loyalty_lot_source_positive"),
        ]

    def __str__(self) -> str:
        return f"{self.points}"
