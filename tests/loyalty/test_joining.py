"""Joining a household: above a limit a second person decides what comes into whose reach."""

from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from loyalty import joining, ledger
from loyalty.models import ProgrammeSettings
from members import households
from members.models import Household, Member
from staff import approvals
from staff.models import Approval, AuditEntry, User
from tests.factories import make_member, make_user
from tests.loyalty.concurrency import at_once

pytestmark = pytest.mark.django_db


def holder(points: int, **fields: object) -> Member:
    member = make_member(**fields)
    if points:
        now = timezone.now() - timedelta(days=1)
        ledger.award(member_id=member.pk, points=points, key=f"g{member.pk}", occurred_at=now, explanation={})
    return member


def household_of(*members: Member) -> Household:
    home = households.create(name="Wang", kind="household", user=None)
    for member in members:
        households.join(home, member, user=None)
    return home


def limit(points: int) -> None:
    ProgrammeSettings.objects.update(household_approval_above=points)


def client_of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def test_above_the_limit_a_second_person_lets_a_member_in() -> None:
    limit(100)
    home, friend, agent = household_of(holder(90)), holder(11), make_user("customer_service")
    asked = joining.join(home, friend, user=agent)
    assert isinstance(asked, Approval)
    assert joining.join(home, friend, user=agent) == asked
    friend.refresh_from_db()
    assert friend.household is None
    approver = make_user("approver")
    page = client_of(approver).get(asked.get_absolute_url()).content.decode()
    assert f"Let {friend.number} into “Wang”" in page
    approvals.approve(asked, user=approver)
    friend.refresh_from_db()
    assert friend.household == home
    detail = AuditEntry.objects.filter(action="household.join").latest("pk").detail
    assert (detail["points_of_others"], detail["points_of_member"]) == (90, 11)
    assert detail["asked_by"] == str(agent)


def test_up_to_the_limit_and_into_an_empty_household_one_person_decides() -> None:
    limit(100)
    agent = make_user("customer_service")
    assert joining.join(household_of(holder(90)), holder(10), user=agent) is None
    # Nobody else is there who could spend them.
    assert joining.join(household_of(), holder(5_000), user=agent) is None


def test_who_is_blocked_while_somebody_joins_and_let_in_again_afterwards_counts() -> None:
    limit(100)
    agent = make_user("customer_service")
    for points, of_joiner in ((500, 0), (0, 500)):
        blocked, joiner = holder(points), holder(of_joiner)
        home = household_of(blocked)
        Member.objects.filter(pk=blocked.pk).update(status="blocked")
        assert isinstance(joining.join(home, joiner, user=agent), Approval)


def test_what_became_impossible_in_between_is_not_carried_out() -> None:
    limit(100)
    home, friend, approver = household_of(holder(200)), holder(0), make_user("approver")
    asked = joining.join(home, friend, user=make_user("customer_service"))
    assert isinstance(asked, Approval)
    households.join(household_of(), friend, user=None)
    assert "already and must leave it first" in client_of(approver).get(asked.get_absolute_url()).content.decode()
    with pytest.raises(approvals.CannotBeDone, match="must leave it first"):
        approvals.approve(asked, user=approver)


def test_the_dialogs_say_in_numbers_what_comes_into_reach() -> None:
    limit(1_000)
    home, friend = household_of(holder(900), holder(40)), holder(300, number="M-7")
    client = client_of(make_user("customer_service"))
    address = reverse("loyalty:household-join", args=[home.pk])
    dialog = client.get(address, {"member": "M-7"}).content.decode()
    for told in ("940", "300", "More than 1,000 points come into reach of somebody else"):
        assert told in dialog
    client.post(address, {"member": "M-7"})
    assert Approval.objects.count() == 1
    limit(5_000)
    client.post(address, {"member": "M-7"})
    friend.refresh_from_db()
    assert friend.household == home
    address = reverse("loyalty:household-leave", args=[home.pk])
    assert "940" in client.get(address, {"member": "M-7"}).content.decode()
    client.post(address, {"member": "M-7"})
    assert AuditEntry.objects.get(action="household.leave").detail["points_of_member"] == 300
    assert "Search for a member and choose one" in client.get(address).content.decode()


@pytest.mark.django_db(transaction=True)
def test_of_many_who_join_at_once_none_slips_in_above_the_limit() -> None:
    limit(100)
    home, agent = household_of(), make_user("customer_service")
    members = [holder(60) for _ in range(6)]
    outcomes = at_once(*(lambda member=member: joining.join(home, member, user=agent) for member in members))
    assert outcomes == {"done": 6}
    assert home.members.count() == 1
    assert Approval.objects.count() == 5


def test_households_joined_one_after_the_other_are_added_up() -> None:
    limit(100)
    agent = make_user("customer_service")
    first, second = household_of(holder(60)), household_of(holder(50))
    assert joining.join(first, holder(0), user=agent) is None
    address = reverse("loyalty:household-join", args=[second.pk])
    dialog = client_of(agent).get(address, {"member": holder(0, number="M-8").number}).content.decode()
    assert "More than 40 points come into reach of somebody else" in dialog
    assert "Ask a second person" in dialog
    assert isinstance(joining.join(second, holder(0), user=agent), Approval)
    # What a second person lets in does not count, and somebody else has a day of their own.
    approvals.approve(Approval.objects.get(), user=make_user("approver"))
    assert joining.join(household_of(holder(40)), holder(0), user=agent) is None
    assert joining.join(household_of(holder(100)), holder(0), user=make_user("customer_service")) is None


@pytest.mark.parametrize("waiting", ["pending", "held"])
def test_points_that_are_not_active_yet_count(waiting: str) -> None:
    limit(100)
    owner, now = holder(0), timezone.now()
    when = {"held": True} if waiting == "held" else {"activates_at": now + timedelta(days=3)}
    ledger.award(member_id=owner.pk, points=101, key="w", occurred_at=now, explanation={}, **when)
    assert ledger.available(owner.pk, now) == 0
    asked = joining.join(household_of(owner), holder(0), user=make_user("customer_service"))
    assert isinstance(asked, Approval)


@pytest.mark.django_db(transaction=True)
def test_households_joined_at_once_by_one_person_are_added_up() -> None:
    limit(100)
    agent = make_user("customer_service")
    pairs = [(household_of(holder(40)), holder(0)) for _ in range(8)]
    outcomes = at_once(*(lambda pair=pair: joining.join(*pair, user=agent) for pair in pairs))
    assert outcomes == {"done": 8}
    assert Approval.objects.count() == 6
    assert Member.objects.filter(pk__in=[member.pk for _home, member in pairs], household__isnull=False).count() == 2
