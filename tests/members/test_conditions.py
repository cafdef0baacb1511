"""The language of conditions: what it refuses, what it says, and that its SQL means what it says."""

import random
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import time_machine
from django.db import connection
from django.utils import translation
from hypothesis import given, settings
from hypothesis import strategies as st

from members import conditions
from members.conditions import ConditionError, builder
from members.models import Member
from tests.factories import make_consent, make_interaction, make_member, make_purchase, make_response

ZONE = ZoneInfo("Asia/Shanghai")
NOW = datetime(2026, 3, 1, 3, 30, tzinfo=UTC)
TODAY = NOW.astimezone(ZONE).date()


@pytest.fixture(autouse=True)
def _clock() -> Iterator[None]:
    with time_machine.travel(NOW, tick=False):
        yield


def matching(tree: Any) -> set[int]:
    query, params = conditions.members_sql(tree)
    with connection.cursor() as cursor:
        cursor.execute(query, params)
        ids = [row[0] for row in cursor.fetchall()]
    assert len(ids) == len(set(ids))
    return set(ids)


# --- a naive reading of the same language, in Python ---------------------------------------------------


def days_since(moment: datetime) -> int:
    return (TODAY - moment.astimezone(ZONE).date()).days


def bought(member: Member, days: int) -> list[Any]:
    return [p for p in member.purchases.all() if days_since(p.purchased_at) <= days and p.purchased_at <= NOW]


def last_purchase(member: Member, _parameter: Any) -> int | None:
    past = [p.purchased_at for p in member.purchases.all() if p.purchased_at <= NOW]
    return days_since(max(past)) if past else None


def age(member: Member, _parameter: Any) -> int | None:
    born = member.birth_date
    if born is None or born > TODAY:
        return None
    return TODAY.year - born.year - ((TODAY.month, TODAY.day) < (born.month, born.day))


def last_score(member: Member, _parameter: Any) -> int | None:
    scored = [r for r in member.survey_responses.all() if r.score is not None]
    dated = [r for r in scored if r.answered_at is not None] or scored
    return max(dated, key=lambda r: (r.answered_at or NOW, r.pk)).score if dated else None


def attribute_number(member: Member, name: Any) -> Decimal | None:
    value = member.attributes.get(name)
    return Decimal(value) if isinstance(value, int) else None


VALUES: dict[str, Callable[[Member, Any], Any]] = {
    "member.status": lambda m, _: m.status,
    "member.gender": lambda m, _: m.gender,
    "member.age": age,
    "member.birthday_month": lambda m, _: str(m.birth_date.month) if m.birth_date else None,
    "member.joined": lambda m, _: days_since(m.joined_at),
    "member.joined_on": lambda m, _: m.joined_at.astimezone(ZONE).date().isoformat(),
    "member.language": lambda m, _: m.language,
    "member.attribute": lambda m, name: m.attributes.get(name),
    "member.attribute_number": attribute_number,
    "member.last_purchase": last_purchase,
    "member.never_bought": lambda m, _: not m.purchases.all(),
    "member.purchases": lambda m, days: len(bought(m, days)),
    "member.spend": lambda m, days: sum((p.value for p in bought(m, days)), Decimal(0)),
    "member.last_score": last_score,
    "member.has_email": lambda m, _: bool(m.email),
    "member.email_consent": lambda m, _: any(c.channel == "email" and c.granted for c in m.consents.all()),
}
PARAMETERS = {"member.attribute": "name", "member.attribute_number": "name"}


def holds(node: dict[str, Any], member: Member) -> bool:
    for kind, join in (("all", all), ("any", any)):
        if kind in node:
            return join(holds(child, member) for child in node[kind])
    if "none" in node:
        return not any(holds(child, member) for child in node["none"])
    if node["fact"] == "member.interaction":
        return _had_interaction(node, member)
    value = VALUES[node["fact"]](member, node.get(PARAMETERS.get(node["fact"], "days")))
    return _fulfils(node["op"], value, node["value"])


def _had_interaction(node: dict[str, Any], member: Member) -> bool:
    had = any(
        i.kind in node["value"] and days_since(i.occurred_at) <= node["days"] and i.occurred_at <= NOW
        for i in member.interactions.all()
    )
    return had == (node["op"] == "in")


