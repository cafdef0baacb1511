"""A condition asked of one event says what the same condition says of the members in the database."""

from datetime import UTC, date, datetime
from typing import Any

from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from loyalty.rules import Event, vocabulary
from loyalty.rules.events import Case, Facts
from members.conditions import members_sql
from members.conditions.predicate import compiled, failures
from members.conditions.tree import parse
from members.models import Member
from tests.factories import make_member

NOW = datetime(2026, 6, 1, 4, 0, tzinfo=UTC)

# Facts that members and events both have, with what may be asked of them.
CHOICES = {
    "member.gender": ["F", "M", "O"],
    "member.language": ["en", "zh-hans", "fr"],
    "member.birthday_month": ["2", "5", "12"],
}
LINES = st.one_of(
    st.sampled_from(sorted(CHOICES)).flatmap(
        lambda fact: st.fixed_dictionaries(
            {
                "fact": st.just(fact),
                "op": st.sampled_from(["in", "not_in"]),
                "value": st.lists(st.sampled_from(CHOICES[fact]), min_size=1, max_size=2, unique=True),
            }
        )
    ),
    st.fixed_dictionaries(
        {
            "fact": st.just("member.attribute"),
            "name": st.sampled_from(["city", "size"]),
            "op": st.sampled_from(["eq", "ne", "contains"]),
            "value": st.sampled_from(["Xi’an", "xi", "7", "true", "%"]),
        }
    ),
)
TREES = st.recursive(
    LINES,
    lambda inner: st.builds(
        lambda kind, nodes: {kind: nodes},
        st.sampled_from(["all", "any", "none"]),
        st.lists(inner, min_size=1, max_size=3),
    ),
    max_leaves=8,
).filter(lambda tree: _depth(tree) <= 4)
PEOPLE = [
    {"gender": "F", "language": "en", "birth_date": date(1990, 5, 14), "attributes": {"city": "Xi’an", "size": 7}},
    {"gender": "M", "language": "fr", "birth_date": None, "attributes": {"city": "XI", "size": True}},
    {"gender": "", "language": "", "birth_date": date(1988, 2, 29), "attributes": {}},
    {"gender": "O", "language": "zh-hans", "birth_date": date(2001, 12, 31), "attributes": {"city": None, "size": "7"}},
]


def _depth(tree: dict[str, Any]) -> int:
    groups = [nodes for nodes in tree.values() if isinstance(nodes, list) and nodes and isinstance(nodes[0], dict)]
    return 1 + max((_depth(node) for nodes in groups for node in nodes), default=0)


def case_of(member: Member) -> Case:
    event = Event(kind="purchase", member_id=member.pk, occurred_at=NOW)
    known = {name: getattr(member, name) for name in ("gender", "language", "birth_date", "attributes")}
    return Case(event, Facts(**known))


class TestPredicateAndSql(TestCase):
    @settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(tree=TREES)
    def test_both_forms_hold_for_the_same_members(self, tree: dict[str, Any]) -> None:
        members = [make_member(**fields) for fields in PEOPLE]
        ids, params = members_sql(tree)
        with connection.cursor() as cursor:
            cursor.execute(ids, params)
            found = {row[0] for row in cursor.fetchall()}
        root = parse(tree, vocabulary.VOCABULARIES["purchase"])
        holds = compiled(root, vocabulary.reader)
        for member in members:
            case = case_of(member)
            assert holds(case) == (member.pk in found)
            # And something is said of why exactly where it does not hold.
            assert bool(failures(root, vocabulary.reader, case)) != holds(case)
