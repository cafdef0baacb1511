"""Points moved from one member to another by service."""

from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from loyalty import ledger, transfers, verify
from loyalty.models import DayUse, Entry, Lot, ProgrammeSettings
from loyalty.policies import settings_now
from loyalty.transfers import Transfer
from members.models import Member
from staff import approvals
from staff.models import Approval, User
from tests.factories import make_member, make_user
from tests.loyalty.concurrency import at_once

pytestmark = pytest.mark.django_db


def holder(*lots: int, **fields: object) -> Member:
    """A member with a lot of each size, each expiring a month after the one before."""
    member = make_member(**fields)
    for place, points in enumerate(lots, 1):
        now = timezone.now()
        ledger.award(
            member_id=member.pk,
            points=points,
            key=f"give:{member.pk}:{place}",
            occurred_at=now - timedelta(days=1),
            explanation={},
            expires_at=now + timedelta(days=30 * place),
        )
    return member


def send(giver: Member, receiver: Member, points: int, *, key: str = "k", user: User | None = None) -> object:
    wish = Transfer(from_member=giver.pk, to_member=receiver.pk, points=points, comment="They are siblings.")
    return transfers.send(wish, key=key, user=user or make_user("customer_service"))


def set_limits(**values: object) -> None:
    settings_now()
    ProgrammeSettings.objects.update(**values)


def usable(*members: Member) -> list[int]:
    return [ledger.available(member.pk, timezone.now()) for member in members]


def broken() -> list[str]:
    return [check.key for check in verify.checks() if check.offending()]


def client_of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def test_points_keep_their_expiry_and_both_timelines_tell_it() -> None:
    giver, receiver = holder(100, 200), make_member()
    expiries = list(Lot.objects.order_by("expires_at").values_list("expires_at", flat=True))
    send(giver, receiver, 250, user=make_user("customer_service", name="Lin Mei"))
    assert usable(giver, receiver) == [50, 250]
    arrived = Lot.objects.filter(member=receiver).order_by("expires_at").values_list("remaining", "expires_at")
    assert list(arrived) == [(100, expiries[0]), (150, expiries[1])]
    client = client_of(make_user("customer_service"))
    page = client.get(f"/members/{giver.number}/").content.decode()
    assert f"Given to {receiver.number}" in page
    assert "They are siblings. · by Lin Mei" in page
    assert f"Received from {giver.number}" in client.get(f"/members/{receiver.number}/").content.decode()
    assert broken() == []


def test_the_same_key_moves_once_and_other_input_is_refused() -> None:
    giver, receiver, other = holder(300), make_member(), make_member()
    first = send(giver, receiver, 100)
    assert send(giver, receiver, 100) == first
    for wrong in ((receiver, 101), (other, 100)):
        with pytest.raises(ledger.KeyReused):
            send(giver, *wrong)
    assert usable(giver, receiver, other) == [200, 100, 0]


def test_more_than_there_is_and_to_whom_it_may_not_go_is_refused() -> None:
    giver = holder(100)
    with pytest.raises(ledger.InsufficientPoints):
        send(giver, make_member(), 101)
    with pytest.raises(transfers.SameMember):
        send(giver, giver, 1)
    for status in ("blocked", "closed"):
        with pytest.raises(transfers.NotEligible):
            send(giver, make_member(status=status), 1)
    assert usable(giver) == [100]


def test_above_the_limit_a_second_person_decides() -> None:
    settings_now()
    ProgrammeSettings.objects.update(transfer_approval_above=50)
    giver, receiver = holder(100), make_member()
    asked = send(giver, receiver, 60)
    assert isinstance(asked, Approval)
    assert send(giver, receiver, 60) == asked
    assert usable(giver, receiver) == [100, 0]
    approver = make_user("approver")
    page = client_of(approver).get(asked.get_absolute_url()).content.decode()
    assert f"Move 60 points from {giver.number} to {receiver.number}" in page
    assert "100 → 40" in page
    approvals.approve(asked, user=approver)
    assert usable(giver, receiver) == [40, 60]
    assert Entry.objects.get(member=receiver).explanation["approved_by"] == str(approver)
    late = send(giver, receiver, 51, key="late")
    assert isinstance(late, Approval)


def test_what_the_giver_has_spent_meanwhile_is_not_moved() -> None:
    settings_now()
    ProgrammeSettings.objects.update(transfer_approval_above=50)
    giver, receiver = holder(100), make_member()
    asked = send(giver, receiver, 60)
    assert isinstance(asked, Approval)
    send(giver, receiver, 50, key="b")
    with pytest.raises(approvals.CannotBeDone):
        approvals.approve(asked, user=make_user("approver"))
    assert usable(giver, receiver) == [50, 50]


def test_what_is_split_below_the_threshold_takes_a_second_person_above_the_days_limit() -> None:
    set_limits(transfer_approval_above=50, transfer_daily_limit=120)
    giver, other, user = holder(300), holder(300), make_user("customer_service")
    assert isinstance(send(giver, make_member(), 50, key="a", user=user), Entry)
    assert isinstance(send(other, make_member(), 50, key="b", user=user), Entry)
    asked = send(giver, make_member(), 50, key="c", user=user)
    assert isinstance(asked, Approval)
    assert isinstance(send(giver, make_member(), 20, key="d", user=user), Entry)
    assert usable(giver) == [230]
    # Not done alone, so it takes nothing of anybody's day.
    approvals.approve(asked, user=make_user("approver"))
    assert usable(giver) == [180]
    assert isinstance(send(giver, make_member(), 50, key="e"), Entry)


