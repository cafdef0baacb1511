"""Finding a member by whatever they say."""

import json
from typing import Any

import pytest
from django.db import connection

from members import lookup
from members.folding import fold
from members.models import Member
from tests.factories import make_member

pytestmark = pytest.mark.django_db


@pytest.fixture
def wang() -> Member:
    """The member to find, among others."""
    make_member(given_name="Mei", family_name="Lin", phone="+8613900001111", number="M-00990001")
    make_member(given_name="O'Brien", family_name="Zoë", phone="+4915112345678", email="zoe@example.com")
    return make_member(
        number="M-00482113",
        external_id="CRM-77a9",
        given_name="Xiaoyu",
        family_name="Wang",
        email="w.xiaoyu@example.com",
        phone="+8613800004471",
    )


@pytest.mark.parametrize(
    "text",
    [
        "M-00482113",
        "m00482113",
        "M-0048 2113",
        "M-0048",
        "CRM-77a9",
        "crm-77",
        "w.xiaoyu@example.com",
        "W.Xiaoyu@Example.com",
        "w.xiaoyu@",
        "w.xiao",
        "+86 138 0000 4471",
        "138-0000-4471",
        "138 0000",
        "008613800004471",
        "013800004471",
        "4471",
        "00004471",
        "\uff11\uff13\uff18\uff10\uff10\uff10\uff10\uff14\uff14\uff17\uff11",
        "Wang Xiaoyu",
        "00482113",
        "0048",
        "wang, xiaoyu",
        "xiaoyu wang",
        "WANG X",
        "xiaoy",
        "  wang   xiao ",
    ],
)
def test_a_member_is_found_by(text: str, wang: Member) -> None:
    assert lookup.find(text) == [wang]


@pytest.mark.parametrize(
    "text", ["", "   ", "%", "_", "\\", "%%", "100%", "-", "+", "()", "nobody", "9999", "'; --", "\0", "@"]
)
def test_nobody_is_found_by(text: str, wang: Member) -> None:
    assert lookup.find(text) == []


@pytest.mark.parametrize(
    "text", ["+8613800004471", "138-0000-4471", "4471", "W.Xiaoyu@Example.com", "xiaoy", "M-0048", "crm-77"]
)
def test_where_contacts_are_masked_a_member_is_still_found_by(text: str, wang: Member) -> None:
    assert lookup.find(text, contacts="exact") == [wang]


@pytest.mark.parametrize("text", ["138 0000", "+86138000044", "04471", "00004471", "471", "w.xiaoyu@", "w.xiao", "w."])
def test_where_contacts_are_masked_no_part_of_them_can_be_read_off_by_searching(text: str, wang: Member) -> None:
    assert lookup.find(text, contacts="exact") == []


def test_a_chinese_name_is_found_whole_by_family_name_and_by_given_name() -> None:
    member = make_member(given_name="小雨", family_name="王")
    make_member(given_name="小明", family_name="李")
    assert lookup.find("王小雨") == lookup.find("王") == lookup.find("小雨") == lookup.find("王 小") == [member]


@pytest.mark.parametrize("text", ["clara mul", "muller", "MÜLLER", "Mu\u0308ller", "müller, clara", "claramü"])
def test_a_name_is_found_with_its_accents_and_without(text: str) -> None:
    member = make_member(given_name="Clara", family_name="Müller")
    make_member(given_name="Clara", family_name="Weiss")
    assert lookup.find(text) == [member]


def test_letters_that_are_two_and_vietnamese_names_are_found_from_a_plain_keyboard() -> None:
    weiss = make_member(given_name="Søren", family_name="Weiß")
    nguyen = make_member(given_name="Łucja", family_name="NGUYỄN")
    assert lookup.find("weiss soren") == lookup.find("WEISS") == lookup.find("Weiß") == [weiss]
    assert lookup.find("nguyen lucja") == lookup.find("nguyễn") == [nguyen]


def test_the_database_folds_every_letter_as_we_do() -> None:
    letters = [chr(code) for block in (range(0x20, 0x370), range(0x1E00, 0x1F00)) for code in block]
    letters += [*"小雨王İŒ", "O'Brien Zoë", ""]
    with connection.cursor() as cursor:
        cursor.execute("SELECT letter, members_fold(letter) FROM unnest(%s::text[]) AS letter", [letters])
        differing = [(letter, folded, fold(letter)) for letter, folded in cursor.fetchall() if folded != fold(letter)]
    assert differing == []


def test_digits_that_are_one_members_number_and_anothers_phone_find_both() -> None:
    by_number = make_member(number="M-0007660", phone="+8613900001111")
    by_phone = make_member(number="M-1", phone="+8613900007660")
    assert lookup.find("0007660") == [by_number, by_phone]


def test_exact_matches_come_before_what_only_begins_so() -> None:
    longer = make_member(number="M-12345", given_name="Li", family_name="Annabel", phone="")
    exact = make_member(number="M-123", given_name="Anna", family_name="Zhou", phone="")
    assert lookup.find("M-123") == [exact, longer]
    named = make_member(number="X-1", given_name="", family_name="Anna")
    assert lookup.find("anna") == [named, longer, exact]


def test_each_member_stands_once_and_no_more_than_the_limit() -> None:
    for number in range(6):
        make_member(number=f"wang{number}", external_id=f"wang{number}", email=f"wang{number}@example.com")
    assert len(lookup.find("wang", limit=20)) == 6
    assert len(lookup.find("wang", limit=4)) == 4


MANY_MEMBERS = """
INSERT INTO members_member (number, external_id, given_name, family_name, email, phone, gender, joined_at, status,
                            language, time_zone, attributes, created_at, updated_at)
SELECT 'M-' || lpad(i::text, 8, '0'), 'person-' || i, 'Xiaoyu ' || i, 'Wang', 'm' || i || '@example.com',
       '+86138' || lpad(i::text, 8, '0'), '', now(), 'active', 'zh-hans', '', '{}', now(), now()
  FROM generate_series(1, 2000) AS i
"""


@pytest.mark.parametrize(
    "text", ["M-0048 2113", "4471", "+86 138", "0138", "Wang X", "小雨", "müller", "w@x.cn", "crm-77"]
)
def test_every_branch_of_a_search_uses_an_index(text: str) -> None:
    query, params = lookup.search_sql(lookup.branches(text), limit=20)
    with connection.cursor() as cursor:
        # Of a few rows, or of what other tests left in the statistics, the planner would as soon read all.
        cursor.execute(MANY_MEMBERS)
        cursor.execute("ANALYZE members_member")
        for other_way in ("seqscan", "sort", "mergejoin", "hashjoin"):
            cursor.execute(f"SET LOCAL enable_{other_way} = off")
        cursor.execute(f"EXPLAIN (FORMAT JSON) {query}", params)
        plan = cursor.fetchone()[0]
    nodes = list(_nodes((json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"]))
    scans = [node for node in nodes if "Scan" in node["Node Type"] and "Relation Name" in node]
    assert len(scans) == len(lookup.branches(text)) + 1  # and the members that were found, by id
    for node in scans:
        assert node["Node Type"] in {"Index Scan", "Index Only Scan"}
        assert "Index Cond" in node, f"{node['Index Name']} is read from end to end"
        assert not any(other["Node Type"] == "Sort" and node in other.get("Plans", []) for other in nodes)


def _nodes(node: dict[str, Any]) -> list[dict[str, Any]]:
    return [node, *(below for child in node.get("Plans", []) for below in _nodes(child))]
