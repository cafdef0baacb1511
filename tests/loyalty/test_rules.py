"""The earning rule: exact, the same in Python and in SQL, and never edited once active."""

import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from django.db import IntegrityError, connection, transaction
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from loyalty import programme, rules
from loyalty.models import EarningRule, RuleVersion
from loyalty.months import add_months
from loyalty.rules.engine import EXPLANATION_SQL, POINTS_SQL

MONEY = st.decimals(min_value=0, max_value=Decimal("99999999999.99"), places=2)
SOME_MONEY = MONEY | st.decimals(min_value=0, max_value=2000, places=2)
TERMS = st.builds(
    rules.Terms,
    version_id=st.none(),
    rule=st.just("Points"),
    version=st.integers(1, 9),
    points=st.decimals(min_value=0, max_value=Decimal("99999999.99"), places=2) | st.sampled_from([Decimal(1)]),
    per_amount=st.decimals(min_value=Decimal("0.01"), max_value=Decimal("99999999.99"), places=2)
    | st.sampled_from([Decimal(1), Decimal(3), Decimal(7)]),
    rounding=st.sampled_from(RuleVersion.Rounding.values),
    expires_after_months=st.none(),
)
MULTIPLIERS = st.decimals(min_value=Decimal("0.01"), max_value=Decimal("99.99"), places=2)


def terms(**fields: object) -> rules.Terms:
    values: dict[str, object] = {
        "version_id": None,
        "rule": "Points",
        "version": 1,
        "points": Decimal(1),
        "per_amount": Decimal(1),
        "rounding": "down",
        "expires_after_months": None,
    }
    return rules.Terms(**(values | fields))  # type: ignore[arg-type]


def earned(value: str, multiplier: str = "1", **fields: object) -> rules.Earned:
    tier = rules.TierTerms(key="gold", multiplier=Decimal(multiplier))
    return rules.earn(value=Decimal(value), tier=tier, terms=terms(**fields), currency="CNY", receipt="S-1")


@pytest.mark.parametrize(
    ("value", "multiplier", "fields", "points", "unrounded"),
    [
        ("1286.00", "1.25", {}, 1_607, "1607.5"),
        ("1286.00", "1.25", {"rounding": "half_up"}, 1_608, "1607.5"),
        ("0.99", "1", {}, 0, "0.99"),
        ("99.99", "1", {"per_amount": Decimal(10)}, 9, "9.999"),
        ("1.00", "1", {"per_amount": Decimal(3)}, 0, "0.333333"),
        ("3.00", "1", {"per_amount": Decimal(3)}, 1, "1"),
        ("0.00", "1.5", {}, 0, "0"),
    ],
)
def test_a_purchase_earns_what_the_version_says(
    value: str, multiplier: str, fields: dict[str, object], points: int, unrounded: str
) -> None:
    result = earned(value, multiplier, **fields)
    assert (result.points, result.explanation["unrounded"]) == (points, unrounded)


class TestEngineInSql(TestCase):
    @settings(max_examples=300, deadline=None)
    @given(value=SOME_MONEY, multiplier=MULTIPLIERS, terms=TERMS)
    def test_the_set_based_form_says_the_same_to_the_letter(
        self, value: Decimal, multiplier: Decimal, terms: rules.Terms
    ) -> None:
        expected = rules.earn(
            value=value, tier=rules.TierTerms(key="gold", multiplier=multiplier), terms=terms, currency="CNY"
        )
        with connection.cursor() as cursor:
            cursor.execute(
                f"""SELECT {POINTS_SQL}, {EXPLANATION_SQL}
                      FROM (SELECT %s::numeric AS value, 'CNY' AS currency, '' AS receipt, 'gold' AS tier,
                                   %s::numeric AS multiplier) AS sale,
                           (SELECT %s::numeric AS points, %s::numeric AS per_amount, %s AS rounding,
                                   %s::jsonb AS explained) AS terms
                     WHERE %s < 9e18""",
                [
                    value,
                    multiplier,
                    terms.points,
                    terms.per_amount,
                    terms.rounding,
                    json.dumps(terms.explained()),
                    expected.points,
                ],
            )
            row = cursor.fetchone()
        if row is not None:  # beyond a bigint there is nothing to compare: neither form could be stored
            assert (row[0], json.loads(row[1])) == (expected.points, expected.explanation)


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
def test_activating_a_version_retires_the_one_before_it() -> None:
    programme.ensure_defaults()
    before = rules.active_version()
    assert before is not None
    draft = rules.draft(
        before.rule,
        points=Decimal(2),
        per_amount=Decimal(1),
        rounding="half_up",
        expires_after_months=None,
        user=None,
    )
    assert rules.active_version() == before
    rules.activate(draft, user=None)
    before.refresh_from_db()
    assert (before.state, rules.active_version()) == ("retired", draft)
    with pytest.raises(rules.NotADraft):
        rules.activate(before, user=None)


@pytest.mark.django_db
def test_a_version_that_was_active_is_never_edited_or_deleted() -> None:
    programme.ensure_defaults()
    active = RuleVersion.objects.get(state="active")
    rule = EarningRule.objects.get()
    free = rules.draft(
        rule, points=Decimal(9), per_amount=Decimal(1), rounding="down", expires_after_months=1, user=None
    )
    for change in ({"points": 2}, {"expires_after_months": None}, {"state": "draft"}, {"per_amount": 2}):
        with pytest.raises(IntegrityError, match="not changed any more"), transaction.atomic():
            RuleVersion.objects.filter(pk=active.pk).update(**change)
    with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("DELETE FROM loyalty_ruleversion")
    RuleVersion.objects.filter(pk=free.pk).update(points=3)
    free.delete()


@pytest.mark.django_db
def test_the_defaults_are_made_once() -> None:
    for _ in range(2):
        programme.ensure_defaults()
    assert RuleVersion.objects.count() == 1