def test_what_one_member_gives_away_in_a_day_is_limited_whoever_moves_it() -> None:
    set_limits(giver_daily_limit=100)
    giver = holder(300)
    assert isinstance(send(giver, make_member(), 60, key="a"), Entry)
    assert isinstance(send(giver, make_member(), 60, key="b"), Approval)
    assert isinstance(send(giver, make_member(), 40, key="c"), Entry)
    with time_machine.travel(timezone.now() + timedelta(days=1)):
        assert isinstance(send(giver, make_member(), 60, key="d"), Entry)
    assert usable(giver) == [140]


def test_the_keys_of_a_person_and_they_themselves_share_one_day() -> None:
    set_limits(transfer_daily_limit=100, adjust_daily_limit=100)
    owner = make_user("customer_service")

    def move(key: str, **who: Any) -> object:
        giver = holder(300)
        wish = Transfer(from_member=giver.pk, to_member=make_member().pk, points=60, comment="x")
        return transfers.send(wish, key=key, **who)

    assert isinstance(move("a", user=None, agent="key:1", keeper=owner), Entry)
    asked = move("b", user=None, agent="key:2", label="till", keeper=owner)
    assert isinstance(asked, Approval)
    assert (asked.requested_by, asked.requested_label) == (owner, "till")
    assert isinstance(move("c", user=owner), Approval)
    # Keys that nobody owns have a day each.
    assert isinstance(move("d", user=None, agent="key:3"), Entry)
    assert isinstance(move("e", user=None, agent="key:4"), Entry)


@pytest.mark.parametrize(("who", "status"), [("giver", "closed"), ("receiver", "closed"), ("receiver", "blocked")])
def test_an_approval_moves_nothing_for_who_left_in_between(who: str, status: str) -> None:
    set_limits(transfer_approval_above=50)
    giver, receiver, approver = holder(100), make_member(), make_user("approver")
    asked = send(giver, receiver, 60)
    assert isinstance(asked, Approval)
    Member.objects.filter(pk=(giver if who == "giver" else receiver).pk).update(status=status)
    page = client_of(approver).post(reverse("staff:approval_approve", args=[asked.pk]), follow=True)
    assert page.status_code == 409
    assert "The giver has left, or the receiver is blocked or has left." in page.content.decode()
    asked.refresh_from_db()
    assert asked.state == Approval.State.REQUESTED
    assert usable(giver, receiver) == [100, 0]


@pytest.mark.django_db(transaction=True)
def test_many_moves_at_once_do_not_pass_the_day_of_who_moves() -> None:
    set_limits(transfer_daily_limit=200)
    givers, receiver, user = [holder(50) for _ in range(12)], make_member(), make_user("customer_service")
    outcomes = at_once(
        *(lambda giver=giver: send(giver, receiver, 50, key=f"k{giver.pk}", user=user) for giver in givers)
    )
    assert outcomes == {"done": 12}
    assert usable(receiver) == [200]
    assert Approval.objects.count() == 8
    assert broken() == []


@pytest.mark.django_db(transaction=True)
def test_many_moves_at_once_do_not_pass_the_day_of_who_gives() -> None:
    set_limits(giver_daily_limit=150)
    giver, receivers = holder(1_000), [make_member() for _ in range(8)]
    people = [make_user("customer_service") for _ in range(8)]
    outcomes = at_once(
        *(
            lambda receiver=receiver, user=user: send(giver, receiver, 50, key=f"k{receiver.pk}", user=user)
            for receiver, user in zip(receivers, people, strict=True)
        )
    )
    assert outcomes == {"done": 8}
    assert usable(giver) == [850]
    # Who was refused for the giver's day has not used their own.
    assert DayUse.objects.filter(limit="transfer", points__gt=0).count() == 3


@pytest.mark.django_db(transaction=True)
def test_two_who_give_to_each_other_at_once_do_not_wait_for_ever() -> None:
    one, other = holder(500), holder(500)
    settings_now()
    people = make_user("customer_service")
    outcomes = at_once(
        *(
            lambda place=place: send(*((one, other) if place % 2 else (other, one)), 50, key=f"k{place}", user=people)
            for place in range(16)
        )
    )
    assert outcomes == {"done": 16}
    assert sum(usable(one, other)) == 1_000
    assert broken() == []


def test_the_dialog_finds_the_receiver_and_shows_what_it_does() -> None:
    giver, receiver = holder(100, number="M-1"), make_member(number="M-2")
    client = client_of(make_user("customer_service"))
    found = client.get(reverse("members:pick"), {"q": "M-", "not": "M-1"}).content.decode()
    assert "M-2" in found
    assert "M-1" not in found
    address = reverse("loyalty:member-transfer", args=["M-1"])
    form = {"member": "M-2", "points": "60", "comment": "Siblings.", "key": "abc"}
    shown = client.post(address, form | {"step": "look"}).content.decode()
    assert "100 → 40" in shown
    assert "0 → 60" in shown
    assert usable(giver, receiver) == [100, 0]
    for _ in range(2):
        assert "points-changed" in client.post(address, form | {"step": "do"})["HX-Trigger"]
    assert usable(giver, receiver) == [40, 60]
    assert "Only 40 points can be moved" in client.post(address, form | {"key": "b", "step": "look"}).content.decode()
    unchosen = client.post(address, form | {"key": "c", "step": "look", "member": "", "q": "wang"}).text
    assert 'value="wang"' in unchosen
    assert "load" in unchosen.split('value="wang"')[1].split(">")[0]
    for wrong in ({"member": "M-9"}, {"member": "M-1"}, {"points": "0"}):
        assert "HX-Trigger" not in client.post(address, form | {"key": "c", "step": "do"} | wrong)
    assert usable(giver, receiver) == [40, 60]
