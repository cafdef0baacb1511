"""Changing a definition that may be half finished, as the builder's fields and buttons do.

What a person typed stays in the definition as text, whether it makes sense or not; ``problems`` says what does not.
A field is named by its place in the definition, with dashes: ``effects-1-points``.
"""

import re
from collections.abc import Mapping
from typing import Any

from members.conditions import editing as trees

Definition = dict[str, Any]

MOST_PARTS = 20
MOST_FACTORS = 200
LONGEST = 200
THOUSANDS = re.compile(r"[0-9]{1,3}(,[0-9]{3})+(\.[0-9]+)?")

EFFECTS = ("per_amount", "fixed", "per_line", "multiplier", "ladder", "coefficient")
ALL_RULES = "all"
TIER_FACTORS = "tier"


def typed(data: Mapping[str, str]) -> Definition:
    """The definition as the builder's form posts it."""
    definition: Definition = {
        "event": _text(data, "event") or "purchase",
        "when": trees.load(data.get("when", "")),
        "effects": [_effect(data, f"effects-{place}") for place in _places(data, "effects", "type")],
        "rounding": _text(data, "rounding") or "down",
        "stacking": {
            "mode": _text(data, "stacking-mode") or "add",
            "group": _text(data, "stacking-group"),
            "priority": _whole(_number(data, "stacking-priority") or "0"),
        },
        "caps": [_cap(data, f"caps-{place}") for place in _places(data, "caps", "per")],
        "pending": _pending(data),
        "expiry": _expiry(data),
        "qualifying": _text(data, "qualifying") or "same",
    }
    return definition


def after(definition: Definition, action: str, place: str) -> Definition:
    """The definition after one of the builder's buttons; unchanged for a button that there is not."""
    match action:
        case "add-effect":
            return definition | {"effects": [*definition["effects"], fresh_effect("fixed")][:MOST_PARTS]}
        case "remove-effect":
            return definition | {"effects": _without(definition["effects"], place)}
        case "add-cap":
            caps: list[Any] = [*definition["caps"], {"per": "day", "of": "member", "points": ""}]
            return definition | {"caps": caps[:MOST_PARTS]}
        case "remove-cap":
            return definition | {"caps": _without(definition["caps"], place)}
        case "add-step" | "remove-step" | "add-lines" | "remove-lines" | "add-also" | "remove-also":
            return definition | {"effects": _effect_after(definition["effects"], action, place)}
    return definition


def fresh_effect(kind: str) -> dict[str, Any]:
    """An effect to start from."""
    known: dict[str, dict[str, Any]] = {
        "per_amount": {"type": "per_amount", "points": "", "per": "1"},
        "per_line": {"type": "per_line", "points": "", "lines": trees.EVERYBODY},
        "multiplier": {"type": "multiplier", "factor": "2"},
        "ladder": {"type": "ladder", "steps": [{"from": "0", "factor": "1"}, {"from": "", "factor": "2"}]},
        "coefficient": {"type": "coefficient", "fact": "member.tier", "factors": TIER_FACTORS},
    }
    return known.get(kind, {"type": "fixed", "points": ""})


def _effect(data: Mapping[str, str], at: str) -> dict[str, Any]:
    kind = _text(data, f"{at}-type")
    # Another type was chosen: the fields of the one before it do not fit.
    if kind != data.get(f"{at}-was", kind) or kind not in EFFECTS:
        return fresh_effect(kind) | _kept(data, at, kind)
    read = {
        "per_amount": _per_amount,
        "per_line": _per_line,
        "multiplier": _multiplier,
        "ladder": _ladder,
        "coefficient": _coefficient,
    }.get(kind, _fixed)
    return {"type": kind} | read(data, at)


def _per_amount(data: Mapping[str, str], at: str) -> dict[str, Any]:
    return {"points": _number(data, f"{at}-points"), "per": _number(data, f"{at}-per")} | _lines(data, at)


def _per_line(data: Mapping[str, str], at: str) -> dict[str, Any]:
    return {"points": _whole(_number(data, f"{at}-points"))} | _lines(data, at)


def _fixed(data: Mapping[str, str], at: str) -> dict[str, Any]:
    fixed: dict[str, Any] = {"points": _whole(_number(data, f"{at}-points"))}
    if f"{at}-also-points" not in data:
        return fixed
    named = _text(data, f"{at}-also-member_property")
    return fixed | {"also": {"points": _whole(_number(data, f"{at}-also-points")), "member_property": named}}


