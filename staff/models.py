"""Who operates the desk, what they did, and the work that runs for them in the background."""

from datetime import datetime, timedelta
from typing import Any, ClassVar

import pghistory
import pgtrigger
from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.hashers import UNUSABLE_PASSWORD_PREFIX
from django.contrib.postgres.indexes import GinIndex, OpClass
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Lower, Upper
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from staff.permissions import ROLE_PERMISSIONS, Permission, Role


class UserManager(BaseUserManager["User"]):
    """Makes users; e-mail addresses are kept in lower case."""

    def create_user(self, email: str, password: str | None = None, **fields: Any) -> "User":
        """Create one user. Without a password they cannot sign in until one is set."""
        user = self.model(email=email.strip().lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def have_come(self) -> models.QuerySet["User"]:
        """Those who ever signed in, or have set a password to."""
        return self.exclude(last_login=None, password__startswith=UNUSABLE_PASSWORD_PREFIX)

    def get_by_natural_key(self, username: str | None) -> "User":
        """Find a user by e-mail address, whatever its case."""
        return self.get(email=(username or "").strip().lower())


@pghistory.track(fields=["email", "name", "role", "is_active"], model_name="UserEvent", append_only=True)
class User(AbstractBaseUser):
    """A person who works at the desk."""

    class Theme(models.TextChoices):
        SYSTEM = "system", _("As the device")
        LIGHT = "light", _("Light")
        DARK = "dark", _("Dark")

    email = models.EmailField(_("e-mail"), unique=True)
    name = models.CharField(pgettext_lazy("of a person", "name"), max_length=120)
    role = models.CharField(_("role"), max_length=32, choices=Role.choices)
    is_active = models.BooleanField(_("may sign in"), default=True)
    language = models.CharField(max_length=10, default="en")
    theme = models.CharField(max_length=8, choices=Theme.choices, default=Theme.SYSTEM)
    created_at = models.DateTimeField(auto_now_add=True)

    objects: ClassVar[UserManager] = UserManager()

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = ["name", "role"]

    class Meta:
        verbose_name = _("person")
        verbose_name_plural = _("people")
        constraints = [
            models.CheckConstraint(condition=Q(email=Lower("email")), name="staff_user_email_lower"),
            models.CheckConstraint(condition=Q(role__in=Role.values), name="staff_user_role_known"),
        ]

    def __str__(self) -> str:
        return self.name or self.email

    def may(self, permission: Permission | str) -> bool:
        """Whether this person's role allows it."""
        return self.is_active and permission in ROLE_PERMISSIONS[self.role]

    @property
    def has_come(self) -> bool:
        """Whether they ever signed in, or have set a password to; until then they are only invited."""
        return self.last_login is not None or self.has_usable_password()

    @property
    def initials(self) -> str:
        """Up to two letters for the round badge in the top bar."""
        return "".join(part[0] for part in self.name.split()[:2]).upper() or self.email[0].upper()


class ApiKey(models.Model):
    """A machine's key to the REST API. Only its hash is kept."""

    name = models.CharField(max_length=120)
    prefix = models.CharField(max_length=12, unique=True)
    key_hash = models.CharField(max_length=64)
    scopes = models.JSONField(default=list)
    created_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL)
    created_at = models.DateTimeField(auto_now_add=True)
    last_used_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)
    requests_per_minute = models.PositiveIntegerField(null=True, help_text="empty: as many as API_RATE says")

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"


class IdempotentRequest(models.Model):
    """A POST that was done, and what was answered; written in the transaction of its effect.

    ``caller`` is ``key:<id>`` or ``user:<id>``; ``status`` is 0 while that transaction runs, which nobody
    else ever sees.
    """

    caller = models.CharField(max_length=24)
    key = models.CharField(max_length=100)
    input_hash = models.BinaryField(max_length=32)
    status = models.PositiveSmallIntegerField()
    body = models.TextField()
    headers: Any = models.JSONField(default=dict)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["caller", "key"], name="staff_idempotent_request_once")]
        indexes = [models.Index(fields=["created_at"], name="staff_idempotent_request_age")]

    def __str__(self) -> str:
        return f"{self.caller} {self.key}"


