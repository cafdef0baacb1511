"""What members do besides buying, from apps and shops: one, or a thousand at once."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, ClassVar

from django.http import HttpResponse
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from loyalty.api import batches
from loyalty.api.refusals import refusing
from loyalty.api.releasing import RELEASED, release
from loyalty.intake import record_interaction, record_interactions
from loyalty.intake.interaction_batch import Outcome, points_of
from members import references
from members.api.naming import MemberName, member_of, unknown
from members.models import Interaction
from staff.api import ApiView
from staff.api_input import NAME, Input, Items, Moment, Nothing, Properties, Text, told
from staff.idempotency import caller_of, key_of, once
from staff.permissions import Scope
from staff.problems import Problem


class InteractionInput(Input):
    """Something that a member did."""

    external_id = Text(
        longest=120,
        shortest=1,
        pattern=NAME,
        required=False,
        help_text="Your own id of it. Without one, the request's key stands for it.",
    )
    member = MemberName()
    kind = Text(longest=64, shortest=1, pattern=NAME, help_text="Like “check-in”, “review”, “referral”.")
    occurred_at = Moment()
    channel = Text(longest=32, default="")
    properties = Properties(default=dict)


class InteractionBatch(Input):
    """Interactions, each done after the one before it."""

    interactions = Items(child=InteractionInput(), most=batches.MOST)


class InteractionRow(serializers.Serializer[Any]):
    """An interaction, and what the member earned by it."""

    key = serializers.CharField()
    member = serializers.CharField()
    kind = serializers.CharField()
    occurred_at = serializers.DateTimeField()
    channel = serializers.CharField()
    points = serializers.IntegerField()


class InteractionsView(ApiView):
    """Interactions."""

    scopes: ClassVar[dict[str, Scope]] = {"POST": Scope.INTERACTIONS_WRITE}

    @extend_schema(
        operation_id="create_interaction",
        request=InteractionInput,
        responses={200: InteractionRow, 201: InteractionRow},
    )
    def post(self, request: Request) -> HttpResponse:
        """Take in one interaction: 201 where it is new, 200 where it is there with the same content."""
        given = told(InteractionInput, request.data)
        own_key = f"api:{caller_of(request)}:{key_of(request)}"

        def record() -> Response:
            told_of = _arguments(given, own_key, member_of(given["member"], "member").pk)
            with _refusing():
                done = record_interaction(**told_of)
            row = _written(done.interaction, given["member"], done.points)
            return Response(row, status=201 if done.is_new else 200)

        return once(request, record)


class InteractionReleaseView(ApiView):
    """Releasing the points of an interaction that wait for an event."""

    scopes: ClassVar[dict[str, Scope]] = {"POST": Scope.INTERACTIONS_WRITE}

    @extend_schema(operation_id="release_interaction_points", request=Nothing, responses=RELEASED)
    def post(self, request: Request, key: str) -> HttpResponse:
        """Let the held points of an interaction be used from now on: it was looked at, or the friend has bought."""
        told(Nothing, request.data)
        return once(request, lambda: release(request, _interaction(key)))


class InteractionBatchView(ApiView):
    """Many interactions at once."""

    scopes: ClassVar[dict[str, Scope]] = {"POST": Scope.INTERACTIONS_WRITE}

    @extend_schema(
        operation_id="create_interactions",
        request=InteractionBatch,
        responses={200: batches.results_of(InteractionRow)},
    )
    def post(self, request: Request) -> HttpResponse:
        """Take in up to 1,000 interactions; those that are refused leave the others alone."""
        given = told(InteractionBatch, request.data)["interactions"]
        own_key = f"api:{caller_of(request)}:{key_of(request)}"
        return once(request, lambda: _record_all(given, own_key))


def _interaction(key: str) -> Interaction:
    interaction = Interaction.objects.select_related("member").filter(key=key).first()
    if interaction is None:
        raise Problem(404, "unknown-interaction", _("There is no interaction %(key)s.") % {"key": key[:60]})
    return interaction


def _record_all(given: Sequence[Mapping[str, Any]], own_key: str) -> Response:
    members = references.ids_of({item["member"] for item in given})
    known = [item["member"] in members for item in given]
    deeds = [
        _arguments(item, f"{own_key}:{index}", members[item["member"]])
        for index, item in enumerate(given)
        if known[index]
    ]
    with refusing():
        recorded = iter(record_interactions(deeds))
    done = [
        _told_of(next(recorded)) if is_known else unknown(item["member"], "member")
        for item, is_known in zip(given, known, strict=True)
    ]
    points = points_of([one[0] for one in done if not isinstance(one, Problem)])
    return batches.answer(
        [
            one if isinstance(one, Problem) else (_written(one[0], item["member"], points.get(one[0].pk, 0)), one[1])
            for one, item in zip(done, given, strict=True)
        ]
    )


def _told_of(outcome: Outcome) -> tuple[Interaction, bool] | Problem:
    if isinstance(outcome, tuple):
        return outcome
    try:
        with _refusing():
            raise outcome
    except Problem as refusal:
        return refusal


def _refusing() -> AbstractContextManager[None]:
    return refusing(time="occurred_at", key="external_id", worth="kind")


def _arguments(item: Mapping[str, Any], own_key: str, member_id: int) -> dict[str, Any]:
    """The arguments of ``record_interaction``."""
    told = {name: item[name] for name in ("kind", "occurred_at", "channel", "properties")}
    return told | {"member_id": member_id, "key": item.get("external_id") or own_key}


def _written(interaction: Interaction, member: str, points: int) -> Any:
    names = ("key", "kind", "occurred_at", "channel")
    told = {name: getattr(interaction, name) for name in names}
    return InteractionRow(told | {"member": member, "points": points}).data
