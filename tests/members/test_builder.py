"""The condition builder: what its buttons do to a tree, and what it shows of one that is half finished."""

import json
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from members.conditions import editing
from tests.factories import make_member, make_user

pytestmark = pytest.mark.django_db

EMAIL = {"fact": "member.has_email", "op": "is", "value": True}
GENDER = {"fact": "member.gender", "op": "in", "value": ["F"]}


def post(tree: Any, *, role: str = "marketing_manager", url: str = "members:conditions", **fields: str) -> str:
    client = Client()
    client.force_login(make_user(role))
    text = tree if isinstance(tree, str) else json.dumps(tree)
    response = client.post(reverse(url), {"builder": "audience", "audience": text} | fields)
    assert response.status_code == 200
    return response.content.decode()


def test_buttons_add_and_remove_lines_and_groups_where_they_stand() -> None:
    tree = {"all": [EMAIL, {"any": [GENDER, EMAIL]}]}
    assert editing.added(tree, "", GENDER) == {"all": [EMAIL, {"any": [GENDER, EMAIL]}, GENDER]}
    assert editing.added(tree, "2", GENDER) == {"all": [EMAIL, {"any": [GENDER, EMAIL, GENDER]}]}
    assert editing.removed(tree, "2.1") == {"all": [EMAIL, {"any": [EMAIL]}]}
    assert editing.removed(editing.removed(tree, "2.1"), "2.1") == {"all": [EMAIL]}
    assert editing.removed(tree, "2") == {"all": [EMAIL]}
    assert editing.removed(tree, "9.9") == tree


def test_another_fact_keeps_the_line_usable() -> None:
    line = {"fact": "member.spend", "op": "in", "value": ["F"]}
    assert editing.repaired(line) == {"fact": "member.spend", "op": "gte", "value": "F", "days": 365}
    assert editing.repaired({"fact": "member.gender", "op": "gte", "value": "3"}) == GENDER | {"value": []}
    between = {"fact": "member.age", "op": "between", "value": "20"}
    assert editing.repaired(between) == between | {"value": ["20", None]}


def test_the_builder_says_what_is_to_do_beside_the_line_and_reads_the_rest_back() -> None:
    html = post({"all": [EMAIL, {"fact": "member.spend", "days": 365, "op": "gte", "value": "much"}]})
    assert "line 2: value must be a number" in html
    assert 'value="much"' in html
    assert "Members who have an e-mail address." in post({"all": [EMAIL]})
    assert "All members." in post({})
    assert "All members." in post("rubbish")


def test_hostile_text_is_shown_and_kept_as_text() -> None:
    html = post(
        {"all": [{"fact": "member.attribute", "name": "city", "op": "eq", "value": '"><script>alert(1)</script>'}]}
    )
    assert "<script>alert" not in html


def test_a_new_line_is_where_the_keyboard_goes_on() -> None:
    assert 'data-focus="audience-2-1-fact"' in post({"all": [EMAIL]}, action="add-group", place="", kind="all")
    assert 'data-focus="audience-all-add"' in post({"all": [EMAIL]}, action="remove", place="1")


def test_counts_come_for_finished_lines_and_only_for_those_who_may_see_members() -> None:
    make_member(gender="F")
    make_member(gender="M")
    tree = {"all": [GENDER, {"fact": "member.spend", "days": 365, "op": "gte", "value": None}]}
    html = post(tree, url="members:condition-counts")
    assert 'data-count="audience-count-1">1<' in html
    assert "audience-count-2" not in html
    assert "audience-count-all" not in html
    assert "2 members" in post({"all": []}, url="members:condition-counts")
    assert "condition" in post(tree, role="executive")
    assert reverse("members:condition-counts") not in post(tree, role="executive")


@pytest.mark.parametrize("url", ["members:conditions", "members:condition-counts"])
@pytest.mark.parametrize(
    "text", ["[" * 49_000, '{"all":[' * 900 + "]}" * 900, '{"all":' + "[" * 9000 + "]" * 9000 + "}"]
)
def test_a_tree_nested_without_end_counts_as_everybody(text: str, url: str) -> None:
    assert editing.load(text) == editing.EVERYBODY
    post(text, url=url)
