"""How we reach members: what is sent to whom and when, and what became of each message."""

from typing import Any

import pghistory
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from members.models import Experiment, ImportRun, Member, validate_time_zone


@pghistory.track(model_name="CampaignChange", obj_field=pghistory.ObjForeignKey(related_name="changes"))
class Campaign(models.Model):
    """One campaign: ours, or one that was brought along from another system (``imported``).

    ``audience`` is a condition tree (``members/conditions``). ``holdout_percent`` of the audience is
    sent nothing; it is the control arm. ``scheduled_at`` is UTC, empty while "as soon as it is
    launched" is chosen; ``time_zone`` is the one it was chosen in. ``revision`` counts the edits, so
    that what was reviewed is what is launched. A member converts who buys within ``goal_days`` of the run's start.
    """

    class State(models.TextChoices):
        DRAFT = "draft", _("draft")
        SCHEDULED = "scheduled", _("scheduled")
        RUNNING = "running", _("running")
        PAUSED = "paused", _("paused")
        DONE = "done", _("done")
        CANCELLED = "cancelled", _("cancelled")

    class LatePolicy(models.TextChoices):
        SEND = "send", _("send anyway")
        SKIP = "skip", _("skip the run")
        ASK = "ask", _("pause and ask")

    name = models.CharField(_("name"), max_length=120)
    state = models.CharField(max_length=10, choices=State.choices, default=State.DRAFT)
    imported = models.BooleanField(default=False)
    external_id = models.CharField(max_length=128, null=True, unique=True)
    audience: Any = models.JSONField(default=dict)
    holdout_percent = models.PositiveSmallIntegerField(_("holdout"), default=10)
    scheduled_at = models.DateTimeField(_("send at"), null=True)
    time_zone = models.CharField(
        _("time zone"), max_length=64, default="Asia/Shanghai", validators=[validate_time_zone]
    )
    late_policy = models.CharField(_("if late"), max_length=4, choices=LatePolicy.choices, default=LatePolicy.SEND)
    goal_days = models.PositiveSmallIntegerField(_("days to buy"), default=14)
    revision = models.PositiveIntegerField(default=1)
    experiment = models.OneToOneField(Experiment, null=True, on_delete=models.PROTECT, related_name="campaign")
    import_run = models.ForeignKey(ImportRun, null=True, on_delete=models.PROTECT, related_name="+")
    created_by = models.ForeignKey("staff.User", null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(holdout_percent__lte=90), name="campaigns_campaign_holdout"),
            models.CheckConstraint(
                condition=Q(state__in=["draft", "scheduled", "running", "paused", "done", "cancelled"]),
                name="campaigns_campaign_state_known",
            ),
        ]
        indexes = [
            models.Index(fields=["scheduled_at"], name="campaigns_campaign_due", condition=Q(state="scheduled")),
        ]

    def __str__(self) -> str:
        return self.name


@pghistory.track(model_name="VariantChange", obj_field=pghistory.ObjForeignKey(related_name="changes"))
class Variant(models.Model):
    """One wording of a campaign's message. Subject and body are Liquid; the body is MJML or plain text.

    ``share`` is its weight among those that are written to (the audience without the holdout).
    """

    campaign = models.ForeignKey(Campaign, on_delete=models.CASCADE, related_name="variants")
    key = models.CharField(max_length=16)
    name = models.CharField(_("name"), max_length=80, blank=True)
    share = models.PositiveSmallIntegerField(_("share"), default=50)
    subject = models.CharField(_("subject"), max_length=200, blank=True)
    body = models.TextField(_("text"), blank=True)

    class Meta:
        ordering = ["key"]
        constraints = [
            models.UniqueConstraint(fields=["campaign", "key"], name="campaigns_variant_once"),
            models.CheckConstraint(condition=~Q(key="control"), name="campaigns_variant_not_control"),
        ]

    def __str__(self) -> str:
        return self.name or self.key


