"""Quotes, adjustments, rewards and redemptions over the REST API."""

from collections import Counter
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.utils import timezone
from pytest_django.live_server_helper import LiveServer

from loyalty import ledger, programme
from loyalty.models import Account, Entry, Redemption, Reward
from loyalty.rule_models import CapUse
from members.models import Member, Purchase
from staff.models import ApiKey, Approval, AuditEntry
from staff.permissions import Scope
from tests.factories import make_member, make_segment
from tests.loyalty.test_earning import in_force
from tests.over_http import Till, all_at_once, bearer, post

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _programme() -> None:
    programme.ensure_defaults()


def rich(points: int = 100) -> Member:
    member = make_member()
    ledger.award(member_id=member.pk, points=points, key=f"w{member.pk}", occurred_at=timezone.now(), explanation={})
    return member


def balance(member: Member) -> int:
    return Account.objects.get(member=member).balance


def test_a_quote_says_what_a_basket_would_earn_and_why_and_leaves_nothing_behind() -> None:
    member, till = make_member(), Till()
    answer = till.post("quotes", {"member": member.number, "amount": "128.50"})
    assert answer.status_code == 200
    body = answer.json()
    assert (body["points"], body["value"]) == (128, "128.50")
    assert body["earnings"][0]["details"]
    assert not Purchase.objects.exists()
    assert not Entry.objects.exists()
    assert not CapUse.objects.exists()


def test_a_quote_says_which_rules_give_nothing_and_which_limits_cut() -> None:
    amount = {"fact": "purchase.amount", "op": "gte", "value": 500}
    per_unit = {"type": "per_amount", "points": "1", "per": "1"}
    in_force("Large ones", per_unit, when=amount)
    in_force("Capped", per_unit, caps=[{"per": "day", "points": 100}])
    in_force("Used up", per_unit, caps=[{"per": "purchase", "points": 20}], stacking={"mode": "best", "group": "g"})
    in_force("Best", {"type": "fixed", "points": 50}, stacking={"mode": "best", "group": "g"})
    member, till = make_member(), Till()
    basket = {"member": member.number, "amount": "60.00"}
    till.post("purchases", basket | {"receipt": "R", "purchased_at": timezone.now().isoformat()})
    body = till.post("quotes", basket).json()
    assert {one["rule"]: one["points"] for one in body["earnings"]} == {programme.RULE: 60, "Capped": 40, "Best": 50}
    [capped] = [one for one in body["earnings"] if one["rule"] == "Capped"]
    assert "cut by the cap of 100 points a day for each member: 40 were left" in capped["details"]
    assert body["not_earned"] == [
        {"rule": "Large ones", "reasons": ["Asked: the amount is at least ¥500. It is ¥60."]},
        {"rule": "Used up", "reasons": ["“Best” of the same group gives more."]},
    ]
    till.post("purchases", basket | {"receipt": "S", "purchased_at": timezone.now().isoformat()})
    refused = {one["rule"]: one["reasons"] for one in till.post("quotes", basket).json()["not_earned"]}
    assert refused["Capped"] == ["Limit: at most 100 points per member and day; used before: 100."]
    assert Entry.objects.filter(member=member).count() == 6


def test_a_quote_tells_what_is_personal_only_to_keys_that_may_know_it() -> None:
    in_force("Of age", {"type": "fixed", "points": 5}, when={"fact": "member.age", "op": "gte", "value": 60})
    in_force(
        "Students",
        {"type": "fixed", "points": 5},
        when={"fact": "member.segment", "op": "in", "value": [str(make_segment("Students", members=[]).pk)]},
    )
    member = make_member(birth_date=timezone.localdate() - timedelta(days=15_000))
    make_segment("Owes money", members=[member])
    asked = {"member": member.number, "amount": "10.00"}
    told = {
        scopes: {one["rule"]: one["reasons"] for one in Till(*scopes).post("quotes", asked).json()["not_earned"]}
        for scopes in ((Scope.QUOTES_READ,), (Scope.QUOTES_READ, Scope.MEMBERS_CONTACTS))
    }
    few, many = told.values()
    assert "It is 41" in many["Of age"][0]
    assert "Owes money" in many["Students"][0]
    assert few["Of age"] == ["Not fulfilled: the member's age is at least 60."]
    assert "Owes money" not in few["Students"][0]


def test_a_quote_said_again_tells_nothing_personal_once_the_scope_is_gone() -> None:
    in_force("Of age", {"type": "fixed", "points": 5}, when={"fact": "member.age", "op": "gte", "value": 60})
    member = make_member(birth_date=timezone.localdate() - timedelta(days=15_000))
    till, asked = Till(Scope.QUOTES_READ, Scope.MEMBERS_CONTACTS), {"member": member.number, "amount": "10.00"}
    first = till.post("quotes", asked, key="one").json()
    assert "It is 41" in first["not_earned"][0]["reasons"][0]
    assert till.post("quotes", asked, key="one").json() == first
    ApiKey.objects.update(scopes=[Scope.QUOTES_READ])
    again = till.post("quotes", asked, key="one")
    assert again.headers["Idempotent-Replay"] == "true"
    assert again.json() == first | {"not_earned": [{"rule": "Of age", "reasons": []}]}


