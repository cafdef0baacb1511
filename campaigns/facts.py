"""What campaigns know of a member, for conditions: when they were last written to, and what they did then."""

from django.utils.translation import gettext_lazy as _

from members.conditions import facts
from members.conditions.facts import Choice, Custom, Fact, FactType, Rows, Scalar, Sql, Test, in_days

GROUP = _("Campaigns")

EVENTS: list[Choice] = [
    ("opened", _("opened")),
    ("clicked", _("clicked")),
    ("unsubscribed", _("unsubscribed")),
    ("received", _("received")),
    ("viewed", _("viewed")),
    ("completed", _("completed")),
]

LAST_CONTACT = """
    SELECT g.member_id, (%s::date - (max(g.claimed_at) AT TIME ZONE %s)::date) AS value
    FROM campaigns_message g WHERE g.state IN ('claimed', 'sent', 'unknown') GROUP BY g.member_id
"""


def _reacted(test: Test) -> Sql:
    return Sql(
        "EXISTS (SELECT 1 FROM campaigns_campaignevent e WHERE e.member_id = m.id AND e.event = ANY(%s)"
        " AND e.occurred_at >= %s AND e.occurred_at <= %s)",
        (list(test.value), test.since, test.now),
    )


FACTS = [
    Fact(
        key="campaigns.last_contact",
        group=GROUP,
        label=_("Last message"),
        type=FactType.DAYS,
        unit=_("days ago"),
        sql=Rows(LAST_CONTACT.strip(), params=lambda test: (test.today, facts.programme_zone())),
        phrases={
            "gt": _("were last written to more than %(value)s days ago"),
            "lt": _("were last written to less than %(value)s days ago"),
            "between": _("were last written to %(low)s to %(high)s days ago"),
        },
    ),
    Fact(
        key="campaigns.never_contacted",
        group=GROUP,
        label=_("Never written to"),
        type=FactType.BOOLEAN,
        sql=Scalar(
            "NOT EXISTS (SELECT 1 FROM campaigns_message g WHERE g.member_id = m.id"
            " AND g.state IN ('claimed', 'sent', 'unknown'))",
            nullable=False,
        ),
        phrases={"yes": _("were never written to"), "no": _("were written to at least once")},
    ),
    Fact(
        key="campaigns.event",
        group=GROUP,
        label=_("Reaction to a campaign"),
        type=FactType.CHOICE,
        choices=lambda: EVENTS,
        open_choices=True,
        parameter=in_days(90),
        sql=Custom(_reacted),
        phrases={
            "in": _("%(value)s a campaign message in the last %(days)s days"),
            "not_in": _("have not %(value)s a campaign message in the last %(days)s days"),
        },
    ),
]


def register() -> None:
    """Make them known to conditions."""
    for fact in FACTS:
        facts.register(fact)
