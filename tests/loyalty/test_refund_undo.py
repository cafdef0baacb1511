"""Undoing a refund: everything is as if it had never been, once, and its id stays known."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
import time_machine
from django.test import Client
from django.urls import reverse

from loyalty import ledger, policies, programme, refund_undo, rewards
from loyalty.intake import record_purchase, record_refund
from loyalty.models import Account, Entry, Policy, ProgrammeSettings, Reward, TierStanding
from members import households
from members.importing import runs
from members.models import Member, Purchase, Refund
from staff import approvals
from staff.models import Approval, AuditEntry, User
from staff.permissions import Role
from tests.factories import make_member, make_user
from tests.loyalty.concurrency import at_once
from tests.loyalty.test_earning import prove
from tests.members.imports import bring_in, written

NOW = datetime(2026, 6, 1, 4, 0, tzinfo=UTC)

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _now() -> object:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def member() -> Member:
    programme.ensure_defaults()
    return make_member()


@pytest.fixture
def agent() -> User:
    return make_user(Role.CUSTOMER_SERVICE)


def buy(member: Member, amount: int = 900, key: str = "p", **more: object) -> Purchase:
    return record_purchase(
        member_id=member.pk, key=key, purchased_at=NOW, amount=Decimal(amount), receipt=key, **more
    ).purchase  # type: ignore[arg-type]


def refund(key: str, amount: int | None = None, purchase: str = "p") -> Refund:
    return record_refund(key=key, purchase_key=purchase, amount=amount and Decimal(amount)).refund


def undo(item: Refund, agent: User) -> object:
    done = refund_undo.undo(item, comment="typed the wrong receipt", user=agent)
    prove()
    return done


def balance(member: Member) -> int:
    return Account.objects.get(member=member).balance


def test_buy_refund_undo_refund_again_mints_and_loses_nothing(member: Member, agent: User) -> None:
    purchase = buy(member)
    for round_ in range(3):
        item = refund(f"r{round_}", 333)
        assert balance(member) == 567
        undo(item, agent)
        assert balance(member) == 900
        purchase.refresh_from_db()
        assert purchase.refunded_value == 0
    refund("last")
    assert balance(member) == 0
    prove()


def test_the_other_refunds_of_the_purchase_stay(member: Member, agent: User) -> None:
    buy(member)
    first, second, third = refund("a", 100), refund("b", 200), refund("c", 50)
    found = refund_undo.preview(second)
    assert (found.points, balance(member)) == (200, 550)
    undo(second, agent)
    assert balance(member) == 750
    states = dict(Refund.objects.values_list("key", "state"))
    assert states == {first.key: "applied", second.key: "undone", third.key: "applied"}
    undo(first, agent)
    assert balance(member) == 850


def test_a_refund_is_not_undone_where_another_would_be_refused_in_its_place(member: Member, agent: User) -> None:
    """30, 80 and 70 of 100: without the first the second fits, and the third, which was applied, no more."""
    for day, amount in enumerate((30, 80, 70)):
        record_refund(
            key=f"r{amount}", purchase_key="p", amount=Decimal(amount), refunded_at=NOW + timedelta(hours=day)
        )
    buy(member, 100)
    states = {"r30": "applied", "r80": "refused", "r70": "applied"}
    assert dict(Refund.objects.values_list("key", "state")) == states
    with pytest.raises(refund_undo.UndoRefused) as refusal:
        refund_undo.undo(Refund.objects.get(key="r30"), comment="typed the wrong receipt", user=agent)
    assert refusal.value.reason == "others"
    assert dict(Refund.objects.values_list("key", "state")) == states
    assert balance(member) == 0


def test_a_refund_that_was_undone_does_not_come_again(member: Member, agent: User) -> None:
    buy(member)
    item = refund("r", 100)
    undo(item, agent)
    again = record_refund(key="r", purchase_key="p", amount=Decimal(100))
    assert (again.is_new, again.refund.state, again.points_taken) == (False, Refund.State.UNDONE, 0)
    with pytest.raises(refund_undo.UndoRefused):
        refund_undo.undo(item, comment="again", user=agent)
    assert balance(member) == 900


def test_points_that_the_refund_gave_back_go_again(member: Member, agent: User) -> None:
    buy(member, key="before")
    reward = Reward.objects.create(name="Voucher", points=600)
    paid = rewards.redeem(member_id=member.pk, reward_id=reward.pk, key="pays", user=None)
    buy(member, 100, redemptions=[paid.pk])
    assert balance(member) == 400
    item = refund("r")
    assert balance(member) == 900
    undo(item, agent)
    assert balance(member) == 400
    refund("again")
    assert balance(member) == 900
    prove()


def test_what_it_gave_back_and_is_spent_is_refused_where_the_policy_says_so(member: Member, agent: User) -> None:
    buy(member, 600, key="before")
    reward = Reward.objects.create(name="Voucher", points=600)
    paid = rewards.redeem(member_id=member.pk, reward_id=reward.pk, key="pays", user=None)
    buy(member, 100, redemptions=[paid.pk])
    item = refund("r")
    rewards.redeem(member_id=member.pk, reward_id=reward.pk, key="spent", user=None)
    policies.settings_now()
    ProgrammeSettings.objects.update(clawback_policy=Policy.REFUSE)
    with pytest.raises(refund_undo.UndoRefused) as refusal:
        refund_undo.undo(item, comment="oops", user=agent)
    assert refusal.value.reason == "points_spent"
    item.refresh_from_db()
    assert (item.state, balance(member)) == (Refund.State.APPLIED, 0)
    ProgrammeSettings.objects.update(clawback_policy=Policy.DEBT)
    undo(item, agent)
    assert Account.objects.get(member=member).debt == 500


def test_the_tier_comes_back_and_a_waiting_refund_never_applies(member: Member, agent: User) -> None:
    policies.settings_now()
    ProgrammeSettings.objects.update(adjust_approval_above=100_000, adjust_daily_limit=100_000)
    waiting = refund("w", 10)
    undo(waiting, agent)
    buy(member, 3000)
    tier = TierStanding.objects.get(member=member).tier
    item = refund("r")
    assert TierStanding.objects.get(member=member).tier != tier
    undo(item, agent)
    assert TierStanding.objects.get(member=member).tier == tier
    assert balance(member) == Entry.objects.get(kind=Entry.Kind.EARN).points


def test_above_the_limit_a_second_person_undoes_it(member: Member, agent: User) -> None:
    buy(member, 1500)
    item = refund("r")
    asked = refund_undo.undo(item, comment="wrong", user=agent)
    assert isinstance(asked, Approval)
    assert refund_undo.undo(item, comment="wrong", user=agent) == asked
    assert balance(member) == 0
    approvals.approve(asked, user=make_user(Role.APPROVER))
    assert balance(member) == 1500
    assert AuditEntry.objects.get(action="refund.undo").detail["points"] == 1500
    prove()


def test_what_one_of_a_household_gains_and_another_loses_counts_towards_the_limit(member: Member, agent: User) -> None:
    home, payer = households.create(name="Wang", kind="household", user=None), make_member()
    for each in (member, payer):
        households.join(home, each, user=None)
    ledger.award(member_id=payer.pk, points=1500, key="x", occurred_at=NOW, explanation={})
    reward = Reward.objects.create(name="Voucher", points=1500)
    paid = rewards.redeem(member_id=member.pk, reward_id=reward.pk, key="pays", user=None)
    buy(member, 1500, redemptions=[paid.pk])
    item = refund("r")
    assert (balance(member), balance(payer)) == (0, 1500)
    asked = refund_undo.undo(item, comment="wrong", user=agent)
    assert isinstance(asked, Approval)
    approvals.approve(asked, user=make_user(Role.APPROVER))
    assert (balance(member), balance(payer)) == (1500, 0)
    prove()


def test_the_import_that_brought_the_purchase_can_be_undone_after_it(
    member: Member, agent: User, tmp_path: Path
) -> None:
    path = written(tmp_path, f"receipt,person,time,amount\np,{member.number},2026-05-30T00:00:00Z,100\n")
    run = bring_in("purchases", path)
    undo(refund("r", 40), agent)
    refund("s", 30)
    runs.undo(run, user=None)
    assert dict(Refund.objects.values_list("key", "state")) == {"r": "undone", "s": "waiting"}
    bring_in("purchases", written(tmp_path, path.read_bytes(), "again.csv"))
    assert balance(member) == 70


def test_the_desk_sees_in_numbers_what_it_does_and_does_it_once(member: Member, agent: User, client: Client) -> None:
    buy(member)
    item = refund("r", 100)
    client.force_login(agent)
    url = reverse("loyalty:refund-undo", args=[item.pk])
    assert url in client.get(reverse("loyalty:refunds")).content.decode()
    page = client.get(url).content.decode()
    assert "No longer refunded" in page
    assert "+100" in page
    assert "btn-danger" in client.post(url, {"comment": ""}).content.decode()
    assert balance(member) == 800
    done = client.post(
        url, {"comment": "wrong receipt"}, headers={"HX-Current-URL": f"http://x{reverse('loyalty:refunds')}"}
    )
    assert json.loads(done.headers["HX-Trigger"])["toast"]["text"] == "Undone: +100 points."
    assert done.headers["HX-Refresh"] == "true"
    assert "This refund was undone already." in client.post(url, {"comment": "again"}).content.decode()
    assert (balance(member), AuditEntry.objects.get(action="refund.undo").actor) == (900, agent)
    assert ledger.available(member.pk, NOW + timedelta(days=1)) == 900


@pytest.mark.django_db(transaction=True)
def test_two_who_undo_it_at_once_undo_it_once() -> None:
    programme.ensure_defaults()
    member, agents = make_member(), [make_user(Role.CUSTOMER_SERVICE) for _ in range(2)]
    buy(member)
    item = refund("r", 100)
    outcomes = at_once(*(lambda who=who: refund_undo.undo(item, comment="wrong", user=who) for who in agents))
    assert outcomes == {"done": 1, "UndoRefused": 1}
    assert balance(member) == 900
