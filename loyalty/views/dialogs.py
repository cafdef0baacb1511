"""What every dialog on a member's page answers once it is done, or refused."""

import json
from collections.abc import Mapping

from django.http import HttpResponse
from django.utils.translation import gettext as _

from loyalty import ledger, limits
from staff import figures


def done(text: str, tone: str = "good") -> HttpResponse:
    """Close the dialog, say what was done, and have the page look at the member's points again."""
    events = {"points-changed": {}, "dialog:close": {}, "toast": {"text": text, "tone": tone}}
    return HttpResponse(headers={"HX-Trigger": json.dumps(events)})


def why(refusal: Exception, reasons: Mapping[type[Exception], str]) -> str:
    """A refusal in words: the limits and balances that every dialog runs into, or one of its own ``reasons``."""
    if isinstance(refusal, limits.DayLimitReached):
        return _("You may still give and take %(left)s of %(limit)s points today.") % {
            "left": figures.number(refusal.left),
            "limit": figures.number(refusal.limit),
        }
    if isinstance(refusal, ledger.InsufficientPoints):
        return _("%(needed)s points are needed; %(available)s can be spent.") % {
            "needed": figures.number(refusal.needed),
            "available": figures.number(refusal.available),
        }
    return reasons.get(type(refusal), _("This form was sent already with other figures. Look at the timeline."))
