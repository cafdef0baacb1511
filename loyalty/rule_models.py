"""Earning rules as they are stored. ``loyalty.models`` has them with all the room's models."""

from typing import Any

import pghistory
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from members.models import Member


class EarningRule(models.Model):
    """A named promise of points. What it says stands in its versions."""

    name = models.CharField(_("name"), max_length=120, unique=True)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.name


@pghistory.track(append_only=True)
class RuleVersion(models.Model):
    """What a rule says, from draft to retired. Never changed once active; in review only by going back to draft.

    ``definition`` is the JSON of docs/rules.md. Events from ``starts_at`` (empty: since ever) until
    ``ends_at`` (empty: without end) earn by it, those from ``retired_at`` on no longer.
    """

    class State(models.TextChoices):
        DRAFT = "draft", _("draft")
        IN_REVIEW = "in_review", _("in review")
        APPROVED = "approved", _("approved")
        ACTIVE = "active", _("active")
        RETIRED = "retired", _("retired")

    rule = models.ForeignKey(EarningRule, on_delete=models.PROTECT, related_name="versions")
    version = models.PositiveIntegerField()
    state = models.CharField(max_length=10, choices=State.choices, default=State.DRAFT)
    definition: Any = models.JSONField(default=dict)
    starts_at = models.DateTimeField(_("starts"), null=True)
    ends_at = models.DateTimeField(_("ends"), null=True)
    legal_note = models.TextField(_("legal note"), blank=True, default="")
    created_by = models.ForeignKey("staff.User", null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    submitted_by = models.ForeignKey("staff.User", null=True, on_delete=models.SET_NULL, related_name="+")
    submitted_at = models.DateTimeField(null=True)
    approved_by = models.ForeignKey("staff.User", null=True, on_delete=models.SET_NULL, related_name="+")
    approved_at = models.DateTimeField(null=True)
    active_from = models.DateTimeField(null=True)
    retired_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["rule", "version"], name="loyalty_rule_version_once"),
            models.UniqueConstraint(fields=["rule"], condition=Q(state="active"), name="loyalty_rule_one_active"),
            models.CheckConstraint(
                condition=Q(starts_at__isnull=True) | Q(ends_at__isnull=True) | Q(ends_at__gt=F("starts_at")),
                name="loyalty_rule_version_period",
            ),
            # Nobody approves what they wrote or submitted. Unknown people (the system) are let through.
            models.CheckConstraint(
                condition=Q(approved_by__isnull=True)
                | (
                    (Q(created_by__isnull=True) | ~Q(created_by=F("approved_by")))
                    & (Q(submitted_by__isnull=True) | ~Q(submitted_by=F("approved_by")))
                ),
                name="loyalty_rule_version_four_eyes",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.rule} v{self.version}"


class CapUse(models.Model):
    """What the cap of a rule has let through in one period: of one member, or of all (``member`` empty).

    Its row is written in the transaction that gives the points, after the accounts are locked.
    """

    rule = models.ForeignKey(EarningRule, on_delete=models.PROTECT, related_name="+")
    per = models.CharField(max_length=8)
    of = models.CharField(max_length=10)
    period_start = models.DateField()
    member = models.ForeignKey(Member, null=True, on_delete=models.CASCADE, related_name="+")
    points = models.BigIntegerField(default=0)
    money = models.DecimalField(max_digits=20, decimal_places=6, default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["rule", "per", "of", "period_start", "member"],
                nulls_distinct=False,
                name="loyalty_cap_use_once",
            ),
            models.CheckConstraint(condition=Q(points__gte=0, money__gte=0), name="loyalty_cap_use_not_negative"),
        ]

    def __str__(self) -> str:
        return f"{self.points} of {self.rule_id} {self.per} {self.period_start}"
