"""Who the programme is for, and what they did."""

from members.models.behaviour import Interaction, SurveyResponse
from members.models.experiments import Experiment, Exposure
from members.models.imports import ImportChange, ImportRun
from members.models.people import Consent, Household, Member, validate_time_zone
from members.models.purchases import Purchase, PurchaseLine, PurchaseQuerySet, Refund, RefundLine
from members.models.segments import Segment, SegmentBuild, SegmentMember

__all__ = [
    "Consent",
    "Experiment",
    "Exposure",
    "Household",
    "ImportChange",
    "ImportRun",
    "Interaction",
    "Member",
    "Purchase",
    "PurchaseLine",
    "PurchaseQuerySet",
    "Refund",
    "RefundLine",
    "Segment",
    "SegmentBuild",
    "SegmentMember",
    "SurveyResponse",
    "validate_time_zone",
]