def test_a_quote_is_what_the_purchase_then_earns() -> None:
    member, till = make_member(), Till()
    basket = {"member": member.number, "amount": "77.70", "lines": [{"amount": "80.00"}], "discount": "2.30"}
    quoted = till.post("quotes", basket).json()["points"]
    bought = till.post("purchases", basket | {"receipt": "R", "purchased_at": timezone.now().isoformat()})
    assert bought.json()["points"] == quoted == 77


def test_points_are_given_and_taken_with_a_reason() -> None:
    member, till = rich(), Till()
    given = till.post(f"members/{member.number}/points/adjustments", {"points": 30, "reason": "goodwill"})
    assert (given.status_code, given.json()["state"], given.json()["entry"]["points"]) == (201, "done", 30)
    till.post(f"members/{member.number}/points/adjustments", {"points": -50, "reason": "fraud"})
    assert balance(member) == 80
    assert AuditEntry.objects.filter(action="points.adjust", actor_label__startswith="Till").count() == 2


def test_above_the_limit_somebody_at_the_desk_decides() -> None:
    member, till = rich(), Till()
    asked = till.post(f"members/{member.number}/points/adjustments", {"points": 1001, "reason": "goodwill"})
    assert (asked.status_code, asked.json()["state"]) == (202, "waiting")
    assert Approval.objects.get().pk == asked.json()["approval"]
    assert balance(member) == 100


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"points": 0, "reason": "goodwill"}, "no-points"),
        ({"points": 10, "reason": "because"}, "unknown-reason"),
        ({"points": -101, "reason": "fraud"}, "insufficient-points"),
    ],
)
def test_an_adjustment_that_cannot_be_made_is_refused(body: dict[str, Any], code: str) -> None:
    member = rich()
    refused = Till().post(f"members/{member.number}/points/adjustments", body)
    assert (refused.status_code, refused.json()["code"]) == (422, code)
    assert balance(member) == 100


def test_a_day_has_its_limit_for_each_key() -> None:
    member, till = rich(), Till()
    address = f"members/{member.number}/points/adjustments"
    answers = [till.post(address, {"points": 1000, "reason": "goodwill"}) for _ in range(6)]
    assert [answer.status_code for answer in answers] == [201] * 5 + [422]
    assert answers[-1].json()["code"] == "day-limit"
    assert Till().post(address, {"points": 1000, "reason": "goodwill"}).status_code == 201


def test_a_reward_is_reserved_confirmed_and_cancelled() -> None:
    member, till = rich(), Till()
    reward = Reward.objects.create(name="Coffee", points=60, stock=1)
    assert [row["title"] for row in till.get("rewards").json()["results"]] == ["Coffee"]
    reserved = till.post("redemptions", {"member": member.number, "reward": reward.pk})
    assert (reserved.status_code, reserved.json()["state"]) == (201, "reserved")
    address = f"redemptions/{reserved.json()['id']}"
    assert till.client.get(reserved["Location"]).json() == reserved.json()
    assert [till.post(f"{address}/confirm", {}).json()["state"] for _ in range(2)] == ["confirmed"] * 2
    assert balance(member) == 40
    assert till.post(f"{address}/cancel", {}).json()["state"] == "cancelled"
    assert balance(member) == 100
    late = till.post(f"{address}/confirm", {})
    assert (late.status_code, late.json()["code"]) == (409, "wrong-state")


@pytest.mark.parametrize(
    ("body", "reward", "status", "code"),
    [
        ({}, {"points": 101}, 422, "insufficient-points"),
        ({}, {"points": 10, "stock": 0}, 409, "out-of-stock"),
        ({}, {"points": 10, "active": False}, 422, "not-offered"),
        ({"points": 9}, {"points": 10}, 409, "price-changed"),
        ({"reward": 2**62}, {"points": 10}, 404, "unknown-reward"),
        ({"member": "none"}, {"points": 10}, 404, "unknown-member"),
    ],
)
def test_what_cannot_be_redeemed_is_refused(
    body: dict[str, Any], reward: dict[str, Any], status: int, code: str
) -> None:
    member = rich()
    offered = Reward.objects.create(name="Coffee", **reward)
    refused = Till().post("redemptions", {"member": member.number, "reward": offered.pk} | body)
    assert (refused.status_code, refused.json()["code"]) == (status, code)
    assert balance(member) == 100
    assert not Redemption.objects.exists()


@pytest.mark.parametrize("pk", ["0", "x", "²", "9" * 30])
def test_a_redemption_that_is_not_there_is_not_found(pk: str) -> None:
    assert Till().get(f"redemptions/{pk}").status_code == 404


@pytest.mark.django_db(transaction=True)
def test_twenty_redemptions_at_once_take_no_more_than_there_is(live_server: LiveServer) -> None:
    member = rich(100)
    reward = Reward.objects.create(name="Coffee", points=30, stock=5)
    address, authorization = f"{live_server.url}/api/v1/redemptions/", bearer()
    body = {"member": member.number, "reward": reward.pk}
    found = all_at_once(*[partial(post, address, authorization, body, key=f"r{place}") for place in range(20)])
    assert Counter(answer.status for answer in found) == {201: 3, 422: 17}
    assert balance(member) == 10
