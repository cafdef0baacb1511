"""Points moved from one member to another by service."""

from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from loyalty import ledger, transfers, verify
from loyalty.models import Entry, Lot, ProgrammeSettings
from loyalty.programme import settings_now
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
    for wrong in ({"member": "M-9"}, {"member": "M-1"}, {"points": "0"}):
        assert "HX-Trigger" not in client.post(address, form | {"key": "c", "step": "do"} | wrong)
    assert usable(giver, receiver) == [40, 60]
