"""What comes in earns by every rule in force, one by one or by the file, within the caps."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from loyalty import ledger, programme, rules, verify, words
from loyalty.intake import InteractionDiffers, earning, record_answer, record_interaction, record_purchase
from loyalty.intake.lines import LineInput
from loyalty.intake.purchase_kind import PurchaseKind
from loyalty.models import Account, CapUse, EarningRule, Entry, Lot, ProgrammeSettings, RuleVersion
from members.answers import AnswerDiffers
from members.importing import runs
from members.models import ImportRun, Interaction, Member, SurveyResponse
from tests.factories import make_member
from tests.loyalty.concurrency import at_once
from tests.members.imports import bring_in, written
from tests.over_http import Till

NOW = datetime(2026, 6, 1, 4, 0, tzinfo=UTC)
SINCE_EVER = datetime(2000, 1, 1, tzinfo=UTC)


def in_force(name: str, *effects: dict[str, Any], **fields: Any) -> RuleVersion:
    """A rule that has counted since ever."""
    definition = {"event": "purchase", "effects": list(effects)} | fields
    rule = EarningRule.objects.get_or_create(name=name)[0]
    version = rules.draft(rule, definition=definition, user=None, starts_at=SINCE_EVER)
    rules.submit(version, user=None)
    rules.approve(version, user=None)
    return rules.activate(version, user=None)


PER_UNIT = {"type": "per_amount", "points": "1", "per": "1"}


def prove() -> None:
    """Let the deferred checks run now, and ``manage.py verify`` after them."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")
    assert {check.key: rows for check in verify.checks() if (rows := check.offending())} == {}


def buy(member: Member, amount: str | int, key: str, at: datetime = NOW, **more: Any) -> int:
    return record_purchase(member_id=member.pk, key=key, purchased_at=at, amount=Decimal(amount), **more).points


@pytest.mark.django_db
@time_machine.travel(NOW, tick=False)
def test_every_rule_that_gives_points_leaves_an_entry_of_its_own() -> None:
    programme.ensure_defaults()
    in_force("First purchase", {"type": "multiplier", "factor": "2"}, when={"fact": "purchase.is_first", "op": "is", "value": True})  # fmt: skip  # noqa: E501
    in_force("App", {"type": "fixed", "points": 5}, when={"fact": "purchase.channel", "op": "in", "value": ["app"]})
    member = make_member()
    first = record_purchase(member_id=member.pk, key="a", purchased_at=NOW, amount=Decimal(100), channel="app")
    assert [entry.points for entry in first.entries] == [100, 5, 105]
    assert len({entry.idempotency_key for entry in first.entries}) == 3
    assert buy(member, 100, "b") == 100
    again = record_purchase(member_id=member.pk, key="a", purchased_at=NOW, amount=Decimal(100), channel="app")
    assert (again.is_new, again.points, Account.objects.get(member=member).balance) == (False, 210, 310)
    prove()


@pytest.mark.django_db
@time_machine.travel(NOW, tick=False)
def test_the_ledger_gets_what_the_rule_says_of_waiting_expiry_and_tiers() -> None:
    programme.ensure_defaults()
    RuleVersion.objects.get().rule.versions.update(state="retired", retired_at=SINCE_EVER)
    in_force("Held", PER_UNIT, pending={"until": "released"}, qualifying="none")
    in_force("Idle", PER_UNIT, pending={"days": 3}, expiry={"type": "idle_months", "n": 6})
    member = make_member()
    buy(member, 10, "a")
    held, idle = Lot.objects.order_by("pk").select_related("entry")
    assert (held.activates_at, held.entry.qualifying) == (None, 0)
    assert (idle.activates_at, idle.idle_months, idle.expires_at) == (
        NOW + timedelta(days=3),
        6,
        datetime(2026, 12, 1, 4, tzinfo=UTC),
    )
    prove()


