"""Campaign history from another system comes in with a column mapping, counts right, and can be taken back."""

from pathlib import Path

import pytest
from django.db.models import Count

from campaigns.models import Campaign, CampaignEvent, Variant
from members.importing import runs
from members.importing.options import Options
from members.models import Member
from tests.campaigns.campaigns import make_draft
from tests.factories import make_member
from tests.members.imports import DATA, STARBUCKS_MEMBERS, bring_in, needs_real_data, refused, written

pytestmark = pytest.mark.django_db

HEADER = "campaign,member,variant,event,time\n"

OFFER_EVENTS = Options(
    columns={"person": "member", "time": "occurred_at", "event": "event", "offer_id": "campaign"},
    translations={
        "event": {"offer received": "received", "offer viewed": "viewed", "offer completed": "completed"},
    },
)


def test_variants_control_and_identical_rows_come_in_and_go_again(tmp_path: Path) -> None:
    for number in ("M-1", "M-2"):
        make_member(number=number)
    path = written(
        tmp_path,
        HEADER
        + "Spring,M-1,B,received,2026-03-01T10:00:00Z\n"
        + "Spring,M-1,B,bought,2026-03-02T10:00:00Z\n" * 2
        + "Spring,M-2,Holdout,received,2026-03-01T10:00:00Z\n"
        + "夏季,M-2,,received,2026-03-05T10:00:00Z\n",
    )
    run = bring_in("campaign-history", path)
    assert (run.rows_added, run.report["notes"]) == (5, {"campaigns": 2})
    spring = Campaign.objects.get(external_id="Spring")
    assert (spring.state, spring.imported) == ("done", True)
    arms = list(spring.events.order_by("id").values_list("arm", "event"))
    assert arms == [("B", "received"), ("B", "bought"), ("B", "bought"), ("control", "received")]
    assert set(Variant.objects.values_list("campaign__name", "key")) == {("Spring", "B"), ("夏季", "A")}
    again = bring_in("campaign-history", path)
    assert (again.rows_added, again.rows_unchanged) == (0, 5)
    runs.undo(run, user=None)
    assert not CampaignEvent.objects.exists()
    assert not Campaign.objects.exists()


def test_a_campaign_that_another_import_added_to_stays(tmp_path: Path) -> None:
    make_member(number="M-1")
    first = bring_in("campaign-history", written(tmp_path, HEADER + "Spring,M-1,A,received,2026-03-01\n", "1.csv"))
    bring_in("campaign-history", written(tmp_path, HEADER + "Spring,M-1,A,viewed,2026-03-02\n", "2.csv"))
    runs.undo(first, user=None)
    assert Campaign.objects.get().events.get().event == "viewed"


def test_history_of_a_campaign_that_was_run_here_is_refused(tmp_path: Path) -> None:
    make_member(number="M-1")
    campaign = make_draft()
    Campaign.objects.filter(pk=campaign.pk).update(external_id="ours")
    _words, errors = refused("campaign-history", written(tmp_path, HEADER + "ours,M-1,A,received,2026-03-01\n"))
    assert "run here" in errors[0]["reason"]


@needs_real_data
def test_the_starbucks_offers_come_out_as_they_are_known() -> None:
    bring_in("members", DATA / "starbucks" / "members.csv", STARBUCKS_MEMBERS)
    assert Member.objects.count() == 17_000
    path = DATA / "starbucks" / "offer_events.csv"
    run = bring_in("campaign-history", path, OFFER_EVENTS)
    assert run.rows_added == 167_581
    types = {}
    for line in (DATA / "starbucks" / "offers.csv").read_text().splitlines()[1:]:
        offer, kind, *_rest = line.split(",")
        types[offer] = kind
    counts: dict[tuple[str, str], int] = {}
    grouped = CampaignEvent.objects.values_list("campaign__external_id", "event").annotate(Count("pk"))
    for offer, event, number in grouped:
        counts[types[offer], event] = counts.get((types[offer], event), 0) + number
    assert counts == {
        ("bogo", "received"): 30_499,
        ("bogo", "viewed"): 25_449,
        ("bogo", "completed"): 15_669,
        ("discount", "received"): 30_543,
        ("discount", "viewed"): 21_445,
        ("discount", "completed"): 17_910,
        ("informational", "received"): 15_235,
        ("informational", "viewed"): 10_831,
    }
    assert bring_in("campaign-history", path, OFFER_EVENTS).rows_added == 0
    runs.undo(run, user=None)
    assert not CampaignEvent.objects.exists()
