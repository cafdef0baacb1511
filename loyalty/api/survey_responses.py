"""Survey answers from machines."""

from typing import Any, ClassVar

from django.http import HttpResponse
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from loyalty.api.refusals import refusing
from loyalty.api.releasing import RELEASED, release
from loyalty.intake import record_answer
from members import answers
from members.api.naming import MemberName, member_of
from members.models import SurveyResponse
from staff.api import ApiView
from staff.api_input import Input, Moment, Nothing, Properties, Prose, Text, Whole, told
from staff.idempotency import caller_of, key_of, once
from staff.permissions import Scope
from staff.problems import Problem


class AnswerInput(Input):
    """One answer to “would you recommend us”."""

    external_id = Text(longest=120, shortest=1, required=False, help_text="Your own id of the answer.")
    member = MemberName(required=False, allow_null=True, default=None)
    survey = Text(longest=64, shortest=1, default="nps")
    score = Whole(least=0, most=10, required=False, allow_null=True, default=None)
    comment = Prose(longest=10_000, default="")
    answered_at = Moment(required=False, allow_null=True, default=None)
    properties = Properties(default=dict)


class AnswerRow(serializers.ModelSerializer[SurveyResponse]):
    """An answer as it was taken in, and what the member earned by it; ``is_new`` is false where it was there before.

    ``key`` is its name in addresses: your own id of it, or the key that it has instead.
    """

    member = serializers.CharField(source="member.number", allow_null=True, default=None)
    points = serializers.IntegerField()
    is_new = serializers.BooleanField()

    class Meta:
        model = SurveyResponse
        fields = ("key", "external_id", "member", "survey", "score", "answered_at", "points", "is_new")
        read_only_fields = fields


class SurveyResponsesView(ApiView):
    """Survey answers."""

    scopes: ClassVar[dict[str, Scope]] = {"POST": Scope.INTERACTIONS_WRITE}

    @extend_schema(
        operation_id="create_survey_response", request=AnswerInput, responses={200: AnswerRow, 201: AnswerRow}
    )
    def post(self, request: Request) -> HttpResponse:
        """Take in one answer: 201 where it is new, 200 where your id was taken in before with the same content."""
        given = told(AnswerInput, request.data)
        return once(request, lambda: _record(given, f"api:{caller_of(request)}:{key_of(request)}"))


class SurveyResponseReleaseView(ApiView):
    """Releasing the points of a survey answer that wait for an event."""

    scopes: ClassVar[dict[str, Scope]] = {"POST": Scope.INTERACTIONS_WRITE}

    @extend_schema(operation_id="release_survey_response_points", request=Nothing, responses=RELEASED)
    def post(self, request: Request, key: str) -> HttpResponse:
        """Let the held points of a survey answer be used from now on: it was looked at."""
        told(Nothing, request.data)
        return once(request, lambda: release(request, _answer(key)))


def _answer(key: str) -> SurveyResponse:
    answer = SurveyResponse.objects.select_related("member").filter(key=key).first()
    if answer is None:
        raise Problem(404, "unknown-survey-response", _("There is no survey answer %(key)s.") % {"key": key[:60]})
    return answer


def _record(given: dict[str, Any], key: str) -> Response:
    named = given.pop("member")
    member = member_of(named, "member") if named is not None else None
    outside = given.pop("external_id", "")
    try:
        with refusing(time="answered_at", key="external_id", worth="survey"):
            recorded = record_answer(
                key=outside or key, external_id=outside, member_id=member.pk if member else None, **given
            )
    except answers.LiesInTheFuture as error:
        raise Problem(422, "future", _("This lies in the future."), "answered_at") from error
    except answers.AnswerDiffers as error:
        text = _("This id was taken in before with another answer.")
        raise Problem(409, "differs", text, "external_id") from error
    answer = recorded.answer
    answer.member = member
    answer.points, answer.is_new = recorded.points, recorded.is_new  # type: ignore[attr-defined]
    return Response(AnswerRow(answer).data, status=201 if recorded.is_new else 200)
