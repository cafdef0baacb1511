"""Campaign history from another system comes in with a column mapping, counts right, and can be taken back."""

from pathlib import Path

import pytest

from campaigns.models import Campaign, CampaignEvent, Variant
from members.importing import runs
from tests.campaigns.campaigns import make_draft
from tests.factories import make_member
from tests.members.imports import bring_in, refused, written

pytestmark = pytest.mark.django_db

HEADER = "campaign,member,variant,event,time\n"


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
