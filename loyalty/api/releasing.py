"""The answer to releasing points that wait for an event."""

from typing import Any

from rest_framework import serializers
from rest_framework.response import Response

from loyalty.intake import Released


class ReleasedRow(serializers.Serializer[Any]):
    """How many awards were held until now, and how many points of them can be used."""

    released = serializers.IntegerField(min_value=0)
    points = serializers.IntegerField(min_value=0)


def released(done: Released) -> Response:
    """What was released."""
    return Response({"released": done.awards, "points": done.points})
