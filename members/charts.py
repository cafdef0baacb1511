"""Charts of this room: pure functions to Plotly figures (plain dicts). Colours are names of the theme."""

from collections.abc import Sequence
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _

from members.models import SegmentBuild

Figure = dict[str, Any]


def sizes(builds: Sequence[SegmentBuild]) -> Figure | None:
    """How many members a segment had on each day, of the oldest build to the newest."""
    if not builds:
        return None
    zone = timezone.get_default_timezone()
    return {
        "data": [
            {
                "type": "scatter",
                "mode": "lines+markers" if len(builds) < 15 else "lines",
                "x": [timezone.localtime(build.built_at, zone).date().isoformat() for build in builds],
                "y": [build.size for build in builds],
                "name": _("Members"),
                "line": {"color": "@1"},
                "fill": "tozeroy",
                "fillcolor": "@1/13",
                "hovertemplate": "%{y:,}",
            }
        ],
        "layout": {
            "xaxis": {"type": "date", "hoverformat": "%d %b %Y", "nticks": min(8, len(builds))}
            | ({"tickformat": "%d %b"} if len(builds) < 90 else {"tickformat": "%b %Y"}),
            "yaxis": {"title": _("members"), "rangemode": "tozero"},
            "showlegend": False,
        },
    }
