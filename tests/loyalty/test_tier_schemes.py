"""Schemes in the database: history, previews, grants and refunds, whichever way the facts came in."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.db.models import Sum
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from loyalty import ledger, programme, tiers, verify
from loyalty.intake import record_purchase
from loyalty.models import (
    Entry,
    ProgrammeSettings,
    Reward,
    Tier,
    TierBenefit,
    TierChange,
    TierGrant,
    TierScheme,
    TierStanding,
    TierThreshold,
)
from loyalty.tiers import ahead, counting, editing, grants, preview, windows
from loyalty.tiers.counting import Looked
from loyalty.tiers.recalculation import recalculate
from members.models import Member
from staff.models import AuditEntry, Job
from tests.factories import make_interaction, make_member, make_purchase, make_user
from tests.loyalty.previews import foresee

START = datetime(2024, 1, 10, 4, 0, tzinfo=UTC)
NOW = datetime(2026, 6, 1, 4, 0, tzinfo=UTC)
ORDERS = {"silver": 2, "gold": 4, "platinum": 8}


def begin(**scheme: Any) -> None:
    """The programme with its four tiers under another scheme; each measure has thresholds."""
    programme.ensure_defaults()
    TierScheme.objects.filter(pk=1).update(**scheme)
    for tier in Tier.objects.exclude(key="bronze"):
        for measure in ("points", "orders", "months", "referrals"):
            number = ORDERS[tier.key] * (1_000 if measure == "points" else 1)
            TierThreshold.objects.create(tier=tier, measure=measure, value=number)


def evaluate(*members: Member, now: datetime, since: dict[int, datetime] | None = None) -> int:
    with connection.cursor() as cursor:
        return tiers.evaluate(cursor, [m.pk for m in members], ladder=tiers.ladder(), now=now, since=since)


def history(member: Member) -> list[tuple[str, datetime]]:
    return list(
        TierChange.objects.filter(member=member).order_by("changed_at").values_list("to_tier__key", "changed_at")
    )


def standings() -> list[dict[str, Any]]:
    return list(TierStanding.objects.order_by("member_id").values())


def recalculate_all(now: datetime, *, everyone: bool = False) -> dict[str, int]:
    return recalculate(now, first=0, last=2**40, everyone=everyone)


SCHEMES = st.fixed_dictionaries(
    {
        "window": st.sampled_from(TierScheme.Window.values),
        "months": st.sampled_from([3, 12]),
        "measures": st.sampled_from([["spend"], ["orders"], ["spend", "months"]]),
        "needs": st.sampled_from(["any", "all"]),
        "valid_months": st.sampled_from([0, 6]),
        "grace_days": st.sampled_from([0, 15]),
        "downgrade": st.sampled_from(["none", "to_earned"]),
    }
)
VALID_HALF_A_YEAR = {
    "window": "rolling_months",
    "months": 3,
    "measures": ["spend"],
    "needs": "any",
    "valid_months": 6,
    "grace_days": 0,
    "downgrade": "to_earned",
}
SALES = st.lists(
    st.tuples(st.integers(0, 800), st.sampled_from([500, 2_000, 8_000])), min_size=1, max_size=6, unique=True
)


def after_2019(day: int) -> datetime:
    """A moment of each day of some years, at all times of day."""
    return datetime(2019, 1, 1, tzinfo=UTC) + timedelta(days=day, minutes=day * 37 % 1_440)


SLOW = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


class TestAnyScheme(TestCase):
    @SLOW
    @given(scheme=SCHEMES, sales=SALES)
    def test_together_one_by_one_and_in_any_order_the_history_is_the_same(
        self, scheme: dict[str, Any], sales: list[tuple[int, int]]
    ) -> None:
        begin(**scheme)
        together, single, shuffled = make_member(), make_member(), make_member()
        for day, amount in sales:
            make_purchase(together, amount=amount, purchased_at=START + timedelta(days=day))
        evaluate(together, make_member(), now=NOW)
        for day, amount in sorted(sales):
            at = START + timedelta(days=day)
            make_purchase(single, amount=amount, purchased_at=at)
            evaluate(single, now=at, since={single.pk: at})
        evaluate(single, now=NOW)
        for day, amount in sales:
            at = START + timedelta(days=day)
            make_purchase(shuffled, amount=amount, purchased_at=at)
            evaluate(shuffled, now=NOW, since={shuffled.pk: at})
        assert history(together) == history(single) == history(shuffled)
        told = {
            m.pk: {k: v for k, v in s.items() if k != "member_id"}
            for m, s in zip(
                (together, single, shuffled),
                [TierStanding.objects.filter(member=m).values().get() for m in (together, single, shuffled)],
                strict=True,
            )
        }
        assert told[together.pk] == told[single.pk] == told[shuffled.pk]
        assert {
            check.key: rows for check in verify.checks() if check.key == "standings" and (rows := check.offending())
        } == {}

    @SLOW
    @example(  # a tier whose validity no longer counts goes into grace
        scheme=VALID_HALF_A_YEAR, other=VALID_HALF_A_YEAR | {"valid_months": 0, "grace_days": 15}, sales=[(692, 2_000)]
    )
    @given(scheme=SCHEMES, other=SCHEMES, sales=SALES)
    def test_a_preview_counts_what_saving_does_and_a_second_look_finds_nothing(
        self, scheme: dict[str, Any], other: dict[str, Any], sales: list[tuple[int, int]]
    ) -> None:
        begin(**scheme)
        members = [make_member() for _ in range(3)]
        for place, (day, amount) in enumerate(sales):
            make_purchase(members[place % 3], amount=amount, purchased_at=START + timedelta(days=day))
        evaluate(*members, now=NOW - timedelta(days=1))
        recalculate_all(NOW)
        found = standings()
        assert recalculate_all(NOW) == {"looked": 0, "moves": 0}
        assert standings() == found
        stands = tiers.ladder()
        rule = TierScheme(pk=1, **{name: getattr(stands.scheme, name) for name in editing.SCHEME_FIELDS} | other)
        proposed = tiers.Ladder(stands.rungs, rule)
        moves, foreseen = foresee(proposed, NOW)
        assert {between: len(members) for between, members in foreseen.items()} == {
            (move["from_tier"], move["to_tier"]): move["members"] for move in moves
        }
        with time_machine.travel(NOW, tick=False):
            editing.save(proposed, {}, user=make_user("marketing_manager"))
        before = set(TierChange.objects.values_list("pk", flat=True))
        recalculate_all(NOW, everyone=True)
        moved: dict[tuple[str, str], list[int]] = {}
        for change in (
            TierChange.objects.exclude(pk__in=before).select_related("from_tier", "to_tier").order_by("member_id")
        ):
            assert change.from_tier is not None
            moved.setdefault((change.from_tier.key, change.to_tier.key), []).append(change.member_id)
        assert moved == foreseen
        found = standings()
        recalculate_all(NOW, everyone=True)
        assert standings() == found

    @SLOW
    @given(
        window=st.sampled_from(TierScheme.Window.values),
        zone=st.sampled_from(["Asia/Shanghai", "Europe/Berlin", "America/New_York"]),
        joined=st.integers(0, 2_190).map(after_2019),
        at=st.integers(0, 3_650).map(after_2019),
        months=st.integers(1, 24),
    )
    def test_the_database_and_the_program_agree_on_when_a_fact_leaves(
        self, window: str, zone: str, joined: datetime, at: datetime, months: int
    ) -> None:
        begin(window=window, months=months)
        member = make_member(joined_at=joined)
        make_purchase(member, purchased_at=at)
        with self.settings(TIME_ZONE=zone), connection.cursor() as cursor:
            ladder = tiers.ladder()
            looked = [Looked(member.pk, None, joined)]
            facts = list(counting.facts(cursor, looked, ladder, at))
            assert [fact.leaves_at for _member, fact in facts] == [windows.leaves(ladder.scheme, joined, at)]


@pytest.fixture
def frozen() -> Iterator[None]:
    with time_machine.travel(NOW, tick=False):
        yield


pytestmark = pytest.mark.django_db


def test_qualifying_points_move_at_once_and_a_clawback_takes_them_back(frozen: None) -> None:
    begin(measures=["points"])
    member = make_member()
    record_purchase(member_id=member.pk, key="k", purchased_at=NOW, amount=Decimal(4_500))
    assert history(member) == [("gold", NOW)]
    evidence = TierChange.objects.get(member=member).evidence
    assert (evidence["cause"], evidence["measure"], evidence["value"]) == ("points", "points", "4500")
    award = member.entries.get()
    ledger.claw_back(
        award, points=3_000, qualifying=3_000, key="c", policy=ledger.Policy.DEBT, occurred_at=NOW, explanation={}
    )
    later = NOW + timedelta(hours=1)
    assert recalculate_all(later)["moves"] == 1
    assert TierStanding.objects.get(member=member).tier.key == "bronze"


def test_referrals_and_active_months_count(frozen: None) -> None:
    begin(measures=["referrals", "months"])
    friendly, steady = make_member(), make_member()
    for number in range(4):
        make_interaction(friendly, kind="referral", occurred_at=NOW - timedelta(days=number))
        make_interaction(friendly, kind="check-in", occurred_at=NOW - timedelta(days=number))
        make_purchase(steady, amount=1, purchased_at=NOW - timedelta(days=31 * number))
        make_purchase(steady, amount=1, purchased_at=NOW - timedelta(days=31 * number, hours=1))
    assert recalculate_all(NOW)["moves"] == 4  # each by way of silver
    assert set(TierStanding.objects.values_list("tier__key", flat=True)) == {"gold"}
    assert tiers.progress(steady.pk, NOW).values == {"months": 4, "referrals": 0}


@pytest.mark.parametrize(("policy", "stands_in"), [("recheck", "bronze"), ("keep", "gold")])
def test_a_refund_follows_the_policy(policy: str, stands_in: str, frozen: None) -> None:
    from loyalty.intake import record_refund

    begin(on_refund=policy)
    member = make_member()
    record_purchase(member_id=member.pk, key="k", purchased_at=NOW - timedelta(days=3), amount=Decimal(8_500))
    record_refund(key="r", purchase_key="k", refunded_at=NOW - timedelta(days=1))
    evaluate(member, now=NOW, since={member.pk: NOW - timedelta(days=1)})
    assert TierStanding.objects.get(member=member).tier.key == stands_in
    assert tiers.progress(member.pk, NOW).values["spend"] == 0
    if policy == "recheck":
        assert TierChange.objects.filter(member=member).latest("changed_at").evidence["cause"] == "refund"
    assert recalculate_all(NOW)["moves"] == 0


def test_a_grant_holds_to_its_end_is_audited_and_ends_by_itself() -> None:
    begin()
    member, user = make_member(), make_user("marketing_manager")
    with time_machine.travel(NOW, tick=False) as clock:
        record_purchase(member_id=member.pk, key="k", purchased_at=NOW, amount=Decimal(2_000))
        silver, platinum = Tier.objects.get(key="silver"), Tier.objects.get(key="platinum")
        until = NOW + timedelta(days=30)
        with pytest.raises(grants.NotHigher):
            grants.grant(member=member, tier=silver, until=until, reason="no", user=user)
        assert not TierGrant.objects.exists()
        clock.shift(timedelta(hours=1))
        grants.grant(member=member, tier=platinum, until=until, reason="a spoilt party", user=user)
        standing = TierStanding.objects.select_related("tier", "earned_tier", "falls_to").get(member=member)
        assert standing.earned_tier
        assert standing.falls_to
        assert (standing.tier.key, standing.earned_tier.key) == ("platinum", "silver")
        assert (standing.falls_at, standing.falls_to.key) == (until, "silver")
        assert AuditEntry.objects.get(action="tier.grant").detail["reason"] == "a spoilt party"
        assert [(one.members, one.to_tier.key) for one in ahead.falling(timezone.now())] == [(1, "silver")]
        clock.move_to(until + timedelta(hours=9))
        assert recalculate_all(timezone.now())["moves"] == 1
    assert history(member)[-1] == ("silver", until)


def test_a_grant_taken_back_leaves_what_is_earned() -> None:
    begin()
    member, user = make_member(), make_user("marketing_manager")
    with time_machine.travel(NOW, tick=False) as clock:
        gold = Tier.objects.get(key="gold")
        grants.grant(member=member, tier=gold, until=NOW + timedelta(days=9), reason="by mistake", user=user)
        clock.shift(timedelta(minutes=5))
        assert grants.withdraw(member=member, reason="indeed", user=user)
        assert not grants.withdraw(member=member, reason="again", user=user)
    assert [key for key, _at in history(member)] == ["gold", "bronze"]
    assert TierChange.objects.latest("pk").evidence["cause"] == "grant_ended"


def test_a_night_in_which_nothing_changed_takes_a_handful_of_statements(frozen: None) -> None:
    begin()
    members = [make_member() for _ in range(12)]
    for member in members:
        make_purchase(member, amount=9_000, purchased_at=NOW - timedelta(days=5))
    assert recalculate_all(NOW)["moves"] == 12
    with CaptureQueriesContext(
        connection,
    ) as queries:
        assert recalculate_all(NOW + timedelta(days=1)) == {"looked": 0, "moves": 0}
    about_members = [one for one in queries if "members_purchase" in one["sql"] or "loyalty_tierstanding" in one["sql"]]
    assert len(about_members) <= 3


def test_a_page_of_members_takes_as_many_queries_as_one(frozen: None) -> None:
    begin()
    members = [make_member() for _ in range(6)]
    for member in members:
        make_purchase(member, amount=9_000, purchased_at=NOW - timedelta(days=5))
    with CaptureQueriesContext(connection) as one:
        tiers.progress(members[0].pk, NOW)
    from loyalty.tiers.progress import progress_of

    with CaptureQueriesContext(connection) as many:
        found = progress_of([member.pk for member in members], NOW)
    assert len(found) == 6
    assert len(many) == len(one) <= 9


def test_the_cost_of_a_preview_is_benefits_and_points(frozen: None) -> None:
    begin()
    TierBenefit.objects.create(tier=Tier.objects.get(key="silver"), kind="delivery", text="Free", yearly_value=60)
    member = make_member()
    record_purchase(member_id=member.pk, key="k", purchased_at=NOW, amount=Decimal(1_500))
    stands = tiers.ladder()
    rungs = [*stands.rungs]
    rungs[1] = tiers.Rung(
        id=rungs[1].id,
        key="silver",
        multiplier=rungs[1].multiplier,
        thresholds=rungs[1].thresholds | {"spend": Decimal(1_000)},
    )
    (move,) = foresee(tiers.Ladder(rungs, stands.scheme), NOW)[0]
    assert (move["members"], move["benefits"], move["points"]) == (1, "60.00", 150)


def test_the_cost_of_a_multiplier_is_that_of_who_stays_too(frozen: None) -> None:
    begin()
    for amount in (500, 2_500, 2_500, 7_500):  # bronze, silver twice, and one who would rise to gold
        record_purchase(member_id=make_member().pk, key=str(make_member().pk), purchased_at=NOW, amount=Decimal(amount))
    stands = tiers.ladder()
    silver, gold = stands.rungs[1], stands.rungs[2]
    rungs = [
        stands.rungs[0],
        replace(silver, multiplier=silver.multiplier * 2),
        replace(gold, multiplier=Decimal("2.50"), thresholds={"spend": Decimal(7_000)}),
        stands.rungs[3],
    ]
    (move,) = foresee(tiers.Ladder(rungs, stands.scheme), NOW)[0]
    earned = dict(TierStanding.objects.values_list("tier__key").annotate(points=Sum("member__entries__points")))
    by_riser = Entry.objects.get(member__purchases__amount=7_500).points
    detail = Job.objects.get(kind=preview.JOB).result["detail"]
    assert move["points"] == int(by_riser * (Decimal("2.50") / silver.multiplier - 1))
    assert detail["stays"] == {"silver": earned["silver"] - by_riser}
    assert detail["points"] == move["points"] + detail["stays"]["silver"]
    assert Decimal(detail["cost"]) == detail["points"] * ProgrammeSettings.objects.get().point_value


def test_a_gift_costs_in_a_preview_what_its_reward_and_its_points_do(frozen: None) -> None:
    begin()
    cup = Reward.objects.create(name="Cup", points=900, cost=Decimal("12.50"))
    gift = {"tier": Tier.objects.get(key="silver"), "kind": "gift", "text": "Cup", "yearly_value": 999}
    TierBenefit.objects.create(**gift, reward=cup, points=300)
    TierBenefit.objects.create(**gift | {"yearly_value": 7})
    ProgrammeSettings.objects.update(point_value=Decimal("0.01"))
    make_purchase(make_member(), amount=1_500, purchased_at=NOW)
    rungs = [replace(rung, multiplier=Decimal(1)) for rung in tiers.ladder().rungs]
    rungs[1] = replace(rungs[1], thresholds={"spend": Decimal(1_000)})
    (move,) = foresee(tiers.Ladder(rungs, tiers.ladder().scheme), NOW)[0]
    assert Decimal(move["benefits"]) == Decimal("12.50") + 300 * Decimal("0.01") + 7


def test_what_happened_before_a_scheme_is_not_judged_by_it_even_when_something_comes_late() -> None:
    begin()
    member = make_member()
    with time_machine.travel(NOW, tick=False) as clock:
        record_purchase(member_id=member.pk, key="k", purchased_at=NOW, amount=Decimal(8_000))
        clock.shift(timedelta(days=10))
        stands = tiers.ladder()
        rungs = [*stands.rungs]
        rungs[2] = tiers.Rung(
            id=rungs[2].id, key="gold", multiplier=rungs[2].multiplier, thresholds={"spend": Decimal(9_000)}
        )
        editing.save(tiers.Ladder(rungs, stands.scheme), {}, user=make_user())
        saved = timezone.now()
        recalculate_all(saved, everyone=True)
        clock.shift(timedelta(days=1))
        record_purchase(member_id=member.pk, key="late", purchased_at=NOW + timedelta(days=2), amount=Decimal(50))
    assert history(member) == [("gold", NOW), ("silver", saved)]
    entry = member.entries.latest("seq")
    assert entry.points == 62  # by the tier of its moment: gold
