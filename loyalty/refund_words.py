"""How much a refund is, and why one cannot be made, in the reader's language."""

from decimal import Decimal
from typing import Final

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from loyalty.intake.returning import RefundRefused
from members.models import Refund
from staff import figures

# By the reasons of :class:`RefundRefused`. The value is what is left.
REASONS: Final[dict[str, str | Promise]] = {
    "more_than_left": _("is more than the %(value)s that are left"),
    "nothing_left": _("has been given back in full already"),
    "not_positive": _("must be above zero"),
    "no_lines": _("cannot be chosen: the purchase came without lines"),
    "no_such_line": _("is no line of this purchase"),
    "line_twice": _("is named twice"),
    "less_than_lines": _("is less than its lines come to, %(value)s"),
    "currency": _("is not the currency of the purchase"),
    "before_purchase": _("is before the purchase"),
    "future": _("lies in the future"),
    "points_spent": _("cannot be given back: the member has spent the points that it earned (%(value)s are left)"),
}
FIELDS: Final[dict[str, str | Promise]] = {
    "amount": _("Amount"),
    "quantity": _("Quantity"),
    "lines": _("Lines"),
    "line_no": _("Line"),
    "currency": _("Currency"),
    "refunded_at": _("Time"),
}


# Of one that waited and could not be applied: what was left is known no more.
_REFUSED: Final[dict[str, str | Promise]] = {
    "more_than_left": _("asks for more than was left"),
    "less_than_lines": _("asks for less than its lines come to"),
    "points_spent": _("the member has spent the points that the purchase earned"),
}


def refused(problem: str) -> str:
    """Why a refund that had waited was refused when its purchase came."""
    return str(_REFUSED.get(problem) or REASONS.get(problem, problem))


def amount(refund: Refund) -> str:
    """How much: what was given back, or what is asked for where that has not happened."""
    if refund.amount is not None:
        return figures.money(refund.amount, refund.currency)
    asked = refund.request
    if asked.get("amount"):
        wanted = Decimal(asked["amount"])
        return figures.money(wanted, asked["currency"]) if asked.get("currency") else figures.number(wanted, 2)
    if lines := len(asked.get("lines", [])):
        return ngettext("%(lines)d line", "%(lines)d lines", lines) % {"lines": lines}
    return str(_("all that is left"))


def why(refusal: RefundRefused) -> str:
    """The whole sentence: "Line 2: Quantity is more than the 1 that are left"."""
    value = ""
    if refusal.left is not None:
        value = figures.number(refusal.left, 2) if refusal.field == "amount" else f"{refusal.left.normalize():f}"
    sentence = f"{FIELDS[refusal.field]} {str(REASONS[refusal.reason]) % {'value': value}}"
    if refusal.line_no is None:
        return sentence
    return _("Line %(line)d: %(problem)s") % {"line": refusal.line_no, "problem": sentence}
