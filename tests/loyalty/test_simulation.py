"""Rules tried out with interactions and survey answers: the page says what intake would give, to both members."""

import html
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.test import Client
from django.urls import reverse

from loyalty import programme, rules
from loyalty.intake import record_answer, record_interaction, record_purchase
from loyalty.models import Account, CapUse, EarningRule, Entry, RuleVersion
from loyalty.rules import simulation, starters
from members.models import Interaction, Member
from staff.permissions import Role
from tests.factories import make_interaction, make_member, make_response, make_user
from tests.loyalty.test_earning import in_force

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 6, 1, 4, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _now() -> object:
    programme.ensure_defaults()
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def member() -> Member:
    return make_member(number="M-1", given_name="Lan", family_name="Chen")


@pytest.fixture
def friend() -> Member:
    return make_member(number="M-2", given_name="Bo", family_name="Li")


@pytest.fixture
def desk() -> Client:
    return signed_in(Role.MARKETING_MANAGER)


def signed_in(role: Role) -> Client:
    client = Client()
    client.force_login(make_user(role))
    return client


def simulated(client: Client, **asked: str) -> str:
    response = client.get(reverse("loyalty:rules-simulate"), asked)
    assert response.status_code == 200
    return html.unescape(response.content.decode())


def by_rule(client: Client, **asked: str) -> dict[str, list[tuple[int, int | None] | None]]:
    """Of each rule its own points and the other member's, column by column."""
    result = client.get(reverse("loyalty:rules-simulate"), asked).context["result"]
    return {
        row.name: [cell and (cell.own.points, cell.other.points if cell.other else None) for cell in row.cells]
        for row in result["rows"]
    }


def referrals(**more: Any) -> None:
    in_force("Referral", **(starters.find("referral").definition | more))


def a_draft(key: str, **more: Any) -> RuleVersion:
    rule = EarningRule.objects.create(name="The draft")
    return rules.draft(rule, definition=starters.find(key).definition | more, user=None)


def a_referral(**more: str) -> dict[str, str]:
    return {"event": "interaction", "kind": "referral", "property1-name": "referred"} | more


def test_a_made_up_referral_shows_what_both_would_get_and_writes_nothing(
    desk: Client, member: Member, friend: Member
) -> None:
    referrals()
    asked = a_referral(member="M-1", **{"property1-value": "M-2"})
    assert by_rule(desk, **asked) == {"Referral": [(200, 300)]}
    shown = simulated(desk, **asked)
    assert "It earns 200 points." in shown
    assert "The other member is Bo Li (M-2)." in shown
    assert not Entry.objects.exists() | CapUse.objects.exists() | Interaction.objects.exists()
    recorded = record_interaction(
        member_id=member.pk, key="k", kind="referral", occurred_at=NOW, properties={"referred": "M-2"}
    )
    assert [Account.objects.get(member=one).balance for one in (member, friend)] == [200, 300]
    real = {"event": "interaction", "member": "M-1", "real": str(recorded.interaction.pk)}
    assert by_rule(desk, **real) == {"Referral": [(200, 300)]}


@pytest.mark.parametrize(
    ("number", "said"),
    [("M-9", "Nobody has the number “M-9”"), ("M-1", "“M-1” is the same member")],
)
def test_a_number_that_names_no_other_member_is_said(desk: Client, member: Member, number: str, said: str) -> None:
    referrals()
    asked = a_referral(member="M-1", **{"property1-value": number})
    assert by_rule(desk, **asked) == {"Referral": [(200, None)]}
    assert said in simulated(desk, **asked)


def test_a_full_limit_of_the_other_member_stands_beside_what_the_first_gets(
    desk: Client, member: Member, friend: Member
) -> None:
    referrals(caps=[{"per": "month", "of": "member", "points": 300}])
    record_interaction(
        member_id=make_member().pk, key="k", kind="referral", occurred_at=NOW, properties={"referred": "M-2"}
    )
    asked = a_referral(member="M-1", **{"property1-value": "M-2"})
    assert by_rule(desk, **asked) == {"Referral": [(200, 0)]}
    assert "The other member gets nothing." in simulated(desk, **asked)


def test_a_real_referral_leaves_its_own_part_of_a_shared_limit_out(
    desk: Client, member: Member, friend: Member
) -> None:
    referrals(caps=[{"per": "total", "of": "programme", "points": 900}])
    for key, number in (("a", "M-2"), ("b", "M-2")):
        record_interaction(
            member_id=member.pk, key=key, kind="referral", occurred_at=NOW, properties={"referred": number}
        )
    # The first took 500 of the 900, the second the 400 that were left.
    for key in ("a", "b"):
        pk = Interaction.objects.get(key=key).pk
        real = {"event": "interaction", "member": "M-1", "real": str(pk)}
        given = 500 if key == "a" else 400
        [[both]] = by_rule(desk, **real).values()
        assert both is not None
        assert sum(filter(None, both)) == given


