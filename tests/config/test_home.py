"""The home page: each role sees what needs it, and nothing of what it may not open."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from config import needs
from loyalty import ledger
from loyalty.models import Reward
from staff.models import Job, User
from tests.factories import make_member, make_user

pytestmark = pytest.mark.django_db


def texts(user: User) -> str:
    return " ".join(need.text for need in needs.of(user, now=timezone.now()))


def test_failed_jobs_are_shown_to_those_who_can_look_into_them() -> None:
    admin, manager, other = make_user(), make_user("marketing_manager"), make_user("marketing_manager")
    executive = make_user("executive")
    Job.objects.create(
        kind="import",
        title="Import members.csv",
        state="failed",
        error="Row 12: no number.",
        created_by=manager,
        finished_at=timezone.now(),
    )
    assert "“Import members.csv” failed: Row 12: no number." in texts(admin)
    assert "Import members.csv" in texts(manager)
    assert "Import members.csv" not in texts(other)
    assert "Import members.csv" not in texts(executive)


def test_a_reward_that_runs_out_is_shown_to_those_who_can_restock_it() -> None:
    Reward.objects.create(name="Coffee set", points=2000, stock=3)
    Reward.objects.create(name="Mug", points=500, stock=0)
    Reward.objects.create(name="Voucher", points=500, stock=None)
    shown = texts(make_user("marketing_manager"))
    assert "3 “Coffee set” are left." in shown
    assert "“Mug” is out of stock and still offered." in shown
    assert "Voucher" not in shown
    assert "Coffee set" not in texts(make_user("executive"))


def test_points_about_to_expire_are_shown_to_those_who_can_write_to_the_members() -> None:
    now = timezone.now()
    for days, points in ((3, 100), (5, 20), (9, 7)):
        ledger.award(
            member_id=make_member().pk,
            points=points,
            key=f"{days}",
            occurred_at=now - timedelta(days=9),
            expires_at=now + timedelta(days=days),
            explanation={},
        )
    shown = texts(make_user("marketing_manager"))
    assert "2 members lose 120 points within 7 days unless they spend them." in shown
    assert "lose 120 points" not in texts(make_user("customer_service"))


@pytest.mark.parametrize("role", ["administrator", "marketing_manager", "customer_service", "executive", "approver"])
def test_every_way_from_the_home_page_is_open_to_whom_it_is_shown(role: str) -> None:
    client = Client()
    client.force_login(make_user(role))
    page = client.get("/")
    assert page.context["ways"]
    for _way, url in page.context["ways"]:
        assert client.get(url).status_code == 200, url
    assert client.get("/home/needs/").status_code == 200
