"""Collection in steps must come to what a rebuild from the raw rows comes to, whatever the order."""

from collections import defaultdict
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connection, transaction
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analytics import collect
from analytics.models import (
    ArmDay,
    ArmEvent,
    ArmMember,
    CohortMonth,
    CohortSize,
    Collection,
    MemberMonth,
    MemberSpan,
    NpsMonth,
    PointsMonth,
    RewardMonth,
    SpanDay,
)
from analytics.tasks import collect_facts
from campaigns.models import CampaignEvent
from loyalty import ledger
from loyalty.intake import record_refund
from loyalty.models import Account
from members.models import ImportRun, Member, Purchase, SurveyResponse
from tests.analytics.programme import (
    SHANGHAI,
    at,
    everything_collected,
    expose,
    happen,
    make_campaign,
    make_reward,
    make_tiers,
    move_tier,
    post,
    redeem,
    take_back,
)
from tests.factories import make_member, make_purchase, make_response
from tests.transactions import oldest_of_this_database

START = datetime(2024, 1, 1, tzinfo=UTC)

# A step is (what, which member, how many days after START, a number); "collect" may stand anywhere.
KINDS = ["join", "buy", "buy", "earn", "redeem", "take_back", "move_tier", "expose", "happen", "answer", "collect"]
plans = st.lists(
    st.tuples(st.sampled_from(KINDS), st.integers(0, 5), st.integers(0, 900), st.integers(1, 10)),
    min_size=20,
    max_size=50,
)


class Steps:
    """A programme that grows by random steps; each method is one kind of step."""

    def __init__(self) -> None:
        self.tiers = list(make_tiers().values())
        self.rewards = [make_reward(10), make_reward(20)]
        self.ours = make_campaign({"control": 50, "A": 50}, goal_days=14)
        self.brought_along = make_campaign(goal_days=7)
        self.members: list[Member] = []

    def take(self, what: str, which: int, day: int, number: int) -> None:
        when = START + timedelta(days=day, hours=number * 2)
        if what == "collect":
            collect.collect()
        elif what == "join" or not self.members:
            self.members.append(make_member(joined_at=when))
        else:
            getattr(self, what)(self.members[which % len(self.members)], number, when)

    def buy(self, member: Member, number: int, when: datetime) -> None:
        make_purchase(member, amount=number, purchased_at=when)

    def earn(self, member: Member, number: int, when: datetime) -> None:
        post(member, number * 10, when)

    def redeem(self, member: Member, number: int, when: datetime) -> None:
        with suppress(ledger.InsufficientPoints), transaction.atomic():
            redeem(member, self.rewards[number % 2], when)

    def take_back(self, member: Member, number: int, when: datetime) -> None:
        if entry := member.entries.filter(kind="redeem", reversed_by=None).first():
            take_back(entry, when)

    def move_tier(self, member: Member, number: int, when: datetime) -> None:
        move_tier(member, self.tiers[number % 3], when)

    def expose(self, member: Member, number: int, when: datetime) -> None:
        if not self.ours.experiment.exposures.filter(member=member).exists():
            expose(self.ours, member, "A" if number % 2 else "control", when)

    def happen(self, member: Member, number: int, when: datetime) -> None:
        happen(self.brought_along, member, "xyz"[number % 3], "received" if number % 2 else "viewed", when)

    def answer(self, member: Member, number: int, when: datetime) -> None:
        make_response(member, score=number, answered_at=when if number % 4 else None)


@pytest.mark.django_db(transaction=True)
def test_collecting_in_any_steps_comes_to_the_same_as_a_rebuild():
    programme = Steps()

    @settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
    @given(plans)
    def check(plan: list[tuple[str, int, int, int]]) -> None:
        programme.members = []
        for step in plan:
            programme.take(*step)
        collect.collect()
        in_steps = everything_collected()
        assert collect.collect(rebuild=True).rebuilt
        assert everything_collected() == in_steps
        assert_cohorts_as_counted_in_python()

    check()
    assert [name for name, rows in everything_collected().items() if not rows] == []


