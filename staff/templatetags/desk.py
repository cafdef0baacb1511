"""Template filters and tags of the desk: thin doors to ``staff.figures``."""

import json
from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django import template
from django.apps import apps
from django.http import HttpRequest
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _

from staff import audit, figures
from staff.models import Job
from staff.permissions import PERMISSION_WORDS

register = template.Library()

Number = float | Decimal
SCRIPT_ESCAPES = {ord(">"): "\\u003E", ord("<"): "\\u003C", ord("&"): "\\u0026"}


@register.filter
def points(value: Number | None, places: int = 0) -> str:
    """``{{ member.balance|points }}``: 8,420."""
    return "" if value is None or value == "" else figures.number(value, places)


@register.filter
def signed(value: Number | None, places: int = 0) -> str:
    """``{{ entry.points|signed }}``: +1,965."""
    return "" if value is None or value == "" else figures.signed(value, places)


@register.filter
def money(value: Number | None, currency: str | None = None) -> str:
    """``{{ purchase.amount|money:purchase.currency }}``: ¥1,286.00; the programme's currency by default."""
    return "" if value is None or value == "" else figures.money(value, currency)


@register.filter
def percent(share: Number | None, places: int = 1) -> str:
    """``{{ 0.384|percent }}``: 38.4%."""
    return "" if share is None or share == "" else figures.percent(share, places)


@register.filter
def when(value: datetime | None) -> str:
    """A moment with its time zone."""
    return figures.when(value) if value else ""


@register.filter
def moment(value: datetime | None) -> str:
    """A moment without its zone, where the head of the column or card names the zone."""
    return figures.moment(value) if value else ""


@register.filter
def day(value: date | None) -> str:
    """A day."""
    return figures.day(value) if value else ""


@register.filter
def duration(value: timedelta | None) -> str:
    """A length of time."""
    return "" if value is None else figures.duration(value)


@register.filter
def change(value: Number | None, good: str = "up") -> SafeString:
    """``{{ 0.041|change }}``: a relative change with its arrow; ``good`` is "up", "down" or "" (neither)."""
    if value is None:
        return mark_safe("")
    direction = "up" if value > 0 else "down" if value < 0 else "even"
    tone = "even" if not good or direction == "even" else "good" if direction == good else "bad"
    arrow = {"up": "▲", "down": "▼", "even": ""}[direction]
    spoken = {"up": _("up"), "down": _("down"), "even": ""}[direction]
    return mark_safe(  # noqa: S308 the parts are our own or escaped
        f'<span class="change change-{tone}"><span aria-hidden="true">{arrow}</span>'
        f'<span class="sr-only">{escape(spoken)}</span>{escape(figures.percent(figures.size(value)))}</span>'
    )


@register.filter
def spark_path(values: Sequence[Number | None]) -> str:
    """The path of a sparkline."""
    return figures.spark_path(values)


@register.filter
def arms_placed(arms: Sequence[tuple[str, Number]]) -> list[figures.PlacedArm]:
    """The rectangles of a split bar."""
    return figures.arms_placed(arms)


@register.filter
def series(place: str | int) -> str:
    """The colour of an arm by its place in the split bar."""
    return figures.series(int(place))


@register.filter
def figure_json(figure: Any) -> SafeString:
    """A plotly figure, dict or JSON text, safe inside a script block of data."""
    if hasattr(figure, "to_json"):
        text = str(figure.to_json())
    else:
        text = figure if isinstance(figure, str) else json.dumps(figure, default=str)
    return mark_safe(text.translate(SCRIPT_ESCAPES))  # noqa: S308 cannot end the script block


@register.filter
def time_left(job: Job) -> str:
    """How long a job will still take at the pace so far; empty while nobody can know."""
    return "" if job.time_left is None else _("%(time)s left") % {"time": figures.duration(job.time_left)}


@register.filter
def action_words(action: str) -> str:
    """An action of the audit as a person reads it."""
    return audit.in_words(action)


@register.filter
def words(name: str) -> str:
    """A key of a job's result or of an audit entry as words; rooms list theirs for translation in ``acts.py``."""
    return translated(name.replace("_", " ").replace("-", " ").capitalize())


@register.filter
def translated(text: str) -> str:
    """Words that are kept in English, such as who acted where it was no person, in the reader's language."""
    return _(text) if text else ""


@register.filter
def model_words(label: str) -> str:
    """The model of an audit entry's subject (``loyalty.ruleversion``) in words."""
    try:
        return translated(str(apps.get_model(label)._meta.verbose_name))
    except (LookupError, ValueError):
        return label


@register.filter
def plain(value: Any) -> str:
    """A value of a job's result or an audit entry: numbers with separators, lists joined, the rest as it is."""
    if isinstance(value, list):
        return ", ".join(map(plain, value))
    if isinstance(value, dict):
        return ", ".join(f"{words(name)} {plain(inner)}" for name, inner in value.items())
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if isinstance(value, int):
        return figures.number(value)
    return str(value)


@register.simple_tag(takes_context=True)
def needed_permission(context: dict[str, Any]) -> str:
    """In words, what the view that was refused would have let somebody do; empty when it does not say."""
    match = context["request"].resolver_match
    permission = getattr(match.func, "required_permission", None) if match else None
    return str(PERMISSION_WORDS.get(permission, "")) if permission else ""


@register.simple_tag(takes_context=True)
def sort_link(context: dict[str, Any], key: str, default: str = "") -> dict[str, str]:
    """Where a column head leads (``?sort=key`` or ``?sort=-key``), and how it is sorted now."""
    request: HttpRequest = context["request"]
    current = request.GET.get("sort") or {"asc": key, "desc": f"-{key}"}.get(default, "")
    order = {key: "ascending", f"-{key}": "descending"}.get(current, "")
    return {"url": _with(request, sort=f"-{key}" if order == "ascending" else key), "order": order}


@register.simple_tag(takes_context=True)
def filter_choices(
    context: dict[str, Any], name: str, choices: Iterable[tuple[Any, Any]], default: str = ""
) -> dict[str, Any]:
    """The choices of a filter with their addresses, and the one in force."""
    request: HttpRequest = context["request"]
    current = request.GET.get(name, str(default))
    rows = [
        {
            "label": label,
            "url": _with(request, **{name: None if str(value) == str(default) else str(value)}),
            "is_current": str(value) == current,
        }
        for value, label in choices
    ]
    shown = next((row["label"] for row in rows if row["is_current"]), rows[0]["label"] if rows else "")
    return {"choices": rows, "label": shown, "is_set": current != str(default)}


@register.simple_tag(takes_context=True)
def parameter(context: dict[str, Any], name: str) -> str:
    """What the address says for a parameter."""
    request: HttpRequest = context["request"]
    return request.GET.get(name, "")


@register.simple_tag(takes_context=True)
def other_parameters(context: dict[str, Any], *names: str) -> list[tuple[str, str]]:
    """The filters of the address that a form must keep: all but its own, and not the place in the list."""
    request: HttpRequest = context["request"]
    left_out = {*names, "page", "before"}
    return [(name, value) for name, values in request.GET.lists() if name not in left_out for value in values]


def _with(request: HttpRequest, **changes: str | None) -> str:
    """The page's address with some parameters changed, back on its first page."""
    query = request.GET.copy()
    query.pop("page", None)
    query.pop("before", None)
    for name, value in changes.items():
        if value is None:
            query.pop(name, None)
        else:
            query[name] = value
    return f"?{query.urlencode()}" if query else "?"