@pytest.mark.django_db
def test_purchases_keep_points_alive_one_by_one_in_a_file_and_told_late(tmp_path: Path) -> None:
    programme.ensure_defaults()
    RuleVersion.objects.get().rule.versions.update(state="retired", retired_at=SINCE_EVER)
    in_force("Idle", PER_UNIT, expiry={"type": "idle_months", "n": 3})
    days = [NOW - timedelta(days=age) for age in (300, 220, 140, 60)]
    one, idle, file = make_member(), make_member(), make_member(external_id="file")
    for place, day in enumerate(days):
        with time_machine.travel(day, tick=False):
            buy(one, 10, f"one:{place}", day)
            if place in {0, 3}:
                buy(idle, 10, f"idle:{place}", day)
    with time_machine.travel(NOW, tick=False):
        buy(one, 10, "told late", days[2] + timedelta(days=1))
        rows = "".join(f"r{place},file,{day:%Y-%m-%dT%H:%M:%SZ},10\n" for place, day in enumerate(days))
        bring_in("purchases", written(tmp_path, "receipt,person,time,amount\n" + rows))
    until = datetime(2026, 7, 2, 4, tzinfo=UTC)
    expiries = {
        member: list(Lot.objects.filter(member=member).order_by("pk").values_list("expires_at", flat=True))
        for member in (one, idle, file)
    }
    assert expiries == {one: [until] * 5, idle: [datetime(2025, 11, 5, 4, tzinfo=UTC), until], file: [until] * 4}
    prove()


@pytest.mark.django_db
@time_machine.travel(NOW, tick=False)
def test_lines_are_rewarded_by_what_they_are_and_leave_their_shares() -> None:
    programme.ensure_defaults()
    in_force(
        "Coffee",
        {"type": "per_line", "points": 7, "lines": {"fact": "line.category", "op": "in", "value": ["coffee"]}},
    )
    member = make_member()
    lines = [
        LineInput(amount=Decimal(60), category="coffee"),
        LineInput(amount=Decimal(40), category="gifts"),
    ]
    recorded = record_purchase(
        member_id=member.pk, key="a", purchased_at=NOW, amount=Decimal(110), lines=lines, charges=Decimal(10)
    )
    assert [entry.points for entry in recorded.entries] == [110, 7]
    assert recorded.entries[0].explanation["lines"] == {"0": "10", "1": "60", "2": "40"}
    assert recorded.entries[1].explanation["lines"] == {"1": "7"}


@pytest.mark.django_db
@time_machine.travel(NOW, tick=False)
@pytest.mark.parametrize("part", [1, 50_000])
@pytest.mark.parametrize(
    ("of", "given"),
    [("member", {"a": 10, "b": 40, "c": 30, "d": 20}), ("programme", {"a": 10, "b": 30, "d": 20})],
)
def test_a_file_that_goes_in_by_parts_earns_what_the_whole_would(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: int, of: str, given: dict[str, int]
) -> None:
    monkeypatch.setattr(earning, "PART", part)
    programme.ensure_defaults()
    version = in_force("Capped", PER_UNIT, caps=[{"per": "day", "of": of, "points": 40}])
    for name in ("early", "late"):
        make_member(external_id=name)
    rows = (
        "a,late,2026-03-01T02:00:00Z,10",
        "b,early,2026-03-01T03:00:00Z,50",
        "c,late,2026-03-01T04:00:00Z,70",
        "d,early,2026-03-02T01:00:00Z,20",
    )
    run = bring_in("purchases", written(tmp_path, "receipt,person,time,amount\n" + "\n".join(rows) + "\n"))
    entries = Entry.objects.filter(rule_version=version)
    assert {entry.explanation["receipt"]: entry.points for entry in entries} == given
    assert run.report["notes"]["points_given"] == sum(given.values()) + 150
    prove()


# Interactions


def rewards_for_behaviour() -> None:
    programme.ensure_defaults()
    for kind, points in (("check-in", 10), ("review", 50)):
        in_force(
            kind,
            {"type": "fixed", "points": points},
            event="interaction",
            when={"fact": "interaction.kind", "op": "in", "value": [kind]},
            caps=[{"per": "day", "of": "member", "points": points}],
        )
    in_force(
        "Referral",
        {"type": "fixed", "points": 200, "also": {"points": 300, "member_property": "referred"}},
        event="interaction",
        when={"fact": "interaction.kind", "op": "in", "value": ["referral"]},
    )


@pytest.mark.django_db
@time_machine.travel(NOW, tick=False)
def test_an_interaction_earns_once_within_its_cap() -> None:
    rewards_for_behaviour()
    member = make_member()
    first = record_interaction(member_id=member.pk, key="a", kind="check-in", occurred_at=NOW)
    assert (first.points, first.is_new) == (10, True)
    assert record_interaction(member_id=member.pk, key="b", kind="check-in", occurred_at=NOW).points == 0
    again = record_interaction(member_id=member.pk, key="a", kind="check-in", occurred_at=NOW)
    assert (again.points, again.is_new, Interaction.objects.count()) == (10, False, 2)
    with pytest.raises(InteractionDiffers):
        record_interaction(member_id=member.pk, key="a", kind="review", occurred_at=NOW)
    assert Account.objects.get(member=member).balance == 10
    prove()


