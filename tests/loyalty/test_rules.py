"""Versions of earning rules: read, reviewed by two people, in force for their time, and never edited once active."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.db import IntegrityError, connection, transaction
from django.utils import timezone
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from loyalty import programme, rules
from loyalty.intake import record_purchase
from loyalty.models import EarningRule, RuleVersion
from loyalty.months import add_months
from loyalty.rules import review
from tests.factories import make_member, make_user

NOW = datetime(2026, 6, 1, 4, 0, tzinfo=UTC)
DAY = timedelta(days=1)


def in_force(rule: EarningRule, *, starts_at: datetime | None = None, **fields: Any) -> RuleVersion:
    """A version on its way through review by the system itself."""
    version = rules.draft(rule, definition=rules.usual(**fields), user=None, starts_at=starts_at)
    rules.submit(version, user=None)
    rules.approve(version, user=None)
    return rules.activate(version, user=None)


class TestMonthsInSql(TestCase):
    @settings(max_examples=100, deadline=None)
    @given(
        moment=st.datetimes(datetime(2000, 1, 1), datetime(2035, 1, 1)).map(lambda at: at.replace(tzinfo=UTC)),  # noqa: DTZ001
        months=st.integers(-30, 40),
        zone=st.sampled_from(["Asia/Shanghai", "Europe/Berlin", "America/New_York"]),
    )
    def test_months_are_counted_as_the_database_counts_them(self, moment: datetime, months: int, zone: str) -> None:
        with self.settings(TIME_ZONE=zone), connection.cursor() as cursor:
            cursor.execute(
                "SELECT ((%s::timestamptz AT TIME ZONE %s) + make_interval(months => %s)) AT TIME ZONE %s",
                [moment, zone, months, zone],
            )
            assert cursor.fetchone()[0] == add_months(moment, months)


@pytest.mark.django_db
def test_a_version_needs_a_second_person_and_retires_the_one_before_it() -> None:
    programme.ensure_defaults()
    before = RuleVersion.objects.get()
    author, second = make_user("marketing_manager"), make_user()
    version = rules.draft(before.rule, definition=rules.usual(points="2"), user=author)
    with pytest.raises(rules.WrongState):
        rules.approve(version, user=second)
    rules.submit(version, user=author)
    with pytest.raises(rules.SecondPersonNeeded):
        rules.approve(version, user=author)
    rules.approve(version, user=second)
    rules.activate(version, user=second)
    before.refresh_from_db()
    assert (before.state, list(rules.active_versions())) == ("retired", [version])
    with pytest.raises(rules.WrongState):
        rules.activate(before, user=second)


@pytest.mark.django_db
def test_not_even_plain_sql_lets_the_author_approve() -> None:
    programme.ensure_defaults()
    author = make_user()
    version = rules.draft(EarningRule.objects.get(), definition=rules.usual(), user=author)
    rules.submit(version, user=None)
    with pytest.raises(IntegrityError, match="four_eyes"), transaction.atomic():
        RuleVersion.objects.filter(pk=version.pk).update(state="approved", approved_by=author)


@pytest.mark.django_db
def test_a_version_that_was_active_is_never_edited_or_deleted() -> None:
    programme.ensure_defaults()
    active = RuleVersion.objects.get(state="active")
    free = rules.draft(active.rule, definition=rules.usual(points="9"), user=None)
    for change in (
        {"definition": rules.usual(points="2")},
        {"ends_at": NOW},
        {"starts_at": NOW},
        {"legal_note": "x"},
        {"state": "draft"},
        {"state": "approved"},
    ):
        with pytest.raises(IntegrityError, match="not changed any more"), transaction.atomic():
            RuleVersion.objects.filter(pk=active.pk).update(**change)
    with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("DELETE FROM loyalty_ruleversion")
    rules.change(free, definition=rules.usual(points="3"), user=None)
    free.delete()


@pytest.mark.django_db
def test_what_is_in_review_changes_only_by_becoming_a_draft_again() -> None:
    programme.ensure_defaults()
    version = rules.draft(EarningRule.objects.get(), definition=rules.usual(), user=None)
    rules.submit(version, user=None)
    with pytest.raises(rules.WrongState):
        rules.change(version, definition=rules.usual(points="3"), user=None)
    for change in ({"definition": {}}, {"state": "active"}):
        with pytest.raises(IntegrityError, match="only as a draft"), transaction.atomic():
            RuleVersion.objects.filter(pk=version.pk).update(**change)
    rules.approve(version, user=None)
    rules.send_back(version, user=None, reason="too generous")
    rules.change(version, definition=rules.usual(points="3"), user=None)
    assert (version.state, version.approved_at) == ("draft", None)


@pytest.mark.django_db
def test_a_version_starts_and_ends_by_itself() -> None:
    programme.ensure_defaults()
    first = RuleVersion.objects.get()
    with time_machine.travel(NOW, tick=False) as clock:
        version = rules.draft(
            first.rule, definition=rules.usual(points="2"), user=None, starts_at=NOW + DAY, ends_at=NOW + 3 * DAY
        )
        rules.submit(version, user=None)
        rules.approve(version, user=None)
        with pytest.raises(rules.NotYet):
            rules.activate(version, user=None)
        assert rules.start_due(NOW) == 0
        clock.move_to(NOW + DAY + timedelta(minutes=1))
        assert rules.start_due(NOW + DAY + timedelta(minutes=1)) == 1
        assert list(rules.active_versions()) == [version]
        clock.move_to(NOW + 4 * DAY)
        assert rules.start_due(NOW + 4 * DAY) == 1
        assert not rules.active_versions()
    period = rules.Period(NOW, NOW + 4 * DAY)

    def version_at(moment: datetime) -> list[int]:
        return [terms.version for terms in period.at(moment)]

    # What happened before the start and comes in late earns by the version of its own time.
    assert [version_at(NOW + n * DAY) for n in (0, 1, 2, 3)] == [[1], [2], [2], []]
    assert rules.Period(NOW, NOW).terms[0].version == 1


@pytest.mark.django_db
def test_of_two_versions_that_count_for_the_past_the_newer_does() -> None:
    programme.ensure_defaults()
    rule = RuleVersion.objects.get().rule
    version = rules.draft(rule, definition=rules.usual(points="2"), user=None)
    rules.submit(version, user=None)
    rules.approve(version, user=None)
    rules.activate(version, user=None, since_ever=True)
    past = timezone.now() - 9 * DAY
    assert [(terms.rule, terms.version) for terms in rules.Period(past, past).terms] == [(rule.name, 2)]
    member = make_member()
    bought = record_purchase(member_id=member.pk, key="p", purchased_at=past, amount=Decimal(10))
    assert [entry.points for entry in bought.entries] == [20]


@pytest.mark.django_db
def test_what_waits_for_approval_is_taken_back_by_who_asked_only() -> None:
    programme.ensure_defaults()
    author, other = make_user("marketing_manager"), make_user("marketing_manager")
    version = rules.draft(RuleVersion.objects.get().rule, definition=rules.usual(points="2"), user=author)
    review.submit(version, user=author)
    with pytest.raises(review.OnlyWhoAsked):
        review.take_back(version, user=other)
    review.take_back(version, user=author)
    version.refresh_from_db()
    assert version.state == "draft"


@pytest.mark.django_db
def test_a_new_rule_counts_from_its_activation_on_and_not_for_the_past() -> None:
    programme.ensure_defaults()
    with time_machine.travel(NOW, tick=False):
        in_force(EarningRule.objects.create(name="Second"))
    assert [terms.rule for terms in rules.Period(NOW - DAY, NOW - DAY).terms] == [programme.RULE]
    assert [terms.rule for terms in rules.Period(NOW, NOW).terms] == [programme.RULE, "Second"]


@pytest.mark.django_db
def test_the_defaults_are_made_once() -> None:
    for _ in range(2):
        programme.ensure_defaults()
    assert RuleVersion.objects.count() == 1


def with_(**fields: Any) -> dict[str, Any]:
    return rules.usual() | fields


@pytest.mark.parametrize(
    ("definition", "place"),
    [
        ([], ""),
        (with_(event="walk"), "event"),
        (with_(colour="red"), "colour"),
        (with_(when={"all": [{"fact": "purchase.amount", "op": "gte", "value": "much"}]}), "when.1"),
        (with_(when={"fact": "line.unknown", "op": "in", "value": ["x"]}), "when.1"),
        (with_(effects=[]), "effects"),
        (with_(effects=[{"type": "gift"}]), "effects.1.type"),
        (with_(effects=[{"type": "fixed", "points": 0}]), "effects.1.points"),
        (with_(effects=[{"type": "fixed", "points": "1.5"}]), "effects.1.points"),
        (with_(effects=[{"type": "per_amount", "points": "1", "per": "0"}]), "effects.1.per"),
        (with_(effects=[{"type": "multiplier", "factor": "2"}, {"type": "fixed", "points": 1}]), "effects.1"),
        (with_(effects=[{"type": "multiplier", "factor": "1"}]), "effects.1.factor"),
        (with_(effects=[{"type": "ladder", "steps": [{"from": "0", "factor": "1"}]}]), "effects"),
        (
            with_(
                effects=[
                    {"type": "fixed", "points": 1},
                    {"type": "ladder", "steps": [{"from": "0", "factor": "1"}, {"from": "0", "factor": "2"}]},
                ]
            ),
            "effects.2.steps",
        ),
        (
            with_(effects=[{"type": "fixed", "points": 1}, {"type": "coefficient", "fact": "purchase.amount"}]),
            "effects.2.fact",
        ),
        (with_(stacking={"mode": "best"}), "stacking.group"),
        (with_(caps=[{"per": "hour", "points": 1}]), "caps.1.per"),
        (with_(caps=[{"per": "day", "points": 1, "money": "1"}]), "caps.1"),
        (with_(caps=[{"per": "day", "points": 1}, {"per": "day", "points": 2}]), "caps"),
        (with_(pending={"days": -1}), "pending.days"),
        (with_(expiry={"type": "months"}), "expiry.n"),
        (with_(event="interaction"), "effects.1.type"),
        (with_(qualifying="some"), "qualifying"),
    ],
)
@pytest.mark.django_db
def test_each_mistake_is_named_by_its_place(definition: Any, place: str) -> None:
    assert place in rules.problems(definition)
    with pytest.raises(rules.DefinitionError):
        rules.parse(definition)


@pytest.mark.parametrize(
    ("effects", "is_fine"),
    [
        ([{"type": "per_amount", "points": "1000000", "per": "1"}], True),
        ([{"type": "per_amount", "points": "1000000", "per": "0.01"}], False),
        ([{"type": "per_amount", "points": "10001", "per": "1"}, {"type": "multiplier", "factor": "100"}], False),
        ([{"type": "fixed", "points": 600_000}, {"type": "fixed", "points": 600_000}], False),
        (
            [
                {"type": "per_amount", "points": "10001", "per": "1"},
                {"type": "ladder", "steps": [{"from": "0", "factor": "1"}, {"from": "9", "factor": "100"}]},
            ],
            False,
        ),
        (
            [
                {"type": "fixed", "points": 10_001},
                {"type": "coefficient", "fact": "member.lifecycle", "factors": {"new": "100"}},
            ],
            False,
        ),
    ],
)
def test_a_rule_that_could_give_absurdly_much_is_refused(effects: list[dict[str, Any]], is_fine: bool) -> None:
    found = rules.problems({"event": "purchase", "effects": effects})
    text = "with all its factors, a rule gives at most 1,000,000 points per unit of money, line or event"
    assert found == ({} if is_fine else {"effects": text})
