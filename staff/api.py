"""The ground that each room's part of the REST API stands on.

A room writes its views on :class:`ApiView` and names the scope of each method::

    class MemberView(ApiView):
        scopes = {"GET": Scope.MEMBERS_READ}

A method without a scope is refused, whoever asks (``staff.api_access``). Errors are problem
documents (``staff.problems``).
"""

from copy import deepcopy
from typing import Any, ClassVar, Final, TypeVar

from django.db.models import Model
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.exceptions import NotFound, ParseError
from rest_framework.request import Request
from rest_framework.serializers import ModelSerializer
from rest_framework.views import APIView

from staff import idempotency
from staff.permissions import Scope, public


class ApiView(APIView):
    """An API view. It declares itself public to the desk's middleware because it checks its own callers."""

    scopes: ClassVar[dict[str, Scope]] = {}
    metadata_class = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Refuse what no database takes, and a POST that does not name itself, before anything is looked up."""
        super().initial(request, *args, **kwargs)
        parts = [part for pair in request.query_params.lists() for part in (pair[0], *pair[1])]
        if any("\0" in part for part in parts):
            raise ParseError(_("The request holds a NUL character."))
        if any("\0" in str(part) for part in kwargs.values()):
            raise NotFound
        if request.method == "POST":
            idempotency.key_of(request)

    @classmethod
    def as_view(cls, **initkwargs: Any) -> Any:
        """The view function for an address."""
        return public(super().as_view(**initkwargs))


M = TypeVar("M", bound=Model)


class Row(ModelSerializer[M]):
    """One row of an answer.

    DRF finds out from the model what each field is whenever a row is to be written; here that is done once for each
    kind of row, and copied.
    """

    def get_fields(self) -> dict[str, Any]:
        """The fields by name. Their labels are in the language that asked first, so each language has its own."""
        kind = (type(self), get_language())
        if kind not in _FIELDS:
            _FIELDS[kind] = super().get_fields()
        return deepcopy(_FIELDS[kind])


_FIELDS: Final[dict[tuple[type, str | None], dict[str, Any]]] = {}


class KeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How the OpenAPI document describes the keys."""

    target_class = "staff.api_access.KeyAuthentication"
    name = "ApiKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        """A bearer token."""
        return {"type": "http", "scheme": "bearer", "bearerFormat": "sf_<prefix>_<secret>"}


class DeskScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How the OpenAPI document describes the session."""

    target_class = "staff.api_access.DeskAuthentication"
    name = "DeskSession"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        """The session cookie."""
        return {"type": "apiKey", "in": "cookie", "name": "sessionid"}
