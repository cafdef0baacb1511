"""From a tree to a predicate for one subject: a purchase, a line of it, something a member did.

It says of values what ``sql.py`` says of rows: a line on something unknown does not hold, and every
negation of it does. The tree is compiled once into nested functions and then asked many times.
"""

from collections.abc import Callable
from dataclasses import dataclass
from operator import eq, ge, gt, le, lt
from typing import Any, TypeVar

from members.conditions.facts import NEGATIONS, FactType
from members.conditions.tree import Group, Line, Node

Subject = TypeVar("Subject")
Holds = Callable[[Subject], bool]
# What a line asks for, read from a subject; None where it is unknown.
Reader = Callable[[Line], Callable[[Subject], Any]]

_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {"gte": ge, "lte": le, "gt": gt, "lt": lt, "eq": eq}


class Several(tuple[Any, ...]):
    """A fact with several values at once (the lines of a purchase): a line holds where it does for one of them."""

    __slots__ = ()


@dataclass(frozen=True)
class Failed:
    """One condition that did not hold, and what was found instead (None: unknown)."""

    node: Node
    found: Any


def compiled(node: Node, reader: Reader[Subject]) -> Holds[Subject]:
    """The tree as one function from subject to bool."""
    if isinstance(node, Line):
        return _line(node, reader)
    parts = tuple(compiled(child, reader) for child in node.nodes)
    if not parts:
        return lambda _subject: True
    if node.kind == "any":
        return lambda subject: any(part(subject) for part in parts)
    if node.kind == "none":
        return lambda subject: not any(part(subject) for part in parts)
    if len(parts) == 1:
        return parts[0]
    return lambda subject: all(part(subject) for part in parts)


def failures(node: Node, reader: Reader[Subject], subject: Subject) -> list[Failed]:
    """Which conditions kept the tree from holding: each line of an "all", the whole of an "any"."""
    if compiled(node, reader)(subject):
        return []
    if isinstance(node, Line):
        return [Failed(node, reader(node)(subject))]
    if node.kind == "all":
        return [failed for child in node.nodes for failed in failures(child, reader, subject)]
    if node.kind == "none":
        held = [child for child in node.nodes if compiled(child, reader)(subject)]
        return [Failed(Group(node.place, "none", tuple(held)), None)]
    if len(node.nodes) == 1:
        return failures(node.nodes[0], reader, subject)
    return [Failed(node, None)]


def _line(line: Line, reader: Reader[Subject]) -> Holds[Subject]:
    read = reader(line)
    test = _test(line)
    is_negation = line.op in NEGATIONS or (line.op == "is" and not line.value)

    def holds(subject: Subject) -> bool:
        value = read(subject)
        if value is None:
            return is_negation
        if type(value) is Several:
            return any(item is not None and test(item) for item in value) is not is_negation
        return test(value) is not is_negation

    return holds


def _test(line: Line) -> Callable[[Any], bool]:
    """The line's operator, a negation as what it negates, over a value that is known."""
    wanted = line.value
    op = NEGATIONS.get(line.op, line.op)
    if op in _COMPARISONS:
        compare = _COMPARISONS[op]
        return lambda value: compare(value, wanted)
    if op == "between":
        low, high = wanted
        return lambda value: bool(low <= value <= high)
    if op == "in":
        choices = frozenset(wanted)
        return lambda value: value in choices
    if op == "contains":
        part = str(wanted).lower()
        return lambda value: part in str(value).lower()
    if op == "is" and line.fact.type is FactType.BOOLEAN:
        return bool
    raise ValueError(f"no predicate for the operator {line.op}")
