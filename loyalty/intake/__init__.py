"""Taking purchases and refunds in: one at a time or by the file, by the same arithmetic."""

from loyalty.intake.lines import LineInput, WrongLines
from loyalty.intake.recording import LiesInTheFuture, PurchaseDiffers, RateMissing, Recorded, record_purchase
from loyalty.intake.refunds import RecordedRefund, RefundDiffers, preview_refund, record_refund
from loyalty.intake.returning import RefundLineInput, RefundRefused

__all__ = [
    "LiesInTheFuture",
    "LineInput",
    "PurchaseDiffers",
    "RateMissing",
    "Recorded",
    "RecordedRefund",
    "RefundDiffers",
    "RefundLineInput",
    "RefundRefused",
    "WrongLines",
    "preview_refund",
    "record_purchase",
    "record_refund",
]
