"""Who calls the REST API, what they may, how often, and in what pages they read."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from django.db.models import Model, QuerySet
from django.utils.translation import gettext_lazy as _
from rest_framework import authentication, exceptions, permissions, serializers, throttling
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param

from staff import api_keys
from staff.api_input import Query, Whole
from staff.models import ApiKey, User
from staff.permissions import SCOPE_PERMISSIONS, Scope

if TYPE_CHECKING:
    from rest_framework.views import APIView


M = TypeVar("M", bound=Model)


class KeyAuthentication(authentication.BaseAuthentication):
    """``Authorization: Bearer sf_…`` names an API key; the key is in ``request.auth``."""

    def authenticate(self, request: Request) -> tuple[None, ApiKey] | None:
        """The key of the request, None if it names none; an error if that key is no good."""
        scheme, _space, text = request.headers.get("Authorization", "").partition(" ")
        if not text:
            return None
        key = api_keys.find(text.strip()) if scheme.lower() == "bearer" else None
        if key is None:
            raise exceptions.AuthenticationFailed(_("This API key is not known, or was revoked."), "unknown-key")
        api_keys.note_use(key)
        return None, key

    def authenticate_header(self, request: Request) -> str:
        """What an anonymous caller is told to send."""
        return 'Bearer realm="Steadfast"'


class DeskAuthentication(authentication.SessionAuthentication):
    """Somebody signed in at the desk, with the CSRF check that a session needs."""


def may(request: Request, scope: Scope) -> bool:
    """Whether the key's scopes, or the person's role, allow it."""
    if isinstance(request.auth, ApiKey):
        return scope in request.auth.scopes
    user = request.user
    return isinstance(user, User) and scope in SCOPE_PERMISSIONS and user.may(SCOPE_PERMISSIONS[scope])


def keeper_of(request: Request) -> User | None:
    """Who made the key, and so is not the second person for what it asks; None for keys of the terminal."""
    return request.auth.created_by if isinstance(request.auth, ApiKey) else None


class HasScope(permissions.BasePermission):
    """Lets a key through whose scopes, or a person whose role, allow the method; nobody else."""

    def has_permission(self, request: Request, view: "APIView") -> bool:
        """Whether the caller may use this method of this view. Who may use another method is told which there are."""
        scopes: dict[str, Scope] = getattr(view, "scopes", {})
        method = "GET" if request.method == "HEAD" else request.method
        scope = scopes.get(method or "")
        if scope is None:
            if any(may(request, other) for other in scopes.values()):
                raise exceptions.MethodNotAllowed(request.method or "")
            return False
        if not may(request, scope):
            if isinstance(request.auth, ApiKey):
                text = _("This key lacks the scope %(scope)s.") % {"scope": scope}
                raise exceptions.PermissionDenied(text, "missing-scope")
            return False
        return True


class KeyThrottle(throttling.SimpleRateThrottle):
    """So many requests per key (or person) and minute: the key's own rate, or ``API_RATE``.

    Nobody is counted while the cache is away.
    """

    scope = "key"

    def allow_request(self, request: Request, view: "APIView") -> bool:
        """Count the request, by the key's own rate where it has one."""
        if isinstance(request.auth, ApiKey) and request.auth.requests_per_minute:
            self.num_requests, self.duration = request.auth.requests_per_minute, 60
        return super().allow_request(request, view)

    def get_cache_key(self, request: Request, view: "APIView") -> str | None:
        """Who is counted."""
        if isinstance(request.auth, ApiKey):
            return f"api-rate:key:{request.auth.pk}"
        return f"api-rate:user:{request.user.pk}" if isinstance(request.user, User) else None


class PageQuery(Query):
    """How much of a list is asked for."""

    limit = Whole(least=1, most=500, default=50, help_text="How many rows, at most.")
    cursor = Whole(least=1, most=2**63 - 1, required=False, help_text="Where to go on; see “next” of the page before.")


class Pages:
    """``?limit=`` rows at a time, the newest first; ``next`` is the address to follow, null on the last page.

    A page begins after the last row of the one before, so rows that are added meanwhile move nothing, and
    the thousandth page costs what the first does.
    """

    def __init__(self, request: Request, asked: Mapping[str, Any]) -> None:
        self.request, self.limit, self.cursor = request, asked["limit"], asked.get("cursor")

    def of(self, rows: QuerySet[M], written: Callable[[Sequence[M]], Sequence[Any]]) -> Response:
        """The page of these rows; ``written`` says all of them at once, so that it can look up for all at once."""
        if self.cursor is not None:
            rows = rows.filter(pk__lt=self.cursor)
        found = list(rows.order_by("-pk")[: self.limit + 1])
        following = None
        if len(found) > self.limit:
            found.pop()
            address = self.request.build_absolute_uri()
            following = replace_query_param(address, "cursor", found[-1].pk)
        return Response({"next": following, "results": written(found)})


def page_of(rows: type[serializers.Serializer[Any]]) -> type[serializers.Serializer[Any]]:
    """How the OpenAPI document describes a page of such rows."""
    fields = {"next": serializers.URLField(allow_null=True), "results": rows(many=True)}
    return type(f"{rows.__name__}Page", (serializers.Serializer,), fields)
