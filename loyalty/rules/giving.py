"""What the effects of one rule come to, exactly, and line by line where the purchase has lines."""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

from loyalty.rules import vocabulary
from loyalty.rules.definition import Coefficient, Definition, Effect, Fixed, Ladder, Multiplier, PerAmount, PerLine
from loyalty.rules.events import Case, Event
from members.conditions.predicate import Several

# An unrounded figure in an explanation is cut to this many decimals (half up); the points are not.
SHOWN_DECIMALS: Final = 6
SCALE: Final = 10**SHOWN_DECIMALS

Step = dict[str, Any]


@dataclass(frozen=True)
class Given:
    """Exact points, and each line's share of them (None: the purchase has no lines). Shares add up to the total."""

    total: Fraction
    lines: Mapping[int, Fraction] | None = None
    steps: tuple[Step, ...] = ()

    def times(self, factor: Fraction) -> "Given":
        """All of it so many times."""
        lines = None if self.lines is None else {number: share * factor for number, share in self.lines.items()}
        return Given(self.total * factor, lines, self.steps)

    def plus(self, other: "Given") -> "Given":
        """Both together, with the steps of this one."""
        if self.lines is None or other.lines is None:
            lines = self.lines if other.lines is None else other.lines
        else:
            lines = {
                number: self.lines.get(number, Fraction(0)) + other.lines.get(number, Fraction(0))
                for number in {**self.lines, **other.lines}
            }
        return Given(self.total + other.total, lines, self.steps)

    def scaled_to(self, total: Fraction) -> "Given":
        """The same shares of another total."""
        return self.times(total / self.total)


def given(definition: Definition, case: Case) -> Given:
    """What a rule gives before rounding and caps: its effects one after the other."""
    result: Given | None = None
    steps: list[Step] = []
    for effect in definition.effects:
        if isinstance(effect, PerAmount | Fixed | PerLine):
            part, told = _base(effect, case)
            result = part if result is None else result.plus(part)
        else:
            factor, told = _factor(effect, case)
            if result is not None and factor != 1:
                result = result.times(factor)
        steps.append(told | {"gives": shown(result.total) if result else "0"})
    return Given(result.total, result.lines, tuple(steps)) if result else Given(Fraction(0))


def shown(exact: Fraction) -> str:
    """An exact figure as it stands in an explanation, with six decimals at most."""
    number, parts = exact.numerator, exact.denominator
    if parts == 1:
        return str(number)
    # In whole numbers: this is called for each step of each purchase.
    scaled = (2 * number * SCALE + parts) // (2 * parts)
    whole, decimals = divmod(scaled, SCALE)
    return f"{whole}.{decimals:0{SHOWN_DECIMALS}d}".rstrip("0").rstrip(".")


def _base(effect: PerAmount | Fixed | PerLine, case: Case) -> tuple[Given, Step]:
    event = case.event
    if isinstance(effect, Fixed):
        return _spread(Fraction(effect.points), event), {"type": "fixed", "points": effect.points}
    if isinstance(effect, PerAmount):
        told: Step = {"type": "per_amount", "points": effect.said[0], "per": effect.said[1]}
        if effect.lines is None:
            return _spread(event.exact_value * effect.rate, event), told | {"of": f"{event.value:.2f}"}
        matching = [line for line in event.lines if effect.matches(line)]
        shares = {line.line_no: Fraction(line.value) * effect.rate for line in matching}
        amount = sum((line.value for line in matching), start=type(event.value)(0))
        return Given(sum(shares.values(), Fraction(0)), shares if event.lines else None), told | {
            "of": f"{amount:.2f}",
            "line_nos": list(shares),
        }
    matching = [line for line in event.lines if effect.matches(line)]
    shares = {line.line_no: Fraction(effect.points) for line in matching}
    told = {"type": "per_line", "points": effect.points, "line_nos": list(shares)}
    return Given(Fraction(effect.points * len(matching)), shares if event.lines else None), told


def _spread(total: Fraction, event: Event) -> Given:
    """A total over the lines in proportion to their value, evenly where they are worth nothing.

    What stands on no line (delivery) has its share as line 0.
    """
    if not event.lines:
        return Given(total)
    values = {line.line_no: Fraction(line.value) for line in event.lines}
    if rest := event.exact_value - sum(values.values()):
        values[0] = max(rest, Fraction(0))
    whole = sum(values.values())
    if not whole:
        return Given(total, dict.fromkeys(values, total / len(values)))
    return Given(total, {number: total * value / whole for number, value in values.items()})


def _factor(effect: Effect, case: Case) -> tuple[Fraction, Step]:
    if isinstance(effect, Multiplier):
        return effect.factor, {"type": "multiplier", "factor": shown(effect.factor)}
    if isinstance(effect, Ladder):
        factor = _ladder(effect, case.event.exact_value)
        return factor, {"type": "ladder", "of": effect.of, "factor": shown(factor)}
    if isinstance(effect, Coefficient):
        value, factor = _coefficient(effect, case)
        told = {"type": "coefficient", "fact": effect.line.fact.key, "is": value, "factor": shown(factor)}
        return factor, told
    raise TypeError(effect)


def _coefficient(effect: Coefficient, case: Case) -> tuple[Any, Fraction]:
    """What the fact is, and its factor; where several hold at once (segments), the one with the largest factor."""
    value = vocabulary.reader(effect.line)(case)
    if effect.factors is None:
        return value, case.facts.tier_factor
    if type(value) is not Several:
        return value, effect.factors.get(str(value), effect.default)
    named = [(effect.factors[one], one) for one in value if one in effect.factors]
    factor, one = max(named, default=(effect.default, None))
    return one, factor


def _ladder(effect: Ladder, amount: Fraction) -> Fraction:
    """The factor of the whole amount, or the mean of the factors of its parts."""
    reached = [step for step in effect.steps if step.start <= amount]
    if effect.of == "whole" or not amount:
        return reached[-1].factor
    ends = [step.start for step in reached[1:]] + [amount]
    parts = ((end - step.start) * step.factor for step, end in zip(reached, ends, strict=True))
    return sum(parts, Fraction(0)) / amount
