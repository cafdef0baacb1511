"""Experiments: arms, shares, and who took part."""

from typing import Any

from django.db import models


class Experiment(models.Model):
    """Arms and their shares. Which arm a member is in is a hash: see ``members/experiments.py``.

    ``arms`` is a list of ``{"key": "A", "share": 40}`` whose shares add up to 100; the key
    ``control`` is the holdout.
    """

    key = models.CharField(max_length=64, unique=True)
    name = models.CharField(max_length=200)
    arms: Any = models.JSONField()
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.name


class Exposure(models.Model):
    """That a member took part in an experiment, in which arm, and since when."""

    experiment = models.ForeignKey(Experiment, on_delete=models.CASCADE, related_name="exposures")
    member = models.ForeignKey("members.Member", on_delete=models.CASCADE, related_name="+")
    arm = models.CharField(max_length=16)
    exposed_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["experiment", "member"], name="members_exposure_once")]
        indexes = [models.Index(fields=["member"], name="members_exposure_by_member")]

    def __str__(self) -> str:
        return self.arm
