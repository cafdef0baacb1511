"""The REST API: what each room offers, under one address."""

from typing import Any

from django.urls import path, re_path
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularAPIView
from rest_framework import exceptions
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from analytics.api import MetricsView, MetricView
from loyalty import api as loyalty
from members.api import MembersView, MemberView, SegmentsView
from staff.api import ApiView
from staff.permissions import public

app_name = "api"


@extend_schema(exclude=True)
class RootView(ApiView):
    """Where the API begins; open to everybody."""

    permission_classes = []

    def get(self, request: Request) -> Response:
        """Name the version and the address of the description."""
        return Response({"name": "Steadfast", "version": "1", "schema": reverse("api:schema", request=request)})


@extend_schema(exclude=True)
class UnknownView(ApiView):
    """An address that does not exist is answered as a problem document too."""

    permission_classes = []
    authentication_classes = []

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Refuse every method alike."""
        raise exceptions.NotFound


urlpatterns = [
    path("", RootView.as_view(), name="root"),
    # Addresses end with a slash; without it they are answered alike, since a redirect would lose what calls them.
    re_path(r"^schema/?$", public(SpectacularAPIView.as_view(permission_classes=[])), name="schema"),
    re_path(r"^members/?$", MembersView.as_view(), name="members"),
    re_path(r"^segments/?$", SegmentsView.as_view(), name="segments"),
    re_path(r"^survey-responses/?$", loyalty.SurveyResponsesView.as_view(), name="survey-responses"),
    re_path(
        r"^survey-responses/(?P<key>.+?)/release/?$",
        loyalty.SurveyResponseReleaseView.as_view(),
        name="survey-response-release",
    ),
    re_path(r"^purchases/?$", loyalty.PurchasesView.as_view(), name="purchases"),
    re_path(r"^purchases/batch/?$", loyalty.PurchaseBatchView.as_view(), name="purchase-batch"),
    re_path(r"^purchases/(?P<key>.+?)/release/?$", loyalty.ReleaseView.as_view(), name="purchase-release"),
    re_path(r"^purchases/(?P<key>.+?)/?$", loyalty.PurchaseView.as_view(), name="purchase"),
    re_path(r"^tiers/?$", loyalty.TiersView.as_view(), name="tiers"),
    re_path(r"^members/(?P<number>[^/]+)/points/?$", loyalty.BalanceView.as_view(), name="points"),
    re_path(r"^members/(?P<number>[^/]+)/points/lots/?$", loyalty.LotsView.as_view(), name="lots"),
    re_path(r"^members/(?P<number>[^/]+)/points/entries/?$", loyalty.EntriesView.as_view(), name="entries"),
    re_path(r"^members/(?P<number>[^/]+)/points/adjustments/?$", loyalty.AdjustmentsView.as_view(), name="adjustments"),
    re_path(r"^members/(?P<number>[^/]+)/points/transfers/?$", loyalty.TransfersView.as_view(), name="transfers"),
    re_path(r"^refunds/?$", loyalty.RefundsView.as_view(), name="refunds"),
    re_path(r"^refunds/batch/?$", loyalty.RefundBatchView.as_view(), name="refund-batch"),
    re_path(r"^interactions/?$", loyalty.InteractionsView.as_view(), name="interactions"),
    re_path(r"^interactions/batch/?$", loyalty.InteractionBatchView.as_view(), name="interaction-batch"),
    re_path(
        r"^interactions/(?P<key>.+?)/release/?$", loyalty.InteractionReleaseView.as_view(), name="interaction-release"
    ),
    re_path(r"^quotes/?$", loyalty.QuotesView.as_view(), name="quotes"),
    re_path(r"^rewards/?$", loyalty.RewardsView.as_view(), name="rewards"),
    re_path(r"^redemptions/?$", loyalty.RedemptionsView.as_view(), name="redemptions"),
    re_path(r"^redemptions/(?P<pk>[^/]+)/?$", loyalty.RedemptionView.as_view(), name="redemption"),
    re_path(r"^redemptions/(?P<pk>[^/]+)/confirm/?$", loyalty.ConfirmView.as_view(), name="redemption-confirm"),
    re_path(r"^redemptions/(?P<pk>[^/]+)/cancel/?$", loyalty.CancelView.as_view(), name="redemption-cancel"),
    re_path(r"^members/(?P<number>[^/]+)/tier/?$", loyalty.StandingView.as_view(), name="tier"),
    re_path(r"^members/(?P<number>[^/]+)/?$", MemberView.as_view(), name="member"),
    re_path(r"^kpis/?$", MetricsView.as_view(), name="kpis"),
    re_path(r"^kpis/(?P<key>[^/]+)/?$", MetricView.as_view(), name="kpi"),
    # Last: whatever is left.
    re_path(r"^(?P<rest>[\s\S]*)$", UnknownView.as_view(), name="unknown"),
]
