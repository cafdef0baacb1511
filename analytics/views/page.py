"""What every KPI page has: what was asked for, how fresh the figures are, and errors in the address."""

from collections.abc import Callable
from functools import wraps
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _

from analytics.freshness import freshness
from analytics.measures import nps, retention, standing
from analytics.models import CohortKind
from analytics.periods import BadQuery, Query, Span, month_text, read_query
from analytics.tables import tier_names
from staff.axes import month_words
from staff.models import User
from staff.permissions import Permission

PERIODS = (3, 6, 12, 24)
SPANS: dict[str, Callable[[], Span | None]] = {
    "standing": standing.span,
    "retention": retention.span,
    "nps": nps.span,
}

View = Callable[..., HttpResponseBase]


def explains_bad_queries(view: View) -> View:
    """Answer 400 with a page that says what is wrong with the address."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            return view(request, *args, **kwargs)
        except BadQuery as trouble:
            return render(request, "analytics/bad_query.html", {"trouble": trouble}, status=400)

    return guarded


def asked(request: HttpRequest, span: str = "standing") -> Query:
    """What the address asks for."""
    return read_query(request.GET.dict(), span=SPANS[span]())


def context(request: HttpRequest, query: Query, **more: Any) -> dict[str, Any]:
    """What the top of every page needs: filters, freshness, and the address's parameters for CSV links."""
    fresh = freshness()
    return {
        "query": query,
        "fresh": fresh,
        "periods": _periods(request, query),
        "period": _period(request, query),
        "period_words": period_words(query),
        "tiers": [("", _("All tiers")), *((key, name) for key, name in tier_names().items() if key)],
        "kinds": list(CohortKind.choices),
        **more,
    }


def may_see_members(request: HttpRequest) -> bool:
    """Whether lists show names and lead to members' pages; else they show numbers alone."""
    return isinstance(request.user, User) and request.user.may(Permission.MEMBERS_VIEW)


def csv_url(key: str, query: Query, by: str = "") -> str:
    """The file of a metric with what the page asks for."""
    parts = {
        **({"period": "all"} if query.everything else {"from": month_text(query.first), "to": month_text(query.last)}),
        "by": by,
        "tier": query.tier if by != "reward" else "",
        "kind": query.kind if key == "retention" else "",
        "survey": query.survey,
        "campaign": query.campaign or "",
    }
    chosen = urlencode({name: value for name, value in parts.items() if value})
    return f"{reverse('analytics:csv', args=[key])}?{chosen}"


def period_words(query: Query) -> str:
    """``Dec 2025 – Nov 2026``."""
    first, last = month_words(month_text(query.first)), month_words(month_text(query.last))
    return first if first == last else f"{first} – {last}"


def _period(request: HttpRequest, query: Query) -> str:
    """The choice in force where the address names none."""
    if query.everything:
        return "all"
    if not request.GET.get("period") and (request.GET.get("from") or request.GET.get("to")):
        return ""
    return "12"


def _periods(request: HttpRequest, query: Query) -> list[tuple[str, str]]:
    choices = [(str(months), _("Last %(months)s months") % {"months": months}) for months in PERIODS]
    choices.append(("all", _("All time")))
    asked_for = request.GET.get("period", "")
    if _period(request, query) == "" or (asked_for and asked_for not in dict(choices)):
        choices.insert(0, (asked_for, period_words(query)))
    return choices
