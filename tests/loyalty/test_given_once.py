"""A bonus for the n-th purchase, or for coming back, is given once: come late, returned, bought again or undone."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import time_machine

from loyalty import programme, refund_undo
from loyalty.intake import Recorded, record_purchase, record_purchases, record_refund, recording
from loyalty.intake.quoting import quote
from loyalty.models import Account, Entry, RuleVersion
from loyalty.rules import Reason, backtest, reasons, simulation
from members.importing import runs
from members.models import Member, Purchase, Refund
from staff import jobs
from tests.factories import make_member, make_user
from tests.loyalty.concurrency import at_once
from tests.loyalty.test_earning import in_force, prove
from tests.members.imports import bring_in, written

NOW = datetime(2026, 6, 1, 4, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def _now() -> object:
    with time_machine.travel(NOW + timedelta(days=400), tick=False):
        yield


def bonus(name: str, points: int, **condition: Any) -> None:
    in_force(name, {"type": "fixed", "points": points}, when=condition)


@pytest.fixture
def member() -> Member:
    """Of a programme with bonuses for the first purchase, the second, and for coming back after 100 days."""
    programme.ensure_defaults()
    bonus("First", 200, fact="purchase.is_first", op="is", value=True)
    bonus("Second", 1000, fact="purchase.nth", op="eq", value=2)
    bonus("Back", 5000, fact="purchase.days_since_last", op="gte", value=100)
    return make_member()


def sale(member: Member, key: str, hours: float, amount: int = 1) -> dict[str, Any]:
    return {
        "member_id": member.pk,
        "key": key,
        "receipt": key,
        "purchased_at": NOW + hours * HOUR,
        "amount": Decimal(amount),
    }


def buy(member: Member, key: str, hours: float = 0) -> Recorded:
    return record_purchase(**sale(member, key, hours))


def refund(key: str, hours: float) -> Refund:
    return record_refund(key=f"r:{key}", purchase_key=key, refunded_at=NOW + hours * HOUR).refund


def undo(item: Refund) -> refund_undo.Undone:
    found = refund_undo.preview(item)
    done = refund_undo.undo(item, comment="typed the wrong receipt", user=make_user("customer_service"))
    assert isinstance(done, refund_undo.Undone)
    assert (done.points, done.elsewhere) == (found.points, found.elsewhere)
    prove()
    return done


def why_not(purchase: Purchase, rule: str) -> tuple[Reason, list[str]]:
    [refusal] = [one for one in simulation.explain(purchase).refusals if one.terms.rule == rule]
    return refusal.reason, reasons.why_not(refusal)


@pytest.mark.django_db
def test_a_purchase_that_comes_late_is_no_second_first_one_and_says_why(member: Member) -> None:
    assert buy(member, "web", 10).points == 201
    quoted, refusals = quote(member_id=member.pk, at=NOW + 9 * HOUR, amount=Decimal(1))
    late = buy(member, "store", 9)
    assert late.points == quoted.points == 1001
    assert [one.reason for one in refusals if one.terms.rule == "First"] == [Reason.REWARDED]
    text = "It is given once, and order web has earned it already."
    assert why_not(late.purchase, "First") == (Reason.REWARDED, [text])
    assert buy(member, "third", 11).points == 1
    for purchase in Purchase.objects.all():
        earned = sum(Entry.objects.filter(purchase=purchase, kind="earn").values_list("points", flat=True))
        assert simulation.explain(purchase).points == earned
    prove()


@pytest.mark.django_db
def test_whoever_bought_first_by_time_earns_late_what_nobody_has_earned(member: Member) -> None:
    """The first purchase is rewarded in the app alone: the earlier one of web came in without that bonus."""
    app = [{"fact": "purchase.is_first", "op": "is", "value": True}, {"fact": "purchase.channel", "op": "in", "value": ["app"]}]  # fmt: skip  # noqa: E501
    in_force("App", {"type": "fixed", "points": 70}, when={"all": app})
    assert buy(member, "web", 10).points == 201
    assert record_purchase(**sale(member, "app", 9), channel="app").points == 1071
    prove()


@pytest.mark.django_db
def test_coming_back_is_rewarded_once_for_each_time_away(member: Member) -> None:
    buy(member, "a")
    buy(member, "b", 1)
    assert buy(member, "back", 24 * 150).points == 5001
    late = buy(member, "late", 24 * 149)
    assert late.points == 1
    assert why_not(late.purchase, "Back")[0] == Reason.REWARDED
    assert buy(member, "again", 24 * 260).points == 5001
    prove()


@pytest.mark.django_db
def test_a_batch_and_a_file_count_by_time_and_after_what_was_there(member: Member, tmp_path: Path) -> None:
    other, third = make_member(), make_member()
    record_purchases([sale(member, "m2", 2), sale(member, "m1", 1), sale(other, "o3", 3)])
    rows = [sale(other, "o2", 2), sale(other, "o1", 1), sale(third, "t2", 2), sale(third, "t1", 1)]
    numbers = dict(Member.objects.values_list("pk", "number"))
    text = "".join(f"{one['key']},{numbers[one['member_id']]},{one['purchased_at'].isoformat()},1\n" for one in rows)
    bring_in("purchases", written(tmp_path, "receipt,person,time,amount\n" + text))
    earned = {
        key: sum(Entry.objects.filter(purchase__key=key, kind="earn").values_list("points", flat=True))
        for key in Purchase.objects.values_list("key", flat=True)
    }
    assert earned == {"m1": 201, "m2": 1001, "o3": 201, "o1": 1001, "o2": 1, "t1": 201, "t2": 1001}
    for name, points in (("First", 600), ("Second", 3000)):
        job = jobs.run_inline(backtest.start(RuleVersion.objects.get(rule__name=name), 24, None))
        assert job.result["detail"]["total"]["would"] == points
    prove()


@pytest.mark.django_db
def test_giving_cheap_ones_back_earns_no_second_bonus_for_the_second(member: Member) -> None:
    for place in range(4):
        buy(member, f"p{place}", place)
    refund("p0", 5)
    refund("p2", 5)
    refund("p3", 5)
    assert buy(member, "p4", 6).points == 1
    assert why_not(Purchase.objects.get(key="p4"), "Second")[0] == Reason.REWARDED
    prove()


@pytest.mark.django_db
def test_undoing_a_refund_leaves_the_bonus_with_the_purchase_that_earned_it_meanwhile(member: Member) -> None:
    buy(member, "p")
    item = refund("p", 1)
    assert buy(member, "again", 2).points == 201
    done = undo(item)
    assert (done.points, done.elsewhere) == (1, [("First", 200)])
    assert ("“First” stays with a later purchase", "200 points") in refund_undo.told(done)
    assert Account.objects.get(member=member).balance == 202
    # What was returned once more does not bring it back either.
    refund("again", 3)
    assert Account.objects.get(member=member).balance == 1


@pytest.mark.django_db
def test_refunds_undone_in_any_order_leave_one_bonus(member: Member) -> None:
    buy(member, "p")
    first = refund("p", 1)
    buy(member, "again", 2)
    second = refund("again", 3)
    assert undo(first).elsewhere == []
    assert undo(second).elsewhere == [("First", 200)]
    assert Account.objects.get(member=member).balance == 202


@pytest.mark.django_db
def test_taking_back_a_file_of_refunds_brings_no_bonus_back_beside_another(member: Member, tmp_path: Path) -> None:
    buy(member, "p")
    text = f"refund,receipt,time\nr,p,{(NOW + HOUR).isoformat()}\n"
    run = bring_in("refunds", written(tmp_path, text))
    buy(member, "again", 2)
    runs.undo(run, user=None)
    assert Account.objects.get(member=member).balance == 202
    prove()


@pytest.mark.django_db(transaction=True)
def test_purchases_at_once_in_any_order_of_time_earn_each_bonus_once() -> None:
    programme.ensure_defaults()
    bonus("First", 200, fact="purchase.is_first", op="is", value=True)
    bonus("Second", 1000, fact="purchase.nth", op="eq", value=2)
    member = make_member()
    told = [lambda hours=hours: recording.record_purchase(**sale(member, f"p{hours}", hours)) for hours in range(16)]
    assert at_once(*told[::-1]) == {"done": 16}
    assert Account.objects.get(member=member).balance == 1216
    prove()
