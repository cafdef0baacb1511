"""The lists that figures open, and files of everything."""

from collections.abc import Iterator
from operator import itemgetter
from typing import Any

from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _

from analytics import answers as answer_lists
from analytics import drilldown, tables
from analytics.drilldown import MemberList
from analytics.measures import nps
from analytics.metrics import METRICS, Metric, ask
from analytics.periods import read_query
from analytics.views.page import context, explains_bad_queries, may_see_members
from campaigns.models import Campaign
from loyalty.models import Reward
from members.models import Member, SurveyResponse
from staff.axes import month_words
from staff.exports import csv_response
from staff.figures import money, number
from staff.paging import SIZE, key_in, page_of
from staff.permissions import Permission, requires

CSV_CHUNK = 2000


def _metric(key: str) -> Metric:
    try:
        return METRICS[key]
    except KeyError:
        raise Http404(_("There is no metric “%(key)s”.") % {"key": key[:40]}) from None


@requires(Permission.ANALYTICS_VIEW)
@explains_bad_queries
def metric_csv(request: HttpRequest, key: str) -> StreamingHttpResponse:
    """The readings of a metric as a file: the same as on the page and from the API."""
    metric = _metric(key)
    _query, figures = ask(metric, request.GET.dict())
    head, rows = tables.csv_rows(metric, figures)
    return csv_response(metric.key, head, rows)


@requires(Permission.ANALYTICS_VIEW)
@explains_bad_queries
def members(request: HttpRequest) -> HttpResponse:
    """The members that a figure counts."""
    metric = _metric(request.GET.get("metric", ""))
    part = request.GET.get("part", "numerator")
    listed = drilldown.members(metric, part, request.GET.dict())
    size, total = listed.size()
    found = listed.page(key_in(request.GET.get("after", "")), SIZE + 1)
    page = page_of(found, request.GET, place=itemgetter(0), size=SIZE)
    everybody = request.GET.copy()
    everybody.pop("after", None)
    return render(
        request,
        "analytics/members.html",
        {
            "metric": metric,
            "what": metric.numerator if part == "numerator" else metric.denominator,
            "where": _where(request.GET.dict()),
            "size": size,
            "total": _total(listed, total),
            "amounts": _amount_words(listed),
            "rows": _member_rows(listed, page.rows),
            "page": page,
            "csv_url": f"{reverse('analytics:members_csv')}?{everybody.urlencode()}",
            "shows_names": may_see_members(request),
        },
    )


@requires(Permission.ANALYTICS_VIEW)
@explains_bad_queries
def members_csv(request: HttpRequest) -> StreamingHttpResponse:
    """The same members as a file; numbers only, as it leaves the desk."""
    metric = _metric(request.GET.get("metric", ""))
    listed = drilldown.members(metric, request.GET.get("part", "numerator"), request.GET.dict())
    return csv_response(f"{metric.key}-members", [_("member"), _amount_head(listed)], _member_lines(listed))


def _member_lines(listed: MemberList) -> Iterator[list[object]]:
    """All rows, read in chunks by member."""
    after = 0
    while rows := listed.page(after, CSV_CHUNK):
        numbers = dict(Member.objects.filter(pk__in=[pk for pk, _amount in rows]).values_list("pk", "number"))
        for pk, amount in rows:
            yield [numbers.get(pk, ""), amount if listed.amounts == "money" else int(amount)]
        after = rows[-1][0]


def _member_rows(listed: MemberList, rows: list[tuple[int, float]]) -> list[dict[str, Any]]:
    found = Member.objects.in_bulk([pk for pk, _amount in rows])
    return [
        {"member": found.get(pk), "amount": _amount(listed, amount) if listed.amounts else ""} for pk, amount in rows
    ]


def _amount(listed: MemberList, amount: float) -> str:
    return money(amount) if listed.amounts == "money" else number(amount)


def _total(listed: MemberList, total: float) -> str:
    """What the amounts add up to, with their unit."""
    if listed.amounts == "points":
        return _("%(points)s points") % {"points": number(total)}
    if listed.amounts == "months":
        return _("%(months)s member-months") % {"months": number(total)}
    return money(total) if listed.amounts else ""


def _amount_words(listed: MemberList) -> str:
    return {"points": _("Points"), "money": _("Revenue"), "months": _("Months")}.get(listed.amounts, "")


def _amount_head(listed: MemberList) -> str:
    return {"points": _("points"), "money": _("money"), "months": _("months")}.get(listed.amounts, _("counted"))


def _where(keys: dict[str, str]) -> str:
    """Which figure it is, in words: "Nov 2026 · Gold"."""
    parts: list[str] = []
    if keys.get("cohort"):
        parts.append(_("cohort of %(month)s") % {"month": month_words(keys["cohort"][:7])})
    if keys.get("month"):
        parts.append(month_words(keys["month"][:7]))
    elif keys.get("from") and keys.get("to"):
        parts.append(f"{month_words(keys['from'][:7])} – {month_words(keys['to'][:7])}")
    if keys.get("band"):
        parts.append(tables.names("band").get(keys["band"], keys["band"]))
    if keys.get("tier"):
        parts.append(tables.tier_names().get(keys["tier"], keys["tier"]))
    if reward := Reward.objects.filter(pk=int(keys.get("reward") or 0)).first():
        parts.append(reward.name)
    if campaign := Campaign.objects.filter(pk=int(keys.get("campaign") or 0)).first():
        parts.append(campaign.name)
    if keys.get("arm"):
        parts.append(_("arm %(arm)s") % {"arm": keys["arm"]})
    return " · ".join(parts)


@requires(Permission.ANALYTICS_VIEW)
@explains_bad_queries
def answers(request: HttpRequest) -> HttpResponse:
    """The answers that a score counts, searchable."""
    query = read_query(_as_months(request.GET.dict()), span=nps.span())
    listed = answer_lists.listed(request.GET.dict())
    pages = Paginator(listed, SIZE)
    surveys = nps.surveys()
    chosen = request.GET.copy()
    chosen.pop("page", None)
    return render(
        request,
        "analytics/answers.html",
        context(
            request,
            query,
            page=pages.get_page(request.GET.get("page")),
            groups=[
                ("", _("All scores")),
                ("promoters", _("Promoters, 9–10")),
                ("passives", _("Passives, 7–8")),
                ("detractors", _("Detractors, 0–6")),
            ],
            scores=[("", _("Any score")), *((str(score), str(score)) for score in range(10, -1, -1))],
            surveys=[("", _("All surveys")), *((name, name) for name in surveys)] if len(surveys) > 1 else [],
            month=request.GET.get("month", ""),
            csv_url=f"{reverse('analytics:answers_csv')}?{chosen.urlencode()}",
            shows_names=may_see_members(request),
        ),
    )


def _as_months(keys: dict[str, str]) -> dict[str, str]:
    month = keys.get("month", "")
    if month == nps.UNKNOWN:
        return {**keys, "period": "all"}
    return {**keys, "from": month, "to": month, "period": ""} if month else keys


@requires(Permission.ANALYTICS_VIEW)
@explains_bad_queries
def answers_csv(request: HttpRequest) -> StreamingHttpResponse:
    """The same answers as a file."""
    listed = answer_lists.listed(request.GET.dict())
    head = [_("time"), _("survey"), _("score"), _("comment"), _("member")]
    return csv_response("answers", head, (_answer_line(answer) for answer in listed.iterator(CSV_CHUNK)))


def _answer_line(answer: SurveyResponse) -> list[object]:
    return [
        answer.answered_at,
        answer.survey,
        answer.score,
        answer.comment,
        answer.member.number if answer.member else None,
    ]
