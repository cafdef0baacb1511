"""Errors of the API as RFC 9457 problem documents.

Each has ``type``, ``title``, ``status``, ``detail`` and ``code`` (stable, for programs); a refused
input also has ``errors``, one ``{"field", "code", "detail"}`` per fault, fields of nested objects
joined by dots.
"""

import logging
import uuid
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.http import Http404
from django.utils.translation import gettext as _
from rest_framework import exceptions
from rest_framework.response import Response

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"


class Problem(exceptions.APIException):
    """Raise it in an API view: ``Problem(409, "key-reused", "This key was used with other input.")``.

    ``field`` names the field of the request that is to blame.
    """

    def __init__(self, status: int, code: str, detail: str, field: str = "") -> None:
        super().__init__(detail, code)
        self.status_code, self.field = status, field


def respond(error: Exception, context: dict[str, Any]) -> Response:
    """Turn whatever an API view raised into a problem document. DRF calls it."""
    from rest_framework.views import set_rollback  # its settings name modules that import this one

    problem = _as_api_exception(error)
    set_rollback()
    body = document(problem)
    headers: dict[str, str] = {}
    if header := getattr(problem, "auth_header", None):
        headers["WWW-Authenticate"] = header
    if wait := getattr(problem, "wait", None):
        headers["Retry-After"] = str(int(wait) + 1)
    return Response(body, status=problem.status_code, headers=headers, content_type=MEDIA_TYPE)


def document(problem: exceptions.APIException) -> dict[str, Any]:
    """The problem document of an error."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(problem.status_code).phrase,
        "status": problem.status_code,
        "detail": _("The request was not accepted."),
        "code": "invalid",
    }
    if isinstance(problem, exceptions.ValidationError):
        body["errors"] = list(_faults(problem.detail))
        body["detail"] = "; ".join(f"{fault['field']}: {fault['detail']}" for fault in body["errors"][:3])
    elif isinstance(problem.detail, exceptions.ErrorDetail):
        body |= {"detail": str(problem.detail), "code": problem.detail.code}
        if isinstance(problem, Problem) and problem.field:
            body["errors"] = [{"field": problem.field, "code": body["code"], "detail": body["detail"]}]
    return body


def _as_api_exception(error: Exception) -> exceptions.APIException:
    if isinstance(error, exceptions.APIException):
        return error
    if isinstance(error, Http404):
        return exceptions.NotFound(*error.args[:1])
    if isinstance(error, PermissionDenied):
        return exceptions.PermissionDenied(*error.args[:1])
    if isinstance(error, RequestDataTooBig):
        text = _("A request holds at most %(bytes)d bytes.") % {"bytes": settings.DATA_UPLOAD_MAX_MEMORY_SIZE}
        return Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too-large", text)
    if isinstance(error, SuspiciousOperation):
        return Problem(HTTPStatus.BAD_REQUEST, "bad-request", str(error))
    reference = uuid.uuid4().hex[:8]
    logger.exception("API request failed (reference %s)", reference, extra={"ref": reference})
    text = _("Something went wrong on our side (reference %(reference)s).") % {"reference": reference}
    return Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "internal-error", text)


def _faults(detail: Any, path: str = "") -> Iterator[dict[str, str]]:
    """Flatten the nested errors of a serializer."""
    if isinstance(detail, dict):
        for name, inner in detail.items():
            own = "" if name == "non_field_errors" else str(name)
            yield from _faults(inner, ".".join(filter(None, [path, own])))
    elif isinstance(detail, list):
        for place, inner in enumerate(detail):
            is_nested = isinstance(inner, dict | list)
            yield from _faults(inner, f"{path}.{place}".lstrip(".") if is_nested else path)
    else:
        yield {"field": path, "code": getattr(detail, "code", "invalid"), "detail": str(detail)}
