"""The editor and the pages of campaigns, as the browser asks for them."""

import json
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from campaigns import drafts, runs
from campaigns.models import Campaign, CampaignEvent, Message
from staff.permissions import Role
from tests.campaigns.campaigns import EVERYBODY, make_draft, make_members, start
from tests.factories import make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def marketing(client: Client) -> Client:
    client.force_login(make_user(Role.MARKETING_MANAGER))
    return client


def edit(campaign: Campaign, step: str) -> str:
    return reverse("campaigns:edit", args=[campaign.pk, step])


def test_two_people_who_edit_at_once_lose_nothing_unseen(marketing: Client) -> None:
    campaign = make_draft()
    seen = campaign.revision
    drafts.save(campaign.pk, revision=seen, name="By somebody else")
    told = {"revision": seen, "name": "By me", "goal_days": 7}
    response = marketing.post(edit(campaign, "goal"), told, follow=True)
    assert "Somebody else changed this campaign meanwhile" in response.content.decode()
    assert "By somebody else" in response.content.decode()
    # While the text is being written, the same is said by loading the page again.
    told = {"revision": seen, "A-subject": "Mine", "A-body": "Mine"}
    response = marketing.post(reverse("campaigns:keep_content", args=[campaign.pk]), told)
    assert response["HX-Redirect"] == edit(campaign, "content")
    campaign.refresh_from_db()
    assert campaign.name == "By somebody else"


def test_conditions_with_a_hole_are_not_saved_and_not_lost(marketing: Client) -> None:
    campaign = make_draft()
    tree = {"all": [{"fact": "member.spend", "op": "gte", "value": "", "days": 365}]}
    response = marketing.post(edit(campaign, "audience"), {"revision": campaign.revision, "audience": json.dumps(tree)})
    assert response.status_code == 422
    assert "member.spend" in response.content.decode()
    campaign.refresh_from_db()
    assert campaign.audience == EVERYBODY


def test_the_schedule_keeps_the_moment_and_its_zone_and_shifts_the_shares(marketing: Client) -> None:
    campaign = make_draft()
    at = (timezone.now() + timedelta(days=30)).strftime("%Y-%m-%dT09:30")
    told = {"when": "at", "at": at, "time_zone": "America/New_York", "late_policy": "ask", "holdout_percent": "15"}
    response = marketing.post(edit(campaign, "schedule"), told | {"revision": campaign.revision, "share": "60"})
    assert response["Location"] == edit(campaign, "review")
    campaign.refresh_from_db()
    assert campaign.scheduled_at is not None
    assert runs.arms(campaign) == [
        {"key": "A", "share": 51},
        {"key": "B", "share": 34},
        {"key": "control", "share": 15},
    ]
    form = marketing.get(edit(campaign, "schedule")).content.decode()
    assert f'value="{at}"' in form


def test_a_step_is_marked_done_only_when_it_is(marketing: Client) -> None:
    response = marketing.post(reverse("campaigns:new"), {"name": "New", "goal_days": 7}, follow=True)
    states = [step["state"] for step in response.context["steps"]]
    assert states == ["done", "current", "todo", "later", "later"]
    at_review = marketing.get(edit(make_draft(), "review"))
    assert [step["state"] for step in at_review.context["steps"]] == ["done", "done", "done", "done", "current"]


def test_the_split_follows_the_form_without_saving(marketing: Client) -> None:
    campaign = make_draft(holdout=10)
    response = marketing.post(reverse("campaigns:split", args=[campaign.pk]), {"holdout_percent": "40", "share": "50"})
    assert "Holdout 40%" in response.content.decode()
    campaign.refresh_from_db()
    assert campaign.holdout_percent == 10


def test_a_launch_of_what_was_not_reviewed_is_refused(marketing: Client) -> None:
    campaign = make_draft()
    address = reverse("campaigns:launch", args=[campaign.pk])
    response = marketing.post(address, {"revision": campaign.revision - 1}, follow=True)
    assert "Review it again" in response.content.decode()
    assert not Campaign.objects.exclude(state=Campaign.State.DRAFT).exists()
    assert marketing.post(address, {"revision": campaign.revision})["Location"] == reverse(
        "campaigns:campaign", args=[campaign.pk]
    )
    assert marketing.get(edit(campaign, "content")).status_code == 302  # no draft, no editor


def test_the_preview_is_a_page_without_any_power(marketing: Client) -> None:
    [member] = make_members(1, given_name="<script>alert(1)</script>")
    campaign = make_draft(body="Hello {{ member.name }} <script>alert(2)</script>")
    response = marketing.get(reverse("campaigns:preview", args=[campaign.pk, "A"]), {"member": member.number})
    page = response.content.decode()
    assert "<script>" not in page
    assert "default-src 'none'" in response["Content-Security-Policy"]
    assert "sandbox" in response["Content-Security-Policy"]
    assert response["X-Frame-Options"] == "SAMEORIGIN"


def test_the_run_page_says_what_cannot_be_known_and_lists_it(marketing: Client) -> None:
    members = make_members(3)
    campaign = start(make_draft(variants="A"))
    Message.objects.filter(member=members[0]).update(
        state="unknown", reason="worker-died", claim="6d0cf6f6-6c5f-4d4c-9f43-2b1f6b3f0a01", claimed_at=timezone.now()
    )
    page = marketing.get(reverse("campaigns:campaign", args=[campaign.pk])).content.decode()
    assert "Of 1 message nobody knows whether it arrived" in page
    listed = marketing.get(reverse("campaigns:messages", args=[campaign.pk]), {"state": "unknown"}).content.decode()
    assert members[0].number in listed
    assert members[1].number not in listed
    assert "the worker died while it was being sent" in listed
    response = marketing.post(reverse("campaigns:act", args=[campaign.pk, "resend-unknown"]), follow=True)
    assert "1 message is sent again." in response.content.decode()
    assert marketing.post(reverse("campaigns:act", args=[campaign.pk, "explode"])).status_code == 404


def test_an_executive_reads_numbers_without_names(client: Client) -> None:
    client.force_login(make_user(Role.EXECUTIVE))
    [member] = make_members(1, given_name="Rosalind")
    campaign = start(make_draft(variants="A"))
    page = client.get(reverse("campaigns:messages", args=[campaign.pk])).content.decode()
    assert member.number in page
    assert "Rosalind" not in page
    assert "New campaign" not in client.get(reverse("campaigns:list")).content.decode()


def test_the_list_is_searched_filtered_and_comes_in_pages(marketing: Client) -> None:
    for number in range(30):
        make_draft(name=f"Campaign {number}")
    start(make_draft(name="Autumn"))
    assert "Autumn" in marketing.get(reverse("campaigns:list"), {"q": "autu"}).content.decode()
    drafts_only = marketing.get(reverse("campaigns:list"), {"state": "draft"}).content.decode()
    assert "Autumn" not in drafts_only
    assert "before=" in drafts_only


def test_an_imported_campaign_shows_what_its_members_did(marketing: Client) -> None:
    [member] = make_members(1)
    campaign = Campaign.objects.create(name="Spring", imported=True, state="done", external_id="s1")
    CampaignEvent.objects.create(
        campaign=campaign, member=member, arm="B", event="completed", occurred_at=timezone.now(), key="k"
    )
    page = marketing.get(reverse("campaigns:campaign", args=[campaign.pk])).content.decode()
    assert "Brought along from another system" in page
    assert "completed" in page
    assert marketing.post(reverse("campaigns:copy", args=[campaign.pk])).status_code == 404
