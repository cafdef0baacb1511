"""What a refund asks for: drawn up, kept as JSON, and compared when it comes again."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.utils import timezone

from loyalty import ledger
from loyalty.intake.returning import RefundLineInput, RefundRefused
from members.importing.dates import latest_moment
from members.models import Refund


class RefundDiffers(ledger.KeyReused):
    """The key of a refund came back for another purchase, of another time, or asking for something else."""


def draw_up(
    *,
    key: str,
    purchase_key: str,
    refunded_at: datetime | None = None,
    amount: Decimal | None = None,
    lines: Sequence[RefundLineInput] = (),
    currency: str = "",
    external_id: str = "",
    reason: str = "",
) -> Refund:
    """A refund as it will be written, while it waits. Raises :class:`RefundRefused` for a time ahead."""
    if refunded_at and refunded_at > latest_moment():
        raise RefundRefused("refunded_at", "future")
    return Refund(
        key=key,
        purchase_key=purchase_key,
        external_id=external_id,
        refunded_at=refunded_at or timezone.now(),
        request=request_of(amount, lines, currency),
        state=Refund.State.WAITING,
        reason=reason,
    )


def refuse_difference(known: Refund, drawn: Refund, *, is_timed: bool) -> None:
    """Raise :class:`RefundDiffers` where a refund of this key was recorded with other content."""
    said = ("purchase_key", "external_id", "request", "reason", *(("refunded_at",) if is_timed else ()))
    if any(getattr(known, name) != getattr(drawn, name) for name in said):
        raise RefundDiffers(known.key)


def request_of(amount: Decimal | None, lines: Sequence[RefundLineInput], currency: str = "") -> dict[str, Any]:
    """What is asked for as JSON, the same for equal numbers."""
    return {
        "amount": _text(amount),
        "currency": currency,
        "lines": [
            {"line_no": line.line_no, "quantity": _text(line.quantity), "amount": _text(line.amount)} for line in lines
        ],
    }


def asked_in(request: dict[str, Any]) -> tuple[Decimal | None, list[RefundLineInput], str]:
    """The other way round."""
    lines = [
        RefundLineInput(line_no=line["line_no"], quantity=_number(line["quantity"]), amount=_number(line["amount"]))
        for line in request["lines"]
    ]
    return _number(request["amount"]), lines, request["currency"]


def _text(number: Decimal | None) -> str | None:
    return None if number is None else f"{number.normalize():f}"


def _number(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)
