"""The dictionary of metrics. Each is declared once, here; page, API, CSV and dictionary read this."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy

from analytics.measures import experiments, nps, redemption, retention, standing, value
from analytics.periods import BadQuery, Query, Span, read_query
from analytics.readings import Figures


class Unit(StrEnum):
    """What a metric's values are."""

    MEMBERS = "members"
    PERCENT = "percent"
    SCORE = "score"
    MONEY = "money"


class Good(StrEnum):
    """Which way a metric should move."""

    UP = "up"
    DOWN = "down"
    NEITHER = ""


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One metric: what it means, what it is made of, how it is cut, where its members are listed.

    ``cuts`` are the values of ``by``, the first one is the default. ``opens`` says which parts
    (``numerator``, ``denominator``) open a list, and of what: ``members`` or ``answers``. ``url_name`` is the
    page that shows it. ``as_of`` says for when it stands, where that is not when facts were last collected.
    """

    key: str
    name: str | Promise
    definition: str | Promise
    unit: Unit
    numerator: str | Promise
    denominator: str | Promise = ""
    good: Good
    cuts: tuple[str, ...]
    opens: Mapping[str, str]
    url_name: str
    compute: Callable[[Query], Figures]
    span: Callable[[], Span | None] = standing.span
    filters: tuple[str, ...] = ()
    as_of: Callable[[], datetime | None] | None = None


METRICS: dict[str, Metric] = {
    metric.key: metric
    for metric in (
        Metric(
            key="active-members",
            name=gettext_lazy("Active members, 90 d"),
            definition=gettext_lazy("Members who bought or redeemed a reward in the 90 days up to the day shown."),
            unit=Unit.MEMBERS,
            numerator=gettext_lazy("members with a purchase or a redemption in the last 90 days"),
            good=Good.UP,
            cuts=("month",),
            opens={"numerator": "members"},
            url_name="analytics:overview",
            compute=standing.active_members,
        ),
        Metric(
            key="retention-12m",
            name=gettext_lazy("12-month retention"),
            definition=gettext_lazy(
                "Of the members who bought in the year before last (365 days), the share who also bought in the last "
                "365 days, up to the day shown."
            ),
            unit=Unit.PERCENT,
            numerator=gettext_lazy("members who bought in both years"),
            denominator=gettext_lazy("members who bought in the year before last"),
            good=Good.UP,
            cuts=("month",),
            opens={"numerator": "members", "denominator": "members"},
            url_name="analytics:retention",
            compute=standing.year_retention,
        ),
        Metric(
            key="retention",
            name=gettext_lazy("Retention by cohort"),
            definition=gettext_lazy(
                "Members of a cohort who bought in a month ÷ all members of the cohort. A cohort is everyone whose "
                "first purchase (or enrolment) was in one month; the month of the cohort itself is month 0. By age, "
                "cohorts are added up and the running month is left out."
            ),
            unit=Unit.PERCENT,
            numerator=gettext_lazy("members of the cohort who bought in the month"),
            denominator=gettext_lazy("members of the cohort"),
            good=Good.UP,
            cuts=("cohort", "age"),
            opens={"numerator": "members", "denominator": "members"},
            url_name="analytics:retention",
            compute=retention.retention,
            span=retention.span,
            filters=("kind",),
        ),
        Metric(
            key="redemption-rate",
            name=gettext_lazy("Redemption rate"),
            definition=gettext_lazy(
                "Points redeemed ÷ points issued in the same months. Issued are points earned or granted; points that "
                "were taken back (an undone import, a cancelled redemption) count on neither side. Tiers are those at "
                "the end of each month."
            ),
            unit=Unit.PERCENT,
            numerator=gettext_lazy("points redeemed"),
            denominator=gettext_lazy("points issued"),
            good=Good.UP,
            cuts=("month", "tier", "reward"),
            opens={"numerator": "members", "denominator": "members"},
            url_name="analytics:redemption",
            compute=redemption.redemption_rate,
            filters=("tier",),
        ),
        Metric(
            key="redeeming-members",
            name=gettext_lazy("Redeeming members"),
            definition=gettext_lazy(
                "Members who redeemed in a month ÷ members who bought or redeemed in it. Over several months both are "
                "added up, so that a member counts once for each month."
            ),
            unit=Unit.PERCENT,
            numerator=gettext_lazy("members who redeemed, once for each month"),
            denominator=gettext_lazy("members who bought or redeemed, once for each month"),
            good=Good.UP,
            cuts=("month", "tier", "reward"),
            opens={"numerator": "members", "denominator": "members"},
            url_name="analytics:redemption",
            compute=redemption.redeeming_members,
            filters=("tier",),
        ),
        Metric(
            key="nps",
            name=gettext_lazy("NPS"),
            definition=gettext_lazy(
                # The % is itself, xgettext:no-python-format
                "Net promoter score: answers of 9 or 10 (promoters) minus answers of 0 to 6 (detractors), in per cent "
                "of all answers with a score. The 95% interval is that of a difference of two shares of one sample "
                "(Agresti and Min 2005). Answers without a day count only when all time is asked for."
            ),
            unit=Unit.SCORE,
            numerator=gettext_lazy("promoters minus detractors"),
            denominator=gettext_lazy("answers with a score"),
            good=Good.UP,
            cuts=("month", "score", "survey"),
            opens={"denominator": "answers"},
            url_name="analytics:nps",
            compute=nps.net_promoter,
            span=nps.span,
            filters=("survey",),
        ),
        Metric(
            key="points-liability",
            name=gettext_lazy("Points liability"),
            definition=gettext_lazy(
                "Points outstanding at the end of the month (what is left in all lots; points that members owe are "
                "not taken off) × what one point is reckoned to cost in the programme's settings."
            ),
            unit=Unit.MONEY,
            numerator=gettext_lazy("outstanding points"),
            good=Good.DOWN,
            cuts=("month",),
            opens={"numerator": "members"},
            url_name="analytics:redemption",
            compute=standing.points_liability,
        ),
        Metric(
            key="members-by-tier",
            name=gettext_lazy("Members by tier"),
            definition=gettext_lazy("Members in each tier on the day shown, and a year (365 days) before it."),
            unit=Unit.MEMBERS,
            numerator=gettext_lazy("members in the tier"),
            good=Good.NEITHER,
            cuts=("tier",),
            opens={"numerator": "members"},
            url_name="analytics:overview",
            compute=standing.members_by_tier,
            filters=("tier",),
        ),
        Metric(
            key="lifetime-value",
            name=gettext_lazy("Lifetime value"),
            definition=gettext_lazy(
                "What a member who has ever bought will probably spend in the 12 months after the last valuation: "
                "purchases expected by the BG/NBD model × amount expected by the Gamma-Gamma model, net of refunds, in "
                "the programme's currency, not discounted. Bands are shares of these members, the most valuable first; "
                "tiers are those at the valuation."
            ),
            unit=Unit.MONEY,
            numerator=gettext_lazy("expected spend in the next 12 months"),
            denominator=gettext_lazy("members who have ever bought"),
            good=Good.UP,
            cuts=("band", "tier"),
            opens={"numerator": "members", "denominator": "members"},
            url_name="analytics:value",
            compute=value.lifetime_value,
            as_of=value.as_of,
            filters=("tier",),
        ),
        Metric(
            key="value-forecast",
            name=gettext_lazy("Bought against the forecast"),
            definition=gettext_lazy(
                # The % is itself, xgettext:no-python-format
                "Days on which members bought in the 13 weeks before the last valuation ÷ those that the BG/NBD model "
                "foretold from what was bought before these weeks. At 100% it foretold as many as there were; over it, "
                "too few. Of more than 100,000 members an even sample."
            ),
            unit=Unit.PERCENT,
            numerator=gettext_lazy("days with a purchase"),
            denominator=gettext_lazy("days foretold"),
            good=Good.NEITHER,
            cuts=("purchases",),
            opens={},
            url_name="analytics:value",
            compute=value.forecast,
            as_of=value.as_of,
        ),
        Metric(
            key="campaign-conversion",
            name=pgettext_lazy("metric", "Bought after a campaign"),
            definition=gettext_lazy(
                # The % is itself, xgettext:no-python-format
                "Members of an arm who bought within the campaign's days after they were exposed ÷ all members of the "
                "arm. Lift is the difference to the holdout in percentage points: p by the pooled z test, 95% interval "
                "by Newcombe's hybrid score method (1998, method 10)."
            ),
            unit=Unit.PERCENT,
            numerator=gettext_lazy("members of the arm who bought in time"),
            denominator=gettext_lazy("members of the arm"),
            good=Good.UP,
            cuts=("arm",),
            opens={"numerator": "members", "denominator": "members"},
            url_name="analytics:ab",
            compute=experiments.campaign_conversion,
            filters=("campaign",),
        ),
        Metric(
            key="campaign-revenue",
            name=gettext_lazy("Revenue per member after a campaign"),
            definition=gettext_lazy(
                # The % is itself, xgettext:no-python-format
                "What members of an arm bought for within the campaign's days after they were exposed ÷ all members of "
                "the arm, in the programme's currency. Lift against the holdout by Welch's t, with its 95% interval."
            ),
            unit=Unit.MONEY,
            numerator=gettext_lazy("revenue of the arm in time"),
            denominator=gettext_lazy("members of the arm"),
            good=Good.UP,
            cuts=("arm",),
            opens={"numerator": "members", "denominator": "members"},
            url_name="analytics:ab",
            compute=experiments.campaign_revenue,
            filters=("campaign",),
        ),
    )
}


def ask(metric: Metric, parameters: Mapping[str, str]) -> tuple[Query, Figures]:
    """Read the parameters for a metric and compute it. Raises :class:`~analytics.periods.BadQuery`.

    Page, CSV and API all come through here.
    """
    query = read_query(parameters, by=metric.cuts[0], span=metric.span())
    if query.by not in metric.cuts:
        known = ", ".join(metric.cuts)
        raise BadQuery("by", _("“by” is one of: %(known)s.") % {"known": known})
    if query.by == "reward" and query.tier:
        raise BadQuery("tier", _("Rewards are not counted by tier. Leave “tier” out."))
    return query, metric.compute(query)
