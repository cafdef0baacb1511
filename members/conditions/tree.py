"""The tree: from JSON to what can be compiled, with every mistake named by its place.

A place counts from 1 and goes down by dots: line ``3.1`` is the first inside the group that is third.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args

from django.utils.translation import gettext as _

from members.conditions import values
from members.conditions.facts import MEMBERS, Fact, Test, Vocabulary

MAXIMUM_DEPTH = 4
MAXIMUM_LINES = 50

GroupKind = Literal["all", "any", "none"]
GROUP_KINDS: tuple[GroupKind, ...] = get_args(GroupKind)


class ConditionError(ValueError):
    """The tree is not valid. ``problems`` maps each place to what is wrong there ("" is the whole)."""

    def __init__(self, problems: dict[str, str]) -> None:
        self.problems = problems
        super().__init__("; ".join(said(place, problem) for place, problem in problems.items()))


def said(place: str, problem: str) -> str:
    """A problem with its place: "line 2: value must be a number"."""
    return _("line %(place)s: %(problem)s") % {"place": place, "problem": problem} if place else problem


@dataclass(frozen=True)
class Line:
    """One condition on one fact, read and checked."""

    place: str
    fact: Fact
    op: str
    value: Any
    parameter: Any

    @property
    def reading(self) -> str:
        """What is read of an event to answer it: the fact and its parameter."""
        return self.fact.key if self.parameter is None else f"{self.fact.key}:{self.parameter}"

    @property
    def test(self) -> Test:
        """What is put to the fact, now."""
        return Test(op=self.op, value=self.value, parameter=self.parameter)


@dataclass(frozen=True)
class Group:
    """Several conditions, of which all, any or none must hold."""

    place: str
    kind: GroupKind
    nodes: "tuple[Node, ...]"


Node = Line | Group


def parse(tree: Any, vocabulary: Vocabulary = MEMBERS) -> Group:
    """Read a tree over these facts. Raises :class:`ConditionError` with every problem found."""
    reader = _Reader(vocabulary)
    root = reader.root(tree)
    if reader.problems or root is None:
        raise ConditionError(reader.problems)
    return root


def validate(tree: Any, vocabulary: Vocabulary = MEMBERS) -> None:
    """Raises :class:`ConditionError`, naming each place, unless the tree can be used."""
    parse(tree, vocabulary)


def problems(tree: Any, vocabulary: Vocabulary = MEMBERS) -> dict[str, str]:
    """What is wrong, by place; empty when the tree can be used."""
    try:
        parse(tree, vocabulary)
    except ConditionError as error:
        return error.problems
    return {}


def walk(node: Node) -> Iterator[Node]:
    """The node and everything under it."""
    yield node
    if isinstance(node, Group):
        for child in node.nodes:
            yield from walk(child)


class _Refused(Exception):
    """One place of the tree cannot be read."""


class _Reader:
    """Reads a tree, going on after a mistake so that all of them are found at once."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.problems: dict[str, str] = {}
        self._vocabulary = vocabulary
        self._lines = 0

    def root(self, tree: Any) -> Group | None:
        if isinstance(tree, dict) and tree in ({}, {"all": []}, {"none": []}):
            return Group("", "all", ())
        if isinstance(tree, dict) and "fact" in tree:
            tree = {"all": [tree]}
        node = self._read(tree, "", 0)
        return node if isinstance(node, Group) else None

    def _read(self, node: Any, place: str, depth: int) -> Node | None:
        try:
            if not isinstance(node, dict):
                raise _Refused(_("this is neither a condition nor a group"))
            return self._line(node, place) if "fact" in node else self._group(node, place, depth)
        except (_Refused, values.ValueProblem) as refused:
            self.problems.setdefault(place, str(refused))
            return None

    def _group(self, node: dict[str, Any], place: str, depth: int) -> Group:
        if depth >= MAXIMUM_DEPTH:
            raise _Refused(_("groups may be nested %(maximum)s deep at most") % {"maximum": MAXIMUM_DEPTH})
        kind = next((kind for kind in GROUP_KINDS if kind in node), None)
        if kind is None or len(node) != 1:
            raise _Refused(_("a group has one of all, any or none, and nothing else"))
        children = node[kind]
        if not isinstance(children, list) or not children:
            raise _Refused(_("the group is empty"))
        if len(children) > MAXIMUM_LINES:
            raise _Refused(_("more than %(maximum)s conditions") % {"maximum": MAXIMUM_LINES})
        read = [
            self._read(child, f"{place}.{number}" if place else str(number), depth + 1)
            for number, child in enumerate(children, start=1)
        ]
        return Group(place, kind, tuple(child for child in read if child is not None))

    def _line(self, node: dict[str, Any], place: str) -> Line:
        self._lines += 1
        if self._lines > MAXIMUM_LINES:
            raise _Refused(_("more than %(maximum)s conditions") % {"maximum": MAXIMUM_LINES})
        key = node["fact"]
        fact = self._vocabulary.find(key) if isinstance(key, str) else None
        if fact is None:
            raise _Refused(_("“%(fact)s” is not known") % {"fact": str(key)[:80]})
        parameter = fact.parameter
        for name in node.keys() - {"fact", "op", "value"} - ({parameter.key} if parameter else set()):
            raise _Refused(_("“%(name)s” does not belong here") % {"name": str(name)[:80]})
        op = node.get("op")
        if not isinstance(op, str) or op not in fact.operator_labels:
            raise _Refused(_("“%(op)s” cannot be asked of this") % {"op": str(op)[:80]})
        value = values.parse(fact, op, node.get("value"))
        return Line(
            place, fact, op, value, values.parse_parameter(parameter, node.get(parameter.key)) if parameter else None
        )
