"""Where browsers report what the content security policy refused."""

import json
import logging

from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from staff.permissions import public

logger = logging.getLogger("steadfast.csp")

LARGEST_REPORT = 8_192
KEPT = ("document-uri", "effective-directive", "blocked-uri", "source-file", "line-number")


@public
@csrf_exempt
@require_POST
def report(request: HttpRequest) -> HttpResponse:
    """Log one report. A browser sends it without a session; what is not a report is ignored."""
    if int(request.headers.get("Content-Length") or 0) > LARGEST_REPORT:
        return HttpResponse(status=413)
    try:
        body = json.loads(request.body)["csp-report"]
        # Without its query, which may hold what somebody searched for.
        kept = {name.replace("-", "_"): str(body[name]).partition("?")[0][:300] for name in KEPT if name in body}
    except (ValueError, KeyError, TypeError, RecursionError):
        return HttpResponse(status=400)
    logger.warning("The content security policy refused something", extra=kept)
    return HttpResponse(status=204)