def test_a_made_up_check_in_is_reckoned_within_what_is_left_of_its_day(desk: Client, member: Member) -> None:
    in_force("Check-in", **starters.find("check-in").definition)
    asked = {"event": "interaction", "kind": "check-in", "member": "M-1"}
    assert by_rule(desk, **asked) == {"Check-in": [(10, None)]}
    record_interaction(member_id=member.pk, key="k", kind="check-in", occurred_at=NOW)
    assert by_rule(desk, **asked) == {"Check-in": [(0, None)]}
    tomorrow = asked | {"at": "2026-06-02T12:30"}
    assert by_rule(desk, **tomorrow) == {"Check-in": [(10, None)]}


def test_any_kind_with_properties_is_tried_against_a_draft(desk: Client) -> None:
    far = {"fact": "interaction.property_number", "op": "gte", "value": 5, "name": "km"}
    walk = {"all": [{"fact": "interaction.kind", "op": "in", "value": ["walk"]}, far]}
    draft = a_draft("check-in", when=walk, caps=[])
    asked = {"version": str(draft.pk), "kind": "walk", "property2-name": "km", "property2-value": "7.5"}
    assert "10 points with “The draft”, 10 more than the 0 of today." in simulated(desk, **asked)
    assert by_rule(desk, **asked | {"property2-value": "4"}) == {"The draft": [None, (0, None)]}
    assert "Name: Give the property a name." in simulated(desk, **asked | {"property2-name": ""})


def test_a_survey_answer_is_tried_made_up_and_real(desk: Client, member: Member) -> None:
    low = {"all": [{"fact": "survey.score", "op": "lte", "value": 6}]}
    draft = a_draft("survey", when=low)
    in_force("Every answer", **starters.find("survey").definition)
    asked = {"version": str(draft.pk), "member": "M-1", "survey": "nps", "score": "5"}
    assert by_rule(desk, **asked) == {"Every answer": [(20, None), (20, None)], "The draft": [None, (20, None)]}
    assert "Asked: the score is at most 6. It is 9." in simulated(desk, **asked | {"score": "9"})
    assert 'id="id_score_error"><span>' in simulated(desk, **asked | {"score": "11"})
    recorded = record_answer(key="k", member_id=member.pk, survey="nps", score=5, answered_at=NOW)
    # What it used of this month's limit itself does not count against it.
    real = {"version": str(draft.pk), "member": "M-1", "real": str(recorded.answer.pk)}
    assert by_rule(desk, **real) == {"Every answer": [(20, None), (20, None)], "The draft": [None, (20, None)]}
    assert by_rule(desk, **asked)["Every answer"] == [(0, None), (0, None)]


def test_only_what_the_member_did_of_this_kind_can_be_chosen(desk: Client, member: Member, friend: Member) -> None:
    referrals()
    mine, theirs = make_interaction(member, kind="review"), make_interaction(friend, kind="share")
    make_response(member, answered_at=None)
    shown = simulated(desk, event="interaction", member="M-1")
    assert (f'value="{mine.pk}"' in shown, f'value="{theirs.pk}"' in shown) == (True, False)
    assert "Nothing to reckon yet" in simulated(desk, event="interaction", member="M-1", real=str(theirs.pk))
    assert "This member has not answered a survey yet." in simulated(desk, event="survey", member="M-1")


def test_who_may_not_see_members_cannot_find_out_who_has_a_number(member: Member, friend: Member) -> None:
    referrals()
    executive = signed_in(Role.EXECUTIVE)
    said = []
    for number in ("M-2", "M-9"):
        asked = a_referral(**{"property1-value": number})
        assert by_rule(executive, **asked) == {"Referral": [(200, None)]}
        said.append(executive.get(reverse("loyalty:rules-simulate"), asked).context["result"]["notes"])
    assert said[0] == said[1] != []


def test_the_draft_decides_which_event_the_page_opens_with(desk: Client) -> None:
    for key, kind in (("referral", "interaction"), ("survey", "survey"), ("per-unit", "purchase")):
        rule = EarningRule.objects.create(name=key)
        draft = rules.draft(rule, definition=starters.find(key).definition, user=None)
        opened = desk.get(reverse("loyalty:rules-simulate"), {"version": str(draft.pk)})
        assert (opened.context["kind"], opened.context["version"]) == (kind, draft)
        other = desk.get(reverse("loyalty:rules-simulate"), {"version": str(draft.pk), "event": "survey"})
        assert other.context["version"] == (draft if kind == "survey" else None)


def test_an_answer_of_an_unknown_day_is_no_event(member: Member) -> None:
    with pytest.raises(ValueError, match="nobody knows when"):
        simulation.event_of(make_response(member, answered_at=None))


def test_what_a_prospect_did_is_reckoned_the_same_after_they_have_bought(member: Member) -> None:
    prospects = {"fact": "member.lifecycle", "op": "in", "value": ["prospect"]}
    in_force("Curious", {"type": "fixed", "points": 7}, event="interaction", when=prospects)
    recorded = record_interaction(member_id=member.pk, key="k", kind="check-in", occurred_at=NOW - timedelta(days=2))
    record_purchase(member_id=member.pk, key="p", purchased_at=NOW - timedelta(days=1), amount=Decimal(5))
    event = simulation.event_of(recorded.interaction)
    found = simulation.simulate(event, member, simulation.beside(None, event.occurred_at), recorded.interaction)
    assert found.points == sum(entry.points for entry in recorded.entries) == 7
