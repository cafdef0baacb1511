"""The home page: what needs this person, how the programme stands, and where they mostly go, by role."""

from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from analytics import wording
from analytics.periods import read_query
from campaigns.models import Campaign
from config import needs
from staff.models import AuditEntry
from staff.navigation import Item, address
from staff.permissions import Permission, requires
from staff.requests import DeskRequest

FIGURES = ("active-members", "redemption-rate", "nps", "points-liability")
WAYS = (
    Item(_("Find a member"), "search", "members:find", Permission.MEMBERS_VIEW),
    Item(_("New campaign"), "send", "campaigns:new", Permission.CAMPAIGNS_EDIT),
    Item(_("Import a file"), "upload", "members:imports", Permission.MEMBERS_IMPORT),
    Item(_("Earning rules"), "circle-plus", "loyalty:rules", Permission.PROGRAMME_VIEW),
    Item(_("Rewards"), "gift", "loyalty:rewards", Permission.PROGRAMME_VIEW),
    Item(_("Overview"), "layout-dashboard", "analytics:overview", Permission.ANALYTICS_VIEW),
    Item(_("A/B results"), "flask-conical", "analytics:ab", Permission.ANALYTICS_VIEW),
    Item(_("Audit"), "history", "staff:audit", Permission.AUDIT_VIEW),
    Item(_("Invite somebody"), "user-plus", "staff:invite", Permission.PEOPLE_EDIT),
)
COMINGS_AND_GOINGS = ["sign-in", "sign-out"]
UNDER_WAY = [Campaign.State.RUNNING, Campaign.State.PAUSED, Campaign.State.SCHEDULED]


@requires(Permission.DESK_USE)
@require_safe
def home(request: DeskRequest) -> HttpResponse:
    """The page; what takes a moment to count comes after it."""
    user = request.user
    ways = [(way, address(way.url_name)) for way in WAYS if user.may(way.permission)]
    campaigns = Campaign.objects.filter(state__in=UNDER_WAY).order_by("scheduled_at", "pk")[:6]
    context = {
        "now": timezone.localtime(),
        "ways": [(way, url) for way, url in ways if url],
        "sees_figures": user.may(Permission.ANALYTICS_VIEW),
        "sees_campaigns": user.may(Permission.CAMPAIGNS_VIEW),
        "campaigns": [(campaign, address("campaigns:campaign", campaign.pk)) for campaign in campaigns]
        if user.may(Permission.CAMPAIGNS_VIEW)
        else [],
        "acts": AuditEntry.objects.filter(actor=user).exclude(action__in=COMINGS_AND_GOINGS).order_by("-pk")[:6],
    }
    return render(request, "config/home.html", context)


@requires(Permission.DESK_USE)
@require_safe
def home_needs(request: DeskRequest) -> HttpResponse:
    """What needs this person, worst first. A part of the home page that looks again by itself."""
    return render(request, "config/_needs.html", {"needs": needs.of(request.user, now=timezone.now())})


@requires(Permission.ANALYTICS_VIEW)
@require_safe
def home_figures(request: DeskRequest) -> HttpResponse:
    """Four figures over the last twelve months, each leading to its page."""
    query = read_query({})
    pages = {"nps": "analytics:nps", "redemption-rate": "analytics:redemption"}
    cards = [
        {"card": wording.card(key, query), "url": address(pages.get(key, "analytics:overview"))} for key in FIGURES
    ]
    return render(request, "config/_figures.html", {"cards": cards})
