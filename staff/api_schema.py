"""What the OpenAPI document says of every operation alike: its headers, and how it refuses."""

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any, Final

from drf_spectacular.extensions import OpenApiSerializerFieldExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse
from rest_framework import serializers

from staff.idempotency import HEADER, KEY, REPLAY_HEADER
from staff.problems import MEDIA_TYPE

CHANGES: Final = {"POST", "PATCH"}
GOOD: Final = [200, 201]


class Fault(serializers.Serializer[Any]):
    """One field that was not accepted; names of nested fields are joined by dots, items are counted from 0."""

    field = serializers.CharField()
    code = serializers.CharField()
    detail = serializers.CharField()


class ProblemDocument(serializers.Serializer[Any]):
    """An error, by RFC 9457. Programs read ``code``, people ``detail``."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField()
    code = serializers.CharField()
    errors = Fault(many=True, required=False)  # type: ignore[assignment]


class ExactSchema(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]
    """Puts the field's own words into the OpenAPI document."""

    target_class = "staff.api_input.Exact"
    match_subclasses = True

    def map_serializer_field(self, auto_schema: Any, direction: Any) -> dict[str, Any]:
        """What the field says."""
        schema: dict[str, Any] = self.target.schema()
        return schema


class Described(AutoSchema):
    """Adds to what a view says of itself what holds for all of them."""

    def get_override_parameters(self) -> list[Any]:
        """The headers of requests and answers."""
        headers = [_answered("X-Request-ID", str, "The id of this request in our log.")]
        if not self._is_open():
            headers += [
                _answered("WWW-Authenticate", str, "How to say who is asking.", 401),
                _answered("Retry-After", int, "Seconds to wait.", 429),
            ]
        if self.method == "POST":
            headers += [
                OpenApiParameter(
                    HEADER,
                    {"type": "string", "pattern": f"^{KEY.pattern}$"},
                    OpenApiParameter.HEADER,
                    required=True,
                    description="New for each new request, the same when one is sent again.",
                ),
                _answered(REPLAY_HEADER, str, "“true” where this is the answer of the first such request.", *GOOD),
            ]
        return [*super().get_override_parameters(), *headers]

    def _get_response_bodies(self, direction: Any = "response") -> dict[str, Any]:
        bodies: dict[str, Any] = super()._get_response_bodies(direction)
        for status, words in self._refusals():
            answer = OpenApiResponse(ProblemDocument, words)
            described = self._get_response_for_code(  # type: ignore[no-untyped-call]
                answer, str(status.value), [MEDIA_TYPE], direction
            )
            bodies.setdefault(str(status.value), described)
        return bodies

    def _is_open(self) -> bool:
        return not self.view.permission_classes

    def _refusals(self) -> Iterator[tuple[HTTPStatus, str]]:
        yield HTTPStatus.BAD_REQUEST, "The request does not fit this description; “errors” names what."
        if not self._is_open():
            yield HTTPStatus.UNAUTHORIZED, "No key, or one that is unknown or revoked."
            yield HTTPStatus.FORBIDDEN, "The key lacks the scope."
            yield HTTPStatus.TOO_MANY_REQUESTS, "Too many requests in this minute."
            yield HTTPStatus.NOT_FOUND, "No such member or thing."
        yield HTTPStatus.NOT_ACCEPTABLE, "Answers are JSON only."
        if self.method in CHANGES:
            yield HTTPStatus.CONFLICT, "It clashes with what is there, or the first such request is not over."
            yield HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The body is too long."
            yield HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Requests are JSON only."
            yield HTTPStatus.UNPROCESSABLE_ENTITY, "Understood, and refused by the programme’s rules."


def _answered(name: str, kind: type, description: str, *statuses: int) -> OpenApiParameter:
    return OpenApiParameter(
        name,
        kind,
        OpenApiParameter.HEADER,
        description=description,
        response=list(statuses) or True,
    )


def close_inputs(result: dict[str, Any], **_rest: Any) -> dict[str, Any]:
    """A request holds no other fields than those named; drf-spectacular calls it with the whole document."""
    for name, schema in result["components"]["schemas"].items():
        if name.endswith("Request") and "properties" in schema:
            schema["additionalProperties"] = False
    return result
