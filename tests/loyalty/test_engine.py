"""The earning engine: exact, in whatever order rules come, never beyond a cap, and able to say why."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
import time_machine
from hypothesis import given
from hypothesis import strategies as st

from loyalty import rules
from loyalty.rules import BasketLine, Event, Facts, Reason, Terms, Used, cap_keys, reckon
from loyalty.rules.results import CapKey
from members.conditions.sentences import phrase
from members.conditions.tree import Line

NOON = datetime(2026, 6, 1, 4, 0, tzinfo=UTC)  # a Monday, noon in Shanghai


def terms(rule_id: int = 1, *, effects: Sequence[dict[str, Any]] | None = None, **fields: Any) -> Terms:
    raw = {"event": "purchase", "effects": effects or [{"type": "per_amount", "points": "1", "per": "1"}]} | fields
    return Terms(version_id=rule_id, rule_id=rule_id, rule=f"Rule {rule_id}", version=1, definition=rules.parse(raw))


def purchase(value: str = "100", *, lines: Sequence[BasketLine] = (), at: datetime = NOON, **fields: Any) -> Event:
    values: dict[str, Any] = {"kind": "purchase", "member_id": 7, "occurred_at": at, "value": Decimal(value)}
    return Event(**(values | fields), lines=lines)


def points(event: Event, *versions: Terms, facts: Facts = Facts(), used: dict[CapKey, Used] | None = None) -> list[int]:  # noqa: B008
    return [award.points for award in reckon(event, facts, versions, used or {}).awards]


GOLD = Facts(nth=1, tier="gold", tier_factor=Fraction("1.25"))


@pytest.mark.parametrize(
    ("value", "tier", "fields", "earned", "unrounded"),
    [
        ("1286.00", "1.25", {}, 1_607, "1607.5"),
        ("1286.00", "1.25", {"rounding": "half_up"}, 1_608, "1607.5"),
        ("0.99", "1", {}, 0, None),
        ("99.99", "1", {"per": "10"}, 9, "9.999"),
        ("1.00", "1", {"per": "3"}, 0, None),
        ("10.00", "1", {"per": "3"}, 3, "3.333333"),
        ("3.00", "1", {"per": "3"}, 1, "1"),
    ],
)
def test_the_usual_rule_gives_points_per_amount_times_the_tier(
    value: str, tier: str, fields: dict[str, str], earned: int, unrounded: str | None
) -> None:
    usual = Terms(version_id=1, rule_id=1, rule="R", version=1, definition=rules.parse(rules.usual(**fields)))
    result = reckon(purchase(value), Facts(tier="gold", tier_factor=Fraction(tier)), [usual], {})
    assert result.points == earned
    assert [award.explanation["unrounded"] for award in result.awards] == ([unrounded] if unrounded else [])


BASKET = (
    BasketLine(line_no=1, value=Decimal(60), product="Beans", category="coffee", quantity=Decimal(2)),
    BasketLine(line_no=2, value=Decimal(40), product="Cup", category="gifts"),
)
COFFEE = {"fact": "line.category", "op": "in", "value": ["coffee"]}


@pytest.mark.parametrize(
    ("effects", "value", "earned"),
    [
        ([{"type": "fixed", "points": 200}], "100", 200),
        ([{"type": "per_amount", "points": "2", "per": "1", "lines": COFFEE}], "100", 120),
        ([{"type": "per_line", "points": 10, "lines": COFFEE}], "100", 10),
        ([{"type": "per_line", "points": 10, "lines": {}}], "100", 20),
        ([{"type": "fixed", "points": 10}, {"type": "multiplier", "factor": "2.5"}], "100", 25),
        ([{"type": "multiplier", "factor": "2"}], "100", 0),
        (
            [
                {"type": "per_amount", "points": "1", "per": "1"},
                {"type": "ladder", "steps": [{"from": "0", "factor": "1"}, {"from": "1000", "factor": "2"}]},
            ],
            "1500",
            2_000,
        ),
        (
            [
                {"type": "per_amount", "points": "1", "per": "1"},
                {
                    "type": "ladder",
                    "of": "whole",
                    "steps": [{"from": "0", "factor": "1"}, {"from": "1000", "factor": "2"}],
                },
            ],
            "1500",
            3_000,
        ),
        (
            [
                {"type": "fixed", "points": 100},
                {"type": "coefficient", "fact": "purchase.channel", "factors": {"app": "1.5"}, "default": "0.5"},
            ],
            "100",
            50,
        ),
        (
            [
                {"type": "fixed", "points": 100},
                {"type": "coefficient", "fact": "member.lifecycle", "factors": {"prospect": "3"}, "default": "0.5"},
            ],
            "100",
            300,
        ),
    ],
)
def test_each_effect_gives_what_it_says(effects: list[dict[str, Any]], value: str, earned: int) -> None:
    result = reckon(purchase(value, lines=BASKET, channel="web"), GOLD, [terms(effects=effects)], {})
    assert result.points == earned
    for award in result.awards:
        shares = [Fraction(share) for share in award.explanation["lines"].values()]
        assert sum(shares) == Fraction(award.explanation["unrounded"])


def test_a_factor_multiplies_only_what_stands_before_it() -> None:
    effects = [
        {"type": "fixed", "points": 10},
        {"type": "multiplier", "factor": "3"},
        {"type": "fixed", "points": 5},
    ]
    assert points(purchase(), terms(effects=effects)) == [35]


@pytest.mark.parametrize(
    ("tree", "event", "facts", "holds"),
    [
        ({"fact": "purchase.amount", "op": "gte", "value": 100}, {}, Facts(), True),
        ({"fact": "purchase.amount", "op": "gt", "value": 100}, {}, Facts(), False),
        ({"fact": "purchase.channel", "op": "in", "value": ["app"]}, {"channel": "app"}, Facts(), True),
        ({"fact": "purchase.is_first", "op": "is", "value": True}, {}, Facts(nth=1), True),
        ({"fact": "purchase.is_first", "op": "is", "value": True}, {}, Facts(nth=2), False),
        ({"fact": "purchase.nth", "op": "eq", "value": 3}, {}, Facts(nth=3), True),
        ({"fact": "purchase.days_since_last", "op": "gt", "value": 60}, {}, Facts(nth=1), False),
        (
            {"fact": "purchase.days_since_last", "op": "gt", "value": 60},
            {},
            Facts(nth=2, previous_at=datetime(2026, 3, 1, tzinfo=UTC)),
            True,
        ),
        ({"fact": "time.weekday", "op": "in", "value": ["1"]}, {}, Facts(), True),
        ({"fact": "time.hour", "op": "between", "value": [12, 13]}, {}, Facts(), True),
        ({"fact": "time.date", "op": "lt", "value": "2026-06-02"}, {}, Facts(), True),
        ({"fact": "time.day_of_month", "op": "eq", "value": 8}, {}, Facts(), False),
        ({"fact": "member.in_birthday_month", "op": "is", "value": True}, {}, Facts(birth_date=date(1990, 6, 9)), True),
        ({"fact": "member.is_birthday", "op": "is", "value": True}, {}, Facts(birth_date=date(1990, 6, 9)), False),
        ({"fact": "member.in_birthday_month", "op": "is", "value": False}, {}, Facts(), True),
        ({"fact": "member.tier", "op": "in", "value": ["gold"]}, {}, GOLD, True),
        ({"fact": "member.lifecycle", "op": "in", "value": ["prospect"]}, {}, Facts(nth=1), True),
        (
            {"fact": "member.lifecycle", "op": "in", "value": ["lapsing"]},
            {},
            Facts(nth=3, first_at=datetime(2024, 1, 1, tzinfo=UTC), previous_at=datetime(2026, 1, 1, tzinfo=UTC)),
            True,
        ),
        (COFFEE, {"lines": BASKET}, Facts(), True),
        ({"fact": "line.category", "op": "not_in", "value": ["coffee"]}, {"lines": BASKET}, Facts(), False),
        ({"none": [{"fact": "line.category", "op": "in", "value": ["tea"]}]}, {"lines": BASKET}, Facts(), True),
        (
            {"fact": "member.attribute", "name": "city", "op": "eq", "value": "Xi’an"},
            {},
            Facts(attributes={"city": "Xi’an"}),
            True,
        ),
    ],
)
def test_conditions_are_asked_of_the_event_and_its_moment(
    tree: dict[str, Any], event: dict[str, Any], facts: Facts, holds: bool
) -> None:
    result = reckon(purchase(**event), facts, [terms(when=tree)], {})
    assert bool(result.awards) is holds
    assert [refusal.reason for refusal in result.refusals] == ([] if holds else [Reason.CONDITION])


@pytest.mark.django_db
def test_a_refusal_names_the_condition_that_failed_and_what_was_found() -> None:
    when = {
        "all": [
            {"fact": "purchase.amount", "op": "gte", "value": 50},
            {"fact": "purchase.channel", "op": "in", "value": ["app"]},
        ]
    }
    [refusal] = reckon(purchase(channel="store"), Facts(), [terms(when=when)], {}).refusals
    [failed] = refusal.failed
    assert isinstance(failed.node, Line)
    assert (phrase(failed.node), failed.found) == ("the channel is app", "store")


def test_an_interaction_is_asked_for_its_kind_and_properties() -> None:
    review = terms(
        event="interaction",
        effects=[{"type": "fixed", "points": 50}],
        when={
            "all": [
                {"fact": "interaction.kind", "op": "in", "value": ["review"]},
                {"fact": "interaction.property_number", "name": "stars", "op": "gte", "value": 4},
            ]
        },
    )

    def earned(kind: str, **properties: Any) -> list[int]:
        event = Event(kind="interaction", member_id=7, occurred_at=NOON, interaction=kind, properties=properties)
        return points(event, review, terms(2))

    assert [earned("review", stars=5), earned("review", stars="x"), earned("share", stars=5)] == [[50], [], []]


# Stacking


def fixed(rule_id: int, worth: int, mode: str = "add", group: str = "", priority: int = 0) -> Terms:
    stacking = {"mode": mode, "group": group, "priority": priority}
    return terms(rule_id, effects=[{"type": "fixed", "points": worth}], stacking=stacking)


def test_rules_add_up_unless_one_stands_alone() -> None:
    assert sum(points(purchase(), fixed(1, 10), fixed(2, 20))) == 30
    assert points(purchase(), fixed(1, 10), fixed(2, 20, "exclusive")) == [20]
    assert points(purchase(), fixed(1, 10, priority=5), fixed(2, 20, "exclusive")) == [10]
    assert sorted(points(purchase(), fixed(1, 10), fixed(2, 20, "exclusive", "g"), fixed(3, 5, "add", "g"))) == [10, 20]


def multiplier(rule_id: int, factor: str, on: int | str = "all", **fields: Any) -> Terms:
    return terms(rule_id, effects=[{"type": "multiplier", "factor": factor, "on": on}], **fields)


def test_a_multiplier_adds_to_what_other_rules_gave() -> None:
    base, other = fixed(1, 100), fixed(2, 10)
    assert points(purchase(), base, other, multiplier(3, "2")) == [100, 10, 110]
    assert points(purchase(), base, other, multiplier(3, "2", 2)) == [100, 10, 10]
    assert points(purchase(), base, multiplier(3, "2"), multiplier(4, "1.5")) == [100, 100, 50]
    [refusal] = reckon(purchase(), Facts(), [base, multiplier(3, "2", 9)], {}).refusals
    assert refusal.reason == Reason.BASE
    best = {"stacking": {"mode": "best", "group": "m"}}
    assert points(purchase(), base, multiplier(3, "2", **best), multiplier(4, "3", **best)) == [100, 200]
    assert points(purchase(), fixed(1, 100, "exclusive"), multiplier(3, "2")) == [100]


def test_a_doubled_half_point_is_not_lost_to_rounding() -> None:
    assert points(purchase("10.50"), terms(1), multiplier(2, "2")) == [10, 11]


MODES = st.sampled_from([("add", ""), ("best", "a"), ("best", "b"), ("exclusive", ""), ("exclusive", "a")])
RULES = st.lists(
    st.tuples(
        st.integers(1, 500),
        MODES,
        st.integers(-2, 2),
        st.sampled_from([None, 50, 120]),
        st.sampled_from([None, None, "1.5", "3"]),
    ),
    min_size=1,
    max_size=6,
)


def build(drawn: list[tuple[int, tuple[str, str], int, int | None, str | None]]) -> list[Terms]:
    made = []
    for rule_id, (worth, (mode, group), priority, cap, factor) in enumerate(drawn, 1):
        more = {
            "stacking": {"mode": mode, "group": group, "priority": priority},
            "caps": [{"per": "day", "of": "member", "points": cap}] if cap else [],
        }
        if factor:
            made.append(multiplier(rule_id, factor, **more))
        else:
            made.append(terms(rule_id, effects=[{"type": "per_amount", "points": str(worth), "per": "7"}], **more))
    return made


@given(drawn=RULES, value=st.decimals(0, 5000, places=2), randoms=st.randoms())
def test_the_order_of_the_rules_changes_nothing(drawn: Any, value: Decimal, randoms: Any) -> None:
    versions = build(drawn)
    shuffled = versions[:]
    randoms.shuffle(shuffled)
    one, other = (reckon(purchase(str(value)), Facts(), some, {}) for some in (versions, shuffled))
    assert [(a.terms.rule_id, a.points, a.explanation) for a in one.awards] == [
        (a.terms.rule_id, a.points, a.explanation) for a in other.awards
    ]
    assert {(r.terms.rule_id, r.reason) for r in one.refusals} == {(r.terms.rule_id, r.reason) for r in other.refusals}


@given(drawn=RULES, values=st.lists(st.decimals(0, 2000, places=2), max_size=8))
def test_every_rule_gives_or_says_why_not_and_no_cap_is_passed(drawn: Any, values: list[Decimal]) -> None:
    versions = build(drawn)
    used: dict[CapKey, Used] = {}
    for value in values:
        result = reckon(purchase(str(value)), Facts(), versions, used)
        told = [award.terms.rule_id for award in result.awards] + [one.terms.rule_id for one in result.refusals]
        assert sorted(told) == [version.rule_id for version in versions]
        assert all(award.points > 0 for award in result.awards)
        for award in result.awards:
            for key, use in award.uses.items():
                used[key] = used.get(key, Used()).plus(use)
    for version in versions:
        for cap in version.definition.caps:
            [key] = cap_keys(purchase(), [version])
            assert used.get(key, Used()).points <= (cap.points or 0)


@given(drawn=RULES, value=st.decimals(0, 5000, places=2))
def test_the_best_of_a_group_is_the_one_that_gives_most(drawn: Any, value: Decimal) -> None:
    drawn = [(worth, ("best", "a"), priority, cap, None) for worth, _mode, priority, cap, _factor in drawn]
    versions = build(drawn)
    together = points(purchase(str(value)), *versions)
    alone = [sum(points(purchase(str(value)), version)) for version in versions]
    assert together == ([max(alone)] if max(alone) else [])


@given(
    values=st.lists(st.decimals(0, 500, places=2), min_size=1, max_size=6),
    per=st.sampled_from(["1", "3", "7"]),
    factor=st.sampled_from(["1", "1.25", "1.1"]),
    cap=st.sampled_from([None, 40]),
    rounding=st.sampled_from(["down", "half_up"]),
)
def test_the_shares_of_the_lines_add_up_to_all_of_it_exactly(
    values: list[Decimal], per: str, factor: str, cap: int | None, rounding: str
) -> None:
    lines = [BasketLine(line_no=number, value=value) for number, value in enumerate(values, 1)]
    version = terms(
        effects=[{"type": "per_amount", "points": "1", "per": per}, {"type": "multiplier", "factor": factor}],
        caps=[{"per": "purchase", "of": "member", "points": cap}] if cap else [],
        rounding=rounding,
    )
    exact = sum(map(Fraction, values)) / Fraction(per) * Fraction(factor)
    for award in reckon(purchase(str(sum(values)), lines=lines), Facts(), [version], {}).awards:
        shares = sum(Fraction(share) for share in award.explanation["lines"].values())
        if "caps" in award.explanation:
            assert shares == award.points == cap
        else:
            assert shares == exact
            assert award.points == rules.engine.round_points(exact, rounding)


# Caps, expiry and waiting


def test_a_cap_cuts_and_says_so_and_then_refuses() -> None:
    capped = terms(caps=[{"per": "day", "of": "member", "points": 130}, {"per": "purchase", "points": 90}])
    [first] = reckon(purchase("100"), Facts(), [capped], {}).awards
    assert (first.points, first.explanation["before_caps"]) == (90, 100)
    [told] = first.explanation["caps"]
    assert (told["per"], told["left"]) == ("purchase", 90)
    used = dict(first.uses)
    [second] = reckon(purchase("100"), Facts(), [capped], used).awards
    assert second.points == 40
    used = {key: use.plus(second.uses[key]) for key, use in used.items()}
    [refusal] = reckon(purchase("100"), Facts(), [capped], used).refusals
    assert (refusal.reason, refusal.caps[0]["used"]) == (Reason.CAP, 130)


def test_a_cap_of_money_counts_what_the_points_are_worth() -> None:
    capped = terms(caps=[{"per": "total", "of": "programme", "money": "0.55"}])
    [award] = reckon(purchase("100"), Facts(), [capped], {}, point_value=Decimal("0.01")).awards
    assert (award.points, [use.money for use in award.uses.values()]) == (55, [Decimal("0.55")])


@pytest.mark.parametrize("zone", ["Europe/Berlin"])
def test_the_day_of_a_cap_is_the_programmes_own_also_when_the_clocks_change(settings: Any, zone: str) -> None:
    settings.TIME_ZONE = zone
    capped = terms(caps=[{"per": "day", "of": "member", "points": 100}])
    # 29 March 2026 has 23 hours in Berlin, 25 October has 25.
    moments = {
        "2026-03-28T22:59:00+00:00": date(2026, 3, 28),
        "2026-03-28T23:00:00+00:00": date(2026, 3, 29),
        "2026-03-29T21:59:00+00:00": date(2026, 3, 29),
        "2026-03-29T22:00:00+00:00": date(2026, 3, 30),
        "2026-10-24T22:00:00+00:00": date(2026, 10, 25),
        "2026-10-25T22:59:00+00:00": date(2026, 10, 25),
        "2026-10-25T23:00:00+00:00": date(2026, 10, 26),
    }
    for text, day in moments.items():
        [key] = cap_keys(purchase(at=datetime.fromisoformat(text)), [capped])
        assert key[3] == day
    two = terms(when={"fact": "time.hour", "op": "eq", "value": 2})
    # On the long day the hour of two comes twice, on the short one never.
    assert [bool(points(purchase(at=datetime(2026, 10, 25, hour, 30, tzinfo=UTC)), two)) for hour in (0, 1, 2)] == [
        True,
        True,
        False,
    ]
    assert [bool(points(purchase(at=datetime(2026, 3, 29, hour, 30, tzinfo=UTC)), two)) for hour in (0, 1)] == [
        False,
        False,
    ]


@pytest.mark.parametrize(
    ("expiry", "expires"),
    [
        ({"type": "never"}, None),
        ({"type": "days", "n": 30}, datetime(2026, 7, 1, 4, tzinfo=UTC)),
        ({"type": "months", "n": 24}, datetime(2028, 6, 1, 4, tzinfo=UTC)),
        ({"type": "idle_months", "n": 6}, datetime(2026, 12, 1, 4, tzinfo=UTC)),
        ({"type": "end_of_month"}, datetime(2026, 6, 30, 16, tzinfo=UTC)),
        ({"type": "end_of_quarter", "n": 1}, datetime(2026, 9, 30, 16, tzinfo=UTC)),
        ({"type": "end_of_year", "n": 2}, datetime(2028, 12, 31, 16, tzinfo=UTC)),
    ],
)
def test_points_expire_as_the_rule_says(expiry: dict[str, Any], expires: datetime | None) -> None:
    [award] = reckon(purchase(), Facts(), [terms(expiry=expiry)], {}).awards
    assert award.expires_at == expires
    assert award.idle_months == (6 if expiry["type"] == "idle_months" else None)


def test_points_wait_for_days_or_for_their_release_and_may_not_count_for_tiers() -> None:
    waits = terms(1, pending={"days": 14}, qualifying="none")
    held = terms(2, pending={"until": "released"})
    first, second = reckon(purchase(), Facts(), [waits, held], {}).awards
    assert (first.activates_at, first.qualifying) == (datetime(2026, 6, 15, 4, tzinfo=UTC), 0)
    assert (second.activates_at, second.qualifying) == (None, 100)


def test_a_referral_names_the_other_member() -> None:
    referral = terms(
        event="interaction",
        effects=[{"type": "fixed", "points": 200, "also": {"points": 300, "member_property": "referred"}}],
    )
    told = {"kind": "interaction", "member_id": 7, "occurred_at": NOON, "properties": {"referred": "M-8"}}
    reckoning = reckon(Event(**told, named={"M-8": 8}), Facts(), [referral], {})
    assert [(award.member_id, award.points, award.also) for award in reckoning.awards] == [
        (7, 200, False),
        (8, 300, True),
    ]
    assert reckoning.points == 200
    for named in ({}, {"M-8": 7}):
        assert [award.member_id for award in reckon(Event(**told, named=named), Facts(), [referral], {}).awards] == [7]


@pytest.mark.parametrize(
    ("caps", "gets"),
    [
        ([{"per": "purchase", "of": "programme", "points": 450}], [200, 250]),
        ([{"per": "purchase", "points": 250}], [200, 250]),
        ([{"per": "total", "of": "programme", "points": 1_100}], [200, 300, 200, 300, 100]),
        ([{"per": "total", "of": "programme", "money": "6"}], [200, 300, 100]),
        ([{"per": "day", "points": 500}], [200, 300, 200, 200, 100]),
    ],
)
def test_the_points_of_the_other_member_count_in_every_cap(caps: list[dict[str, Any]], gets: list[int]) -> None:
    referral = terms(
        event="interaction",
        effects=[{"type": "fixed", "points": 200, "also": {"points": 300, "member_property": "referred"}}],
        caps=caps,
    )
    told: dict[str, Any] = {"member_id": 7, "occurred_at": NOON, "properties": {"referred": "M-8"}}
    event = Event(kind="interaction", **told, named={"M-8": 8})
    used: dict[CapKey, Used] = {}
    got = []
    for _ in range(3):
        reckoning = reckon(event, Facts(), [referral], used)
        for award in reckoning.awards:
            got.append(award.points)
            assert award.points == award.explanation.get("before_caps", award.points) or award.explanation["caps"]
            used |= {key: used.get(key, Used()).plus(use) for key, use in award.uses.items()}
        if caps[0]["per"] == "purchase":
            break
    assert got == gets
    assert set(used) <= set(cap_keys(event, [referral]))


def test_what_has_to_be_gathered_is_only_what_the_rules_ask_for() -> None:
    need = rules.Need
    assert rules.needs([terms()]) == need.NOTHING
    assert terms(when={"fact": "purchase.nth", "op": "gte", "value": 2}).definition.needs == need.HISTORY
    second = terms(when={"fact": "purchase.nth", "op": "eq", "value": 2})
    assert second.definition.needs == need.HISTORY | need.REWARDED
    assert rules.parse(rules.usual()).needs == need.TIER
    assert terms(when=COFFEE).definition.needs == need.LINES


@time_machine.travel(NOON)
def test_nothing_is_read_of_the_clock() -> None:
    old = purchase(at=datetime(2019, 6, 1, 4, tzinfo=UTC))
    [award] = reckon(old, Facts(), [terms(expiry={"type": "days", "n": 1})], {}).awards
    assert award.expires_at == datetime(2019, 6, 2, 4, tzinfo=UTC)
