"""What the pages of A/B results say of one campaign: the verdict in words, and what spoils it."""

from collections.abc import Iterator
from decimal import Decimal

import pytest
import time_machine
from django.test import Client

from analytics import collect
from analytics.metrics import METRICS, ask
from campaigns.models import Campaign
from members.models import Member
from staff.permissions import Role
from tests.analytics.programme import at, expose, happen, make_campaign
from tests.factories import make_member, make_purchase, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _now() -> Iterator[None]:
    with time_machine.travel(at(2026, 11, 22, 12, 0), tick=False):
        yield


def signed_in() -> Client:
    client = Client()
    client.force_login(make_user(Role.MARKETING_MANAGER))
    return client


def fill(campaign: Campaign, arm: str, members: int, buyers: int) -> None:
    for place in range(members):
        member = make_member()
        expose(campaign, member, arm, at(2026, 10, 1))
        if place < buyers:
            make_purchase(member, amount=Decimal(10 + place), purchased_at=at(2026, 10, 2))


def test_an_ab_result_is_said_in_words_and_numbers():
    campaign = make_campaign({"control": 50, "A": 50}, name="Autumn offer")
    fill(campaign, "control", 80, 48)
    fill(campaign, "A", 70, 56)
    happen(campaign, Member.objects.first(), "control", "opened", at(2026, 10, 3))
    collect.collect()
    page = signed_in().get(f"/analytics/ab/{campaign.pk}/").content.decode()
    # 56/70 against 48/80, as in Newcombe's table.
    assert "Send it to everyone. It brings 20.00 percentage points more buyers than sending nothing." in page
    assert "+5.24 … +33.39" in page
    assert "0.008" in page
    assert "Shares as planned" in page
    assert "All days are over" in page
    told = METRICS["campaign-conversion"].compute(
        ask(METRICS["campaign-conversion"], {"campaign": str(campaign.pk)})[0]
    )
    assert told.rows[1].parts["lift"] == pytest.approx(20)
    listed = signed_in().get("/analytics/ab/").content.decode()
    assert "Autumn offer" in listed
    assert "Send it to everyone" in listed
    assert "Autumn offer" in signed_in().get("/analytics/overview/").content.decode()


def test_a_planned_holdout_is_not_denied_before_its_members_are_collected():
    campaign = make_campaign({"control": 10, "A": 90}, name="Just sent")
    expose(campaign, make_member(), "control", at(2026, 11, 22))
    page = signed_in().get(f"/analytics/ab/{campaign.pk}/").content.decode()
    assert "Nobody was collected yet." in page
    assert "collected every minute" in page
    assert "No holdout" not in page
    assert "Without a holdout" not in page


def test_an_unbalanced_experiment_is_not_to_be_trusted():
    campaign = make_campaign({"control": 50, "A": 50}, name="Autumn offer")
    fill(campaign, "control", 40, 10)
    fill(campaign, "A", 90, 60)
    collect.collect()
    page = signed_in().get(f"/analytics/ab/{campaign.pk}/").content.decode()
    assert page.index("Shares are not as planned") < page.index("Do not trust this result")
    assert "30.8 / 69.2% where 50 / 50% was planned (p &lt; 0.0001)" in page
    assert ">best<" not in page.replace(" ", "").replace("\n", "")
    assert "Do not trust this result" in signed_in().get("/analytics/overview/").content.decode()


def test_a_result_before_the_last_day_is_too_early():
    campaign = make_campaign({"control": 50, "A": 50}, goal_days=14, state="running")
    for arm in ("control", "A"):
        for _ in range(40):
            expose(campaign, make_member(), arm, at(2026, 11, 10))
    collect.collect()
    page = signed_in().get(f"/analytics/ab/{campaign.pk}/").content.decode()
    assert "2 of 14 days to go" in page
    assert "Too early to decide" in page


def test_an_imported_campaign_claims_no_lift():
    campaign = make_campaign(name="bogo", goal_days=7)
    for place in range(10):
        member = make_member()
        happen(campaign, member, "ae264", "received", at(2026, 5, 1))
        if place < 7:
            happen(campaign, member, "ae264", "viewed", at(2026, 5, 2))
    collect.collect()
    page = signed_in().get(f"/analytics/ab/{campaign.pk}/").content.decode()
    assert "There is no holdout, so no lift can be claimed." in page
    assert "no shares were planned" in page
    assert "70.0%" in page