def assert_cohorts_as_counted_in_python() -> None:
    """The cohort rollup against the raw purchases, counted a second way."""
    months = defaultdict(set)
    for member_id, when in Purchase.objects.values_list("member_id", "purchased_at"):
        months[member_id].add(when.astimezone(SHANGHAI).date().replace(day=1))
    counts: dict[tuple[object, object], int] = defaultdict(int)
    for bought in months.values():
        for month in bought:
            counts[min(bought), month] += 1
    stored = CohortMonth.objects.filter(kind="first_purchase").values_list("cohort", "month", "members")
    assert {(cohort, month): members for cohort, month, members in stored} == counts


@pytest.mark.django_db(transaction=True)
def test_a_row_that_commits_late_with_a_lower_id_is_not_missed():
    member, other_member = make_member(), make_member()
    collect.collect()
    late = connection.copy()
    late.set_autocommit(False)
    try:
        with late.cursor() as cursor:
            # Within a savepoint, as Django's nested atomic blocks do: the row has a transaction id of its own.
            cursor.execute("SAVEPOINT inner_block")
            cursor.execute(
                "INSERT INTO members_purchase (member_id, key, external_id, purchased_at, amount, currency, rate,"
                " value, channel, store, category, created_at)"
                " SELECT %s, 'late', '', %s, 5, 'CNY', 1, 5, '', '', '', now()",
                [member.pk, at(2026, 3, 1)],
            )
            cursor.execute("RELEASE SAVEPOINT inner_block")
        for _ in range(4):
            make_purchase(other_member, purchased_at=at(2026, 3, 2))
            collect.collect()
        assert not MemberMonth.objects.filter(member=member).exists()
        late.commit()
    finally:
        late.close()
    assert collect.collect().members >= 1
    assert MemberMonth.objects.get(member=member).orders == 1
    assert MemberMonth.objects.get(member=other_member).orders == 4


@pytest.fixture
def alone_on_the_server(monkeypatch):
    """Let the collector see the transactions of this process's database only.

    Others share the server, and while a transaction of theirs is open, rows that are younger than it count as
    news again: that costs time and no sums, but some tests count the members of each refresh.
    """
    look = collect._snapshot

    def snapshot_of_this_database(cursor):
        seen = look(cursor)
        return replace(seen, oldest=min(oldest_of_this_database(cursor) or seen.next, seen.next))

    monkeypatch.setattr(collect, "_snapshot", snapshot_of_this_database)


@pytest.mark.django_db(transaction=True)
def test_a_refresh_touches_only_who_has_news(alone_on_the_server):
    buyers = [make_member() for _ in range(30)]
    for buyer in buyers:
        make_purchase(buyer, purchased_at=at(2026, 3, 1))
    assert collect.collect().members == 30
    assert collect.collect().members == 0
    make_purchase(buyers[3], purchased_at=at(2026, 3, 2))
    assert collect.collect().members == 1
    assert collect.collect().members == 0


@pytest.mark.django_db(transaction=True)
def test_a_fill_that_was_killed_says_so_and_goes_on_where_it_stopped(alone_on_the_server, monkeypatch):
    monkeypatch.setattr(collect, "BATCH_MEMBERS", 4)
    for _ in range(10):
        make_purchase(purchased_at=at(2026, 3, 1))
    work_off = collect._work_off_batch
    calls = iter([work_off, work_off])

    def die_at_the_third() -> int:
        return next(calls)()

    monkeypatch.setattr(collect, "_work_off_batch", die_at_the_third)
    with pytest.raises(StopIteration):
        collect.collect()
    assert Collection.objects.get().state == "started"
    assert Collection.objects.get().as_of is None
    assert collect.pending() == 2
    monkeypatch.setattr(collect, "_work_off_batch", work_off)
    assert collect.collect().members == 2
    assert Collection.objects.get().state == "done"
    half_and_half = everything_collected()
    collect.collect(rebuild=True)
    assert everything_collected() == half_and_half
    assert CohortMonth.objects.get(kind="first_purchase").members == 10


