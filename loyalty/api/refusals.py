"""What the programme refuses, as problem documents."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.utils.translation import gettext as _

from loyalty import ledger, tiers
from loyalty.intake import LiesInTheFuture, PurchaseDiffers, RateMissing, WrongLines
from staff.problems import Problem


@contextmanager
def refusing(*, time: str = "occurred_at", key: str = "key") -> Iterator[None]:
    """Raise a :class:`~staff.problems.Problem` for what the programme refuses.

    ``time`` and ``key`` are what the request calls its time and its own id. 409 is said of what clashes
    with what is there, 422 of what the rules do not allow.
    """
    try:
        yield
    except LiesInTheFuture as error:
        raise Problem(422, "future", _("This lies in the future."), time) from error
    except RateMissing as error:
        text = _("An amount in another currency needs the rate of its day.")
        raise Problem(422, "rate-missing", text, "rate") from error
    except WrongLines as error:
        raise _wrong_lines(error) from error
    except PurchaseDiffers as error:
        text = _("This purchase is already there with other content.")
        raise Problem(409, "differs", text, key) from error
    except tiers.NoTiers as error:
        raise Problem(409, "not-started", _("The programme has no tiers yet.")) from error
    except ledger.InsufficientPoints as error:
        text = _("%(needed)d points are needed; %(available)d can be spent.")
        raise Problem(
            422, "insufficient-points", text % {"needed": error.needed, "available": error.available}
        ) from error
    except ledger.KeyReused as error:
        raise Problem(409, "differs", _("This was already done with other input."), key) from error


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
