"""What of a purchase was given back and what a refund gives back of the rest: arithmetic alone, to the cent."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from math import floor
from typing import Any, Final

from loyalty.intake.lines import share_out, to_cents

ZERO: Final = Decimal(0)
HALF: Final = Fraction(1, 2)


class RefundRefused(ValueError):
    """A refund cannot be made: ``field`` and ``reason`` say why, ``line_no`` where it is about one line.

    Reasons: ``more_than_left`` (``left`` says how much is), ``nothing_left``, ``not_positive``, ``no_lines``,
    ``no_such_line``, ``line_twice``, ``less_than_lines``, ``currency``, ``before_purchase``, ``future``,
    ``points_spent``.
    """

    def __init__(self, field: str, reason: str, *, line_no: int | None = None, left: Decimal | None = None) -> None:
        self.field, self.reason, self.line_no, self.left = field, reason, line_no, left
        where = "" if line_no is None else f"line {line_no}: "
        rest = "" if left is None else f" ({left} left)"
        super().__init__(f"{where}{field}: {reason}{rest}")


@dataclass(frozen=True, kw_only=True)
class RefundLineInput:
    """What to give back of one line: a quantity, an amount, both, or (neither) all that is left of it."""

    line_no: int
    quantity: Decimal | None = None
    amount: Decimal | None = None


@dataclass(frozen=True, kw_only=True)
class Part:
    """So much of one line is given back by a refund."""

    line_id: int
    line_no: int
    quantity: Decimal
    amount: Decimal
    value: Decimal


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of a purchase, and what of it was given back so far."""

    id: int
    line_no: int
    quantity: Decimal
    amount: Decimal
    value: Decimal
    refunded_quantity: Decimal = ZERO
    refunded_amount: Decimal = ZERO
    refunded_value: Decimal = ZERO

    @property
    def quantity_left(self) -> Decimal:
        """How many were not given back."""
        return self.quantity - self.refunded_quantity

    @property
    def amount_left(self) -> Decimal:
        """What of the price was not given back."""
        return self.amount - self.refunded_amount

    @property
    def share(self) -> Fraction:
        """How much of it was given back: by price, or by quantity where it cost nothing."""
        if self.amount:
            return Fraction(self.refunded_amount) / Fraction(self.amount)
        return Fraction(self.refunded_quantity) / Fraction(self.quantity)

    def part(self, quantity: Decimal, amount: Decimal) -> Part:
        """Giving this back; its value is such that all parts together are worth the line."""
        value = _worth(self.value, self.amount, self.refunded_amount + amount) - self.refunded_value
        return Part(line_id=self.id, line_no=self.line_no, quantity=quantity, amount=amount, value=value)

    def less(self, part: Part) -> "Line":
        """The line after a part was given back."""
        return replace(
            self,
            refunded_quantity=self.refunded_quantity + part.quantity,
            refunded_amount=self.refunded_amount + part.amount,
            refunded_value=self.refunded_value + part.value,
        )