def _multiplier(data: Mapping[str, str], at: str) -> dict[str, Any]:
    on = _whole(_text(data, f"{at}-on") or ALL_RULES)
    factor: dict[str, Any] = {"factor": _number(data, f"{at}-factor")}
    return factor if on == ALL_RULES else factor | {"on": on}


def _ladder(data: Mapping[str, str], at: str) -> dict[str, Any]:
    steps = [
        {name: _number(data, f"{at}-steps-{place}-{name}") for name in ("from", "factor")}
        for place in _places(data, f"{at}-steps", "from")
    ]
    return {"steps": steps, "of": _text(data, f"{at}-of") or "part"}


def _kept(data: Mapping[str, str], at: str, kind: str) -> dict[str, Any]:
    """A number of points that was typed survives a change of the effect's type."""
    points = _number(data, f"{at}-points")
    return {"points": points} if points and kind in {"per_amount", "fixed", "per_line"} else {}


def _lines(data: Mapping[str, str], at: str) -> dict[str, Any]:
    lines = data.get(f"{at}-lines")
    return {} if lines is None else {"lines": trees.load(lines)}


def _coefficient(data: Mapping[str, str], at: str) -> dict[str, Any]:
    fact = _text(data, f"{at}-fact")
    if fact == TIER_FACTORS:
        return {"fact": "member.tier", "factors": TIER_FACTORS}
    start = f"{at}-factors-"
    # By the name of the field, for a choice's key may hold anything.
    factors = {key.removeprefix(start): _number(data, key) for key in data if key.startswith(start)}
    if fact != data.get(f"{at}-fact-was", fact):
        factors = {}
    kept = {key: value for key, value in list(factors.items())[:MOST_FACTORS] if value}
    return {"fact": fact, "factors": kept, "default": _number(data, f"{at}-default") or "1"}


def _cap(data: Mapping[str, str], at: str) -> dict[str, Any]:
    most = _number(data, f"{at}-most")
    unit = {"money": most} if _text(data, f"{at}-unit") == "money" else {"points": _whole(most)}
    return {"per": _text(data, f"{at}-per"), "of": _text(data, f"{at}-of")} | unit


def _pending(data: Mapping[str, str]) -> dict[str, Any]:
    if _text(data, "pending-kind") == "released":
        return {"until": "released"}
    if _text(data, "pending-kind") == "days":
        days = _number(data, "pending-days")
        return {"days": _whole(days) if days != "0" else ""}
    return {"days": 0}


def _expiry(data: Mapping[str, str]) -> dict[str, Any]:
    kind = _text(data, "expiry-type") or "never"
    return {"type": kind} if kind == "never" else {"type": kind, "n": _whole(_number(data, "expiry-n"))}


def _effect_after(effects: list[dict[str, Any]], action: str, place: str) -> list[dict[str, Any]]:
    first, _dash, second = place.partition("-")
    changed = [dict(effect) for effect in effects]
    if not first.isdecimal() or len(first) > 3 or not 0 < int(first) <= len(changed):
        return effects
    effect = changed[int(first) - 1]
    if action == "add-step":
        effect["steps"] = [*effect.get("steps", []), {"from": "", "factor": ""}][:MOST_PARTS]
    elif action == "remove-step":
        effect["steps"] = _without(effect.get("steps", []), second)
    elif action == "add-lines":
        effect["lines"] = trees.EVERYBODY
    elif action == "add-also":
        effect["also"] = {"points": "", "member_property": "referrer"}
    else:
        effect.pop(action.removeprefix("remove-"), None)
    return changed


def _places(data: Mapping[str, str], start: str, field: str) -> list[int]:
    """The numbers of the parts that were posted, in order."""
    return [place for place in range(1, MOST_PARTS + 1) if f"{start}-{place}-{field}" in data]


def _without(parts: list[Any], place: str) -> list[Any]:
    return [part for number, part in enumerate(parts, 1) if str(number) != place]


def _text(data: Mapping[str, str], name: str) -> str:
    return data.get(name, "").replace("\0", "").strip()[:LONGEST]


def _number(data: Mapping[str, str], name: str) -> str:
    """A number as it is kept: "5,000" as 5000."""
    text = _text(data, name)
    return text.replace(",", "") if THOUSANDS.fullmatch(text) else text


def _whole(text: str) -> int | str:
    """A whole number where it is one; else what was typed."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 16 else text
