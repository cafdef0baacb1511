"""Points by hand: the reasons for them, and how many somebody moved in a day."""

import pghistory
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _


@pghistory.track(append_only=True)
class AdjustReason(models.Model):
    """Why service gives or takes points. ``qualifies``: points given for it count for tiers too."""

    key = models.SlugField(max_length=32, unique=True)
    name = models.CharField(_("name"), max_length=60)
    name_zh = models.CharField(_("name in Chinese"), max_length=60, blank=True)
    active = models.BooleanField(_("in use"), default=True)
    qualifies = models.BooleanField(_("counts for tiers"), default=False)

    class Meta:
        ordering = ["pk"]

    def __str__(self) -> str:
        return self.name


class DayUse(models.Model):
    """How many points were moved alone under one limit on one day of the programme.

    ``who`` is whom the limit counts: a person of the desk ("user:7", their API keys included), an API key that
    nobody owns ("key:12"), or the member who gives ("member:88213").
    """

    class Limit(models.TextChoices):
        ADJUST = "adjust", _("given and taken by one person")
        TRANSFER = "transfer", _("moved between members by one person")
        GIVEN = "given", _("moved away from one member")
        JOINED = "joined", _("brought into reach of others by one person")

    limit = models.CharField(max_length=8, choices=Limit.choices)
    who = models.CharField(max_length=64)
    day = models.DateField()
    points = models.BigIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["limit", "who", "day"], name="loyalty_day_use_once"),
            models.CheckConstraint(condition=Q(points__gte=0), name="loyalty_day_use_not_negative"),
            models.CheckConstraint(
                condition=Q(limit__in=["adjust", "transfer", "given", "joined"]), name="loyalty_day_use_limit_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.limit} {self.who} {self.day}: {self.points}"
