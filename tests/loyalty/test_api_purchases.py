"""Purchases, points and tiers over the REST API."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django.live_server_helper import LiveServer

from loyalty import ledger, programme, rewards, rules
from loyalty.models import Account, EarningRule, Entry, Reward, RuleVersion
from members.models import Member, Purchase
from staff.permissions import Scope
from tests.factories import make_member
from tests.over_http import Till, all_at_once, bearer, post

NOW = datetime(2026, 6, 1, 4, 0, tzinfo=UTC)
BOUGHT = "2026-05-30T18:20:00+08:00"
REFUNDED = "2026-05-31T18:20:00+08:00"

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _programme() -> None:
    programme.ensure_defaults()


def sale(member: Member, receipt: str = "R-1", amount: str = "128.50", **fields: Any) -> dict[str, Any]:
    return {"member": member.number, "receipt": receipt, "purchased_at": BOUGHT, "amount": amount} | fields


def test_a_purchase_is_taken_in_earns_and_is_read_again() -> None:
    member, till = make_member(), Till()
    made = till.post("purchases", sale(member, store="Xujiahui", lines=[{"sku": "A", "amount": "128.50"}]))
    assert made.status_code == 201
    body = made.json()
    assert (body["key"], body["member"], body["value"], body["points"]) == ("R-1", member.number, "128.50", 128)
    assert [line["sku"] for line in body["lines"]] == ["A"]
    assert till.get("purchases/R-1/").json() == body
    assert till.get(f"members/{member.number}/points").json()["available"] == 128


def test_a_member_is_named_by_number_or_by_outside_id() -> None:
    make_member(external_id="CRM-77a9", number="M-1")
    till = Till()
    sold = {"member": "ext:CRM-77a9", "receipt": "R-1", "purchased_at": BOUGHT, "amount": "10"}
    assert till.post("purchases", sold).json()["member"] == "M-1"
    assert till.get("members/ext:CRM-77a9").json()["number"] == "M-1"
    assert till.get("purchases", member="ext:CRM-77a9").json()["results"][0]["receipt"] == "R-1"


def test_a_receipt_sent_under_another_key_is_taken_in_once() -> None:
    member, till = make_member(), Till()
    assert [till.post("purchases", sale(member)).status_code for _ in range(2)] == [201, 200]
    changed = till.post("purchases", sale(member, amount="129.00"))
    assert (changed.status_code, changed.json()["code"]) == (409, "differs")
    assert Entry.objects.count() == 1


def test_without_a_receipt_the_key_of_the_request_guards_the_purchase_for_ever() -> None:
    member, till = make_member(), Till()
    sold = sale(member)
    del sold["receipt"]
    assert till.post("purchases", sold, key="one").status_code == 201
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM staff_idempotentrequest")
    assert till.post("purchases", sold, key="one").status_code == 200
    assert till.post("purchases", sold, key="two").status_code == 201
    assert Purchase.objects.count() == 2


@pytest.mark.parametrize(
    ("fields", "status", "code", "field"),
    [
        ({"member": "none"}, 404, "unknown-member", "member"),
        ({"purchased_at": "2090-01-01T00:00:00Z"}, 422, "future", "purchased_at"),
        ({"purchased_at": "0001-01-01T00:00:00Z"}, 422, "out-of-range", "purchased_at"),
        ({"currency": "EUR"}, 422, "rate-missing", "rate"),
        ({"amount": "99999999999.99", "currency": "EUR", "rate": "999999999"}, 422, "too-large", "amount"),
        ({"lines": [{"amount": "1"}]}, 422, "lines-sum", "amount"),
        ({"amount": 128.5}, 400, "not_decimal", "amount"),
        ({"amount": "-1"}, 400, "not_decimal", "amount"),
        ({"amount": "1e3"}, 400, "not_decimal", "amount"),
        ({"amount": "1.234"}, 400, "not_decimal", "amount"),
        ({"purchased_at": "2026-05-30T18:20:00"}, 400, "not_a_time", "purchased_at"),
        ({"purchased_at": 1780000000}, 400, "not_a_time", "purchased_at"),
        ({"member": 7}, 400, "not_text", "member"),
        ({"points": 1_000_000}, 400, "unknown", "points"),
        ({"lines": [{"amount": "1", "price": "2"}]}, 400, "unknown", "lines.0.price"),
        ({"lines": [{"amount": "1", "line_no": True}]}, 400, "not_whole", "lines.0.line_no"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_written(
    fields: dict[str, Any], status: int, code: str, field: str
) -> None:
    refused = Till().post("purchases", sale(make_member()) | fields)
    body = refused.json()
    assert (refused.status_code, refused["Content-Type"]) == (status, "application/problem+json")
    assert [(fault["field"], fault["code"]) for fault in body["errors"]] == [(field, code)]
    assert not Purchase.objects.exists()


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b'{"member": "a\\u0000b"}', "application/json", 400),
        (b'{"member": "\\ud800"}', "application/json", 400),
        (b'{"amount": NaN}', "application/json", 400),
        (b'{"amount": 1e999}', "application/json", 400),
        (b'{"amount": ' + b"9" * 5000 + b"}", "application/json", 400),
        (b'{"a": 1, "a": 2}', "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b'{"lines": ' + b"[" * 50 + b"]" * 50 + b"}", "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b"", "application/json", 400),
        (b"[]", "application/json", 400),
        (b"null", "application/json", 400),
        (b"member=1", "application/x-www-form-urlencoded", 415),
        (b" " * (5 * 1024**2 + 1), "application/json", 413),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_what_cannot_be_read_is_refused_and_is_no_error_of_ours(body: bytes, kind: str, status: int) -> None:
    till = Till()
    answer = till.client.post("/api/v1/purchases/", body, kind, headers={"Idempotency-Key": "one"})
    assert (answer.status_code, answer["Content-Type"]) == (status, "application/problem+json"), answer.content


def test_answers_are_json_only() -> None:
    answer = Till().client.get("/api/v1/tiers/", headers={"Accept": "text/csv"})
    assert (answer.status_code, answer["Content-Type"]) == (406, "application/problem+json")


def test_a_batch_says_of_each_what_came_of_it_and_what_is_refused_leaves_the_others_alone() -> None:
    member, other, till = make_member(), make_member(), Till()
    till.post("purchases", sale(member, "R-1", "100"))
    answer = till.post(
        "purchases/batch",
        {
            "purchases": [
                sale(member, "R-1", "100"),
                sale(member, "R-2", "50"),
                sale(member, "R-1", "101"),
                sale(other, "R-3", "70") | {"member": "none"},
                sale(other, "R-4", "70") | {"purchased_at": "2090-01-01T00:00:00Z"},
                sale(other, "R-2", "50"),
                sale(other, "R-5", "70.40"),
                sale(other, "R-5", "70.40"),
            ]
        },
    )
    assert answer.status_code == 200
    body = answer.json()
    assert (body["created"], body["repeated"], body["refused"]) == (2, 2, 4)
    told = [(row["outcome"], row["problem"] and row["problem"]["code"]) for row in body["results"]]
    assert told == [
        ("repeated", None),
        ("created", None),
        ("refused", "differs"),
        ("refused", "unknown-member"),
        ("refused", "future"),
        ("refused", "differs"),
        ("created", None),
        ("repeated", None),
    ]
    assert [row["item"] and row["item"]["points"] for row in body["results"]] == [
        100,
        50,
        None,
        None,
        None,
        None,
        70,
        70,
    ]
    assert dict(Account.objects.values_list("member_id", "balance")) == {member.pk: 150, other.pk: 70}


def test_a_batch_that_does_not_fit_the_description_is_refused_as_a_whole() -> None:
    member, till = make_member(), Till()
    refused = till.post("purchases/batch", {"purchases": [sale(member, "R-1"), sale(member, "R-2", amount="x")]})
    assert refused.status_code == 400
    assert refused.json()["errors"][0]["field"] == "purchases.1.amount"
    assert till.post("purchases/batch", {"purchases": []}).status_code == 400
    assert till.post("purchases/batch", {"purchases": [sale(member)] * 1001}).status_code == 400
    assert not Purchase.objects.exists()


def test_a_batch_sent_twice_counts_once() -> None:
    member, till = make_member(), Till()
    sold = sale(member)
    del sold["receipt"]
    batch = {"purchases": [sold, sold]}
    first, again = (till.post("purchases/batch", batch, key="one") for _ in range(2))
    assert first.content == again.content
    assert first.json()["created"] == Purchase.objects.count() == 2


@pytest.mark.django_db(transaction=True)
def test_twenty_tills_that_send_the_same_receipt_at_once_are_counted_once(live_server: LiveServer) -> None:
    member = make_member()
    sends = [
        partial(post, f"{live_server.url}/api/v1/purchases/", bearer(Scope.PURCHASES_WRITE), sale(member), key="k")
        for _ in range(20)
    ]
    assert Counter(answer.status for answer in all_at_once(*sends)) == {201: 1, 200: 19}
    assert Account.objects.get(member=member).balance == 128


@pytest.mark.django_db(transaction=True)
def test_batches_that_touch_the_same_members_in_other_orders_do_not_block_each_other(live_server: LiveServer) -> None:
    members = [make_member() for _ in range(10)]
    address, authorization = f"{live_server.url}/api/v1/purchases/batch/", bearer()
    batches = [
        {"purchases": [sale(member, f"R-{batch}-{member.pk}", "10") for member in (members, members[::-1])[batch % 2]]}
        for batch in range(6)
    ]
    acts = [partial(post, address, authorization, body, key=f"batch-{place}") for place, body in enumerate(batches)]
    assert [answer.json()["created"] for answer in all_at_once(*acts)] == [10] * 6
    assert set(Account.objects.values_list("balance", flat=True)) == {60}


def test_points_that_lapsed_before_they_were_released_are_no_longer_pending() -> None:
    member, till = make_member(), Till()
    with time_machine.travel(NOW, tick=False):
        ledger.award(
            member_id=member.pk,
            points=7,
            key="lapsed",
            occurred_at=NOW - timedelta(days=9),
            held=True,
            expires_at=NOW - timedelta(days=1),
            explanation={"text": "Welcome"},
        )
        points = till.get(f"members/{member.number}/points").json()
    assert (points["balance"], points["available"], points["pending"]) == (7, 0, 0)


def test_points_are_told_by_state_and_each_entry_says_why() -> None:
    member, till = make_member(), Till()
    with time_machine.travel(NOW, tick=False):
        till.post("purchases", sale(member, "R-1", "100"))
        ledger.award(
            member_id=member.pk,
            points=30,
            key="later",
            occurred_at=NOW,
            activates_at=NOW + timedelta(days=3),
            explanation={"text": "Welcome"},
        )
        ledger.spend(member_id=member.pk, points=40, key="s", occurred_at=NOW, explanation={})
        points = till.get(f"members/{member.number}/points").json()
        assert (points["balance"], points["available"], points["pending"], points["debt"]) == (90, 60, 30, 0)
        assert points["expires_next"] == {"points": 60, "expires_at": "2028-05-30T18:20:00+08:00"}
        lots = till.get(f"members/{member.number}/points/lots").json()["results"]
        assert [(lot["remaining"], lot["state"]) for lot in lots] == [(30, "pending"), (60, "usable")]
        entries = till.get(f"members/{member.number}/points/entries").json()["results"]
    assert [entry["points"] for entry in entries] == [-40, 30, 100]
    assert entries[2]["title"] == "Earned on order R-1"
    assert entries[2]["details"]


def test_tiers_are_listed_and_a_member_stands_in_one() -> None:
    member, till = make_member(), Till()
    with time_machine.travel(NOW, tick=False):
        till.post("purchases", sale(member, "R-1", "2500"))
        assert [tier["key"] for tier in till.get("tiers").json()["results"]][:2] == ["bronze", "silver"]
        standing = till.get(f"members/{member.number}/tier").json()
    assert (standing["tier"]["key"], standing["next_tier"]["key"]) == ("silver", "gold")


def test_pages_neither_skip_nor_repeat_while_rows_are_added() -> None:
    member, till = make_member(), Till()
    for place in range(5):
        till.post("purchases", sale(member, f"R-{place}", "1"))
    seen = []
    page = till.get("purchases", limit=2).json()
    while True:
        seen += [row["receipt"] for row in page["results"]]
        till.post("purchases", sale(member, f"new-{len(seen)}", "1"))
        if page["next"] is None:
            break
        page = till.client.get(page["next"]).json()
    assert seen == ["R-4", "R-3", "R-2", "R-1", "R-0"]


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=501", "limit=x", "cursor=-1", "cursor=x", "colour=red", "limit=1&limit=2", "receipt="]
)
def test_a_query_that_is_not_understood_is_refused(query: str) -> None:
    refused = Till().client.get(f"/api/v1/purchases/?{query}")
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (400, query.partition("=")[0])


@pytest.mark.parametrize(
    "path",
    ["members", "purchases", "members/{number}/points/entries", "members/{number}/points/lots"],
)
def test_a_list_asks_the_same_number_of_questions_however_long_it_is(path: str) -> None:
    member, till = make_member(consents={"email": True}), Till()
    address = path.format(number=member.number)
    asked = []
    for more in (1, 6):
        for place in range(more):
            buyer = make_member(consents={"email": True}) if path == "members" else member
            till.post("purchases", sale(buyer, f"R-{more}-{place}", "10"))
        with CaptureQueriesContext(
            connection,
        ) as queries:
            assert len(till.get(address).json()["results"]) >= more
        asked.append(len(queries))
    assert asked[0] == asked[1] <= 6


def test_a_batch_asks_the_same_number_of_questions_however_long_it_is() -> None:
    members, till = [make_member() for _ in range(30)], Till()
    asked = []
    for size in (5, 30):
        sold = [sale(member, f"R-{size}-{member.pk}", "10") for member in members[:size]]
        with CaptureQueriesContext(connection) as queries:
            assert till.post("purchases/batch", {"purchases": sold}).json()["created"] == size
        asked.append(len(queries))
    assert asked[1] <= asked[0] <= 60


def test_a_batch_gives_what_the_same_purchases_give_one_by_one() -> None:
    one, many, till = make_member(), make_member(), Till()
    amounts = ["1990.00", "20.00", "100.50", "0"]
    days = ["2026-03-01", "2026-03-02", "2026-03-03", "2026-03-04"]

    def sold(member: Member) -> list[dict[str, Any]]:
        return [
            sale(member, f"{member.pk}-{day}", amount)
            | {"purchased_at": f"{day}T12:00:00Z", "lines": [{"sku": "A", "amount": amount}]}
            for day, amount in zip(days, amounts, strict=True)
        ]

    for member in (one, many):  # comes before its purchase
        early = {"purchase": f"{member.pk}-{days[2]}", "refunded_at": "2026-03-05T12:00:00Z", "amount": "50.00"}
        till.post("refunds", early)
    for body in sold(one):
        till.post("purchases", body)
    assert till.post("purchases/batch", {"purchases": sold(many)}).json()["created"] == 4
    told = [
        list(Entry.objects.filter(member=member).order_by("seq").values_list("kind", "points", "qualifying"))
        for member in (one, many)
    ]
    assert sorted(told[0]) == sorted(told[1])
    assert len(told[0]) == 4
    tiers = [till.get(f"members/{member.number}/tier").json()["tier"]["key"] for member in (one, many)]
    assert tiers[0] == tiers[1] == "silver"


def test_points_that_wait_for_the_delivery_are_released_once() -> None:
    member, till = make_member(), Till()
    usual = RuleVersion.objects.get().definition
    held = rules.draft(
        EarningRule.objects.create(name="Held"), definition=usual | {"pending": {"until": "released"}}, user=None
    )
    rules.submit(held, user=None)
    rules.approve(held, user=None)
    rules.activate(held, user=None, since_ever=True)
    till.post("purchases", sale(member))
    assert till.get(f"members/{member.number}/points").json()["available"] == 128
    assert till.post("purchases/R-1/release", {}, key="one").json() == {"released": 1, "points": 128, "approval": None}
    assert till.post("purchases/R-1/release", {}, key="two").json() == {"released": 0, "points": 0, "approval": None}
    assert till.get(f"members/{member.number}/points").json()["available"] == 256
    assert till.post("purchases/R-2/release", {}, key="three").status_code == 404


def test_points_that_paid_for_a_purchase_come_back_with_its_refund() -> None:
    member, till = make_member(), Till()
    reward = Reward.objects.create(name="Coffee", points=100)
    with time_machine.travel(NOW, tick=False):
        till.post("purchases", sale(member, "R-1", "100"))
        redeemed = till.post("redemptions", {"member": member.number, "reward": reward.pk}).json()["id"]
        other = till.post("purchases", sale(make_member(), "R-2", redemptions=[redeemed]))
        assert (other.status_code, other.json()["code"]) == (422, "redemption-not-theirs")
        assert till.post("purchases", sale(member, "R-2", "50", redemptions=[redeemed])).status_code == 201
        refund = {"purchase": "R-2", "external_id": "T-1", "refunded_at": REFUNDED}
        assert till.post("refunds", refund).status_code == 201
        assert till.get(f"members/{member.number}/points").json()["available"] == 100
        mug = rewards.redeem(member_id=member.pk, reward_id=reward.pk, key="mug", user=None)
        rewards.fulfil(rewards.confirm(mug, user=None), user=None)
        assert till.post("purchases", sale(member, "R-3", redemptions=[mug.pk])).status_code == 422
