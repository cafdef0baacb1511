"""A rule's definition in words: right in both languages, finished or not, and as a difference."""

from typing import Any

import pytest
from django.utils import translation

from loyalty import programme
from loyalty.rules import editing, reading, sentences, starters
from tests.loyalty.rule_forms import posted

pytestmark = pytest.mark.django_db

WEEKEND = {"fact": "time.weekday", "op": "in", "value": ["6", "7"]}
IN_STORE = {"fact": "purchase.channel", "op": "in", "value": ["store"]}
FROM_1000 = {"fact": "purchase.amount", "op": "gte", "value": "1000"}


def definition(*effects: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"event": "purchase", "when": {}, "effects": list(effects)} | starters.COMMON | more


PER_AMOUNT = {"type": "per_amount", "points": "2", "per": "1"}


def test_a_rule_is_read_as_one_would_say_it() -> None:
    rule = definition(
        PER_AMOUNT,
        starters.TIER,
        when={"all": [FROM_1000, IN_STORE, WEEKEND]},
        caps=[{"per": "day", "of": "member", "points": 5000}],
        pending={"days": 14},
        expiry={"type": "end_of_year", "n": 24},
        qualifying="none",
    )
    assert sentences.sentence(rule) == (
        "For each purchase where the amount is at least ¥1,000, and the channel is store, and the weekday is Saturday"
        " or Sunday: 2 points per ¥1, times the multiplier of the member's tier, rounded down to a whole point;"
        " at most 5,000 points per member and day."
        " The points wait 14 days."
        " The points expire 24 months after they were earned, at the end of that year."
        " They do not count for tiers."
    )


@pytest.mark.parametrize(
    ("effect", "words"),
    [
        ({"type": "fixed", "points": 1}, "1 point"),
        ({"type": "per_line", "points": 10, "lines": {}}, "10 points for each line"),
        (
            PER_AMOUNT | {"lines": {"all": [{"fact": "line.brand", "op": "in", "value": ["Acme"]}]}},
            "2 points per ¥1 on lines where the brand is Acme, rounded down to a whole point",
        ),
        ({"type": "multiplier", "factor": "1.5"}, "the points of all other rules times 1.5, rounded down"),
        ({"type": "fixed", "points": 200, "also": {"points": 300, "member_property": "friend"}}, "200 points, and 300"),
        (
            {"type": "coefficient", "fact": "member.tier", "factors": {"gold": "1.2"}, "default": "1"},
            "×1.2 for Gold",
        ),
    ],
)
def test_each_effect_has_its_words(effect: dict[str, Any], words: str) -> None:
    programme.ensure_defaults()
    assert sentences.effects(definition(effect)).startswith(words)


def test_a_ladder_says_from_where_it_multiplies() -> None:
    steps = [{"from": "0", "factor": "1"}, {"from": "1000", "factor": "2"}]
    said = sentences.effects(definition(PER_AMOUNT, {"type": "ladder", "steps": steps, "of": "part"}))
    assert said.startswith("2 points per ¥1, times 2 for what lies above ¥1,000")


def test_what_is_missing_is_a_gap_in_the_sentence() -> None:
    rule = definition(
        {"type": "per_amount", "points": "", "per": "x"},
        when={"all": [FROM_1000 | {"value": None}]},
        caps=[{"per": "day", "of": "member", "points": "many"}],
        expiry={"type": "months", "n": ""},
    )
    said = sentences.sentence(rule)
    assert said.startswith("For each purchase where …: … points per ¥…, rounded down")
    assert "at most … points per member and day" in said
    assert "expire … months after" in said


@pytest.mark.parametrize("starter", starters.STARTERS, ids=lambda starter: starter.key)
def test_every_starter_is_a_rule_and_can_be_read_in_both_languages(starter: starters.Starter) -> None:
    assert reading.problems(starter.definition) == {}
    said = sentences.sentence(starter.definition)
    assert "…" not in said
    with translation.override("zh-hans"):
        assert "…" not in sentences.sentence(starter.definition)


def test_what_the_builder_posts_is_what_it_shows() -> None:
    rule = definition(
        PER_AMOUNT,
        {"type": "ladder", "steps": [{"from": "0", "factor": "1"}, {"from": "1000", "factor": "2"}], "of": "part"},
        {"type": "coefficient", "fact": "member.tier", "factors": {"gold": "1.2"}, "default": "1"},
        starters.TIER,
        when={"all": [FROM_1000, {"any": [IN_STORE, WEEKEND]}]},
        caps=[{"per": "day", "of": "member", "points": 5000}, {"per": "total", "of": "programme", "money": "99.5"}],
        stacking={"mode": "best", "group": "weekend", "priority": 3},
        pending={"until": "released"},
        expiry={"type": "idle_months", "n": 12},
    )
    assert editing.typed(posted(rule)) == rule
