"""A company's history on one evening: all real files in, once more, and out again.

Every number stands in ../shared/data/README.md. One test, because the files build on each other.
"""

from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal

import pytest
import time_machine
from django.core.management import call_command
from django.db import connection
from django.db.models import Count, Sum

from analytics import collect
from analytics.metrics import METRICS, ask
from analytics.models import ArmEvent, MemberMonth
from campaigns.models import Campaign
from loyalty.models import Account, Entry, TierChange
from loyalty.programme import ensure_defaults
from members.importing import runs
from members.importing.options import Options
from members.models import ImportRun, Member, Purchase, SurveyResponse
from tests.analytics.programme import everything_collected
from tests.members.imports import DATA, STARBUCKS_MEMBERS, bring_in, needs_real_data

OFFERS = DATA / "starbucks" / "offers.csv"


def steps() -> list[tuple[str, str, Options]]:
    """Kind, file and options of every file, in the order in which a company brings them in."""
    return [
        ("members", "starbucks/members.csv", STARBUCKS_MEMBERS),
        ("purchases", "starbucks/purchases.csv", Options(columns={"person": "member"})),
        (
            "campaign-history",
            "starbucks/offer_events.csv",
            Options(
                columns={"person": "member", "offer_id": "campaign"},
                translations={"event": {f"offer {event}": event for event in ("received", "viewed", "completed")}},
            ),
        ),
        ("survey-responses", "seat_reviews/responses.csv", Options(translations={"date": {"1970-01-01": ""}})),
    ]


def verify() -> None:
    """Everything that must always hold, holds (exit code 0)."""
    call_command("verify")


def offer_events() -> dict[str, Counter[str]]:
    """Events by the type of their offer."""
    types = dict(line.split(",")[:2] for line in OFFERS.read_text().splitlines()[1:])
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.external_id, e.event, count(*) FROM campaigns_campaignevent e "
            "JOIN campaigns_campaign c ON c.id = e.campaign_id GROUP BY 1, 2"
        )
        found: dict[str, Counter[str]] = {}
        for offer, event, count in cursor.fetchall():
            found.setdefault(types[offer], Counter())[event] += count
    return found


def collected_offer_events() -> dict[str, Counter[str]]:
    """The same from what the A/B pages read."""
    types = dict(line.split(",")[:2] for line in OFFERS.read_text().splitlines()[1:])
    offers = dict(Campaign.objects.values_list("pk", "external_id"))
    found: dict[str, Counter[str]] = {}
    for counted in ArmEvent.objects.all():
        found.setdefault(types[offers[counted.campaign_id]], Counter())[counted.event] += counted.events
    return found


def members_are_as_known() -> None:
    """What the file does not know is left open, and its dates are days of the programme."""
    assert Member.objects.filter(gender="").count() == 2_175
    assert Member.objects.exclude(attributes__has_key="age").count() == 2_175
    assert Member.objects.exclude(attributes__has_key="income").count() == 2_175
    known = Member.objects.get(external_id="0610b486422d4921ae7d2bf64640c50b")
    assert known.attributes == {"age": 55, "income": 112_000}
    assert known.joined_at.isoformat() == "2017-07-14T16:00:00+00:00"  # midnight of the 15th in Shanghai


@needs_real_data
@pytest.mark.django_db(transaction=True)
@time_machine.travel(datetime(2018, 9, 1, tzinfo=UTC))  # a month later, while the points are still there
def test_all_real_files_come_in_once_give_the_known_numbers_and_go_out_again() -> None:
    ensure_defaults()
    verify()
    done = [bring_in(kind, DATA / file, options) for kind, file, options in steps()]
    assert [run.rows_added for run in done] == [17_000, 138_953, 167_581, 1_258]
    assert all(run.rows_refused == 0 for run in done)

    bought = Purchase.objects.aggregate(sum=Sum("amount"), buyers=Count("member", distinct=True), rows=Count("pk"))
    assert bought == {"sum": Decimal("1775451.97"), "buyers": 16_578, "rows": 138_953}
    members_are_as_known()
    issued = Entry.objects.aggregate(sum=Sum("points"))["sum"]
    assert issued == done[1].report["notes"]["points_given"] == Account.objects.aggregate(sum=Sum("balance"))["sum"]
    assert issued > 1_700_000
    assert offer_events() == {
        "bogo": {"received": 30_499, "viewed": 25_449, "completed": 15_669},
        "discount": {"received": 30_543, "viewed": 21_445, "completed": 17_910},
        "informational": {"received": 15_235, "viewed": 10_831},
    }
    verify()
    collect.collect()
    assert MemberMonth.objects.aggregate(sum=Sum("spend"), orders=Sum("orders")) == {
        "sum": Decimal("1775451.97"),
        "orders": 138_953,
    }
    assert collected_offer_events() == offer_events()
    _query, nps = ask(METRICS["nps"], {"period": "all"})
    assert (round(nps.total.value or 0, 2), nps.total.denominator) == (-56.80, 1257)

    again = [bring_in(kind, DATA / file, options) for kind, file, options in steps()]
    assert [(run.rows_added, run.rows_updated, run.rows_refused) for run in again] == [(0, 0, 0)] * 4
    assert [run.rows_unchanged for run in again] == [17_000, 138_953, 167_581, 1_258]

    for run in reversed(done):
        preview = runs.preview_undo(run)
        assert preview.removes[0][1] == run.rows_added
        assert not preview.obstacles
        runs.undo(run, user=None)
    assert set(ImportRun.objects.values_list("state", flat=True)) == {"undone", "done"}
    assert not Member.objects.exists()
    assert not Purchase.objects.exists()
    assert not SurveyResponse.objects.exists()
    assert not TierChange.objects.exists()
    assert not Entry.objects.standing().exists()
    assert offer_events() == {}
    assert not Account.objects.exclude(balance=0).exists()
    verify()
    collect.collect()
    assert not any(everything_collected().values())
