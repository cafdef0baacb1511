"""Segments: named sets of members, who is in them since when, and each build of them."""

from typing import Any, Final

import pghistory
from django.db import models
from django.db.models import F, Q
from django.urls import reverse
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

# The hour of the programme's clock at which daily segments are built: after expiry, tiers and models of the night.
DAILY_HOUR: Final = 3


# Only what people decide is configuration: how large it is and when it was built changes every hour.
@pghistory.track(
    pghistory.InsertEvent(),
    pghistory.UpdateEvent(condition=pghistory.AnyChange("name", "conditions", "rhythm")),
    pghistory.DeleteEvent(),
    fields=["name", "kind", "conditions", "rhythm"],
    model_name="SegmentChange",
    append_only=True,
)
class Segment(models.Model):
    """Members who fulfil conditions (dynamic), or a list of members (static).

    ``size``, ``built_at`` and ``built_in`` are those of the last build that ended, ``tried_at`` is when one
    was last tried, and ``problem`` says why that one did not end. Written by ``members.segments`` alone.
    """

    class Kind(models.TextChoices):
        DYNAMIC = "dynamic", pgettext_lazy("segment", "dynamic")
        STATIC = "static", pgettext_lazy("segment", "fixed list")

    class Rhythm(models.TextChoices):
        HOURLY = "hourly", _("every hour")
        DAILY = "daily", format_lazy(_("every day at {time}"), time=f"{DAILY_HOUR:02d}:00")

    name = models.CharField(_("name"), max_length=80, unique=True)
    kind = models.CharField(max_length=8, choices=Kind.choices)
    conditions: Any = models.JSONField(default=dict)
    rhythm = models.CharField(_("built"), max_length=8, choices=Rhythm.choices, default=Rhythm.DAILY)
    size = models.BigIntegerField(default=0)
    built_at = models.DateTimeField(null=True)
    built_in = models.DurationField(null=True)
    tried_at = models.DateTimeField(null=True)
    problem = models.CharField(max_length=500, blank=True)
    job = models.ForeignKey("staff.Job", null=True, on_delete=models.SET_NULL, related_name="+")
    created_by = models.ForeignKey("staff.User", null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = _("segment")
        constraints = [
            models.CheckConstraint(condition=Q(kind__in=["dynamic", "static"]), name="members_segment_kind"),
            models.CheckConstraint(condition=Q(rhythm__in=["hourly", "daily"]), name="members_segment_rhythm"),
            models.CheckConstraint(condition=Q(size__gte=0), name="members_segment_size_not_negative"),
        ]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        """Its page."""
        return reverse("members:segment", args=[self.pk])

    @property
    def is_dynamic(self) -> bool:
        """Whether conditions say who is in it."""
        return self.kind == self.Kind.DYNAMIC


class SegmentMember(models.Model):
    """That a member is in a segment, or was: from one build until another."""

    segment = models.ForeignKey(Segment, on_delete=models.CASCADE, related_name="memberships", db_index=False)
    member = models.ForeignKey("members.Member", on_delete=models.CASCADE, related_name="+", db_index=False)
    entered_at = models.DateTimeField()
    left_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["segment", "member"], condition=Q(left_at__isnull=True), name="members_segment_member_once"
            ),
            models.CheckConstraint(
                condition=Q(left_at__isnull=True) | Q(left_at__gte=F("entered_at")), name="members_segment_member_span"
            ),
        ]
        indexes = [
            models.Index(fields=["member", "segment", "entered_at"], name="members_segment_by_member"),
            models.Index(
                fields=["segment", "-left_at", "-id"],
                name="members_segment_left",
                condition=Q(left_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.member_id} in {self.segment_id}"


class SegmentBuild(models.Model):
    """One build: how many members were in the segment then, who came and went with it, and how long it took."""

    segment = models.ForeignKey(Segment, on_delete=models.CASCADE, related_name="builds", db_index=False)
    built_at = models.DateTimeField()
    built_in = models.DurationField()
    size = models.BigIntegerField()
    entered = models.BigIntegerField()
    gone = models.BigIntegerField()

    class Meta:
        indexes = [models.Index(fields=["segment", "-built_at"], name="members_segment_builds")]

    def __str__(self) -> str:
        return f"{self.size} in {self.segment_id}"