@pytest.mark.django_db(transaction=True)
def test_two_collectors_do_not_get_into_each_others_way():
    make_purchase()
    other = connection.copy()
    try:
        other.set_autocommit(False)
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [collect.LOCK])
        assert collect.collect().busy
        other.rollback()
    finally:
        other.close()
    assert collect.collect().members == 1


@pytest.mark.django_db(transaction=True)
def test_undone_imports_leave_no_trace():
    campaign = make_campaign()
    stays = make_member(joined_at=at(2026, 1, 5))
    make_response(stays, score=10, answered_at=at(2026, 2, 1))
    collect.collect()
    before = everything_collected()
    runs = {
        kind: ImportRun.objects.create(kind=kind, file_name="f.csv", path="f.csv", state="done")
        for kind in ("members", "purchases", "survey-responses", "campaign-history")
    }
    brought = make_member(joined_at=at(2026, 2, 1), import_run=runs["members"])
    make_purchase(stays, purchased_at=at(2026, 1, 9), import_run=runs["purchases"])
    make_response(score=0, answered_at=at(2025, 2, 1), import_run=runs["survey-responses"])
    happen(campaign, stays, "A", "received", at(2026, 2, 2), import_run=runs["campaign-history"])
    collect.collect()
    assert everything_collected() != before
    # As an undo does it: set-based, and not through Django's collector.
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM members_purchase WHERE import_run_id IS NOT NULL")
        cursor.execute("DELETE FROM members_member WHERE id = %s", [brought.pk])
        cursor.execute("DELETE FROM members_surveyresponse WHERE import_run_id IS NOT NULL")
        cursor.execute("DELETE FROM campaigns_campaignevent WHERE import_run_id IS NOT NULL")
    ImportRun.objects.update(state="undone", undone_at=timezone.now())
    collect.collect()
    assert everything_collected() == before


@pytest.mark.django_db(transaction=True)
def test_a_refund_is_news_and_takes_spend_orders_and_points_off_the_month_of_the_purchase():
    make_tiers()
    member = make_member(joined_at=START)
    for place, month in enumerate((1, 2)):
        bought = make_purchase(member, amount=100, purchased_at=START.replace(month=month), key=f"p{place}")
        ledger.award(
            member_id=member.pk,
            points=100,
            key=f"e{place}",
            occurred_at=bought.purchased_at,
            explanation={},
            purchase=bought,
        )
    collect.collect()

    def months() -> list[tuple[int, Decimal, int, int]]:
        rows = MemberMonth.objects.order_by("month")
        return list(rows.values_list("orders", "spend", "points_issued", "points_net"))

    assert months() == [(1, 100, 100, 100), (1, 100, 100, 100)]
    later = START.replace(month=2, day=20)
    record_refund(key="r0", purchase_key="p0", refunded_at=later)
    record_refund(key="r1", purchase_key="p1", refunded_at=later, amount=Decimal(25))
    collect.collect()
    assert months() == [(0, 0, 0, 100), (1, 75, 75, -25)]
    in_steps = everything_collected()
    collect.collect(rebuild=True)
    assert everything_collected() == in_steps


@pytest.mark.django_db(transaction=True)
def test_an_import_that_changes_members_moves_their_cohort():
    member = make_member(joined_at=at(2026, 1, 5))
    collect.collect()
    Member.objects.filter(pk=member.pk).update(joined_at=at(2025, 11, 5))
    ImportRun.objects.create(kind="members", file_name="f.csv", path="f.csv", state="done", rows_updated=1)
    collect.collect()
    assert [str(size.cohort) for size in CohortSize.objects.filter(kind="enrolment")] == ["2025-11-01"]


