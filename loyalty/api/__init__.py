"""The REST API of what the programme promises."""

from loyalty.api.points import BalanceView, EntriesView, LotsView
from loyalty.api.purchases import PurchaseBatchView, PurchasesView, PurchaseView
from loyalty.api.tiers import StandingView, TiersView

__all__ = [
    "BalanceView",
    "EntriesView",
    "LotsView",
    "PurchaseBatchView",
    "PurchaseView",
    "PurchasesView",
    "StandingView",
    "TiersView",
]
