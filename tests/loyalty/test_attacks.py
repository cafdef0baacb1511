"""Ways in which somebody tried to pass a limit, a second person, or the order of the locks."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.test import Client

from loyalty import ledger, programme, reversals, rewards, verify, words
from loyalty.intake import preview_refund, record_interaction, record_purchase, record_refund
from loyalty.intake.withdrawal import apply_again, withdraw
from loyalty.models import Account, CapUse, Entry, Lot, ProgrammeSettings, Redemption, Reward, RuleVersion
from members.importing import runs
from members.models import Interaction, Purchase, Refund
from staff import api_keys, approvals
from staff.models import Approval
from staff.permissions import Role, Scope
from tests.factories import make_member, make_user
from tests.loyalty.concurrency import at_once
from tests.loyalty.test_earning import PER_UNIT, in_force, prove
from tests.members.imports import bring_in, written
from tests.over_http import Till

NOW = datetime(2026, 6, 1, 4, 0, tzinfo=UTC)


@pytest.mark.django_db
def test_who_made_a_key_does_not_decide_what_it_asks_for() -> None:
    programme.ensure_defaults()
    member, maker, other = make_member(), make_user(), make_user(Role.APPROVER)
    _key, text = api_keys.create(name="Mine", scopes=[Scope.POINTS_ADJUST], user=maker)
    asked = Client(headers={"Authorization": f"Bearer {text}"}).post(
        f"/api/v1/members/{member.number}/points/adjustments/",
        {"points": 1_000_000, "reason": "goodwill"},
        "application/json",
        headers={"Idempotency-Key": "a"},
    )
    assert asked.status_code == 202
    approval = Approval.objects.get()
    assert approval.requested_label.startswith("Mine")
    assert not approvals.may_decide(approval, maker)
    with pytest.raises(approvals.OwnRequest):
        approvals.approve(approval, user=maker)
    assert Account.objects.get(member=member).balance == 0
    approvals.approve(approval, user=other)
    assert Account.objects.get(member=member).balance == 1_000_000


@pytest.mark.django_db
@time_machine.travel(NOW, tick=False)
def test_no_refund_from_outside_stands_in_the_way_of_looking_at_one() -> None:
    programme.ensure_defaults()
    record_purchase(member_id=make_member().pk, key="p", purchased_at=NOW, amount=Decimal(100))
    record_refund(key="preview", purchase_key="p", refunded_at=NOW, amount=Decimal(30))
    assert preview_refund(purchase_key="p", amount=Decimal(20)).points_taken == 20
    assert Refund.objects.count() == 1


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["purchases", "quotes"])
def test_a_value_that_only_rounding_makes_too_large_is_refused(path: str) -> None:
    programme.ensure_defaults()
    sold = {"member": make_member().number, "amount": "1000.00", "currency": "EUR", "rate": "999999999.99999999"}
    if path == "purchases":
        sold |= {"receipt": "R", "purchased_at": NOW.isoformat()}
    refused = Till().post(path, sold)
    assert (refused.status_code, refused.json()["code"]) == (422, "too-large")
    assert not Purchase.objects.exists()


def bought_with_points() -> tuple[int, Redemption, Purchase]:
    """100 points for a voucher pay for a purchase, of which half is given back."""
    programme.ensure_defaults()
    RuleVersion.objects.update(state="retired", retired_at=datetime(2000, 1, 1, tzinfo=UTC))
    member_id = make_member().pk
    far = NOW + timedelta(days=300)
    ledger.award(member_id=member_id, points=100, key="x", occurred_at=NOW, explanation={}, expires_at=far)
    reward = Reward.objects.create(name="Voucher", points=100)
    redemption = rewards.redeem(member_id=member_id, reward_id=reward.pk, key="r", user=None)
    bought = record_purchase(
        member_id=member_id, key="p", purchased_at=NOW, amount=Decimal(100), redemptions=[redemption.pk]
    )
    assert record_refund(key="f", purchase_key="p", refunded_at=NOW, amount=Decimal(50)).points_returned == 50
    return member_id, redemption, bought.purchase


@pytest.mark.django_db
@time_machine.travel(NOW, tick=False)
def test_a_lot_is_not_filled_twice_by_a_refund_withdrawn_and_a_redemption_cancelled() -> None:
    member_id, redemption, purchase = bought_with_points()
    soon = NOW + timedelta(days=10)
    ledger.award(member_id=member_id, points=50, key="y", occurred_at=NOW, explanation={}, expires_at=soon)
    withdraw([purchase.pk], explanation={})
    rewards.cancel(redemption, user=None)
    prove()
    assert Account.objects.get(pk=member_id).balance == 150
    assert not Lot.objects.filter(member=member_id, remaining__gt=0, expires_at=None).exists()


@pytest.mark.django_db
@time_machine.travel(NOW, tick=False)
def test_a_refund_withdrawn_after_the_redemption_was_cancelled_takes_no_points() -> None:
    member_id, redemption, purchase = bought_with_points()
    rewards.cancel(redemption, user=None)
    withdraw([purchase.pk], explanation={})
    apply_again([purchase.pk])
    prove()
    assert Account.objects.get(pk=member_id).balance == 100


@pytest.mark.django_db
@pytest.mark.parametrize("above", [99, 1000])
def test_points_that_expired_and_were_refunded_do_not_come_back(above: int) -> None:
    programme.ensure_defaults()
    RuleVersion.objects.update(state="retired", retired_at=datetime(2000, 1, 1, tzinfo=UTC))
    in_force("Ten days", PER_UNIT, expiry={"type": "days", "n": 10})
    ProgrammeSettings.objects.update_or_create(pk=1, defaults={"adjust_approval_above": above})
    user = make_user()
    with time_machine.travel(NOW, tick=False):
        bought = record_purchase(member_id=make_member().pk, key="p", purchased_at=NOW, amount=Decimal(100)).purchase
    later = NOW + timedelta(days=20)
    with time_machine.travel(later, tick=False):
        ledger.expire_due(later)
        expiry = Entry.objects.get(kind="expire")
        asked = reversals.reverse(expiry, comment="sorry", user=user) if above < 100 else None
        record_refund(key="f", purchase_key="p", refunded_at=later)
        if isinstance(asked, Approval):
            with pytest.raises(approvals.CannotBeDone):
                approvals.approve(asked, user=make_user(Role.APPROVER))
        with pytest.raises(ledger.NotReversible):
            reversals.reverse(expiry, comment="sorry", user=user)
    assert Account.objects.get(pk=bought.member_id).balance == 0


DAYS = 40
ITEMS = 200


def batches_at_once(path: str, name: str, items: list[dict[str, Any]], others: list[dict[str, Any]]) -> None:
    tills = [Till(), Till()]
    answers: list[int] = []

    def send(till: Till, some: list[dict[str, Any]]) -> Any:
        return lambda: answers.append(till.post(path, {name: some}).status_code)

    assert at_once(send(tills[0], items), send(tills[1], others[::-1])) == {"done": 2}
    assert answers == [200, 200]


@pytest.mark.django_db(transaction=True)
def test_batches_of_interactions_in_opposite_order_wait_for_each_other_at_the_caps() -> None:
    programme.ensure_defaults()
    fixed = {"type": "fixed", "points": 10}
    in_force("Check-in", fixed, event="interaction", caps=[{"per": "day", "of": "programme", "points": 10_000}])

    def done() -> list[dict[str, Any]]:
        whose = {"member": make_member().number, "kind": "check-in"}
        return [whose | {"occurred_at": (NOW - timedelta(days=day)).isoformat()} for day in range(DAYS)]

    batches_at_once("interactions/batch", "interactions", done(), done())
    assert Interaction.objects.count() == 2 * DAYS


@pytest.mark.django_db(transaction=True)
def test_batches_that_name_members_by_bare_numbers_wait_for_each_other() -> None:
    programme.ensure_defaults()
    fixed = {"type": "fixed", "points": 10, "also": {"points": 5, "member_property": "friend"}}
    in_force("Referral", fixed, event="interaction")
    friends = [make_member(external_id=str(9000 + number)) for number in range(DAYS)]

    def done() -> list[dict[str, Any]]:
        whose = {"member": make_member().number, "kind": "referral", "occurred_at": NOW.isoformat()}
        return [whose | {"properties": {"friend": 9000 + number}} for number in range(DAYS)]

    batches_at_once("interactions/batch", "interactions", done(), done())
    assert {Account.objects.get(member=friend).balance for friend in friends} == {10}


@pytest.mark.django_db(transaction=True)
def test_batches_of_refunds_for_unseen_purchases_wait_for_each_other() -> None:
    programme.ensure_defaults()
    back = [{"purchase": f"later {n}", "refunded_at": NOW.isoformat(), "amount": "1"} for n in range(ITEMS)]
    batches_at_once("refunds/batch", "refunds", back, back)
    assert Refund.objects.count() == 2 * ITEMS


def referrals_within(*caps: dict[str, Any]) -> None:
    fixed = {"type": "fixed", "points": 200, "also": {"points": 300, "member_property": "referred"}}
    in_force("Referral", fixed, event="interaction", caps=list(caps))


@pytest.mark.django_db(transaction=True)
def test_no_cap_is_passed_by_the_points_of_those_who_were_referred() -> None:
    programme.ensure_defaults()
    referrals_within(
        {"per": "total", "of": "programme", "points": 1_950}, {"per": "day", "of": "member", "points": 700}
    )
    members = [make_member(number=f"M-{place}") for place in range(4)]

    def refer(number: int) -> Any:
        # Each refers everybody else, so that the same two meet from both sides.
        one, other = members[number % 4], members[(number + 1 + number // 4) % 4]
        told = {"referred": other.number}
        return lambda: record_interaction(
            member_id=one.pk, key=f"k{number}", kind="referral", occurred_at=NOW, properties=told
        )

    with time_machine.travel(NOW, tick=False):
        assert at_once(*(refer(number) for number in range(24))) == {"done": 24}
    balances = Account.objects.values_list("balance", flat=True)
    assert sum(balances) == 1_950
    assert max(balances) <= 700
    prove()


@pytest.mark.django_db
@time_machine.travel(NOW, tick=False)
@pytest.mark.parametrize("path", ["one by one", "batch", "import"])
def test_who_is_referred_by_many_gets_no_more_than_their_own_cap(path: str, tmp_path: Path) -> None:
    programme.ensure_defaults()
    referrals_within({"per": "month", "of": "member", "points": 500})
    friend = make_member(number="M-FRIEND")
    members = [make_member(external_id=f"p{place}") for place in range(3)]
    if path == "import":
        rows = "".join(f"{place},p{place},referral,{NOW:%Y-%m-%dT%H:%M:%SZ},M-FRIEND\n" for place in range(3))
        run = bring_in("interactions", written(tmp_path, "id,person,kind,time,referred\n" + rows))
    else:
        done = [
            {"member": member.number, "kind": "referral", "occurred_at": NOW.isoformat()}
            | {"properties": {"referred": "M-FRIEND"}}
            for member in members
        ]
        if path == "batch":
            assert Till().post("interactions/batch", {"interactions": done}).json()["created"] == 3
        else:
            assert [Till().post("interactions", one).status_code for one in done] == [201, 201, 201]
    assert [Account.objects.get(member=member).balance for member in members] == [200, 200, 200]
    assert Account.objects.get(member=friend).balance == 500
    cut = Entry.objects.get(member=friend, explanation__has_key="caps")
    assert cut.points == 200
    assert "cut by the cap of 500 points a month for each member: 200 were left" in words.details(cut)
    prove()
    counted = set(CapUse.objects.values_list("member", "period_start", "points"))
    CapUse.objects.all().delete()
    assert [check.key for check in verify.checks() if check.offending()] == ["caps"]
    import_module("loyalty.migrations.0015_count_points_of_others_in_caps").count(None, connection.schema_editor())
    assert set(CapUse.objects.values_list("member", "period_start", "points")) == counted
    if path == "import":
        runs.undo(run, user=None)
        assert not CapUse.objects.exclude(points=0).exists()
        prove()


ABSURD = "9999999999.99"


@pytest.mark.django_db
@time_machine.travel(NOW, tick=False)
def test_a_purchase_that_would_earn_absurdly_much_is_refused_and_named(tmp_path: Path) -> None:
    programme.ensure_defaults()
    most = {"type": "per_amount", "points": "1000000", "per": "1"}
    in_force("Absurd", most, when={"fact": "purchase.channel", "op": "in", "value": ["app"]})
    member = make_member(external_id="p")
    sold = {"member": member.number, "amount": ABSURD, "channel": "app", "purchased_at": NOW.isoformat()}
    for path in ("purchases", "quotes"):
        refused = Till().post(path, sold | ({"receipt": "R"} if path == "purchases" else {}))
        assert (refused.status_code, refused.json()["code"]) == (422, "too-many-points")
        assert refused.json()["errors"][0]["field"] == "amount"
    till = Till()
    many = [sold | {"receipt": "a", "channel": "web"}, sold | {"receipt": "b"}, sold | {"receipt": "c"}]
    answer = till.post("purchases/batch", {"purchases": many}).json()
    assert [one["outcome"] for one in answer["results"]] == ["created", "refused", "refused"]
    assert {one["problem"]["errors"][0]["field"] for one in answer["results"][1:]} == {"amount"}
    rows = f"x,p,2026-05-01T00:00:00Z,10,web\ny,p,2026-05-01T00:00:00Z,{ABSURD},app\n"
    with pytest.raises(runs.Refused, match="Row 3: The rule “Absurd” would give more than 1,000,000,000,000 points"):
        bring_in("purchases", written(tmp_path, "receipt,person,time,amount,channel\n" + rows))
    assert list(Purchase.objects.values_list("key", flat=True)) == ["a"]
    prove()