def _fulfils(op: str, value: Any, wanted: Any) -> bool:
    if op in {"not_in", "ne"}:
        return value not in wanted if op == "not_in" else value != wanted
    if value is None:
        return False
    if isinstance(value, Decimal):
        wanted = [Decimal(str(w)) for w in wanted] if isinstance(wanted, list) else Decimal(str(wanted))
    return {
        "is": lambda: value is wanted,
        "in": lambda: value in wanted,
        "eq": lambda: value == wanted,
        "gte": lambda: value >= wanted,
        "lte": lambda: value <= wanted,
        "gt": lambda: value > wanted,
        "lt": lambda: value < wanted,
        "between": lambda: wanted[0] <= value <= wanted[1],
        "contains": lambda: wanted.lower() in value.lower(),
    }[op]()


# --- trees and members to try it on ------------------------------------------------------------------

KINDS = ["check-in", "review", "visit"]
CITIES = ["Shanghai", "Köln", "北京", "100% 'quoted' \\"]
DAYS = st.sampled_from([1, 2, 30, 365])
SMALL = st.integers(0, 70)


def comparison(fact: str, values: st.SearchStrategy[Any], **more: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    one = {"fact": st.just(fact), "op": st.sampled_from(["gte", "lte", "gt", "lt", "eq"]), "value": values}
    return st.one_of(st.fixed_dictionaries(one | more), between(fact, values, **more))


def between(fact: str, values: st.SearchStrategy[Any], **more: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    pair = st.tuples(values, values).map(lambda two: sorted(two, key=Decimal))
    return st.fixed_dictionaries({"fact": st.just(fact), "op": st.just("between"), "value": pair} | more)


def ago(fact: str) -> st.SearchStrategy[Any]:
    one = {"fact": st.just(fact), "op": st.sampled_from(["gt", "lt"]), "value": SMALL}
    return st.one_of(st.fixed_dictionaries(one), between(fact, SMALL))


def choice(fact: str, items: list[str], **more: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    some = st.lists(st.sampled_from(items), min_size=1, max_size=3, unique=True)
    return st.fixed_dictionaries({"fact": st.just(fact), "op": st.sampled_from(["in", "not_in"]), "value": some} | more)


def yes_no(fact: str) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries({"fact": st.just(fact), "op": st.just("is"), "value": st.booleans()})


LINES = st.one_of(
    choice("member.status", ["active", "blocked", "closed"]),
    choice("member.gender", ["F", "M", "O"]),
    choice("member.birthday_month", ["2", "3", "12"]),
    choice("member.language", ["en", "zh-hans", "fr"]),
    choice("member.interaction", [*KINDS, "none such"], days=DAYS),
    comparison("member.age", st.integers(0, 60)),
    comparison("member.last_score", st.integers(0, 10)),
    comparison("member.purchases", st.integers(0, 4), days=DAYS),
    comparison("member.spend", st.sampled_from(["0", "0.01", "99.99", "100", "250.5"]), days=DAYS),
    comparison("member.attribute_number", st.integers(0, 4), name=st.sampled_from(["visits", "city", "x"])),
    ago("member.joined"),
    ago("member.last_purchase"),
    yes_no("member.never_bought"),
    yes_no("member.has_email"),
    yes_no("member.email_consent"),
    st.fixed_dictionaries(
        {
            "fact": st.just("member.joined_on"),
            "op": st.sampled_from(["gte", "lt"]),
            "value": st.integers(0, 70).map(lambda days: (TODAY - timedelta(days=days)).isoformat()),
        }
    ),
    st.fixed_dictionaries(
        {
            "fact": st.just("member.attribute"),
            "name": st.sampled_from(["city", "none such"]),
            "op": st.sampled_from(["eq", "ne", "contains"]),
            "value": st.sampled_from([*CITIES, "hang", "%", "_"]),
        }
    ),
)
TREES = st.recursive(
    LINES,
    lambda nodes: st.builds(
        lambda kind, children: {kind: children},
        st.sampled_from(["all", "any", "none"]),
        st.lists(nodes, min_size=1, max_size=3),
    ),
    max_leaves=6,
).filter(lambda tree: not conditions.problems(tree))


def populate(size: int = 40) -> list[Member]:
    """Members whose dates fall on the edges of days in the programme's zone, some with nothing known."""
    chance = random.Random(7)  # noqa: S311

    def moment() -> datetime:
        midnight = datetime(TODAY.year, TODAY.month, TODAY.day, tzinfo=ZONE) - timedelta(days=chance.choice(range(68)))
        return midnight + timedelta(seconds=chance.choice([0, 1, 43_200, 86_399, -1]))

    for _ in range(size):
        member = make_member(
            consents=chance.choice([{}, {"email": True}, {"email": False, "sms": True}]),
            status=chance.choice(Member.Status.values),
            gender=chance.choice(["", *Member.Gender.values]),
            birth_date=chance.choice([None, date(2000, 2, 29), date(1980, 3, 1), date(1980, 3, 2), date(2030, 1, 1)]),
            joined_at=moment(),
            language=chance.choice(["", "en", "zh-hans", "fr"]),
            email=chance.choice(["", "someone@example.com"]),
            attributes=chance.choice([{}, {"city": chance.choice(CITIES), "visits": chance.choice(range(5))}]),
        )
        for _purchase in range(chance.choice([0, 0, 1, 2, 4])):
            make_purchase(member, amount=chance.choice(["0.01", "99.99", "100", "0"]), purchased_at=moment())
        for _interaction in range(chance.choice([0, 1, 2])):
            make_interaction(member, kind=chance.choice(KINDS), occurred_at=moment())
        for _response in range(chance.choice([0, 0, 1, 2])):
            make_response(
                member, score=chance.choice([None, *range(11)]), answered_at=chance.choice([None, moment(), moment()])
            )
    related = ["purchases", "interactions", "survey_responses", "consents"]
    return list(Member.objects.prefetch_related(*related))


@pytest.mark.django_db
def test_the_sql_of_any_tree_finds_exactly_the_members_a_naive_reading_finds() -> None:
    members = populate()

    @settings(max_examples=300, deadline=None)
    @given(tree=TREES)
    def check(tree: dict[str, Any]) -> None:
        assert matching(tree) == {member.pk for member in members if holds(tree, member)}

    check()


@pytest.mark.django_db
def test_a_condition_and_its_none_add_up_to_all_members() -> None:
    members = populate(25)

    @settings(max_examples=100, deadline=None)
    @given(tree=TREES)
    def check(tree: dict[str, Any]) -> None:
        opposite = {"none": [tree]}
        if not conditions.problems(opposite):
            assert conditions.count(tree) + conditions.count(opposite) == len(members)

    check()


@pytest.mark.django_db
def test_hostile_text_stays_data() -> None:
    populate(3)
    hostile = st.one_of(
        st.text(max_size=60),
        st.sampled_from(["'; DROP TABLE members_member; --", "%s", "%(x)s", "\\", "' OR '1'='1", '"', "$$", "%%"]),
    )

    @settings(max_examples=100, deadline=None)
    @given(text=hostile, name=hostile, op=st.sampled_from(["eq", "ne", "contains"]))
    def check(text: str, name: str, op: str) -> None:
        tree = {"fact": "member.attribute", "name": name, "op": op, "value": text}
        if conditions.problems(tree):
            return
        query, params = conditions.members_sql(tree)
        assert query == conditions.members_sql(tree | {"name": "city", "value": "x"})[0]
        assert text in params
        assert conditions.count(tree) == (3 if op == "ne" else 0)
        assert text in conditions.sentence(tree)

    check()


@settings(max_examples=200, deadline=None)
@given(
    tree=st.recursive(
        st.one_of(st.none(), st.booleans(), st.floats(), st.text(max_size=8), st.integers()),
        lambda inner: st.one_of(
            st.lists(inner, max_size=4),
            st.dictionaries(st.sampled_from(["all", "any", "none", "fact", "op", "value", "days"]), inner, max_size=4),
        ),
        max_leaves=12,
    )
)
def test_no_json_at_all_breaks_the_reader(tree: Any) -> None:
    found = conditions.problems(tree)
    if found:
        with pytest.raises(ConditionError):
            conditions.validate(tree)


@pytest.mark.parametrize(
    ("tree", "said"),
    [
        (
            {
                "all": [
                    {"fact": "member.age", "op": "gte", "value": 1},
                    {"fact": "member.age", "op": "gte", "value": "x"},
                ]
            },
            "line 2: value must be a number",
        ),
        (
            {"all": [{"any": [{"fact": "member.spend", "days": 0, "op": "gte", "value": 1}]}]},
            "line 1.1: give 1 to 3,660 days",
        ),
        ({"fact": "member.secret", "op": "eq", "value": 1}, "line 1: “member.secret” is not known"),
        ({"fact": "member.age", "op": "in", "value": [1]}, "line 1: “in” cannot be asked of this"),
        ({"fact": "member.age", "op": "gte", "value": 1.5}, "line 1: value must be a whole number"),
        (
            {"fact": "member.age", "op": "between", "value": [30, 20]},
            "line 1: the first value is larger than the second",
        ),
        ({"fact": "member.gender", "op": "in", "value": ["X"]}, "line 1: “X” is not one of the choices"),
        ({"fact": "member.gender", "op": "in", "value": []}, "line 1: choose at least one"),
        ({"fact": "member.has_email", "op": "is", "value": "yes"}, "line 1: value must be yes or no"),
        ({"fact": "member.joined_on", "op": "lt", "value": "1 May"}, "line 1: value must be a date like 2026-01-31"),
        ({"fact": "member.age", "days": 3, "op": "lt", "value": 5}, "line 1: “days” does not belong here"),
        ({"all": [{"any": []}]}, "line 1: the group is empty"),
        ({"any": []}, "the group is empty"),
        ({"all": [1]}, "line 1: this is neither a condition nor a group"),
        ([], "this is neither a condition nor a group"),
        ({"all": [{"any": [{"all": [{"any": [{"all": []}]}]}]}]}, "line 1.1.1.1: groups may be nested 4 deep at most"),
    ],
)
def test_a_mistake_is_named_with_its_place(tree: Any, said: str) -> None:
    with pytest.raises(ConditionError) as refused:
        conditions.validate(tree)
    assert str(refused.value) == said


def test_more_than_fifty_conditions_are_refused() -> None:
    line = {"fact": "member.has_email", "op": "is", "value": True}
    conditions.validate({"all": [{"any": [line] * 25}, {"any": [line] * 25}]})
    with pytest.raises(ConditionError, match="more than 50 conditions"):
        conditions.validate({"all": [{"any": [line] * 26}, {"any": [line] * 25}]})


@pytest.mark.django_db
def test_a_tree_reads_as_one_sentence() -> None:
    tree = {
        "all": [
            {"fact": "member.gender", "op": "in", "value": ["F", "O"]},
            {"fact": "member.last_purchase", "op": "gt", "value": 60},
            {
                "any": [
                    {"fact": "member.spend", "days": 365, "op": "gte", "value": "2000"},
                    {"fact": "member.age", "op": "between", "value": [18, 25]},
                ]
            },
            {"none": [{"fact": "member.interaction", "days": 30, "op": "in", "value": ["complaint"]}]},
        ]
    }
    assert conditions.sentence(tree) == (
        "Members who are female or other, and last bought more than 60 days ago, and either spent at least"
        " ¥2,000 in the last 365 days or are 18 to 25 years old, but not those who had the interaction complaint in"
        " the last 30 days."
    )
    assert conditions.sentence({}) == "All members."


@pytest.mark.django_db
def test_counts_stand_beside_each_line_and_group() -> None:
    for gender in "FFM":
        member = make_member(gender=gender)
    make_consent(member)
    tree = {
        "all": [
            {"fact": "member.gender", "op": "in", "value": ["F"]},
            {"any": [{"fact": "member.email_consent", "op": "is", "value": True}]},
        ]
    }
    assert builder.node_counts(tree) == {"": 0, "1": 2, "2": 1, "2.1": 1}


@pytest.mark.django_db
def test_every_fact_speaks_and_compiles_with_each_of_its_operators() -> None:
    from members.conditions import facts

    samples = {"boolean": True, "date": "2026-01-31", "text": "x", "choice": ["x"]}
    make_member()
    for fact in facts.all_facts():
        for op in fact.operator_labels:
            value: Any = samples.get(fact.type, 1)
            if fact.choices and not fact.open_choices:
                value = list(fact.choice_labels())[:1]
                if not value:
                    continue  # tiers, where a programme has none yet
            if op == "between":
                value = [value, value]
            tree: dict[str, Any] = {"fact": fact.key, "op": op, "value": value}
            if fact.parameter:
                tree[fact.parameter.key] = fact.parameter.default or "x"
            conditions.count(tree)
            for language in ("en", "zh-hans"):
                with translation.override(language):
                    assert conditions.sentence(tree)
