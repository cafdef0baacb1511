"""What members themselves answer for: profile, recency, spend, answers, interactions."""

from collections.abc import Sequence
from decimal import Decimal

from django.conf import settings
from django.db import connection
from django.utils.translation import gettext_lazy as _

from members.conditions import facts
from members.conditions.facts import Choice, Custom, Fact, FactType, Parameter, Rows, Scalar, Sql, Test, in_days
from members.models import Member, Segment

PROFILE = _("Profile")
PURCHASES = _("Purchases")
ENGAGEMENT = _("Engagement")

MONTHS: list[Choice] = [
    ("1", _("January")),
    ("2", _("February")),
    ("3", _("March")),
    ("4", _("April")),
    ("5", _("May")),
    ("6", _("June")),
    ("7", _("July")),
    ("8", _("August")),
    ("9", _("September")),
    ("10", _("October")),
    ("11", _("November")),
    ("12", _("December")),
]

# A look at the newest members is enough to suggest names; all of them would be a scan.
ATTRIBUTE_NAMES = """
    SELECT DISTINCT key FROM (SELECT attributes FROM members_member ORDER BY id DESC LIMIT 500) newest,
        jsonb_object_keys(attributes) AS key ORDER BY key LIMIT 50
"""

# Hops from kind to kind along the index (kind, occurred_at) instead of reading every interaction.
INTERACTION_KINDS = """
    WITH RECURSIVE kinds AS (
        (SELECT kind FROM members_interaction ORDER BY kind LIMIT 1)
        UNION ALL
        SELECT (SELECT i.kind FROM members_interaction i WHERE i.kind > k.kind ORDER BY i.kind LIMIT 1)
        FROM kinds k WHERE k.kind IS NOT NULL
    )
    SELECT kind FROM kinds WHERE kind IS NOT NULL LIMIT 100
"""

LAST_SCORES = """
    SELECT DISTINCT ON (r.member_id) r.member_id, r.score AS value FROM members_surveyresponse r
    WHERE r.member_id IS NOT NULL AND r.score IS NOT NULL
    ORDER BY r.member_id, r.answered_at DESC NULLS LAST, r.id DESC
"""

# By purchases: none; the first at most 90 days ago; the last at most 90, at most 365, or more days ago.
LIFECYCLE: list[Choice] = [
    ("prospect", _("prospect (never bought)")),
    ("new", _("new (first bought within 90 days)")),
    ("active", _("active (bought within 90 days)")),
    ("lapsing", _("lapsing (bought within a year)")),
    ("dormant", _("dormant (bought longer ago)")),
]
RECENT_DAYS, YEAR_DAYS = 90, 365

ATTRIBUTE_NUMBER = r"""
    CASE WHEN m.attributes->>%s ~ '^-?[0-9]{1,15}(\.[0-9]{1,6})?$' THEN (m.attributes->>%s)::numeric END
"""


def attribute_names() -> Sequence[str]:
    """The names of attributes that members have."""
    return _first_column(ATTRIBUTE_NAMES)


def interaction_kinds() -> list[Choice]:
    """Every kind of interaction there is, as its own label."""
    return [(kind, kind) for kind in _first_column(INTERACTION_KINDS)]


def languages() -> list[Choice]:
    """The languages of the desk; members may have others."""
    return list(settings.LANGUAGES)


def _first_column(query: str) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(query)
        return [row[0] for row in cursor.fetchall()]


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


def segments() -> list[Choice]:
    """The segments by id, in the order of their names."""
    return [(str(pk), name) for pk, name in Segment.objects.order_by("name").values_list("pk", "name")]


def _in_segment(test: Test) -> Sql:
    """By the rows of the last build: one look at an index for each member, or one read of the segment's rows."""
    return Sql(
        "EXISTS (SELECT 1 FROM members_segmentmember s WHERE s.member_id = m.id AND s.segment_id = ANY(%s)"
        " AND s.left_at IS NULL)",
        ([int(pk) for pk in test.value],),
    )


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


_SINCE, _BEFORE = " AND p.purchased_at >= %s", " AND p.purchased_at < %s"


