"""The same figures as the pages', for machines."""

from http import HTTPStatus
from typing import Any, ClassVar

from django.conf import settings
from django.http import Http404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from analytics.freshness import freshness
from analytics.metrics import METRICS, Metric, Unit, ask
from analytics.models import CohortKind
from analytics.periods import BadQuery, month_text
from analytics.readings import Reading
from staff.api import ApiView
from staff.permissions import Scope


class MetricsView(ApiView):
    """The dictionary of metrics."""

    scopes: ClassVar[dict[str, Scope]] = {"GET": Scope.KPIS_READ}

    @extend_schema(operation_id="list_kpis", responses=OpenApiTypes.OBJECT)
    def get(self, request: Request) -> Response:
        """Name every metric with its definition, unit and cuts."""
        return Response({"results": [_declared(metric) for metric in METRICS.values()]})


class MetricView(ApiView):
    """One metric over some months."""

    scopes: ClassVar[dict[str, Scope]] = {"GET": Scope.KPIS_READ}

    @extend_schema(
        operation_id="get_kpi",
        parameters=[
            OpenApiParameter("from", str, description="First month, e.g. 2026-01. Without it: twelve months."),
            OpenApiParameter("to", str, description="Last month, e.g. 2026-11. Without it: the running one."),
            OpenApiParameter("period", str, description="Instead of both: a number of months, or “all”."),
            OpenApiParameter("by", str, description="What to cut by; see the metric's “cuts”."),
            OpenApiParameter("tier", str, description="Only members in this tier (its key)."),
            OpenApiParameter("kind", str, enum=CohortKind.values, description="What puts a member into a cohort."),
            OpenApiParameter("survey", str, description="Only answers of this survey."),
            OpenApiParameter("campaign", int, description="The campaign's id, for metrics of campaigns."),
        ],
        responses={200: OpenApiTypes.OBJECT},
    )
    def get(self, request: Request, key: str) -> Response:
        """Compute one metric; the figures are those of its page and of its CSV file."""
        metric = METRICS.get(key)
        if metric is None:
            raise Http404(f"There is no metric {key[:40]!r}.")
        try:
            query, figures = ask(metric, request.query_params.dict())
        except BadQuery as trouble:
            raise ValidationError({trouble.parameter: [str(trouble)]}) from trouble
        return Response(
            {
                **_declared(metric),
                "from": month_text(query.first),
                "to": month_text(query.last),
                "everything": query.everything,
                "by": query.by,
                "as_of": metric.as_of() if metric.as_of else freshness().as_of,
                "time_zone": settings.TIME_ZONE,
                "total": _written(figures.total),
                "rows": [_written(row) for row in figures.rows],
            },
            status=HTTPStatus.OK,
        )


def _declared(metric: Metric) -> dict[str, Any]:
    return {
        "key": metric.key,
        "name": str(metric.name),
        "definition": str(metric.definition),
        "unit": settings.PROGRAMME_CURRENCY if metric.unit is Unit.MONEY else str(metric.unit),
        "numerator": str(metric.numerator),
        "denominator": str(metric.denominator) or None,
        "good": str(metric.good) or None,
        "cuts": list(metric.cuts),
        "filters": list(metric.filters),
    }


def _written(reading: Reading) -> dict[str, Any]:
    interval = reading.interval
    return {
        "keys": dict(reading.keys),
        "value": reading.value,
        "numerator": reading.numerator,
        "denominator": reading.denominator,
        "interval_95": [interval.low, interval.high] if interval else None,
        "parts": dict(reading.parts),
    }
