"""From a tree to SQL. Text and parameters stay apart all the way."""

from typing import Any

from members.conditions.facts import NEGATIONS, Sql, Test
from members.conditions.tree import Group, Line, Node, parse


def members_sql(tree: Any) -> tuple[str, list[Any]]:
    """A query for the ids of the members for whom the tree holds, and its parameters.

    Raises ConditionError. Days are counted from now in the programme's zone.
    """
    return select(parse(tree))


def select(node: Node) -> tuple[str, list[Any]]:
    """The same for a part of a tree that was read."""
    where = condition(node)
    return f"SELECT m.id FROM members_member m WHERE {where.text}", list(where.params)  # noqa: S608


def condition(node: Node) -> Sql:
    """A condition over ``m`` that is true where the node holds; elsewhere it is false or NULL."""
    if isinstance(node, Line):
        return _line(node)
    if not node.nodes:
        return Sql("TRUE")
    if node.kind == "none":
        return _joined(" AND ", [_negated(child) for child in node.nodes])
    return _joined(" AND " if node.kind == "all" else " OR ", [condition(child) for child in node.nodes])


def _joined(word: str, parts: list[Sql]) -> Sql:
    text = word.join(f"({part.text})" for part in parts)
    return Sql(text, tuple(param for part in parts for param in part.params))


def _negated(node: Node) -> Sql:
    """True wherever the node does not hold, also where it is unknown."""
    if isinstance(node, Group) and node.kind == "any" and node.nodes:
        # One by one, so that each EXISTS becomes an anti-join.
        return _joined(" AND ", [_negated(child) for child in node.nodes])
    inner = condition(node)
    word = "IS NOT TRUE" if _nullable(node) else ""
    return Sql(f"({inner.text}) {word}" if word else f"NOT ({inner.text})", inner.params)


def _nullable(node: Node) -> bool:
    if isinstance(node, Line):
        return not _is_negation(node) and node.fact.source.nullable
    return node.kind != "none" and any(_nullable(child) for child in node.nodes)


def _is_negation(line: Line) -> bool:
    return line.op in NEGATIONS or (line.op == "is" and not line.value)


def _line(line: Line) -> Sql:
    test = line.test
    source = line.fact.source
    if not _is_negation(line):
        return source.condition(test)
    positive = Test(
        op=NEGATIONS.get(line.op, line.op),
        value=True if line.op == "is" else test.value,
        parameter=test.parameter,
        now=test.now,
    )
    inner = source.condition(positive)
    return Sql(f"({inner.text}) IS NOT TRUE" if source.nullable else f"NOT ({inner.text})", inner.params)