def _interaction(test: Test) -> Sql:
    return Sql(
        "EXISTS (SELECT 1 FROM members_interaction i WHERE i.member_id = m.id AND i.kind = ANY(%s)"
        " AND i.occurred_at >= %s AND i.occurred_at <= %s)",
        (list(test.value), test.since, test.now),
    )


def _purchases(aggregate: str) -> Rows:
    """A sum or count over each member's purchases of the last N days."""
    return Rows(
        f"SELECT p.member_id, {aggregate} AS value FROM members_net_purchase p"  # noqa: S608
        " WHERE p.purchased_at >= %s AND p.purchased_at <= %s GROUP BY p.member_id",
        params=lambda test: (test.since, test.now),
        missing=0,
    )


PROFILE_FACTS = [
    Fact(
        key="member.status",
        group=PROFILE,
        label=_("Status"),
        type=FactType.CHOICE,
        choices=lambda: Member.Status.choices,
        sql=Scalar("m.status", nullable=False),
        phrases={"in": _("are %(value)s"), "not_in": _("are not %(value)s")},
    ),
    Fact(
        key="member.gender",
        group=PROFILE,
        label=_("Gender"),
        type=FactType.CHOICE,
        choices=lambda: Member.Gender.choices,
        sql=Scalar("m.gender", nullable=False),
        phrases={"in": _("are %(value)s"), "not_in": _("are not %(value)s")},
    ),
    Fact(
        key="member.age",
        group=PROFILE,
        label=_("Age"),
        type=FactType.INTEGER,
        unit=_("years"),
        minimum=0,
        maximum=150,
        sql=Scalar(
            "CASE WHEN m.birth_date <= %s::date THEN date_part('year', age(%s::date, m.birth_date))::int END",
            lambda test: (test.today, test.today),
        ),
        phrases={
            "gte": _("are at least %(value)s years old"),
            "lte": _("are at most %(value)s years old"),
            "gt": _("are older than %(value)s"),
            "lt": _("are younger than %(value)s"),
            "eq": _("are %(value)s years old"),
            "between": _("are %(low)s to %(high)s years old"),
        },
    ),
    Fact(
        key="member.birthday_month",
        group=PROFILE,
        label=_("Birthday month"),
        type=FactType.CHOICE,
        choices=lambda: MONTHS,
        sql="date_part('month', m.birth_date)::int::text",
        phrases={"in": _("have their birthday in %(value)s"), "not_in": _("do not have their birthday in %(value)s")},
    ),
    Fact(
        key="member.joined",
        group=PROFILE,
        label=_("Joined"),
        type=FactType.DAYS,
        unit=_("days ago"),
        sql=Scalar(
            "(%s::date - (m.joined_at AT TIME ZONE %s)::date)",
            lambda test: (test.today, facts.programme_zone()),
            nullable=False,
        ),
        phrases={
            "gt": _("joined more than %(value)s days ago"),
            "lt": _("joined less than %(value)s days ago"),
            "between": _("joined %(low)s to %(high)s days ago"),
        },
    ),
    Fact(
        key="member.joined_on",
        group=PROFILE,
        label=_("Joined on"),
        type=FactType.DATE,
        sql=Scalar("(m.joined_at AT TIME ZONE %s)::date", lambda _test: (facts.programme_zone(),), nullable=False),
        phrases={
            "gte": _("joined on or after %(value)s"),
            "lt": _("joined before %(value)s"),
            "between": _("joined between %(low)s and %(high)s"),
        },
    ),
    Fact(
        key="member.language",
        group=PROFILE,
        label=_("Language"),
        type=FactType.CHOICE,
        choices=languages,
        open_choices=True,
        sql=Scalar("m.language", nullable=False),
        phrases={"in": _("read %(value)s"), "not_in": _("do not read %(value)s")},
    ),
    Fact(
        key="member.attribute",
        group=PROFILE,
        label=_("Attribute"),
        type=FactType.TEXT,
        parameter=Parameter(
            key="name", pattern=_("called …"), type=FactType.TEXT, default="city", suggestions=attribute_names
        ),
        sql=Scalar("(m.attributes->>%s)", lambda test: (test.parameter,)),
        phrases={
            "eq": _("have %(name)s %(value)s"),
            "ne": _("do not have %(name)s %(value)s"),
            "contains": _("have %(name)s containing %(value)s"),
        },
    ),
    Fact(
        key="member.attribute_number",
        group=PROFILE,
        label=_("Attribute, as a number"),
        type=FactType.NUMBER,
        parameter=Parameter(
            key="name", pattern=_("called …"), type=FactType.TEXT, default="", suggestions=attribute_names
        ),
        sql=Scalar(ATTRIBUTE_NUMBER.strip(), lambda test: (test.parameter, test.parameter)),
        phrases={
            "gte": _("have %(name)s of at least %(value)s"),
            "lte": _("have %(name)s of at most %(value)s"),
            "gt": _("have %(name)s of more than %(value)s"),
            "lt": _("have %(name)s of less than %(value)s"),
            "eq": _("have %(name)s of exactly %(value)s"),
            "between": _("have %(name)s from %(low)s to %(high)s"),
        },
    ),
]

