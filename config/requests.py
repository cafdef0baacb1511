"""What happens around each request: its id, its line in the log, its place in the metrics, common headers."""

import logging
import re
import time
import uuid
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from config import metrics
from config.logs import request_id

logger = logging.getLogger("steadfast.requests")

_ACCEPTABLE_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")
PERMISSIONS_POLICY = "camera=(), geolocation=(), microphone=(), payment=(), usb=(), interest-cohort=()"


class RequestMiddleware:
    """Gives a request its id, and counts and logs how it ended.

    The log names the route, not the path: a path may hold what somebody searched for.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Wrap the whole handling of one request."""
        given = request.headers.get("X-Request-ID", "")
        # Stays set after the answer: Django logs 4xx and 5xx once we are done. The next request sets its own.
        request_id.set(given if _ACCEPTABLE_ID.fullmatch(given) else uuid.uuid4().hex)
        started = time.perf_counter()
        response = self.get_response(request)
        seconds = time.perf_counter() - started
        route = request.resolver_match.route if request.resolver_match else "(none)"
        metrics.observe_request(request.method or "", route, response.status_code, seconds)
        if request.resolver_match or response.status_code >= 400:
            _log(request, route, response.status_code, seconds)
        response["X-Request-ID"] = request_id.get()
        response.setdefault("Permissions-Policy", PERMISSIONS_POLICY)
        return response


def _log(request: HttpRequest, route: str, status: int, seconds: float) -> None:
    """One line for each answer but static files."""
    user = getattr(request, "user", None)
    extra = {"milliseconds": round(seconds * 1000), "user_id": user.pk if user is not None else None}
    logger.info("%s %s %s", request.method, route, status, extra=extra)
