"""Taking purchases in: one at a time or by the file; both earn by the same arithmetic."""

from loyalty.intake.lines import LineInput, WrongLines
from loyalty.intake.recording import LiesInTheFuture, PurchaseDiffers, RateMissing, Recorded, record_purchase

__all__ = [
    "LiesInTheFuture",
    "LineInput",
    "PurchaseDiffers",
    "RateMissing",
    "Recorded",
    "WrongLines",
    "record_purchase",
]
