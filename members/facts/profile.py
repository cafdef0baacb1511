"""Who a member is: profile, attributes, segments."""

from collections.abc import Sequence

from django.conf import settings
from django.utils.translation import gettext_lazy as _

from members.conditions import facts
from members.conditions.facts import Choice, Custom, Fact, FactType, Parameter, Scalar, Sql, Test
from members.facts.choices import first_column
from members.models import Member, Segment

GROUP = _("Profile")

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

ATTRIBUTE_NUMBER = r"""
    CASE WHEN m.attributes->>%s ~ '^-?[0-9]{1,15}(\.[0-9]{1,6})?$' THEN (m.attributes->>%s)::numeric END
"""


def attribute_names() -> Sequence[str]:
    """The names of attributes that members have."""
    return first_column(ATTRIBUTE_NAMES)


def languages() -> list[Choice]:
    """The languages of the desk; members may have others."""
    return list(settings.LANGUAGES)


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


FACTS = [
    Fact(
        key="member.status",
        group=GROUP,
        label=_("Status"),
        type=FactType.CHOICE,
        choices=lambda: Member.Status.choices,
        sql=Scalar("m.status", nullable=False),
        phrases={"in": _("are %(value)s"), "not_in": _("are not %(value)s")},
    ),
    Fact(
        key="member.gender",
        group=GROUP,
        label=_("Gender"),
        type=FactType.CHOICE,
        choices=lambda: Member.Gender.choices,
        sql=Scalar("m.gender", nullable=False),
        phrases={"in": _("are %(value)s"), "not_in": _("are not %(value)s")},
    ),
    Fact(
        key="member.age",
        group=GROUP,
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
        group=GROUP,
        label=_("Birthday month"),
        type=FactType.CHOICE,
        choices=lambda: MONTHS,
        sql="date_part('month', m.birth_date)::int::text",
        phrases={"in": _("have their birthday in %(value)s"), "not_in": _("do not have their birthday in %(value)s")},
    ),
    Fact(
        key="member.joined",
        group=GROUP,
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
        group=GROUP,
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
        group=GROUP,
        label=_("Language"),
        type=FactType.CHOICE,
        choices=languages,
        open_choices=True,
        sql=Scalar("m.language", nullable=False),
        phrases={"in": _("read %(value)s"), "not_in": _("do not read %(value)s")},
    ),
    Fact(
        key="member.attribute",
        group=GROUP,
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
        group=GROUP,
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
    Fact(
        key="member.segment",
        group=GROUP,
        label=_("Segment"),
        type=FactType.CHOICE,
        choices=segments,
        sql=Custom(_in_segment),
        phrases={"in": _("are in the segment %(value)s"), "not_in": _("are not in the segment %(value)s")},
    ),
]
