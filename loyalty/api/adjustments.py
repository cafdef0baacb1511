"""Points given or taken by a machine, within the limits that people have too."""

from typing import Any, ClassVar

from django.http import HttpResponse
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from loyalty import adjustments
from loyalty.api.points import EntryRow, entries_told
from loyalty.api.refusals import day_limit, refusing
from loyalty.limits import DayLimitReached
from loyalty.models import Entry
from members.api.naming import label_of, member_of
from staff.api import ApiView
from staff.api_access import keeper_of
from staff.api_input import Input, Text, Whole, told
from staff.idempotency import caller_of, key_of, once
from staff.models import User
from staff.permissions import Scope
from staff.problems import Problem

MOST = 1_000_000_000


class AdjustmentInput(Input):
    """Points to give (above 0) or to take (below)."""

    points = Whole(least=-MOST, most=MOST)
    reason = Text(longest=32, shortest=1, help_text="The key of a reason in use, like “goodwill”.")
    comment = Text(longest=500, default="")


class AdjustmentAnswer(serializers.Serializer[Any]):
    """What came of it: done (201), or asked for where it takes a second person (202)."""

    state = serializers.ChoiceField(choices=["done", "waiting"])
    entry = EntryRow(allow_null=True)
    approval = serializers.IntegerField(allow_null=True, help_text="The number of the request at the desk.")


class AdjustmentsView(ApiView):
    """Adjustments of one member's points."""

    scopes: ClassVar[dict[str, Scope]] = {"POST": Scope.POINTS_ADJUST}

    @extend_schema(
        operation_id="adjust_points",
        request=AdjustmentInput,
        responses={201: AdjustmentAnswer, 202: AdjustmentAnswer},
    )
    def post(self, request: Request, number: str) -> HttpResponse:
        """Give or take points, with a reason. Above the programme's limit somebody at the desk must approve."""
        given = told(AdjustmentInput, request.data)
        return once(request, lambda: _adjust(request, number, given))


def _adjust(request: Request, number: str, given: dict[str, Any]) -> Response:
    if not given["points"]:
        raise Problem(422, "no-points", _("An adjustment gives or takes points."), "points")
    wish = adjustments.Adjustment(member_id=member_of(number).pk, **given)
    caller = caller_of(request)
    user = request.user if isinstance(request.user, User) else None
    try:
        with refusing():
            done = adjustments.adjust(
                wish,
                key=f"api:{caller}:{key_of(request)}",
                user=user,
                agent=caller,
                label=label_of(request),
                keeper=keeper_of(request),
            )
    except DayLimitReached as error:
        raise day_limit(error, "points") from error
    except adjustments.NoSuchReason as error:
        raise Problem(422, "unknown-reason", _("There is no such reason."), "reason") from error
    except adjustments.NotEligible as error:
        raise Problem(422, "not-eligible", _("The member has left the programme.")) from error
    if isinstance(done, Entry):
        return Response({"state": "done", "entry": entries_told([done])[0], "approval": None}, status=201)
    return Response({"state": "waiting", "entry": None, "approval": done.pk}, status=202)