@pytest.mark.django_db
@time_machine.travel(NOW, tick=False)
def test_properties_come_again_as_json_has_them_so_that_true_is_not_1() -> None:
    member = make_member()

    def tell(*values: Any, key: str = "deed") -> Interaction:
        told = {"values": list(values), "by": {"value": values[0]}}
        return record_interaction(
            member_id=member.pk, key=key, kind="check-in", occurred_at=NOW, properties=told
        ).interaction

    programme.ensure_defaults()
    assert tell(1, "a", None) == tell(1.0, "a", None)
    for other in [(True, "a", None), (1, "a", False), (1, "a"), (1, "b", None)]:
        with pytest.raises(InteractionDiffers):
            tell(*other)
    record_answer(key="a", member_id=member.pk, survey="nps", score=9, answered_at=NOW, properties={"first": True})
    with pytest.raises(AnswerDiffers):
        record_answer(key="a", member_id=member.pk, survey="nps", score=9, answered_at=NOW, properties={"first": 1})


@pytest.mark.django_db
@time_machine.travel(NOW, tick=False)
def test_a_referral_gives_points_to_both() -> None:
    rewards_for_behaviour()
    member, friend = make_member(), make_member(number="M-FRIEND")
    told = {"referred": "M-FRIEND"}
    recorded = record_interaction(member_id=member.pk, key="r", kind="referral", occurred_at=NOW, properties=told)
    assert (recorded.points, len(recorded.entries)) == (200, 2)
    assert [Account.objects.get(member=one).balance for one in (member, friend)] == [200, 300]
    # Nobody refers themselves, and who is not known gets nothing.
    for key, number in (("self", member.number), ("nobody", "M-0")):
        told = {"referred": number}
        recorded = record_interaction(member_id=member.pk, key=key, kind="referral", occurred_at=NOW, properties=told)
        assert len(recorded.entries) == 1
    prove()


@pytest.mark.django_db
@time_machine.travel(NOW, tick=False)
def test_imported_interactions_earn_and_their_undo_takes_it_back(tmp_path: Path) -> None:
    rewards_for_behaviour()
    member = make_member(external_id="p")
    friend = make_member(external_id="f")
    path = written(
        tmp_path,
        "id,person,kind,time,referred\n"
        "1,p,check-in,2026-05-01T01:00:00Z,\n"
        "2,p,check-in,2026-05-01T02:00:00Z,\n"
        "3,p,review,2026-05-01T03:00:00Z,\n"
        "4,p,referral,2026-05-02T03:00:00Z,f\n",
    )
    for _ in range(2):
        run = bring_in("interactions", path)
        assert run.report["notes"]["points_given"] == 560
        assert [Account.objects.get(member=one).balance for one in (member, friend)] == [260, 300]
        prove()
        runs.undo(run, user=None)
        assert not Interaction.objects.exists()
        assert not Entry.objects.standing().exists()
        assert not CapUse.objects.exclude(points=0).exists()
        prove()


# One by one and by the file


def some_rules() -> None:
    programme.ensure_defaults()
    in_force("First", {"type": "multiplier", "factor": "2"}, when={"fact": "purchase.is_first", "op": "is", "value": True})  # fmt: skip  # noqa: E501
    in_force("Third", {"type": "fixed", "points": 30}, when={"fact": "purchase.nth", "op": "eq", "value": 3})
    in_force(
        "Back",
        PER_UNIT,
        {"type": "ladder", "steps": [{"from": "0", "factor": "1"}, {"from": "1000", "factor": "2"}]},
        when={"fact": "purchase.days_since_last", "op": "gt", "value": 90},
        caps=[{"per": "total", "of": "member", "points": 2_000}],
        rounding="half_up",
    )
    in_force(
        "Monday",
        {"type": "per_amount", "points": "1", "per": "10"},
        {"type": "coefficient", "fact": "member.lifecycle", "factors": {"new": "2", "dormant": "3"}},
        when={
            "all": [
                {"fact": "time.weekday", "op": "in", "value": ["1"]},
                {"fact": "member.gender", "op": "in", "value": ["F"]},
            ]
        },
        stacking={"mode": "best", "group": "g"},
        caps=[{"per": "month", "of": "member", "points": 300}],
    )
    in_force("Best", {"type": "fixed", "points": 40}, stacking={"mode": "best", "group": "g"})


SALES = st.lists(
    st.tuples(
        st.integers(0, 1),
        st.integers(0, 700),
        st.sampled_from([0, 0, 12]),
        st.decimals(min_value=0, max_value=9000, places=2),
    ),
    min_size=1,
    max_size=10,
)


