"""Releasing points that wait for an event, and what is answered."""

from typing import Any, Final

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from loyalty.api.refusals import day_limit
from loyalty.intake import release_points
from loyalty.limits import DayLimitReached
from members.api.naming import label_of
from members.models import Interaction, Purchase, SurveyResponse
from staff.models import Approval, User


class ReleasedRow(serializers.Serializer[Any]):
    """How many awards were held until now, and how many points of them can be used; or what was asked for (202)."""

    released = serializers.IntegerField(min_value=0)
    points = serializers.IntegerField(min_value=0)
    approval = serializers.IntegerField(
        allow_null=True, help_text="The number of the request at the desk, where a person asked above the limit."
    )


RELEASED: Final = {200: ReleasedRow, 202: ReleasedRow}


def release(request: Request, cause: Purchase | Interaction | SurveyResponse) -> Response:
    """Release it: a key at once, a person within the limits of the desk."""
    user = request.user if isinstance(request.user, User) else None
    try:
        done = release_points(cause, user=user, label="" if user else label_of(request))
    except DayLimitReached as error:
        raise day_limit(error) from error
    if isinstance(done, Approval):
        return Response({"released": 0, "points": 0, "approval": done.pk}, status=202)
    return Response({"released": done.awards, "points": done.points, "approval": None})
