"""What every dialog on a member's page answers once it is done."""

import json

from django.http import HttpResponse


def done(text: str, tone: str = "good") -> HttpResponse:
    """Close the dialog, say what was done, and have the page look at the member's points again."""
    events = {"points-changed": {}, "dialog:close": {}, "toast": {"text": text, "tone": tone}}
    return HttpResponse(headers={"HX-Trigger": json.dumps(events)})
