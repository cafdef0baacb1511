"""Points moved between members by a machine, within the limits that people have too."""

from typing import Any, ClassVar

from django.http import HttpResponse
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from loyalty import transfers
from loyalty.api.adjustments import MOST, AdjustmentAnswer
from loyalty.api.points import entries_told
from loyalty.api.refusals import refusing
from loyalty.models import Entry
from members.api.naming import MemberName, label_of, member_of
from staff.api import ApiView
from staff.api_access import keeper_of
from staff.api_input import Input, Text, Whole, told
from staff.idempotency import caller_of, key_of, once
from staff.models import User
from staff.permissions import Scope
from staff.problems import Problem


class TransferInput(Input):
    """How many points another member gets."""

    to = MemberName()
    points = Whole(least=1, most=MOST)
    comment = Text(longest=500, default="")


class TransfersView(ApiView):
    """Transfers from one member."""

    scopes: ClassVar[dict[str, Scope]] = {"POST": Scope.POINTS_TRANSFER}

    @extend_schema(
        operation_id="transfer_points",
        request=TransferInput,
        responses={201: AdjustmentAnswer, 202: AdjustmentAnswer},
    )
    def post(self, request: Request, number: str) -> HttpResponse:
        """Move points that can be spent to another member. Above a limit somebody at the desk must approve."""
        given = told(TransferInput, request.data)
        return once(request, lambda: _send(request, number, given))


def _send(request: Request, number: str, given: dict[str, Any]) -> Response:
    wish = transfers.Transfer(
        from_member=member_of(number).pk,
        to_member=member_of(given["to"], "to").pk,
        points=given["points"],
        comment=given["comment"],
    )
    caller = caller_of(request)
    try:
        with refusing():
            done = transfers.send(
                wish,
                key=f"api:{caller}:{key_of(request)}",
                user=request.user if isinstance(request.user, User) else None,
                agent=caller,
                label=label_of(request),
                keeper=keeper_of(request),
            )
    except transfers.SameMember as error:
        raise Problem(422, "same-member", _("Points are moved to another member."), "to") from error
    except transfers.NotEligible as error:
        text = _("The giver has left, or the receiver is blocked or has left.")
        raise Problem(422, "not-eligible", text) from error
    if isinstance(done, Entry):
        return Response({"state": "done", "entry": entries_told([done])[0], "approval": None}, status=201)
    return Response({"state": "waiting", "entry": None, "approval": done.pk}, status=202)
