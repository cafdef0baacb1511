"""Segments for machines: which there are, how large, and who is in them."""

from collections.abc import Sequence
from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from members import conditions
from members.conditions.facts import choices_kept
from members.models import Segment
from staff.api import ApiView
from staff.api_access import PageQuery, Pages, page_of
from staff.api_input import told
from staff.permissions import Scope


class SegmentRow(serializers.ModelSerializer[Segment]):
    """A segment. ``members`` is how many were in it at ``built_at``; ``sentence`` says who they are."""

    members = serializers.IntegerField(source="size")
    sentence = serializers.SerializerMethodField()

    class Meta:
        model = Segment
        fields: tuple[str, ...] = ("id", "name", "kind", "rhythm", "sentence", "members", "built_at")
        read_only_fields: tuple[str, ...] = fields

    def get_sentence(self, segment: Segment) -> str:
        """The conditions in the reader's language; empty for a fixed list, or where they can no longer be read."""
        try:
            return conditions.sentence(segment.conditions) if segment.is_dynamic else ""
        except conditions.ConditionError:
            return ""


def _written(rows: Sequence[Segment]) -> list[dict[str, Any]]:
    with choices_kept():
        return list(SegmentRow(rows, many=True).data)


class SegmentsView(ApiView):
    """The segments."""

    scopes: ClassVar[dict[str, Scope]] = {"GET": Scope.SEGMENTS_READ}

    @extend_schema(operation_id="list_segments", parameters=[PageQuery], responses={200: page_of(SegmentRow)})
    def get(self, request: Request) -> Response:
        """List the segments, the newest first."""
        return Pages(request, told(PageQuery, request.query_params)).of(Segment.objects.all(), _written)
