"""Refunds and interactions over the REST API."""

from typing import Any

import pytest

from loyalty import programme
from loyalty.models import Account
from members.models import Interaction, Member, Refund
from staff.models import AuditEntry
from tests.factories import make_member
from tests.over_http import Till

BOUGHT = "2026-05-30T18:20:00+08:00"
LATER = "2026-05-31T18:20:00+08:00"

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _programme() -> None:
    programme.ensure_defaults()


def buy(till: Till, member: Member, receipt: str = "R-1", **fields: Any) -> None:
    sold = {"member": member.number, "receipt": receipt, "purchased_at": BOUGHT, "amount": "100"} | fields
    assert till.post("purchases", sold).status_code == 201


def refund(**fields: Any) -> dict[str, Any]:
    return {"external_id": "X-1", "purchase": "R-1", "refunded_at": LATER} | fields


def balance(member: Member) -> int:
    return Account.objects.get(member=member).balance


def test_a_refund_takes_its_share_of_the_points_and_sent_twice_counts_once() -> None:
    member, till = make_member(), Till()
    buy(till, member)
    first, again = (till.post("refunds", refund(amount="30")) for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    body = first.json()
    assert (body["state"], body["member"], body["amount"], body["points_taken"]) == (
        "applied",
        member.number,
        "30.00",
        30,
    )
    assert balance(member) == 70
    assert till.get("purchases/R-1").json()["points"] == 70
    told = AuditEntry.objects.get(action="refund.record")
    assert (told.actor_label.split(" ")[0], told.detail["points"]) == ("Till", -30)


def test_a_refund_may_come_before_its_purchase() -> None:
    member, till = make_member(), Till()
    early = till.post("refunds", refund(amount="30"))
    assert (early.status_code, early.json()["state"], early.json()["member"]) == (201, "waiting", None)
    buy(till, member)
    assert balance(member) == 70


@pytest.mark.parametrize(
    ("fields", "code", "field"),
    [
        ({"amount": "100.01"}, "refund-more-than-left", "amount"),
        ({"amount": "0"}, "refund-not-positive", "amount"),
        ({"lines": [{"line_no": 1}]}, "refund-no-lines", "lines"),
        ({"currency": "EUR"}, "refund-currency", "currency"),
        ({"refunded_at": "2026-01-01T00:00:00Z"}, "refund-before-purchase", "refunded_at"),
        ({"refunded_at": "2090-01-01T00:00:00Z"}, "future", "refunded_at"),
    ],
)
def test_a_refund_that_cannot_be_made_says_why(fields: dict[str, Any], code: str, field: str) -> None:
    member, till = make_member(), Till()
    buy(till, member)
    refused = till.post("refunds", refund(**fields))
    assert (refused.status_code, refused.json()["code"]) == (422, code)
    assert refused.json()["errors"][0]["field"] == field
    assert not Refund.objects.exists()


def test_lines_are_refunded_by_number_and_the_id_with_other_content_is_refused() -> None:
    member, till = make_member(), Till()
    buy(till, member, lines=[{"sku": "A", "quantity": "2", "amount": "60"}, {"sku": "B", "amount": "40"}])
    done = till.post("refunds", refund(lines=[{"line_no": 1, "quantity": "1"}]))
    assert (done.json()["amount"], done.json()["points_taken"]) == ("30.00", 30)
    other = till.post("refunds", refund(lines=[{"line_no": 2}]))
    assert (other.status_code, other.json()["code"]) == (409, "differs")


def test_refunds_in_a_batch_follow_each_other() -> None:
    member, till = make_member(), Till()
    buy(till, member)
    body = {"refunds": [refund(external_id=f"X-{place}", amount="40") for place in range(3)]}
    answer = till.post("refunds/batch", body).json()
    assert [row["outcome"] for row in answer["results"]] == ["created", "created", "refused"]
    assert answer["results"][2]["problem"]["code"] == "refund-more-than-left"
    assert balance(member) == 20


def test_an_interaction_is_kept_once_under_its_own_id() -> None:
    member, till = make_member(), Till()
    did = {"external_id": "E-1", "member": member.number, "kind": "check-in", "occurred_at": BOUGHT}
    did |= {"properties": {"store": "Xujiahui", "minutes": 12, "first": True, "note": None}}
    assert [till.post("interactions", did).status_code for _ in range(2)] == [201, 200]
    assert till.post("interactions", did | {"kind": "review"}).json()["code"] == "differs"
    assert Interaction.objects.get().properties == did["properties"]


@pytest.mark.parametrize("properties", [{"a": [1]}, {"a": {"b": 1}}, {"a": "x" * 1001}, {str(n): 1 for n in range(51)}])
def test_properties_are_flat_and_bounded(properties: dict[str, Any]) -> None:
    did = {"member": make_member().number, "kind": "check-in", "occurred_at": BOUGHT, "properties": properties}
    assert Till().post("interactions", did).status_code == 400


def test_interactions_come_in_batches_too() -> None:
    member, till = make_member(), Till()
    did = {"member": member.number, "kind": "check-in", "occurred_at": BOUGHT}
    body = {"interactions": [did, did | {"member": "none"}, did | {"external_id": "E"}, did | {"external_id": "E"}]}
    answer = till.post("interactions/batch", body).json()
    assert [row["outcome"] for row in answer["results"]] == ["created", "refused", "created", "repeated"]
    assert Interaction.objects.count() == 2