@pytest.mark.django_db(transaction=True)
def test_another_time_zone_or_window_collects_anew(settings):
    make_purchase(purchased_at=at(2026, 3, 1, 0, 30))
    campaign = make_campaign({"A": 100}, goal_days=14)
    member = make_member()
    expose(campaign, member, "A", at(2026, 5, 1))
    make_purchase(member, purchased_at=at(2026, 5, 9))
    collect.collect()
    assert str(MemberMonth.objects.earliest("month").month) == "2026-03-01"
    assert ArmMember.objects.get().converted
    campaign.goal_days = 7
    campaign.save(update_fields=["goal_days"])
    collect.collect()
    assert not ArmMember.objects.get().converted
    settings.TIME_ZONE = "UTC"
    assert collect.collect().rebuilt
    assert str(MemberMonth.objects.earliest("month").month) == "2026-02-01"


@pytest.mark.django_db
def test_months_turn_at_midnight_of_the_programme_and_days_of_23_hours_do_no_harm(settings):
    settings.TIME_ZONE = "Europe/Berlin"
    member = make_member(joined_at=datetime(2025, 12, 31, 22, 59, tzinfo=UTC))
    # 23:30 UTC is 00:30 of the next day in winter, 01:30 in summer; the clocks turn on 29 March 2026.
    for moment in ["2025-12-31T22:59", "2025-12-31T23:00", "2026-03-29T00:59", "2026-03-29T01:00", "2026-03-31T22:00"]:
        make_purchase(member, amount=1, purchased_at=datetime.fromisoformat(f"{moment}+00:00"))
    make_response(score=9, answered_at=datetime(2026, 3, 31, 21, 59, tzinfo=UTC))
    make_response(score=3, answered_at=datetime(2026, 3, 31, 22, 0, tzinfo=UTC))
    collect.collect()
    months = {str(row.month)[:7]: row.orders for row in MemberMonth.objects.all()}
    assert months == {"2025-12": 1, "2026-01": 1, "2026-03": 2, "2026-04": 1}
    assert {str(row.month)[:7]: row.score for row in NpsMonth.objects.all()} == {"2026-03": 9, "2026-04": 3}


@pytest.mark.django_db
def test_points_that_were_taken_back_count_as_never_given():
    tiers = make_tiers()
    reward = make_reward(40)
    member = make_member(joined_at=at(2026, 1, 1))
    move_tier(member, tiers["silver"], at(2026, 2, 10), tiers["bronze"])
    make_purchase(member, purchased_at=at(2026, 1, 2))
    post(member, 100, at(2026, 1, 2))
    wrong = post(member, 500, at(2026, 1, 3))
    post(member, 30, at(2026, 1, 4), "adjust")
    take_back(wrong, at(2026, 2, 3))
    redeem(member, reward, at(2026, 2, 4))
    take_back(redeem(member, reward, at(2026, 2, 5)), at(2026, 3, 1))
    post(member, -20, at(2026, 3, 2), "expire")
    collect.collect()
    rows = PointsMonth.objects.order_by("month").values_list(
        "month", "tier_key", "issued", "redeemed", "expired", "net", "active", "redeemers"
    )
    assert [(str(row[0])[:7], *row[1:]) for row in rows] == [
        ("2026-01", "bronze", 130, 0, 0, 630, 1, 0),
        ("2026-02", "silver", 0, 40, 0, -580, 1, 1),
        ("2026-03", "silver", 0, 0, 20, 20, 0, 0),
    ]
    assert sum(row[5] for row in rows) == Account.objects.get().balance == 70
    assert RewardMonth.objects.values_list("redemptions", "points", "members").get() == (1, 40, 1)


