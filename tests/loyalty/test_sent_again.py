"""What comes again under its own id: the same however it is written, refused where anything of it is different."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from loyalty import programme, rewards
from loyalty.intake import PurchaseDiffers, RefundDiffers, record_purchase, record_refund
from loyalty.models import Entry, Reward
from members.models import Interaction, Member, Purchase, Refund
from tests.factories import make_member
from tests.members.imports import bring_in, refused, written
from tests.over_http import Till

BOUGHT = "2026-05-30T18:20:00+08:00"
LINES = [
    {"sku": "TEA-1", "product": "Tea", "brand": "Hill", "category": "tea", "quantity": "2", "amount": "80.50"},
    {"sku": "CUP", "amount": "29.50"},
]

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _programme() -> None:
    programme.ensure_defaults()


def sale(member: Member, **fields: Any) -> dict[str, Any]:
    return {
        "member": member.number,
        "receipt": "R-1",
        "purchased_at": BOUGHT,
        "amount": "100",
        "currency": "USD",
        "rate": "7.1",
        "channel": "web",
        "store": "Xujiahui",
        "category": "tea",
        "lines": LINES,
        "discount": "20",
        "charges": "10",
    } | fields


def paid_with(member: Member) -> int:
    """A redemption of the member that may have paid for a purchase."""
    wealth = {"receipt": "before", "lines": [], "discount": "0", "charges": "0"}
    Till().post("purchases", sale(member, **wealth))
    reward = Reward.objects.create(name="Voucher", points=5)
    return rewards.redeem(member_id=member.pk, reward_id=reward.pk, key="pays", user=None).pk


OTHERWISE: list[dict[str, Any]] = [
    {"rate": "7.2"},
    {"channel": "store"},
    {"store": "Jingan"},
    {"category": "coffee"},
    {"purchased_at": "2026-05-30T18:20:01+08:00"},
    {"lines": [LINES[0] | {"brand": "Dale"}, LINES[1]]},
    {"lines": [LINES[0] | {"product": "Green tea"}, LINES[1]]},
    {"lines": [LINES[0] | {"category": "hot"}, LINES[1]]},
    {"lines": [LINES[0] | {"amount": "70.50"}, LINES[1]], "discount": "10"},
    {"redemptions": []},
]


@pytest.mark.parametrize("change", OTHERWISE, ids="-".join)
def test_a_receipt_that_comes_again_with_anything_else_is_refused(change: dict[str, Any]) -> None:
    member, till = make_member(), Till()
    sold = sale(member, redemptions=[paid_with(member)])
    assert till.post("purchases", sold).status_code == 201
    again = till.post("purchases", sold | change)
    assert (again.status_code, again.json()["code"], again.json()["errors"][0]["field"]) == (409, "differs", "receipt")
    assert Purchase.objects.count() == 2


def test_a_receipt_that_comes_again_written_otherwise_is_the_same() -> None:
    member, till = make_member(external_id="CRM-1"), Till()
    assert till.post("purchases", sale(member)).status_code == 201
    otherwise = {
        "member": "ext:CRM-1",
        "purchased_at": "2026-05-30T10:20:00.000Z",
        "amount": "100.00",
        "rate": "7.10000000",
        "discount": "20.0",
        "lines": [{"line_no": 2, **LINES[1], "quantity": "1"}, {"line_no": 1, **LINES[0], "quantity": "2.000"}],
        "redemptions": [],
    }
    again = till.post("purchases", sale(member) | otherwise)
    assert (again.status_code, again.json()["points"]) == (200, 710)
    assert Purchase.objects.count() == 1


def test_a_batch_refuses_receipts_that_come_again_with_anything_else() -> None:
    member, till = make_member(), Till()
    sold = sale(member)
    inside = {"purchases": [sold, sold, sold | {"store": "Jingan"}]}
    assert [one["outcome"] for one in till.post("purchases/batch", inside).json()["results"]] == [
        "created",
        "repeated",
        "refused",
    ]
    later = {"purchases": [sold | {"amount": "100.0"}, sold | {"rate": "7.2"}]}
    assert [one["outcome"] for one in till.post("purchases/batch", later).json()["results"]] == ["repeated", "refused"]


def test_purchases_from_before_there_were_hashes_are_compared_by_what_is_stored() -> None:
    member, till = make_member(), Till()
    sold = sale(member, redemptions=[paid_with(member)])
    till.post("purchases", sold)
    Purchase.objects.update(input_hash=None)
    assert till.post("purchases", sold).status_code == 200
    assert till.post("purchases", sold | {"amount": "100.00"}).status_code == 200
    seen = [change for change in OTHERWISE if "discount" not in change]
    assert {till.post("purchases", sold | change).status_code for change in seen} == {409}


def test_a_purchase_from_before_there_were_hashes_does_not_come_again_with_another_receipt() -> None:
    sold = {"member_id": make_member().pk, "key": "K", "purchased_at": timezone.now(), "amount": Decimal(10)}
    record_purchase(**sold, receipt="R-1")
    Purchase.objects.update(input_hash=None)
    assert not record_purchase(**sold, receipt="R-1").is_new
    with pytest.raises(PurchaseDiffers):
        record_purchase(**sold, receipt="R-2")


def test_a_refund_does_not_come_again_with_another_id_of_yours() -> None:
    asked = {"key": "K", "purchase_key": "unseen", "refunded_at": timezone.now()}
    record_refund(**asked, external_id="X-1")
    assert not record_refund(**asked, external_id="X-1").is_new
    with pytest.raises(RefundDiffers):
        record_refund(**asked, external_id="X-2")


def test_a_receipt_that_a_file_brought_is_the_same_from_the_till_that_says_more(tmp_path: Path) -> None:
    member, till = make_member(), Till()
    path = written(tmp_path, f"receipt,person,time,amount,channel\nR-1,{member.number},{BOUGHT},100,web\n")
    bring_in("purchases", path)
    plain = {"member": member.number, "receipt": "R-1", "purchased_at": BOUGHT, "amount": "100"}
    assert till.post("purchases", plain | {"channel": "web", "store": "Jingan"}).status_code == 200
    assert till.post("purchases", plain | {"channel": "store"}).status_code == 409
    assert Entry.objects.count() == 1


def test_a_file_is_refused_where_it_says_something_else_than_the_till(tmp_path: Path) -> None:
    member, till = make_member(), Till()
    plain = {"member": member.number, "receipt": "R-1", "purchased_at": BOUGHT, "amount": "100", "store": "Jingan"}
    till.post("purchases", plain)
    head = "receipt,person,time,amount,store\n"
    row = f"R-1,{member.number},{BOUGHT},100.00"
    bring_in("purchases", written(tmp_path, f"{head}{row},\n"))
    bring_in("purchases", written(tmp_path, f"{head}{row},Jingan\n"))
    assert Purchase.objects.count() == 1
    _sentence, errors = refused("purchases", written(tmp_path, f"{head}{row},Xujiahui\n"))
    assert [error["reason"] for error in errors] == ["this receipt is already there with other content"]


@pytest.mark.parametrize(
    "change", [{"refunded_at": "2026-06-02T09:00:00Z"}, {"reason": "late"}, {"amount": "11"}, {"currency": "CNY"}]
)
def test_a_refund_that_comes_again_with_anything_else_is_refused(change: dict[str, str], tmp_path: Path) -> None:
    member, till = make_member(), Till()
    till.post("purchases", {"member": member.number, "receipt": "R-1", "purchased_at": BOUGHT, "amount": "100"})
    asked = {"external_id": "X-1", "purchase": "R-1", "refunded_at": "2026-06-01T09:00:00Z", "amount": "10"}
    assert till.post("refunds", asked).status_code == 201
    same = {"amount": "10.00", "refunded_at": "2026-06-01T17:00:00+08:00"}
    assert till.post("refunds", asked | same).status_code == 200
    assert till.post("refunds", asked | change).status_code == 409
    told = {"currency": "", "reason": ""} | asked | change
    head = "refund,receipt,time,amount,currency,reason\n"
    columns = ("external_id", "purchase", "refunded_at", "amount", "currency", "reason")
    _sentence, errors = refused("refunds", written(tmp_path, head + ",".join(told[name] for name in columns) + "\n"))
    assert [error["reason"] for error in errors] == ["this refund is already there with other content"]
    assert Refund.objects.count() == 1


@pytest.mark.parametrize(
    "change",
    [{"kind": "review"}, {"channel": "app"}, {"properties": {"stars": 4}}, {"occurred_at": "2026-06-02T09:00:00Z"}],
)
def test_an_interaction_that_comes_again_with_anything_else_is_refused(change: dict[str, Any]) -> None:
    member, till = make_member(), Till()
    did = {"external_id": "E-1", "member": member.number, "kind": "check-in", "occurred_at": "2026-06-01T09:00:00Z"}
    did |= {"channel": "web", "properties": {"stars": 5}}
    assert till.post("interactions", did).status_code == 201
    same = {"properties": {"stars": 5.0}, "occurred_at": "2026-06-01T17:00:00+08:00"}
    assert till.post("interactions", did | same).status_code == 200
    assert till.post("interactions", did | change).status_code == 409
    assert Interaction.objects.count() == 1


def test_a_number_that_is_stored_as_a_whole_one_is_the_same_again() -> None:
    member, till = make_member(), Till()
    did = {"external_id": "E-1", "member": member.number, "kind": "review", "occurred_at": "2026-06-01T09:00:00Z"}
    assert till.post("interactions", did | {"properties": {"far": 1e23}}).status_code == 201
    assert till.post("interactions", did | {"properties": {"far": 1e23}}).status_code == 200
    assert till.post("interactions", did | {"properties": {"far": 2e23}}).status_code == 409
