"""What members did besides buying, and what they answered."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from members.models.imports import ImportRun
from members.models.people import Member


class Interaction(models.Model):
    """Anything a member did that is no purchase: a check-in, a review, a visit."""

    member = models.ForeignKey(Member, on_delete=models.CASCADE, related_name="interactions")
    key = models.CharField(max_length=128, unique=True)
    kind = models.CharField(_("kind"), max_length=64)
    occurred_at = models.DateTimeField(_("time"))
    channel = models.CharField(_("channel"), max_length=32, blank=True)
    properties = models.JSONField(default=dict)
    import_run = models.ForeignKey(ImportRun, null=True, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        indexes = [
            models.Index(fields=["member", "occurred_at"], name="members_interaction_by_member"),
            models.Index(fields=["kind", "occurred_at"], name="members_interaction_by_kind"),
        ]

    def __str__(self) -> str:
        return self.kind


class SurveyResponse(models.Model):
    """One answer to "would you recommend us", 0 to 10, with its comment.

    ``member`` is empty for anonymous answers; ``score`` where none was given; ``answered_at`` where
    the day is unknown.
    """

    member = models.ForeignKey(Member, null=True, on_delete=models.SET_NULL, related_name="survey_responses")
    key = models.CharField(max_length=128, unique=True)
    external_id = models.CharField(max_length=128, blank=True)
    survey = models.CharField(_("survey"), max_length=64, default="nps")
    score = models.SmallIntegerField(_("score"), null=True)
    comment = models.TextField(_("comment"), blank=True)
    answered_at = models.DateTimeField(_("time"), null=True)
    properties = models.JSONField(default=dict)
    import_run = models.ForeignKey(ImportRun, null=True, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(score__isnull=True) | Q(score__gte=0, score__lte=10), name="members_response_score_range"
            ),
        ]
        indexes = [
            models.Index(fields=["member", "answered_at"], name="members_response_by_member"),
            models.Index(fields=["answered_at"], name="members_response_by_time"),
        ]

    def __str__(self) -> str:
        return f"{self.survey} {self.score}"