class TestOneByOneAndByTheFile(TestCase):
    @settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(sales=SALES)
    def test_many_rules_give_the_same_both_ways(self, sales: list[tuple[int, int, int, Decimal]]) -> None:
        some_rules()
        ordered = sorted(sales, key=lambda sale: (sale[1], sale[2]))
        single = [make_member() for _ in range(2)]
        together = [make_member() for _ in range(2)]

        def at(sale: tuple[int, int, int, Decimal]) -> datetime:
            return NOW - timedelta(days=900) + timedelta(days=sale[1], hours=sale[2])

        with time_machine.travel(NOW, tick=False):
            for place, sale in enumerate(ordered):
                buy(single[sale[0]], str(sale[3]), f"one:{place}", at(sale))
            self._import([
                (together[sale[0]].pk, f"many:{place}", at(sale), sale[3]) for place, sale in enumerate(ordered)
            ])  # fmt: skip
        prove()
        for one, many in zip(single, together, strict=True):
            assert said(one) == said(many)
            assert uses(one) == uses(many)

    def _import(self, rows: list[tuple[int, str, datetime, Decimal]]) -> None:
        run = ImportRun.objects.create(kind="purchases", file_name="f.csv", path="f.csv")
        with connection.cursor() as cursor:
            cursor.execute(
                "CREATE TEMPORARY TABLE import_rows (row_no serial, member_id bigint, row_key text, receipt text,"
                " purchased_at timestamptz, amount numeric(14, 2), currency text, programme_amount numeric,"
                " channel text, store text, category text) ON COMMIT DROP"
            )
            cursor.executemany(
                "INSERT INTO import_rows (member_id, row_key, purchased_at, amount) VALUES (%s, %s, %s, %s)", rows
            )
            PurchaseKind().apply(cursor, run.pk)
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED; DROP TABLE import_rows")


def said(member: Member) -> list[tuple[object, ...]]:
    """What the ledger says of a member's earnings."""
    entries = Entry.objects.filter(member=member, kind="earn").select_related("lot")
    return sorted(
        (entry.occurred_at, entry.explanation["rule"], entry.points, str(entry.explanation), entry.lot.expires_at)
        for entry in entries
    )


def uses(member: Member) -> list[tuple[object, ...]]:
    return sorted(CapUse.objects.filter(member=member).values_list("rule", "per", "period_start", "points"))


# Caps when many come at once


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("of", "is_known"), [("member", False), ("member", True), ("programme", True)])
def test_64_purchases_at_once_never_pass_a_daily_cap_of_5000(of: str, *, is_known: bool) -> None:
    """Whose account is open already, and who opens it with the first of them: each is locked in a way of its own."""
    programme.ensure_defaults()
    RuleVersion.objects.get().rule.versions.update(state="retired", retired_at=SINCE_EVER)
    in_force("Capped", PER_UNIT, caps=[{"per": "day", "of": of, "points": 5_000}])
    members = [make_member() for _ in range(1 if of == "member" else 8)]
    if is_known:
        with connection.cursor() as cursor:
            ledger.lock_members(cursor, [member.pk for member in members])

    def attempt(number: int) -> Any:
        return lambda: buy(members[number % len(members)], 130, f"k{number}")

    with time_machine.travel(NOW, tick=False):
        outcomes = at_once(*(attempt(number) for number in range(64)))
    assert outcomes == {"done": 64}
    given_points = sum(Entry.objects.filter(kind="earn").values_list("points", flat=True))
    assert given_points == 5_000 == CapUse.objects.get().points
    assert Entry.objects.get(explanation__has_key="caps").points == 5_000 % 130
    prove()


@pytest.mark.django_db
@time_machine.travel(NOW, tick=False)
def test_a_cap_begins_anew_with_the_day_and_an_undone_import_gives_it_back(tmp_path: Path) -> None:
    programme.ensure_defaults()
    RuleVersion.objects.get().rule.versions.update(state="retired", retired_at=SINCE_EVER)
    in_force(
        "Capped",
        PER_UNIT,
        caps=[{"per": "day", "of": "member", "points": 150}, {"per": "total", "of": "programme", "points": 400}],
    )
    member = make_member(external_id="p")
    path = written(
        tmp_path,
        "receipt,person,time,amount\n"
        "a,p,2026-05-01T00:00:00Z,100\nb,p,2026-05-01T01:00:00Z,100\nc,p,2026-05-02T00:00:00Z,100\n",
    )
    run = bring_in("purchases", path)
    assert Account.objects.get(member=member).balance == 250
    runs.undo(run, user=None)
    assert not CapUse.objects.exclude(points=0).exists()
    bring_in("purchases", path)
    assert Account.objects.get(member=member).balance == 250
    assert buy(member, 500, "d") == 150
    assert buy(make_member(), 500, "e") == 0
    prove()


