"""What the programme refuses, as problem documents."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.utils.translation import gettext as _

from loyalty import ledger, rewards, tiers
from loyalty.intake import LiesInTheFuture, RateMissing, RefundRefused, WrongLines
from loyalty.limits import DayLimitReached
from loyalty.rules import TooManyPoints, reasons
from staff.problems import Problem


@contextmanager
def refusing(*, time: str = "occurred_at", key: str = "key", worth: str = "amount") -> Iterator[None]:
    """Raise a :class:`~staff.problems.Problem` for what the programme refuses.

    ``time`` and ``key`` are what the request calls its time and its own id, ``worth`` what decides on its points.
    409 is said of what clashes with what is there, 422 of what the rules do not allow.
    """
    try:
        yield
    except LiesInTheFuture as error:
        raise Problem(422, "future", _("This lies in the future."), time) from error
    except TooManyPoints as error:
        raise Problem(422, "too-many-points", reasons.too_many(error), worth) from error
    except RateMissing as error:
        text = _("An amount in another currency needs the rate of its day.")
        raise Problem(422, "rate-missing", text, "rate") from error
    except WrongLines as error:
        raise _wrong_lines(error) from error
    except RefundRefused as error:
        raise _refund_refused(error) from error
    except rewards.NotTheirs as error:
        text = _("Redemption %(id)d cannot have paid for this purchase.") % {"id": error.redemption_id}
        raise Problem(422, "redemption-not-theirs", text, "redemptions") from error
    except tiers.NoTiers as error:
        raise Problem(409, "not-started", _("The programme has no tiers yet.")) from error
    except ledger.InsufficientPoints as error:
        text = _("%(needed)d points are needed; %(available)d can be spent.")
        raise Problem(
            422, "insufficient-points", text % {"needed": error.needed, "available": error.available}
        ) from error
    except ledger.KeyReused as error:
        raise Problem(409, "differs", _("This is already there with other content."), key) from error


def day_limit(error: DayLimitReached, field: str = "") -> Problem:
    """A person, with the keys they own, has moved as many points today as they may; ``field`` asked for more."""
    text = _("%(left)d of %(limit)d points are left for today.") % {"left": error.left, "limit": error.limit}
    return Problem(422, "day-limit", text, field)


def _wrong_lines(error: WrongLines) -> Problem:
    texts = {
        "negative": _("This must not be negative."),
        "too_exact": _("This has too many decimals."),
        "too_large": _("This is too large."),
        "doubled": _("Two lines have this number."),
        "too_many": _("These are too many lines."),
        "sum": _("The lines, less the discount and with the charges, do not come to the amount."),
        "discount": _("The discount is more than the lines."),
    }
    field = error.field if error.line_no is None else f"lines.{error.line_no}.{error.field}"
    return Problem(422, f"lines-{error.reason.replace('_', '-')}", texts[error.reason], field)


def _refund_refused(error: RefundRefused) -> Problem:
    texts = {
        "more_than_left": _("This is more than is left: %(left)s.") % {"left": error.left},
        "nothing_left": _("Nothing is left to give back."),
        "not_positive": _("This must be more than nothing."),
        "no_lines": _("The purchase has no lines."),
        "no_such_line": _("The purchase has no such line."),
        "line_twice": _("This line is named twice."),
        "less_than_lines": _("The amount is less than its lines: %(left)s.") % {"left": error.left},
        "currency": _("This is not the currency of the purchase."),
        "before_purchase": _("This lies before the purchase."),
        "future": _("This lies in the future."),
        "points_spent": _("The points of this purchase are spent."),
    }
    code = "future" if error.reason == "future" else f"refund-{error.reason.replace('_', '-')}"
    field = error.field if error.line_no is None else f"lines.{error.line_no}.{error.field}"
    return Problem(422, code, texts[error.reason], field)