@pytest.mark.django_db
def test_who_was_active_is_known_for_every_day():
    tiers = make_tiers()
    member = make_member(joined_at=at(2026, 1, 1))
    make_purchase(member, purchased_at=at(2026, 1, 10))
    make_purchase(member, purchased_at=at(2026, 3, 1))
    make_purchase(member, purchased_at=at(2027, 2, 1))
    move_tier(member, tiers["gold"], at(2026, 3, 1, 9), tiers["bronze"])
    move_tier(member, tiers["silver"], at(2026, 3, 1, 10), tiers["gold"])
    collect.collect()
    spans = {(span.state, str(span.from_day), str(span.until_day)) for span in MemberSpan.objects.filter(member=member)}
    assert spans == {
        ("active", "2026-01-10", "2026-05-30"),  # 90 days from 1 March, without a gap from 10 January
        ("active", "2027-02-01", "2027-05-02"),
        ("bought_year", "2026-01-10", "2028-02-01"),
        ("kept_year", "2027-01-10", "2028-02-01"),
        ("tier:bronze", "2026-01-01", "2026-03-01"),
        ("tier:silver", "2026-03-01", "9999-12-31"),  # gold lasted an hour
    }
    assert sum(SpanDay.objects.filter(state="active", day__lte="2026-05-29").values_list("change", flat=True)) == 1
    assert sum(SpanDay.objects.filter(state="active", day__lte="2026-05-30").values_list("change", flat=True)) == 0


@pytest.mark.django_db
def test_arms_hold_the_sums_that_statistics_needs():
    campaign = make_campaign({"control": 50, "A": 50}, goal_days=14)
    buys, waits, control = make_member(), make_member(), make_member()
    for member, arm in [(buys, "A"), (waits, "A"), (control, "control")]:
        expose(campaign, member, arm, at(2026, 5, 1, 10))
    make_purchase(buys, amount="12.50", purchased_at=at(2026, 5, 1, 10))
    make_purchase(buys, amount="7.50", purchased_at=at(2026, 5, 15, 9, 59))
    make_purchase(buys, amount="99", purchased_at=at(2026, 5, 15, 10))
    make_purchase(waits, amount="99", purchased_at=at(2026, 5, 1, 9, 59))
    happen(campaign, buys, "A", "opened", at(2026, 5, 2))
    happen(campaign, buys, "A", "opened", at(2026, 5, 3))
    collect.collect()
    sums = {row.arm: (row.members, row.conversions, row.revenue, row.revenue_squares) for row in ArmDay.objects.all()}
    assert sums == {"A": (2, 1, Decimal(20), Decimal(400)), "control": (1, 0, 0, 0)}
    assert ArmEvent.objects.values_list("arm", "event", "events", "members").get() == ("A", "opened", 2, 1)


@pytest.mark.django_db
def test_an_imported_campaign_counts_who_received_it_and_repeats_each():
    campaign = make_campaign(goal_days=7)
    member, other = make_member(), make_member()
    for day, arm, event in [(1, "x", "received"), (3, "x", "received"), (4, "x", "completed"), (6, "y", "received")]:
        happen(campaign, member, arm, event, at(2026, 5, day))
    happen(campaign, other, "y", "received", at(2026, 5, 6))
    make_purchase(member, amount=3, purchased_at=at(2026, 5, 9))
    collect.collect()
    events = ArmEvent.objects.order_by("arm", "event").values_list("arm", "event", "events", "members")
    assert list(events) == [("x", "completed", 1, 1), ("x", "received", 2, 1), ("y", "received", 2, 2)]
    rows = ArmDay.objects.order_by("arm").values_list("arm", "members", "conversions", "elsewhere")
    # The window of x, from 1 to 8 May, is over when the member buys; that of y is open.
    assert list(rows) == [("x", 1, 0, 0), ("y", 2, 1, 1)]
    assert CampaignEvent.objects.count() == 5


@pytest.mark.django_db
def test_the_task_collects():
    make_purchase(purchased_at=at(2026, 3, 1))
    collect_facts()
    assert SurveyResponse.objects.count() == 0
    assert PointsMonth.objects.get().active == 1
