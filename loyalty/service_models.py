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


class AdjustDay(models.Model):
    """How many points one person of the desk, or one key, gave and took alone on one day of the programme."""

    agent = models.CharField(max_length=64)
    day = models.DateField()
    points = models.BigIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["agent", "day"], name="loyalty_adjust_day_once"),
            models.CheckConstraint(condition=Q(points__gte=0), name="loyalty_adjust_day_not_negative"),
        ]

    def __str__(self) -> str:
        return f"{self.agent} {self.day}: {self.points}"
