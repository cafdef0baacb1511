"""Households and companies: joining, leaving, their pages and their history."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from members import households, timeline
from members.models import Household, Member
from staff.models import AuditEntry, User
from tests.factories import make_member, make_user
from tests.loyalty.concurrency import at_once

pytestmark = pytest.mark.django_db


def found(name: str = "Wang", kind: str = "household") -> Household:
    return households.create(name=name, kind=kind, user=None)


def client_of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def test_a_member_is_in_one_household_at_most() -> None:
    home, office, member = found(), found("Acme", "company"), make_member()
    households.join(home, member, user=None)
    households.join(home, member, user=None)
    with pytest.raises(households.InAnother):
        households.join(office, member, user=None)
    assert AuditEntry.objects.filter(action="household.join").count() == 1
    households.leave(home, member, user=None)
    with pytest.raises(households.NotInIt):
        households.leave(home, member, user=None)
    households.join(office, member, user=None)
    assert Member.objects.get(pk=member.pk).household == office


@pytest.mark.parametrize("status", ["blocked", "closed"])
def test_who_is_not_active_does_not_join(status: str) -> None:
    with pytest.raises(households.NotEligible):
        households.join(found(), make_member(status=status), user=None)


@pytest.mark.django_db(transaction=True)
def test_two_who_join_at_once_do_not_pass_the_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(households, "MOST_MEMBERS", 3)
    home = found()
    members = [make_member() for _ in range(6)]
    outcomes = at_once(*(lambda member=member: households.join(home, member, user=None) for member in members))
    assert outcomes == {"done": 3, "Full": 3}
    assert home.members.count() == 3


def test_the_moves_are_on_the_members_timeline() -> None:
    member, home = make_member(), found("Wang at home")
    households.join(home, member, user=None)
    households.leave(home, member, user=None)
    items = timeline.page(member, before=timezone.now(), kind="household").items
    assert [item.title for item in items] == ["Left “Wang at home”", "Joined “Wang at home”"]


def test_changes_of_a_member_other_than_moves_leave_no_history() -> None:
    member = make_member()
    member.given_name = "Mei"
    member.save(update_fields=["given_name"])
    assert timeline.page(member, before=timezone.now(), kind="household").items == []


def test_a_household_is_founded_filled_and_emptied_on_its_pages() -> None:
    client, member = client_of(make_user("customer_service")), make_member(number="M-1")
    founded = client.post(reverse("members:household-new"), {"name": "Wang", "kind": "household"})
    home = Household.objects.get()
    assert founded.url == home.get_absolute_url()
    assert "M-1" in client.get(reverse("members:pick"), {"q": "M-1"}).content.decode()
    client.post(reverse("loyalty:household-join", args=[home.pk]), {"member": "M-1"})
    assert member.display_name in client.get(home.get_absolute_url()).content.decode()
    assert home.name in client.get(f"/members/{member.number}/").content.decode()
    client.post(reverse("members:household-rename", args=[home.pk]), {"name": "Wang & Li", "kind": "company"})
    client.post(reverse("loyalty:household-leave", args=[home.pk]), {"member": "M-1"})
    home.refresh_from_db()
    assert (home.name, home.kind, home.members.count()) == ("Wang & Li", "company", 0)
    assert client.post(reverse("members:household-new"), {"name": "", "kind": "x"}).status_code == 422


def test_the_list_needs_the_same_few_queries_however_long_it_is(django_assert_num_queries: Any) -> None:
    for place in range(30):
        households.join(found(f"Home {place}"), make_member(), user=None)
    client = client_of(make_user("approver"))
    with django_assert_num_queries(4):  # session, user, page, sizes
        page = client.get(reverse("members:households"), {"q": "home", "kind": "household"})
    assert [size for _row, size in page.context["rows"]] == [1] * 30
