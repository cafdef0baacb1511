"""A tree read back as one sentence, in the reader's language.

Every pattern is translated as a whole, so that Chinese may put its words in its own order.
"""

from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from members.conditions.facts import Fact, FactType
from members.conditions.tree import Group, Line, Node, parse
from members.conditions.values import list_words, number_words, words

# For facts that bring no phrase of their own.
FALLBACKS = {
    "gte": gettext_noop("have %(fact)s of at least %(value)s"),
    "lte": gettext_noop("have %(fact)s of at most %(value)s"),
    "gt": gettext_noop("have %(fact)s of more than %(value)s"),
    "lt": gettext_noop("have %(fact)s of less than %(value)s"),
    "eq": gettext_noop("have %(fact)s of exactly %(value)s"),
    "ne": gettext_noop("have %(fact)s other than %(value)s"),
    "between": gettext_noop("have %(fact)s from %(low)s to %(high)s"),
    "in": gettext_noop("have %(fact)s %(value)s"),
    "not_in": gettext_noop("have %(fact)s other than %(value)s"),
    "contains": gettext_noop("have %(fact)s containing %(value)s"),
    "yes": gettext_noop("have %(fact)s"),
    "no": gettext_noop("have no %(fact)s"),
}

# How "none of" is said inside a sentence about members, and of an event.
OF_MEMBERS = gettext_noop("are none of those who %(conditions)s")
OF_EVENTS = gettext_noop("it is not so that %(conditions)s")


def sentence(tree: Any) -> str:
    """The whole tree as one sentence: who is meant. Raises ConditionError."""
    root = parse(tree)
    if not root.nodes:
        return _("All members.")
    if root.kind == "none":
        return _("All members except those who %(conditions)s.") % {"conditions": _any(root)}
    if root.kind == "any":
        return _("Members who %(conditions)s.") % {"conditions": _any(root)}
    return _whole(root)


def clauses(node: Node) -> str:
    """What a tree over the facts of an event asks for; empty where it asks for nothing.

    Phrases of such facts are whole clauses ("the purchase is of at least ¥100").
    """
    if isinstance(node, Line) or not node.nodes:
        return phrase(node) if isinstance(node, Line) else ""
    if node.kind == "all":
        return _and([_said(child, OF_EVENTS) for child in node.nodes])
    return _said(node, OF_EVENTS)


def _whole(root: Group) -> str:
    """The usual case: all of some, but none of others."""
    wanted = [_said(node) for node in root.nodes if not _is_none(node)]
    unwanted = [_any(node) for node in root.nodes if isinstance(node, Group) and node.kind == "none"]
    text = _("Members who %(conditions)s") % {"conditions": _and(wanted)} if wanted else _("All members")
    for conditions in unwanted:
        text = _("%(members)s, but not those who %(conditions)s") % {"members": text, "conditions": conditions}
    return _("%(sentence)s.") % {"sentence": text}


def _is_none(node: Node) -> bool:
    return isinstance(node, Group) and node.kind == "none"


def _and(parts: list[str]) -> str:
    text = parts[0]
    for part in parts[1:]:
        text = _("%(first)s, and %(next)s") % {"first": text, "next": part}
    return text


def _any(group: Group, none_of: str = OF_MEMBERS) -> str:
    text = _said(group.nodes[0], none_of)
    for node in group.nodes[1:]:
        text = _("%(first)s or %(next)s") % {"first": text, "next": _said(node, none_of)}
    return text


def _said(node: Node, none_of: str = OF_MEMBERS) -> str:
    if isinstance(node, Line):
        return phrase(node)
    if len(node.nodes) == 1 and node.kind != "none":
        return _said(node.nodes[0], none_of)
    if node.kind == "any":
        return _("either %(conditions)s") % {"conditions": _any(node, none_of)}
    if node.kind == "none":
        return _(none_of) % {"conditions": _any(node, none_of)}
    return _("(%(conditions)s)") % {"conditions": _and([_said(child, none_of) for child in node.nodes])}


def phrase(line: Line) -> str:
    """One condition as it follows "members who"."""
    fact = line.fact
    key = ("yes" if line.value else "no") if fact.type is FactType.BOOLEAN else line.op
    pattern = str(fact.phrases[key]) if key in fact.phrases else _(FALLBACKS[key])
    return pattern % (_blanks(fact, line) | _parameter_words(line))


def _blanks(fact: Fact, line: Line) -> dict[str, str]:
    label = str(fact.label)
    said = {"fact": label[:1].lower() + label[1:]}
    if line.op == "between":
        low, high = line.value
        return said | {"low": words(fact, low), "high": words(fact, high)}
    if line.op in {"in", "not_in"}:
        labels = fact.choice_labels()
        return said | {"value": list_words([str(labels.get(item, item)) for item in line.value])}
    return said | {"value": words(fact, line.value)}


def _parameter_words(line: Line) -> dict[str, str]:
    if line.fact.parameter is None:
        return {}
    value = line.parameter
    return {line.fact.parameter.key: number_words(value) if isinstance(value, int) else str(value)}
