"""Who calls the REST API, what they may, how often, and in what pages they read."""

from typing import TYPE_CHECKING

from django.utils.translation import gettext_lazy as _
from rest_framework import authentication, exceptions, pagination, permissions, throttling
from rest_framework.request import Request

from staff import api_keys
from staff.models import ApiKey, User
from staff.permissions import SCOPE_PERMISSIONS, Scope

if TYPE_CHECKING:
    from rest_framework.views import APIView


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


class HasScope(permissions.BasePermission):
    """Lets a key through whose scopes, or a person whose role, allow the method; nobody else."""

    def has_permission(self, request: Request, view: "APIView") -> bool:
        """Whether the caller may use this method of this view."""
        scopes: dict[str, Scope] = getattr(view, "scopes", {})
        method = "GET" if request.method == "HEAD" else request.method
        scope = scopes.get(method or "")
        if isinstance(request.auth, ApiKey):
            if scope is not None and scope not in request.auth.scopes:
                text = _("This key lacks the scope %(scope)s.") % {"scope": scope}
                raise exceptions.PermissionDenied(text, "missing-scope")
            return scope is not None
        user = request.user
        return isinstance(user, User) and scope in SCOPE_PERMISSIONS and user.may(SCOPE_PERMISSIONS[scope])


class KeyThrottle(throttling.SimpleRateThrottle):
    """So many requests per key (or person) and minute: ``API_RATE``. Nobody is counted while the cache is away."""

    scope = "key"

    def get_cache_key(self, request: Request, view: "APIView") -> str | None:
        """Who is counted."""
        if isinstance(request.auth, ApiKey):
            return f"api-rate:key:{request.auth.pk}"
        return f"api-rate:user:{request.user.pk}" if isinstance(request.user, User) else None


class Pages(pagination.CursorPagination):
    """``?limit=`` rows at a time; ``next`` and ``previous`` are addresses to follow."""

    page_size = 50
    page_size_query_param = "limit"
    max_page_size = 500
    ordering = "-pk"