@pytest.mark.django_db
def test_verify_finds_a_cap_that_was_passed_behind_the_programs_back() -> None:
    version = in_force("Capped", PER_UNIT, caps=[{"per": "day", "points": 100}])
    use = CapUse.objects.create(
        rule=version.rule, per="day", of="member", period_start=NOW.date(), member=make_member(), points=100
    )
    [check] = [check for check in verify.checks() if check.key == "caps"]
    assert check.offending() == []
    CapUse.objects.filter(pk=use.pk).update(points=101)
    assert [row["points"] for row in check.offending()] == [101]


def rewards_for_answers() -> None:
    programme.ensure_defaults()
    in_force(
        "Survey",
        {"type": "fixed", "points": 20},
        event="survey",
        when={
            "all": [
                {"fact": "survey.name", "op": "in", "value": ["nps"]},
                {"fact": "survey.score", "op": "gte", "value": 1},
            ]
        },
        caps=[{"per": "month", "points": 30}],
    )


@pytest.mark.django_db
@time_machine.travel(NOW, tick=False)
def test_a_survey_answered_earns_once_within_its_cap_and_says_why() -> None:
    rewards_for_answers()
    member = make_member()

    def answer(key: str, **fields: Any) -> Any:
        told = {"member": member.number, "external_id": key, "score": 9, "answered_at": NOW.isoformat()} | fields
        return Till().post("survey-responses", told)

    first, again = answer("a"), answer("a")
    assert [(one.status_code, one.json()["points"]) for one in (first, again)] == [(201, 20), (200, 20)]
    assert answer("a", score=3).status_code == 409
    earned = [
        answer(key, **fields).json()["points"]
        for key, fields in {
            "b": {"score": 0},
            "c": {"survey": "delivery"},
            "d": {"answered_at": None},
            "e": {"member": None},
            "f": {},
            "g": {},
        }.items()
    ]
    assert earned == [0, 0, 0, 0, 10, 0]
    entry = Entry.objects.first()
    assert entry is not None
    assert (words.title(entry), words.details(entry)[0]) == ("Earned by a survey answer", "20 points → 20")
    prove()


@pytest.mark.django_db
@time_machine.travel(NOW, tick=False)
def test_imported_answers_earn_and_their_undo_takes_it_back(tmp_path: Path) -> None:
    rewards_for_answers()
    member = make_member(external_id="p")
    path = written(
        tmp_path,
        "id,person,score,time\n1,p,9,2026-05-01T01:00:00Z\n2,p,10,2026-05-02T01:00:00Z\n3,p,8,\n"
        "4,,10,2026-05-03T01:00:00Z\n",
    )
    for _ in range(2):
        run = bring_in("survey-responses", path)
        assert run.report["notes"]["points_given"] == 30
        assert Account.objects.get(member=member).balance == 30
        prove()
        assert (runs.preview_undo(run)).removes[1][1] == 30
        runs.undo(run, user=None)
        assert not SurveyResponse.objects.exists()
        assert not Entry.objects.standing().exists()
        assert not CapUse.objects.exclude(points=0).exists()
        prove()


@pytest.mark.django_db
@time_machine.travel(NOW, tick=False)
@pytest.mark.parametrize(("policy", "obstacles", "debt"), [("refuse", 1, 0), ("debt", 0, 20)])
def test_undoing_imported_answers_says_what_the_policy_does_about_spent_points(
    tmp_path: Path, policy: str, obstacles: int, debt: int
) -> None:
    rewards_for_answers()
    ProgrammeSettings.objects.update(clawback_policy=policy)
    member = make_member(external_id="p")
    rows = "1,p,9,2026-05-01T01:00:00Z\n2,p,10,2026-05-02T01:00:00Z\n"
    run = bring_in("survey-responses", written(tmp_path, "id,person,score,time\n" + rows))
    ledger.spend(member_id=member.pk, points=20, key="s", occurred_at=NOW, explanation={})
    told = runs.preview_undo(run)
    assert len(told.obstacles) == obstacles
    if told.obstacles:
        with pytest.raises(runs.Refused):
            runs.undo(run, user=None)
    else:
        assert debt in [number for _words, number in told.removes]
        runs.undo(run, user=None)
        assert Account.objects.get(member=member).debt == debt
    prove()