class Job(models.Model):
    """One piece of work in the background: how far it is, and what came of it.

    ``kind`` names the handler that a room registered with ``staff.jobs.handler``. Times are UTC.
    """

    class State(models.TextChoices):
        QUEUED = "queued", _("queued")
        RUNNING = "running", _("running")
        DONE = "done", _("done")
        FAILED = "failed", _("failed")
        CANCELLED = "cancelled", _("cancelled")

    kind = models.CharField(max_length=64)
    title = models.CharField(max_length=200)
    payload = models.JSONField(default=dict)
    state = models.CharField(max_length=10, choices=State.choices, default=State.QUEUED)
    step = models.CharField(max_length=120, blank=True)
    done = models.BigIntegerField(default=0)
    total = models.BigIntegerField(null=True)
    result = models.JSONField(default=dict)
    error = models.TextField(blank=True)
    cancel_requested = models.BooleanField(default=False)
    attempt = models.PositiveSmallIntegerField(default=0, help_text="how often a worker took it; fences off an old one")
    created_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL)
    created_at = models.DateTimeField(auto_now_add=True)
    queued_at = models.DateTimeField(default=timezone.now, help_text="when it was last handed to the workers")
    started_at = models.DateTimeField(null=True)
    heartbeat_at = models.DateTimeField(null=True)
    expected_at = models.DateTimeField(null=True, help_text="when it should be done, by its speed so far")
    finished_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=["queued", "running", "done", "failed", "cancelled"]),
                name="staff_job_state_known",
            ),
        ]
        indexes = [
            models.Index(fields=["-created_at"], name="staff_job_newest"),
            models.Index(
                fields=["state", "heartbeat_at"], name="staff_job_open", condition=Q(state__in=["queued", "running"])
            ),
        ]

    def __str__(self) -> str:
        return self.title

    def get_absolute_url(self) -> str:
        """The job's page."""
        return reverse("staff:job", args=[self.pk])

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.state in {self.State.DONE, self.State.FAILED, self.State.CANCELLED}

    @property
    def percent(self) -> int | None:
        """How much is done, 0 to 100; None while the total is unknown."""
        return min(100, 100 * self.done // self.total) if self.total else None

    @property
    def time_left(self) -> timedelta | None:
        """How long it should still take; None while that cannot be told."""
        if self.state != self.State.RUNNING or self.expected_at is None:
            return None
        return max(self.expected_at - timezone.now(), timedelta(0))

    @property
    def duration(self) -> timedelta | None:
        """How long it ran, or has been running."""
        if self.started_at is None:
            return None
        end: datetime = self.finished_at or timezone.now()
        return end - self.started_at


class AuditEntry(models.Model):
    """One act of one person, key or job. Append-only: a trigger refuses change and removal."""

    at = models.DateTimeField(auto_now_add=True)
    actor = models.ForeignKey(User, null=True, on_delete=models.PROTECT)
    actor_label = models.CharField(max_length=200)
    action = models.CharField(max_length=64)
    subject_type = models.CharField(max_length=64, blank=True)
    subject_id = models.CharField(max_length=64, blank=True)
    subject_label = models.CharField(max_length=200, blank=True)
    detail = models.JSONField(default=dict)
    address = models.GenericIPAddressField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["-at"], name="staff_audit_newest"),
            models.Index(fields=["subject_type", "subject_id", "-at"], name="staff_audit_subject"),
            models.Index(fields=["actor", "-id"], name="staff_audit_actor"),
            models.Index(fields=["action", "-id"], name="staff_audit_action"),
            # UPPER, because that is what Django's icontains compiles to.
            GinIndex(OpClass(Upper("actor_label"), name="gin_trgm_ops"), name="staff_audit_who"),
            GinIndex(OpClass(Upper("subject_label"), name="gin_trgm_ops"), name="staff_audit_what"),
        ]
        triggers = [
            pgtrigger.Trigger(
                name="append_only",
                level=pgtrigger.Statement,
                when=pgtrigger.Before,
                operation=pgtrigger.Update | pgtrigger.Delete | pgtrigger.Truncate,
                func="RAISE EXCEPTION 'the audit is append-only: % refused', TG_OP;",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.actor_label} {self.action} {self.subject_label}"


class Approval(models.Model):
    """An act that one person asked for and another decides (``staff.approvals``).

    ``kind`` names what a room registered; ``about`` is what it concerns ("member:88213"), for finding what waits
    there; ``key`` makes a repeated request the same one. ``seen`` holds the names and figures that the second
    person had before them when they decided. A trigger refuses any change but one decision.
    """

    class State(models.TextChoices):
        REQUESTED = "requested", pgettext_lazy("of an approval", "waiting")
        APPROVED = "approved", pgettext_lazy("of an approval", "approved")
        REFUSED = "refused", pgettext_lazy("of an approval", "refused")
        WITHDRAWN = "withdrawn", pgettext_lazy("of an approval", "withdrawn")

    kind = models.CharField(max_length=64)
    subject = models.CharField(max_length=200)
    payload: Any = models.JSONField(default=dict)
    about = models.CharField(max_length=64, blank=True)
    key = models.CharField(max_length=160, null=True, unique=True)
    url = models.CharField(max_length=300, blank=True)
    comment = models.CharField(_("comment"), max_length=500, blank=True)
    state = models.CharField(max_length=10, choices=State.choices, default=State.REQUESTED)
    requested_by = models.ForeignKey(User, null=True, on_delete=models.PROTECT, related_name="+")
    requested_label = models.CharField(max_length=200)
    requested_at = models.DateTimeField(auto_now_add=True)
    decided_by = models.ForeignKey(User, null=True, on_delete=models.PROTECT, related_name="+")
    decided_at = models.DateTimeField(null=True)
    reason = models.CharField(_("reason"), max_length=500, blank=True)
    seen: Any = models.JSONField(default=list)

    class Meta:
        verbose_name = _("approval")
        constraints = [
            models.CheckConstraint(
                condition=Q(state="requested", decided_by__isnull=True, decided_at__isnull=True)
                | Q(state__in=["approved", "refused", "withdrawn"], decided_by__isnull=False, decided_at__isnull=False),
                name="staff_approval_decided_by_somebody",
            ),
            models.CheckConstraint(
                condition=~Q(state__in=["approved", "refused"]) | ~Q(decided_by=F("requested_by")),
                name="staff_approval_second_person",
            ),
            models.CheckConstraint(
                condition=~Q(state="withdrawn") | Q(decided_by=F("requested_by")),
                name="staff_approval_withdrawn_by_its_author",
            ),
        ]
        indexes = [
            models.Index(fields=["kind", "-id"], name="staff_approval_waiting", condition=Q(state="requested")),
            models.Index(fields=["about", "-id"], name="staff_approval_about", condition=~Q(about="")),
            models.Index(fields=["requested_by", "-id"], name="staff_approval_by_author"),
            GinIndex(OpClass(Upper("subject"), name="gin_trgm_ops"), name="staff_approval_subject"),
        ]
        triggers = [
            pgtrigger.Trigger(
                name="kept",
                level=pgtrigger.Statement,
                when=pgtrigger.Before,
                operation=pgtrigger.Delete | pgtrigger.Truncate,
                func="RAISE EXCEPTION 'approvals are kept: % refused', TG_OP;",
            ),
            pgtrigger.Trigger(
                name="decided_once",
                level=pgtrigger.Row,
                when=pgtrigger.Before,
                operation=pgtrigger.Update,
                func="""
                    IF OLD.state <> 'requested' OR NEW.state = 'requested'
                       OR (NEW.kind, NEW.subject, NEW.payload, NEW.about, NEW.key, NEW.url, NEW.comment,
                           NEW.requested_by_id, NEW.requested_label, NEW.requested_at)
                          IS DISTINCT FROM
                          (OLD.kind, OLD.subject, OLD.payload, OLD.about, OLD.key, OLD.url, OLD.comment,
                           OLD.requested_by_id, OLD.requested_label, OLD.requested_at)
                    THEN RAISE EXCEPTION 'approval % is decided once and changed by nothing else', OLD.id;
                    END IF;
                    RETURN NEW;
                """,
            ),
        ]

    def __str__(self) -> str:
        return self.subject

    def get_absolute_url(self) -> str:
        """The page where it is decided."""
        return reverse("staff:approval", args=[self.pk])
