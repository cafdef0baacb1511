"""Liquid as marketing people may use it: no files, no endless loops, no huge output.

What a person writes into a message is run for every member, in the workers that deliver. So tags that
read other templates are taken out, and each filter is held to a size and the whole to a time.
Two environments differ in one thing: the one for HTML escapes what is merged in.
"""

import time
from collections.abc import Callable, Sized
from contextvars import ContextVar
from functools import wraps
from typing import Any

from django.utils.translation import gettext as _
from liquid import BoundTemplate, Environment
from liquid.builtin.expressions.primitive import RangeLiteral
from liquid.exceptions import LiquidError, ResourceLimitError

MAX_SOURCE = 64_000
"""Characters of a subject or body."""
MAX_TEXT = 100_000
"""Characters that any step may make."""
MAX_ITEMS = 1_000
"""Items of a list, and rounds of all loops together."""
MAX_DIGITS_BITS = 256
"""Bits of a whole number."""
SECONDS = 1.0
"""How long one rendering may take."""

# Reading other templates, and filters that switch off escaping or whose cost grows with the square.
FORBIDDEN_TAGS = ("include", "render", "extends", "block", "doc")
FORBIDDEN_FILTERS = (
    "safe",
    "escapejs",
    "strip_html",
    "base64_decode",
    "base64_encode",
    "base64_url_safe_decode",
    "base64_url_safe_encode",
)

_deadline: ContextVar[float] = ContextVar("liquid_deadline", default=float("inf"))

Filter = Callable[..., Any]


class _Environment(Environment):
    """Strict mode with limits on everything that can grow."""

    context_depth_limit = 10
    block_nesting_limit = 20
    loop_iteration_limit = MAX_ITEMS
    local_namespace_limit = 4 * MAX_TEXT
    output_stream_limit = 4 * MAX_TEXT


def _refuse(what: str) -> None:
    raise ResourceLimitError(what, token=None)


def _measure(value: object) -> None:
    """Refuse a value that is too large to work on."""
    if isinstance(value, int) and value.bit_length() > MAX_DIGITS_BITS:
        _refuse(_("a number has become too large"))
    if isinstance(value, str) and len(value) > MAX_TEXT:
        _refuse(_("a text has become too long"))
    if isinstance(value, range) or (isinstance(value, Sized) and not isinstance(value, str)):
        try:
            too_many = len(value) > MAX_ITEMS
        except OverflowError:
            too_many = True
        if too_many:
            _refuse(_("a list has become too long"))


def _foresee(name: str, left: object, arguments: tuple[object, ...]) -> None:
    """Refuse a step whose result would be too large, before it is made."""
    if name == "replace" and arguments:
        seq, sub = str(arguments[0]), str(arguments[1]) if len(arguments) > 1 else ""
        if str(left).count(seq) * len(sub) > MAX_TEXT:
            _refuse(_("a text has become too long"))
    elif name == "join" and isinstance(left, list | tuple):
        separator = len(str(arguments[0])) if arguments else 1
        if sum(len(str(item)) + separator for item in left) > MAX_TEXT:
            _refuse(_("a text has become too long"))
    elif name == "round" and arguments and str(arguments[0]).lstrip("-")[2:]:
        _refuse(_("a number is rounded to too many digits"))
    elif name == "date" and (len(str(left)) > 100 or any(len(str(argument)) > 100 for argument in arguments)):
        _refuse(_("a date is too long"))


def _guard(name: str, function: Filter) -> Filter:
    @wraps(function)
    def guarded(left: object, *arguments: object, **keywords: object) -> Any:
        if time.monotonic() > _deadline.get():
            _refuse(_("it takes too long"))
        for value in (left, *arguments):
            _measure(value)
        _foresee(name, left, arguments)
        result = function(left, *arguments, **keywords)
        _measure(result)
        return result

    return guarded


_make_range = RangeLiteral._make_range


def _short_range(self: RangeLiteral, start: object, stop: object) -> range:
    """A range of at most ``MAX_ITEMS``: ``(1..9999999999) contains "x"`` would count for minutes, past every limit."""
    made = _make_range(self, start, stop)
    _measure(made)
    return made


# The language has no limit of its own for this; we are its only user in the process.
RangeLiteral._make_range = _short_range  # type: ignore[method-assign]


def _environment(*, autoescape: bool) -> Environment:
    environment = _Environment(autoescape=autoescape)
    for tag in FORBIDDEN_TAGS:
        environment.tags.pop(tag, None)
    for name in FORBIDDEN_FILTERS:
        environment.filters.pop(name, None)
    for name, function in list(environment.filters.items()):
        environment.filters[name] = _guard(name, function)
    return environment


HTML = _environment(autoescape=True)
TEXT = _environment(autoescape=False)


def render(template: BoundTemplate, values: dict[str, Any]) -> str:
    """Render within the limits. Raises ``LiquidError``, also for what the language itself cannot do."""
    token = _deadline.set(time.monotonic() + SECONDS)
    try:
        return str(template.render(values))
    except LiquidError:
        raise
    except (ArithmeticError, ValueError, TypeError, RecursionError, MemoryError) as error:
        raise LiquidError(str(error), token=None) from error
    finally:
        _deadline.reset(token)
