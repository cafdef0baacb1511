"""One file that was brought in, and what it changed."""

from typing import Any

from django.db import models
from django.utils.translation import gettext_lazy as _


class ImportRun(models.Model):
    """One file that was brought in, and everything that came of it.

    A row that an import made carries the run's id, so that the run can be undone as a whole.
    """

    class State(models.TextChoices):
        UPLOADED = "uploaded", _("uploaded")
        CHECKED = "checked", _("checked")
        RUNNING = "running", _("running")
        DONE = "done", _("done")
        FAILED = "failed", _("failed")
        UNDOING = "undoing", _("being undone")
        UNDONE = "undone", _("undone")

    kind = models.CharField(max_length=32)
    file_name = models.CharField(max_length=255)
    path = models.CharField(max_length=500)
    size = models.BigIntegerField(default=0)
    options = models.JSONField(default=dict)
    state = models.CharField(max_length=10, choices=State.choices, default=State.UPLOADED)
    rows_read = models.BigIntegerField(default=0)
    rows_added = models.BigIntegerField(default=0)
    rows_updated = models.BigIntegerField(default=0)
    rows_unchanged = models.BigIntegerField(default=0)
    rows_refused = models.BigIntegerField(default=0)
    report = models.JSONField(default=dict)
    error_path = models.CharField(max_length=500, blank=True)
    job = models.ForeignKey("staff.Job", null=True, on_delete=models.SET_NULL, related_name="+")
    created_by = models.ForeignKey("staff.User", null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True)
    undone_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [models.Index(fields=["-created_at"], name="members_import_newest")]

    def __str__(self) -> str:
        return self.file_name

    @property
    def kind_label(self) -> str:
        """The kind in words."""
        from members.importing import kinds

        return str(kinds.get(self.kind).label)


class ImportChange(models.Model):
    """What an import changed on a member who was there before: the fields as they were and as they became."""

    run = models.ForeignKey(ImportRun, on_delete=models.CASCADE, related_name="changes")
    member = models.ForeignKey("members.Member", on_delete=models.CASCADE, related_name="+")
    before: Any = models.JSONField()
    after: Any = models.JSONField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "member"], name="members_import_change_once")]

    def __str__(self) -> str:
        return f"{self.member_id} in {self.run_id}"
