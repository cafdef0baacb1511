"""Tiers: where each member stands, how they got there, and what new thresholds would do.

The tier of a moment is a pure function of purchases: the highest whose threshold is not above the
spend of the twelve months before it (in the programme's time zone). A purchase that reaches a tier
takes effect at once; a downgrade is dated when the spend left the window, and found at the latest by
the nightly recalculation.
"""

from loyalty.tiers.ladder import Ladder, NoTiers, Rung, ladder
from loyalty.tiers.preview import Move, preview_moves
from loyalty.tiers.progress import Progress, progress
from loyalty.tiers.recalculation import recalculate
from loyalty.tiers.standing import evaluate

__all__ = [
    "Ladder",
    "Move",
    "NoTiers",
    "Progress",
    "Rung",
    "evaluate",
    "ladder",
    "preview_moves",
    "progress",
    "recalculate",
]
