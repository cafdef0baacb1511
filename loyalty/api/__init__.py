"""The REST API of what the programme promises."""

from loyalty.api.adjustments import AdjustmentsView
from loyalty.api.interactions import InteractionBatchView, InteractionReleaseView, InteractionsView
from loyalty.api.points import BalanceView, EntriesView, LotsView
from loyalty.api.purchases import PurchaseBatchView, PurchasesView, PurchaseView, ReleaseView
from loyalty.api.quotes import QuotesView
from loyalty.api.refunds import RefundBatchView, RefundsView
from loyalty.api.rewards import CancelView, ConfirmView, RedemptionsView, RedemptionView, RewardsView
from loyalty.api.survey_responses import SurveyResponseReleaseView, SurveyResponsesView
from loyalty.api.tiers import StandingView, TiersView
from loyalty.api.transfers import TransfersView

__all__ = [
    "AdjustmentsView",
    "BalanceView",
    "CancelView",
    "ConfirmView",
    "EntriesView",
    "InteractionBatchView",
    "InteractionReleaseView",
    "InteractionsView",
    "LotsView",
    "PurchaseBatchView",
    "PurchaseView",
    "PurchasesView",
    "QuotesView",
    "RedemptionView",
    "RedemptionsView",
    "RefundBatchView",
    "RefundsView",
    "ReleaseView",
    "RewardsView",
    "StandingView",
    "SurveyResponseReleaseView",
    "SurveyResponsesView",
    "TiersView",
    "TransfersView",
]