class Run(models.Model):
    """One execution of a campaign: planned by one statement, delivered in claimed chunks.

    ``matched`` = ``unreachable`` + ``held_out`` + messages. While the mail server cannot be reached,
    nothing is claimed until ``wait_until``; ``wait_reason`` is what it said, ``refusals`` how often in
    a row. ``note`` is a code of ``campaigns/reasons.py``.
    """

    class State(models.TextChoices):
        PLANNING = "planning", _("being planned")
        RUNNING = "running", _("running")
        PAUSED = "paused", _("paused")
        DONE = "done", _("done")
        CANCELLED = "cancelled", _("cancelled")

    campaign = models.ForeignKey(Campaign, on_delete=models.PROTECT, related_name="runs")
    due_at = models.DateTimeField()
    state = models.CharField(max_length=10, choices=State.choices, default=State.PLANNING)
    matched = models.BigIntegerField(default=0)
    unreachable = models.BigIntegerField(default=0)
    held_out = models.BigIntegerField(default=0)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    wait_until = models.DateTimeField(null=True)
    wait_reason = models.CharField(max_length=200, blank=True)
    refusals = models.PositiveSmallIntegerField(default=0)
    note = models.CharField(max_length=32, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["campaign", "due_at"], name="campaigns_run_once"),
            models.CheckConstraint(
                condition=Q(state__in=["planning", "running", "paused", "done", "cancelled"]),
                name="campaigns_run_state_known",
            ),
        ]
        indexes = [
            models.Index(fields=["id"], name="campaigns_run_open", condition=Q(state__in=["running", "paused"])),
        ]

    def __str__(self) -> str:
        return f"{self.campaign} {self.due_at:%Y-%m-%d %H:%M}"


class Message(models.Model):
    """One message to one member in one run and step, and its fate.

    ``claimed`` is written before the mail server is spoken to, so a message is sent at most once: one
    that was claimed by a worker that died becomes ``unknown`` and is not sent again by itself.
    ``not_before`` is when it may be claimed (quiet hours, a mail server that said "later").
    ``reason`` is a code of ``campaigns/reasons.py`` or what the mail server said.
    """

    class State(models.TextChoices):
        PLANNED = "planned", _("to be sent")
        CLAIMED = "claimed", _("being sent")
        SENT = "sent", _("sent")
        FAILED = "failed", _("failed")
        SKIPPED = "skipped", _("not sent")
        UNKNOWN = "unknown", _("unknown")

    run = models.ForeignKey(Run, on_delete=models.PROTECT, related_name="messages")
    member = models.ForeignKey(Member, on_delete=models.PROTECT, related_name="messages")
    step = models.PositiveSmallIntegerField(default=0)
    variant = models.ForeignKey(Variant, on_delete=models.PROTECT, related_name="+")
    state = models.CharField(max_length=8, choices=State.choices, default=State.PLANNED)
    reason = models.CharField(max_length=200, blank=True)
    not_before = models.DateTimeField(default=timezone.now)
    attempts = models.PositiveSmallIntegerField(default=0)
    claim = models.UUIDField(null=True)
    claimed_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["run", "member", "step"], name="campaigns_message_once"),
            models.CheckConstraint(
                condition=Q(state__in=["planned", "claimed", "sent", "failed", "skipped", "unknown"]),
                name="campaigns_message_state_known",
            ),
            # Claimed means: by somebody, since when. Nothing is sent that was not claimed.
            models.CheckConstraint(
                condition=Q(state__in=["planned", "skipped"]) | Q(claim__isnull=False, claimed_at__isnull=False),
                name="campaigns_message_claimed_by",
            ),
        ]
        indexes = [
            models.Index(
                fields=["run", "not_before", "id"], name="campaigns_message_planned", condition=Q(state="planned")
            ),
            models.Index(fields=["claim"], name="campaigns_message_claimed", condition=Q(state="claimed")),
            models.Index(fields=["run", "state", "id"], name="campaigns_message_by_state"),
            models.Index(
                fields=["member", "claimed_at"],
                name="campaigns_message_recent",
                condition=Q(state__in=["claimed", "sent", "unknown"]),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.member_id} {self.state}"


class CampaignEvent(models.Model):
    """What happened to a member in a campaign: received, viewed, completed, opened, clicked …

    ``arm`` is a variant's key or ``control``. Imported history and our own tracking stand here alike.
    """

    campaign = models.ForeignKey(Campaign, on_delete=models.CASCADE, related_name="events")
    member = models.ForeignKey(Member, on_delete=models.CASCADE, related_name="campaign_events")
    arm = models.CharField(max_length=16)
    event = models.CharField(max_length=32)
    occurred_at = models.DateTimeField()
    key = models.CharField(max_length=128, unique=True)
    import_run = models.ForeignKey(ImportRun, null=True, on_delete=models.PROTECT, related_name="+")

    class Meta:
        indexes = [
            models.Index(fields=["campaign", "event", "arm"], name="campaigns_event_by_campaign"),
            models.Index(fields=["member", "occurred_at"], name="campaigns_event_by_member"),
        ]

    def __str__(self) -> str:
        return self.event
