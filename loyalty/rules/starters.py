"""The usual rules, ready to be made one's own: each is a name and a definition."""

from dataclasses import dataclass
from typing import Any, Final

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

Definition = dict[str, Any]

COMMON: Final[Definition] = {
    "rounding": "down",
    "stacking": {"mode": "add", "group": "", "priority": 0},
    "caps": [],
    "pending": {"days": 0},
    "expiry": {"type": "months", "n": 24},
    "qualifying": "same",
}
TIER: Final[Definition] = {"type": "coefficient", "fact": "member.tier", "factors": "tier"}


@dataclass(frozen=True)
class Starter:
    """One usual rule. ``key`` stands in the address, ``note`` says when one takes it."""

    key: str
    name: str | Promise
    note: str | Promise
    definition: Definition


def _purchase(*effects: Definition, when: Definition | None = None, **more: Any) -> Definition:
    return {"event": "purchase", "when": when or {}, "effects": list(effects)} | COMMON | more


def _interaction(kind: str, points: int, *, also: Definition | None = None, **more: Any) -> Definition:
    when = {"all": [{"fact": "interaction.kind", "op": "in", "value": [kind]}]}
    fixed = {"type": "fixed", "points": points} | ({"also": also} if also else {})
    return {"event": "interaction", "when": when, "effects": [fixed]} | COMMON | more


def _bonus(line: Definition) -> Definition:
    """As many points again as the other rules give: with them it is double."""
    return _purchase({"type": "multiplier", "factor": "2"}, when={"all": [line]}, qualifying="none")


STARTERS: Final[tuple[Starter, ...]] = (
    Starter(
        "per-unit",
        _("1 point per unit of money"),
        _("The basis of most programmes, with the multiplier of the member's tier."),
        _purchase({"type": "per_amount", "points": "1", "per": "1"}, TIER),
    ),
    Starter(
        "first-purchase",
        _("Double points on the first purchase"),
        _("Brings new members back soon."),
        _bonus({"fact": "purchase.is_first", "op": "is", "value": True}),
    ),
    Starter(
        "birthday",
        _("Double points in the month of the birthday"),
        _("For purchases in the month in which the member was born."),
        _bonus({"fact": "member.in_birthday_month", "op": "is", "value": True}),
    ),
    Starter(
        "member-day",
        _("Member day: double points"),
        _("On one day of each month."),
        _bonus({"fact": "time.day_of_month", "op": "eq", "value": 8}),
    ),
    Starter(
        "check-in",
        _("10 points for a check-in"),
        _("Once a day for each member."),
        _interaction("check-in", 10, caps=[{"per": "day", "of": "member", "points": 10}], qualifying="none"),
    ),
    Starter(
        "review",
        _("50 points for a review"),
        _("Three reviews a month for each member."),
        _interaction("review", 50, caps=[{"per": "month", "of": "member", "points": 150}], qualifying="none"),
    ),
    Starter(
        "share",
        _("100 points for sharing"),
        _("Twice a month for each member."),
        _interaction("share", 100, caps=[{"per": "month", "of": "member", "points": 200}], qualifying="none"),
    ),
    Starter(
        "survey",
        _("20 points for answering a survey"),
        _("Once a month for each member, whatever the score."),
        {"event": "survey", "when": {}, "effects": [{"type": "fixed", "points": 20}]}
        | COMMON
        | {"caps": [{"per": "month", "of": "member", "points": 20}], "qualifying": "none"},
    ),
    Starter(
        "referral",
        _("200 points for bringing a friend, 300 for the friend"),
        _("The friend's member number stands in the property “referred”."),
        _interaction("referral", 200, also={"points": 300, "member_property": "referred"}, qualifying="none"),
    ),
)


def find(key: str) -> Starter:
    """The starter of this key; the first where there is none."""
    return next((starter for starter in STARTERS if starter.key == key), STARTERS[0])
