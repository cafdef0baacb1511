"""What members do besides buying, from apps and shops: one, or a thousand at once."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from django.db import connection
from django.http import HttpResponse
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from loyalty.api import batches
from loyalty.api.refusals import refusing
from loyalty.api.releasing import ReleasedRow, released
from loyalty.intake import RecordedInteraction, record_interaction, release_points
from loyalty.intake.interactions import lock_for
from members import references
from members.api.naming import MemberName, label_of, member_of, unknown
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
            done = _record(given, own_key, member_of(given["member"], "member").pk)
            return Response(_written(done, given["member"]), status=201 if done.is_new else 200)

        return once(request, record)


class InteractionReleaseView(ApiView):
    """Releasing the points of an interaction that wait for an event."""

    scopes: ClassVar[dict[str, Scope]] = {"POST": Scope.INTERACTIONS_WRITE}

    @extend_schema(operation_id="release_interaction_points", request=Nothing, responses={200: ReleasedRow})
    def post(self, request: Request, key: str) -> HttpResponse:
        """Let the held points of an interaction be used from now on: it was looked at, or the friend has bought."""
        told(Nothing, request.data)
        return once(request, lambda: released(release_points(_interaction(key), label=label_of(request))))


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
    # A referral names a second member, who earns too.
    named = {str(value) for item in given for value in item["properties"].values() if value}
    with connection.cursor() as cursor:
        lock_for(
            cursor,
            {*members.values(), *references.ids_of_either(named)},
            [item["occurred_at"] for item in given],
        )

    def record(index: int, item: Mapping[str, Any]) -> tuple[Any, bool]:
        if item["member"] not in members:
            raise unknown(item["member"], "member")
        done = _record(item, f"{own_key}:{index}", members[item["member"]])
        return _written(done, item["member"]), done.is_new

    return batches.each(given, record)


def _record(item: Mapping[str, Any], own_key: str, member_id: int) -> RecordedInteraction:
    with refusing(time="occurred_at", key="external_id", worth="kind"):
        return record_interaction(
            member_id=member_id,
            key=item.get("external_id") or own_key,
            kind=item["kind"],
            occurred_at=item["occurred_at"],
            channel=item["channel"],
            properties=item["properties"],
        )


def _written(done: RecordedInteraction, member: str) -> Any:
    names = ("key", "kind", "occurred_at", "channel")
    told = {name: getattr(done.interaction, name) for name in names}
    return InteractionRow(told | {"member": member, "points": done.points}).data
