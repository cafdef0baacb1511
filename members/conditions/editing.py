"""Changing a tree that may be half finished, as the builder's buttons do."""

import json
from collections.abc import Callable, Iterator
from typing import Any

from members.conditions.facts import Fact, FactType
from members.conditions.scopes import MEMBERS_SCOPE, Scope
from members.conditions.tree import GROUP_KINDS

LONGEST = 50_000
DEEPEST = 32
EVERYBODY: dict[str, Any] = {"all": []}

Tree = dict[str, Any]


def load(text: str) -> dict[str, Any]:
    """The tree in the field; anything that is no group counts as everybody."""
    if len(text) > LONGEST:
        return EVERYBODY
    try:
        tree = json.loads(text)
    except (ValueError, RecursionError):
        return EVERYBODY
    # Nobody nests so deep; what does is there to exhaust whoever walks it.
    return EVERYBODY if _is_deeper(tree, DEEPEST) else whole(tree)


def _is_deeper(node: Any, levels: int) -> bool:
    inner = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    return any(levels == 0 or _is_deeper(child, levels - 1) for child in inner)


def whole(tree: Any) -> dict[str, Any]:
    """A tree whose root is a group with a list, as the widget needs it."""
    if isinstance(tree, dict) and "fact" in tree:
        return {"all": [tree]}
    if kind_of(tree) is None:
        return EVERYBODY
    return dict(tree)


def dump(tree: Any) -> str:
    """The tree as it stands in the field."""
    return json.dumps(tree, ensure_ascii=False, separators=(",", ":"))


def added(tree: dict[str, Any], place: str, node: dict[str, Any]) -> dict[str, Any]:
    """With one more node at the end of the group at ``place``."""
    return _changed(tree, place, lambda group: _group_of(group, [*children_of(group), node]))


def removed(tree: dict[str, Any], place: str) -> dict[str, Any]:
    """Without the line or group at ``place``; a group that is left empty goes with it."""
    parent, _dot, last = place.rpartition(".")
    if not last.isdecimal() or len(last) > 9 or place.count(".") > DEEPEST:
        return tree
    index = int(last) - 1
    rest = _changed(
        tree,
        parent,
        lambda group: _group_of(group, [child for number, child in enumerate(children_of(group)) if number != index]),
    )
    is_empty = bool(parent) and any(at == parent and not children_of(node) for at, node in walk(rest))
    return removed(rest, parent) if is_empty else rest


def new_line(scope: Scope = MEMBERS_SCOPE) -> dict[str, Any]:
    """The condition that a person starts from."""
    return fresh(scope.vocabulary.find(scope.first_fact) or scope.vocabulary.all_facts()[0])


def new_group(kind: str, scope: Scope = MEMBERS_SCOPE) -> dict[str, Any]:
    """A group to start from, inside a group of ``kind``."""
    return {"any" if kind == "all" else "all": [new_line(scope)]}


def fresh(fact: Fact) -> dict[str, Any]:
    """A line on a fact with its first operator and nothing filled in."""
    line: dict[str, Any] = {"fact": fact.key, "op": next(iter(fact.operator_labels)), "value": None}
    if fact.type is FactType.BOOLEAN:
        line["value"] = True
    if fact.parameter:
        line[fact.parameter.key] = fact.parameter.default
    return line


def repaired(node: Any, scope: Scope = MEMBERS_SCOPE) -> Any:
    """Every line in the form that its fact and operator ask for, keeping what still fits."""
    kind = kind_of(node)
    if kind is not None:
        return {kind: [repaired(child, scope) for child in children_of(node)]}
    fact = scope.vocabulary.find(str(node.get("fact"))) if isinstance(node, dict) else None
    if fact is None:
        return node
    line = fresh(fact)
    op = node.get("op")
    if isinstance(op, str) and op in fact.operator_labels:
        line["op"] = op
    if fact.parameter and fact.parameter.key in node:
        line[fact.parameter.key] = node[fact.parameter.key]
    line["value"] = _fitting(fact, line["op"], node.get("value"))
    return line


def _fitting(fact: Fact, op: str, value: Any) -> Any:
    if fact.type is FactType.BOOLEAN:
        return value if isinstance(value, bool) else True
    if op in {"in", "not_in"}:
        known = fact.choice_labels()
        items = value if isinstance(value, list) else []
        return [item for item in items if isinstance(item, str) and (fact.open_choices or item in known)]
    if op == "between":
        pair = value if isinstance(value, list) else [value, None]
        return [*pair, None, None][:2]
    return value[0] if isinstance(value, list) and value else value if not isinstance(value, list | bool) else None


def kind_of(node: Any) -> str | None:
    """all, any or none where the node is a group, else None."""
    if not isinstance(node, dict):
        return None
    return next((kind for kind in GROUP_KINDS if isinstance(node.get(kind), list)), None)


def children_of(node: Any) -> list[Any]:
    """What is in a group; empty for a line."""
    kind = kind_of(node)
    return list(node[kind]) if kind else []


def _group_of(group: dict[str, Any], children: list[Any]) -> dict[str, Any]:
    return {kind_of(group) or "all": children}


def _changed(node: Any, place: str, change: Callable[[Tree], Tree]) -> Tree:
    if not place:
        return change(node)
    first, _dot, rest = place.partition(".")
    children = children_of(node)
    if first.isdecimal() and len(first) < 10 and 1 <= int(first) <= len(children):
        children[int(first) - 1] = _changed(children[int(first) - 1], rest, change)
    return _group_of(node, children)


def walk(node: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Every place of the tree and what is there."""
    yield place, node
    for number, child in enumerate(children_of(node), start=1):
        yield from walk(child, f"{place}.{number}" if place else str(number))