PURCHASE_FACTS = [
    Fact(
        key="member.last_purchase",
        group=PURCHASES,
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
        group=PURCHASES,
        label=_("Never bought"),
        type=FactType.BOOLEAN,
        sql=Scalar("NOT EXISTS (SELECT 1 FROM members_net_purchase p WHERE p.member_id = m.id)", nullable=False),
        phrases={"yes": _("have never bought"), "no": _("have bought at least once")},
    ),
    Fact(
        key="member.purchases",
        group=PURCHASES,
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
        group=PURCHASES,
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
]

STANDING_FACTS = [
    Fact(
        key="member.segment",
        group=PROFILE,
        label=_("Segment"),
        type=FactType.CHOICE,
        choices=segments,
        sql=Custom(_in_segment),
        phrases={"in": _("are in the segment %(value)s"), "not_in": _("are not in the segment %(value)s")},
    ),
    Fact(
        key="member.lifecycle",
        group=PURCHASES,
        label=_("Stage"),
        type=FactType.CHOICE,
        choices=lambda: LIFECYCLE,
        sql=Custom(_lifecycle),
        phrases={"in": _("are %(value)s"), "not_in": _("are not %(value)s")},
    ),
]

ENGAGEMENT_FACTS = [
    Fact(
        key="member.last_score",
        group=ENGAGEMENT,
        label=_("Last survey score"),
        type=FactType.INTEGER,
        minimum=0,
        maximum=10,
        sql=Rows(LAST_SCORES),
        phrases={
            "gte": _("gave a score of at least %(value)s last"),
            "lte": _("gave a score of at most %(value)s last"),
            "gt": _("gave a score of more than %(value)s last"),
            "lt": _("gave a score of less than %(value)s last"),
            "eq": _("gave a score of %(value)s last"),
            "between": _("gave a score of %(low)s to %(high)s last"),
        },
    ),
    Fact(
        key="member.interaction",
        group=ENGAGEMENT,
        label=_("Interaction"),
        type=FactType.CHOICE,
        choices=interaction_kinds,
        open_choices=True,
        parameter=in_days(90),
        sql=Custom(_interaction),
        phrases={
            "in": _("had the interaction %(value)s in the last %(days)s days"),
            "not_in": _("did not have the interaction %(value)s in the last %(days)s days"),
        },
    ),
    Fact(
        key="member.has_email",
        group=ENGAGEMENT,
        label=_("Has an e-mail address"),
        type=FactType.BOOLEAN,
        sql=Scalar("m.email <> ''", nullable=False),
        phrases={"yes": _("have an e-mail address"), "no": _("have no e-mail address")},
    ),
    Fact(
        key="member.email_consent",
        group=ENGAGEMENT,
        label=_("Agreed to e-mail"),
        type=FactType.BOOLEAN,
        sql=Scalar(
            "EXISTS (SELECT 1 FROM members_consent c WHERE c.member_id = m.id AND c.channel = 'email' AND c.granted)",
            nullable=False,
        ),
        phrases={"yes": _("agreed to e-mail"), "no": _("did not agree to e-mail")},
    ),
]


def register() -> None:
    """Make them known to conditions."""
    for fact in (*PROFILE_FACTS, *PURCHASE_FACTS, *STANDING_FACTS, *ENGAGEMENT_FACTS):
        facts.register(fact)
