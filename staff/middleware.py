"""Deny by default: a view that declares no permission is refused."""

from collections.abc import Callable
from urllib.parse import urlsplit, urlunsplit

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import BadRequest, PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import resolve_url
from django.utils.http import urlencode

from staff.permissions import Permission

UNDECLARED = object()


def holds_nul(request: HttpRequest) -> bool:
    """Whether the query or the posted form holds the zero character, which PostgreSQL cannot store."""
    if any("\0" in part for pair in request.GET.lists() for part in (pair[0], *pair[1])):
        return True
    return any("\0" in part for pair in request.POST.lists() for part in (pair[0], *map(str, pair[1])))


class RefuseNulMiddleware:
    """Answers 400 to what nobody types and no database takes; the API does so in its own form."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Pass the request on; the check is made before the view."""
        return self.get_response(request)

    def process_view(
        self, request: HttpRequest, view: Callable[..., object], args: object, kwargs: object
    ) -> HttpResponseBase | None:
        """Refuse, or let through."""
        if request.path.startswith("/api/"):
            return None
        if "\0" in request.path:
            raise Http404
        if holds_nul(request):
            raise BadRequest("the request holds a NUL character")
        return None


class DenyByDefaultMiddleware:
    """Enforces what ``staff.permissions.requires`` and ``public`` declare on a view."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Pass the request on; the check is made once the view is known."""
        return self.get_response(request)

    def process_view(
        self, request: HttpRequest, view: Callable[..., object], args: object, kwargs: object
    ) -> HttpResponseBase | None:
        """Refuse, send to sign-in, or let through."""
        needed = getattr(view, "required_permission", UNDECLARED)
        if needed is None:
            return None
        if not request.user.is_authenticated:
            return _to_sign_in(request)
        if not isinstance(needed, Permission) or not request.user.may(needed):
            raise PermissionDenied
        return None


def _to_sign_in(request: HttpRequest) -> HttpResponseBase:
    """Send to sign-in and back. A partial must not be answered with the sign-in page: the whole page goes there."""
    if request.headers.get("HX-Request"):
        try:
            page = urlsplit(request.headers.get("HX-Current-URL", "/"))
        except ValueError:  # "http://[": only somebody playing sends it
            page = urlsplit("/")
        back = urlencode({"next": urlunsplit(("", "", page.path, page.query, ""))})
        return HttpResponse(status=401, headers={"HX-Redirect": f"{resolve_url(settings.LOGIN_URL)}?{back}"})
    return redirect_to_login(request.get_full_path())
