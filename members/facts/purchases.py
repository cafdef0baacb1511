"""What a member bought: when last, how often, for how much, and the stage that follows from it."""

from decimal import Decimal

from django.utils.translation import gettext_lazy as _

from members.conditions.facts import Choice, Custom, Fact, FactType, Rows, Scalar, Sql, Test, in_days

GROUP = _("Purchases")

# By purchases: none; the first at most 90 days ago; the last at most 90, at most 365, or more days ago.
LIFECYCLE: list[Choice] = [
    ("prospect", _("prospect (never bought)")),
    ("new", _("new (first bought within 90 days)")),
    ("active", _("active (bought within 90 days)")),
    ("lapsing", _("lapsing (bought within a year)")),
    ("dormant", _("dormant (bought longer ago)")),
]
RECENT_DAYS, YEAR_DAYS = 90, 365
_SINCE, _BEFORE = " AND p.purchased_at >= %s", " AND p.purchased_at < %s"


def _last_purchase(test: Test) -> Sql:
    """By two looks at the index by member, where a maximum per member would read all purchases.

    "More than 60 days ago" means on a day before the one 60 days ago, "less than" on a day after it.
    """
    if test.op == "between":
        nearest, farthest = test.value
    else:
        nearest = test.value + 1 if test.op == "gt" else Decimal(0)
        farthest = None if test.op == "gt" else test.value - 1
    until = test.now if nearest == 0 else test.days_ago(int(nearest) - 1)
    seen = "EXISTS (SELECT 1 FROM members_net_purchase p WHERE p.member_id = m.id AND p.purchased_at <"
    params: tuple[object, ...] = (until,)
    text = f"{seen}= %s" if nearest == 0 else f"{seen} %s"
    if farthest is not None:
        text += " AND p.purchased_at >= %s"
        params += (test.days_ago(int(farthest)),)
    text += ")"
    if nearest > 0:
        text += f" AND NOT {seen}= %s AND p.purchased_at >= %s)"
        params += (test.now, until)
    return Sql(text, params)


def _lifecycle(test: Test) -> Sql:
    """Each stage by looks at the index of purchases; those that were given back whole do not count."""
    recent, year = test.days_ago(RECENT_DAYS), test.days_ago(YEAR_DAYS)
    bought = "EXISTS (SELECT 1 FROM members_net_purchase p WHERE p.member_id = m.id AND p.purchased_at <= %s{})"
    ever, since, before = bought.replace("{}", ""), bought.replace("{}", _SINCE), bought.replace("{}", _BEFORE)
    now = test.now
    stages = {
        "prospect": Sql(f"NOT {ever}", (now,)),
        "new": Sql(f"{since} AND NOT {before}", (now, recent, now, recent)),
        "active": Sql(f"{since} AND {before}", (now, recent, now, recent)),
        "lapsing": Sql(f"{since} AND NOT {since}", (now, year, now, recent)),
        "dormant": Sql(f"{ever} AND NOT {since}", (now, now, year)),
    }
    chosen = [stages[stage] for stage in test.value]
    text = " OR ".join(f"({stage.text})" for stage in chosen)
    return Sql(text, tuple(param for stage in chosen for param in stage.params))


def _purchases(aggregate: str) -> Rows:
    """A sum or count over each member's purchases of the last N days."""
    return Rows(
        f"SELECT p.member_id, {aggregate} AS value FROM members_net_purchase p"  # noqa: S608
        " WHERE p.purchased_at >= %s AND p.purchased_at <= %s GROUP BY p.member_id",
        params=lambda test: (test.since, test.now),
        missing=0,
    )


FACTS = [
    Fact(
        key="member.last_purchase",
        group=GROUP,
        label=_("Last purchase"),
        type=FactType.DAYS,
        unit=_("days ago"),
        sql=Custom(_last_purchase),
        phrases={
            "gt": _("last bought more than %(value)s days ago"),
            "lt": _("last bought less than %(value)s days ago"),
            "between": _("last bought %(low)s to %(high)s days ago"),
        },
    ),
    Fact(
        key="member.never_bought",
        group=GROUP,
        label=_("Never bought"),
        type=FactType.BOOLEAN,
        sql=Scalar("NOT EXISTS (SELECT 1 FROM members_net_purchase p WHERE p.member_id = m.id)", nullable=False),
        phrases={"yes": _("have never bought"), "no": _("have bought at least once")},
    ),
    Fact(
        key="member.purchases",
        group=GROUP,
        label=_("Number of purchases"),
        type=FactType.INTEGER,
        minimum=0,
        parameter=in_days(),
        sql=_purchases("count(*)"),
        phrases={
            "gte": _("bought at least %(value)s times in the last %(days)s days"),
            "lte": _("bought at most %(value)s times in the last %(days)s days"),
            "gt": _("bought more than %(value)s times in the last %(days)s days"),
            "lt": _("bought less than %(value)s times in the last %(days)s days"),
            "eq": _("bought exactly %(value)s times in the last %(days)s days"),
            "between": _("bought %(low)s to %(high)s times in the last %(days)s days"),
        },
    ),
    Fact(
        key="member.spend",
        group=GROUP,
        label=_("Spend"),
        type=FactType.MONEY,
        minimum=0,
        parameter=in_days(),
        sql=_purchases("sum(p.value)"),
        phrases={
            "gte": _("spent at least %(value)s in the last %(days)s days"),
            "lte": _("spent at most %(value)s in the last %(days)s days"),
            "gt": _("spent more than %(value)s in the last %(days)s days"),
            "lt": _("spent less than %(value)s in the last %(days)s days"),
            "eq": _("spent exactly %(value)s in the last %(days)s days"),
            "between": _("spent %(low)s to %(high)s in the last %(days)s days"),
        },
    ),
    Fact(
        key="member.lifecycle",
        group=GROUP,
        label=_("Stage"),
        type=FactType.CHOICE,
        choices=lambda: LIFECYCLE,
        sql=Custom(_lifecycle),
        phrases={"in": _("are %(value)s"), "not_in": _("are not %(value)s")},
    ),
]
