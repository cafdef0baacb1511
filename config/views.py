"""Health: two addresses for machines, one for Prometheus, one page for people."""

import hmac
from http import HTTPStatus

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from config import health, metrics, verification
from loyalty.ledger import sealing
from staff.permissions import Permission, public, requires
from staff.requests import DeskRequest


@public
@require_safe
@never_cache
def healthz(request: HttpRequest) -> HttpResponse:
    """This process is alive. Asks nobody else, so that a lost database does not restart every web process."""
    return JsonResponse({"status": "alive"})


@public
@require_safe
@never_cache
def readyz(request: HttpRequest) -> HttpResponse:
    """Everything a request needs is there. 503 and the names of what is not, otherwise."""
    checks = health.checks()
    well = all(check.ok for check in checks)
    body = {"status": "ready" if well else "not ready", "checks": {check.key: check.ok for check in checks}}
    return JsonResponse(body, status=HTTPStatus.OK if well else HTTPStatus.SERVICE_UNAVAILABLE)


@public
@require_safe
@never_cache
def metrics_page(request: HttpRequest) -> HttpResponse:
    """Prometheus' text; in production only for the bearer of ``METRICS_TOKEN``."""
    expected = settings.METRICS_TOKEN
    given = request.headers.get("Authorization", "").removeprefix("Bearer ")
    if (expected or settings.PRODUCTION) and not (expected and hmac.compare_digest(given.encode(), expected.encode())):
        return HttpResponse("Set METRICS_TOKEN and send it as a bearer token.\n", status=HTTPStatus.FORBIDDEN)
    return HttpResponse(metrics.render(), content_type="text/plain; version=0.0.4; charset=utf-8")


@requires(Permission.HEALTH_VIEW)
@require_safe
@never_cache
def health_page(request: HttpRequest) -> HttpResponse:
    """The same checks in words, and what the last verification of the data found."""
    context = {"checks": health.checks(), "sealed": sealing.state(timezone.now()), **_verification()}
    return render(request, "config/health.html", context)


@requires(Permission.HEALTH_VIEW)
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def health_verification(request: DeskRequest) -> HttpResponse:
    """What the last verification found, or how far the one under way is. POST starts one."""
    if request.method == "POST":
        verification.start(request.user)
    return render(request, "config/_verification.html", _verification())


def _verification() -> dict[str, object]:
    return {"verification": verification.last(), "job": verification.running()}


@requires(Permission.DESK_USE)
@require_safe
@never_cache
def health_pill(request: HttpRequest) -> HttpResponse:
    """The same in three words, for the top bar."""
    failing = [check for check in health.checks() if not check.ok]
    return render(request, "config/health_pill.html", {"failing": failing})