@dataclass(frozen=True, kw_only=True)
class Standing:
    """A purchase and what of it was given back so far, in its own currency; ``value`` in the programme's.

    ``refunds`` is how many there were: a purchase that cost nothing is given back by the first.
    """

    amount: Decimal
    value: Decimal
    currency: str
    refunded_amount: Decimal = ZERO
    refunded_value: Decimal = ZERO
    refunds: int = 0
    lines: Sequence[Line] = ()

    @property
    def left(self) -> Decimal:
        """What was not given back."""
        return self.amount - self.refunded_amount

    @property
    def charges_left(self) -> Decimal:
        """What of that stands on no line."""
        return self.left - sum((line.amount_left for line in self.lines), ZERO)

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to give back."""
        if self.amount or not self.lines:
            return bool(self.refunds) and not self.left
        return not any(line.quantity_left for line in self.lines)

    @property
    def share(self) -> Fraction:
        """How much of the whole was given back."""
        if self.is_over:
            return Fraction(1)
        return Fraction(self.refunded_amount) / Fraction(self.amount) if self.amount else Fraction(0)

    def share_of(self, explanation: Mapping[str, Any]) -> Fraction:
        """How much of what an award was given for has been given back.

        An award that says which line gave how much of it goes by those lines; any other by the amount.
        """
        weights = {number: Fraction(str(weight)) for number, weight in (explanation.get("lines") or {}).items()}
        whole = sum(weights.values())
        if self.is_over or not whole:
            return self.share
        lines = {str(line.line_no): line.share for line in self.lines}
        given_back = sum((weight * lines.get(number, self.share) for number, weight in weights.items()), Fraction(0))
        return given_back / whole

    def after(self, allocation: "Allocation") -> "Standing":
        """The same once a refund was made."""
        parts = {part.line_id: part for part in allocation.parts}
        return replace(
            self,
            refunded_amount=self.refunded_amount + allocation.amount,
            refunded_value=self.refunded_value + allocation.value,
            refunds=self.refunds + 1,
            lines=[line.less(parts[line.id]) if line.id in parts else line for line in self.lines],
        )


@dataclass(frozen=True, kw_only=True)
class Allocation:
    """What one refund gives back: of the whole, and of which lines."""

    amount: Decimal
    value: Decimal
    parts: Sequence[Part]


def points_until(points: int, share: Fraction) -> int:
    """How many of an award's points are gone once this share of its cause was given back; halves go up.

    What one refund takes is the difference of two of these, so that any number of them comes to exactly all.
    """
    return floor(points * share + HALF)


def allocate(
    standing: Standing, *, amount: Decimal | None, lines: Sequence[RefundLineInput], currency: str = ""
) -> Allocation:
    """Decide what a refund gives back. Raises :class:`RefundRefused`.

    With ``lines`` it is these, and what ``amount`` says beyond them comes from what stands on no line. An ``amount``
    alone is spread over all that is left, in proportion; neither gives back all that is left.
    """
    if currency and currency != standing.currency:
        raise RefundRefused("currency", "currency")
    if standing.is_over:
        raise RefundRefused("amount", "nothing_left")
    if lines:
        return _by_lines(standing, amount, lines)
    given = standing.left if amount is None else amount
    if amount is not None and amount <= 0:
        raise RefundRefused("amount", "not_positive")
    if given > standing.left:
        raise RefundRefused("amount", "more_than_left", left=standing.left)
    is_rest = given == standing.left
    shares = share_out(given, [*(line.amount_left for line in standing.lines), standing.charges_left])
    parts = [
        line.part(line.quantity_left if is_rest else ZERO, share)
        for line, share in zip(standing.lines, shares, strict=False)
    ]
    return _allocation(standing, given, parts)


def _by_lines(standing: Standing, amount: Decimal | None, inputs: Sequence[RefundLineInput]) -> Allocation:
    if not standing.lines:
        raise RefundRefused("lines", "no_lines")
    lines = {line.line_no: line for line in standing.lines}
    parts: dict[int, Part] = {}
    for given in inputs:
        if given.line_no not in lines:
            raise RefundRefused("line_no", "no_such_line", line_no=given.line_no)
        if given.line_no in parts:
            raise RefundRefused("line_no", "line_twice", line_no=given.line_no)
        parts[given.line_no] = _part(lines[given.line_no], given)
    in_lines = sum((part.amount for part in parts.values()), ZERO)
    total = in_lines if amount is None else amount
    if total < in_lines:
        raise RefundRefused("amount", "less_than_lines", left=in_lines)
    if total - in_lines > standing.charges_left:
        raise RefundRefused("amount", "more_than_left", left=in_lines + standing.charges_left)
    return _allocation(standing, total, list(parts.values()))


def _part(line: Line, given: RefundLineInput) -> Part:
    if not line.quantity_left and not line.amount_left:
        raise RefundRefused("quantity", "nothing_left", line_no=line.line_no)
    quantity, amount = given.quantity, given.amount
    if (quantity is not None and quantity <= 0) or (amount is not None and amount < 0):
        field = "quantity" if quantity is not None and quantity <= 0 else "amount"
        raise RefundRefused(field, "not_positive", line_no=line.line_no)
    if quantity is None and amount is None:
        quantity, amount = line.quantity_left, line.amount_left
    if quantity is not None and quantity > line.quantity_left:
        raise RefundRefused("quantity", "more_than_left", line_no=line.line_no, left=line.quantity_left)
    if amount is None:
        assert quantity is not None  # noqa: S101 (one of the two is given)
        amount = _worth(line.amount_left, line.quantity_left, quantity)
    if amount > line.amount_left:
        raise RefundRefused("amount", "more_than_left", line_no=line.line_no, left=line.amount_left)
    if not quantity and not amount:
        raise RefundRefused("amount", "not_positive", line_no=line.line_no)
    return line.part(quantity or ZERO, amount)


def _allocation(standing: Standing, amount: Decimal, parts: Sequence[Part]) -> Allocation:
    value = _worth(standing.value, standing.amount, standing.refunded_amount + amount) - standing.refunded_value
    return Allocation(amount=amount, value=value, parts=[part for part in parts if part.quantity or part.amount])


def _worth(value: Decimal, whole: Decimal, part: Decimal) -> Decimal:
    """What a part of something is worth, to the cent; nothing of what costs nothing."""
    return to_cents(value * part / whole) if whole else ZERO
