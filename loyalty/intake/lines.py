"""The lines of a purchase as they come in, and sharing an amount out to the cent."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import accumulate, pairwise
from typing import Final

from members.models import PurchaseLine

CENT: Final = Decimal("0.01")
MOST_LINES: Final = 1000
# As many digits as the column has.
LARGEST: Final = {"amount": Decimal(10**12), "quantity": Decimal(10**9)}
DECIMALS: Final = {"amount": 2, "quantity": 3}


class WrongLines(ValueError):
    """The lines of a purchase make no sense: ``line_no`` (None: all of them), ``field`` and ``reason`` say why.

    Reasons: ``negative``, ``too_exact``, ``too_large``, ``doubled`` (two lines with one number), ``too_many``,
    ``sum`` (the lines, less the discount and with the charges, do not come to the amount), ``discount`` (more than
    the lines).
    """

    def __init__(self, field: str, reason: str, line_no: int | None = None) -> None:
        self.field, self.reason, self.line_no = field, reason, line_no
        where = "lines" if line_no is None else f"line {line_no}"
        super().__init__(f"{where}: {field}: {reason}")


@dataclass(frozen=True, kw_only=True)
class LineInput:
    """One line as the till says it. ``amount`` is for the whole quantity; without a number its place is its number."""

    amount: Decimal
    quantity: Decimal = Decimal(1)
    line_no: int | None = None
    sku: str = ""
    product: str = ""
    brand: str = ""
    category: str = ""


def settle(
    lines: Sequence[LineInput], *, amount: Decimal, value: Decimal, discount: Decimal, charges: Decimal
) -> list[PurchaseLine]:
    """The rows of a purchase's lines, each with what was really paid for it; not written yet.

    ``discount`` (on the whole purchase) is taken off the lines in proportion to their amounts; ``charges`` are on no
    line (delivery). Lines less discount and with charges must come to ``amount``, the purchase's in its own currency;
    ``value`` is the same in the programme's. Raises :class:`WrongLines`.
    """
    if not lines:
        if discount or charges:
            raise WrongLines("amount", "sum")
        return []
    numbered = [(line.line_no or place, line) for place, line in enumerate(lines, 1)]
    _check(numbered)
    listed = sum((line.amount for line in lines), Decimal(0))
    for field, number in (("discount", discount), ("charges", charges)):
        if number < 0:
            raise WrongLines(field, "negative")
    if discount > listed:
        raise WrongLines("discount", "discount")
    if listed - discount + charges != amount:
        raise WrongLines("amount", "sum")
    paid = share_out(listed - discount, [line.amount for line in lines])
    in_lines = listed - discount
    worth = share_out(value if not charges else to_cents(value * in_lines / amount), paid)
    return [
        PurchaseLine(
            line_no=number,
            sku=line.sku,
            product=line.product,
            brand=line.brand,
            category=line.category,
            quantity=line.quantity,
            amount=line_paid,
            value=line_value,
        )
        for (number, line), line_paid, line_value in zip(numbered, paid, worth, strict=True)
    ]


def share_out(total: Decimal, weights: Sequence[Decimal]) -> list[Decimal]:
    """Share an amount of whole cents out by weights of whole cents, to the cent; the parts come to the total.

    Where the total is no more than all weights together, no part is more than its weight. Nothing but weights of
    nothing get nothing.
    """
    whole = _cents(sum(weights, Decimal(0)))
    if not whole:
        return [Decimal(0)] * len(weights)
    reached = accumulate((_cents(weight) for weight in weights), initial=0)
    # In whole numbers: halves go up, and no digit is lost.
    done = [(2 * _cents(total) * so_far + whole) // (2 * whole) for so_far in reached]
    return [CENT * (after - before) for before, after in pairwise(done)]


def to_cents(amount: Decimal) -> Decimal:
    """To two decimals, halves up."""
    return amount.quantize(CENT, "ROUND_HALF_UP")


def _cents(amount: Decimal) -> int:
    return int(amount.scaleb(2))


def _check(numbered: Sequence[tuple[int, LineInput]]) -> None:
    if len(numbered) > MOST_LINES:
        raise WrongLines("lines", "too_many")
    seen: set[int] = set()
    for number, line in numbered:
        if number in seen:
            raise WrongLines("line_no", "doubled", number)
        seen.add(number)
        if number < 1:
            raise WrongLines("line_no", "negative", number)
        for field, given in (("amount", line.amount), ("quantity", line.quantity)):
            if given < 0 or (field == "quantity" and not given):
                raise WrongLines(field, "negative", number)
            if given >= LARGEST[field]:
                raise WrongLines(field, "too_large", number)
            if given != given.quantize(Decimal(1).scaleb(-DECIMALS[field])):
                raise WrongLines(field, "too_exact", number)
