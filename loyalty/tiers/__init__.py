"""Tiers: where each member stands, how they got there, and what another scheme would do.

A member's way through the tiers follows from what counts (:mod:`counting`), from what was granted and from the
scheme alone: :mod:`walk` is that function. Intake lets it run for the members it touches, so that the purchase
that reaches a tier takes effect at once; a fall is dated to the moment at which it came, and found at the latest
by the nightly recalculation (docs/adr/0011).
"""

from loyalty.tiers.ladder import LADDER, Ladder, NoTiers, Rung, ladder, read_ladder
from loyalty.tiers.preview import Move, Preview
from loyalty.tiers.progress import Progress, progress
from loyalty.tiers.recalculation import recalculate
from loyalty.tiers.standing import STOOD, Look, Stood, evaluate, forget, look_again, rewind

__all__ = [
    "LADDER",
    "STOOD",
    "Ladder",
    "Look",
    "Move",
    "NoTiers",
    "Preview",
    "Progress",
    "Rung",
    "Stood",
    "evaluate",
    "forget",
    "ladder",
    "look_again",
    "progress",
    "read_ladder",
    "recalculate",
    "rewind",
]
