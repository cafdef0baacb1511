"""Taking in what members buy, return and do: one at a time or by the file, by the same engine."""

from loyalty.intake.answers import RecordedAnswer, record_answer
from loyalty.intake.batch import record_purchases
from loyalty.intake.interaction_batch import record_interactions
from loyalty.intake.interactions import InteractionDiffers, RecordedInteraction, record_interaction
from loyalty.intake.lines import LineInput, WrongLines
from loyalty.intake.recording import (
    LiesInTheFuture,
    PurchaseDiffers,
    RateMissing,
    Recorded,
    record_purchase,
    record_within,
)
from loyalty.intake.refund_batch import record_refunds
from loyalty.intake.refund_requests import RefundDiffers
from loyalty.intake.refunds import RecordedRefund, preview_refund, record_refund
from loyalty.intake.releasing import Released, held_lots, release_awards, release_points
from loyalty.intake.returning import RefundLineInput, RefundRefused

__all__ = [
    "InteractionDiffers",
    "LiesInTheFuture",
    "LineInput",
    "PurchaseDiffers",
    "RateMissing",
    "Recorded",
    "RecordedAnswer",
    "RecordedInteraction",
    "RecordedRefund",
    "RefundDiffers",
    "RefundLineInput",
    "RefundRefused",
    "Released",
    "WrongLines",
    "held_lots",
    "preview_refund",
    "record_answer",
    "record_interaction",
    "record_interactions",
    "record_purchase",
    "record_purchases",
    "record_refund",
    "record_refunds",
    "record_within",
    "release_awards",
    "release_points",
]
