"""What the builder's widget shows of a tree, which may be half finished.

The browser keeps the tree as JSON in one field and sends it here for each change; the server answers with
the widget drawn anew. What a person has not finished yet stays in the tree and is named beside its line.
"""

import hashlib
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from django.conf import settings
from django.core.cache import cache
from django.utils.translation import gettext as _

from members.conditions import counts, editing, scopes
from members.conditions.facts import Fact, FactType, Test, Vocabulary
from members.conditions.sentences import sentence
from members.conditions.tree import MAXIMUM_DEPTH, ConditionError, parse, problems
from staff import figures

COUNTED_FOR_SECONDS = 60


@dataclass(frozen=True)
class Option:
    """One choice of a field."""

    value: str
    label: str
    is_chosen: bool = False


@dataclass(frozen=True)
class LineView:
    """One condition as the widget shows it."""

    place: str
    facts: list[tuple[str, list[Option]]]
    operators: list[Option]
    type: str
    is_choice: bool = False
    is_open: bool = False
    is_range: bool = False
    values: list[str] = field(default_factory=list)
    choices: list[Option] = field(default_factory=list)
    chosen: str = ""
    unit: str = ""
    parameter: "ParameterView | None" = None
    is_no: bool = False
    problem: str = ""
    is_group: bool = False

    @property
    def id(self) -> str:
        """For ids in the page."""
        return self.place.replace(".", "-")


@dataclass(frozen=True)
class ParameterView:
    """The fact's own parameter, with the words around its field."""

    key: str
    before: str
    after: str
    value: str
    is_number: bool
    suggestions: list[str]


@dataclass(frozen=True)
class CountView:
    """How many members one place of the tree holds for; None where it took too long to know."""

    id: str
    members: int | None
    is_total: bool


@dataclass(frozen=True)
class GroupView:
    """A group as the widget shows it. ``word`` stands between its lines."""

    place: str
    kind: str
    kinds: list[Option]
    nodes: list["LineView | GroupView"]
    word: str
    problem: str
    may_nest: bool
    is_group: bool = True

    @property
    def id(self) -> str:
        """For ids in the page."""
        return self.place.replace(".", "-") or "all"


def widget(name: str, tree: dict[str, Any], *, may_count: bool, scope: str = "members") -> dict[str, Any]:
    """What the widget's template needs. Only members are counted, and read back as a sentence of their own."""
    about = scopes.find(scope)
    return {
        "name": name,
        "about": about,
        "json": editing.dump(tree),
        "root": _Views(about.vocabulary, problems(tree, about.vocabulary)).group(tree, "", depth=1),
        "may_count": may_count and about.is_counted,
        "currency": figures.SYMBOLS.get(settings.PROGRAMME_CURRENCY, settings.PROGRAMME_CURRENCY),
    } | _summary(tree, about)


def _summary(tree: dict[str, Any], about: scopes.Scope) -> dict[str, Any]:
    try:
        parse(tree, about.vocabulary)
        return {"summary": sentence(tree) if about.is_counted else "", "is_complete": True}
    except ConditionError as error:
        return {"summary": str(error), "is_complete": False}


def focus_after(action: str, place: str, root: GroupView) -> str:
    """Which field a person goes on with after a button: the end of its id, or nothing."""
    group = _group_at(root, place if action != "remove" else place.rpartition(".")[0])
    if action == "remove":
        return f"{group.id}-add"
    if action not in {"add-line", "add-group"} or not group.nodes:
        return ""
    last = group.nodes[-1]
    return f"{(last.nodes[0] if isinstance(last, GroupView) else last).id}-fact"


def _group_at(root: GroupView, place: str) -> GroupView:
    group = root
    for number in filter(str.isdecimal, place.split(".")):
        child = group.nodes[int(number) - 1] if len(number) < 10 and 0 < int(number) <= len(group.nodes) else None
        if not isinstance(child, GroupView):
            break
        group = child
    return group


def count_views(tree: dict[str, Any]) -> list[CountView]:
    """The counts as the widget shows them."""
    return [
        CountView(id=place.replace(".", "-"), members=members, is_total=not place)
        for place, members in node_counts(tree).items()
    ]


def node_counts(tree: dict[str, Any]) -> dict[str, int | None]:
    """How many members each finished line and group holds for, by place; kept for a minute."""
    nodes = {place: node for place, node in editing.walk(tree) if not problems(node)}
    day = Test(op="", value=None).today.isoformat()
    keys = {
        place: "conditions:" + hashlib.sha256(f"{day}{editing.dump(node)}".encode()).hexdigest()
        for place, node in nodes.items()
    }
    known = cache.get_many(list(keys.values()))
    found: dict[str, int | None] = {}
    for place, node in nodes.items():
        if keys[place] not in known:
            known[keys[place]] = counts.count_in_time(node)
            cache.set(keys[place], known[keys[place]], COUNTED_FOR_SECONDS)
        found[place] = known[keys[place]]
    return found


@dataclass(frozen=True)
class _Views:
    """Draws a tree over a vocabulary, with what is wrong at each place."""

    vocabulary: Vocabulary
    wrong: dict[str, str]

    def group(self, node: Any, place: str, depth: int) -> GroupView:
        kind = editing.kind_of(node) or "all"
        labels = {"all": _("all"), "any": _("any"), "none": _("none")}
        words = {"all": _("and"), "any": _("or"), "none": _("nor")}
        nodes: list[LineView | GroupView] = []
        for number, child in enumerate(editing.children_of(node), start=1):
            at = f"{place}.{number}" if place else str(number)
            nodes.append(self.group(child, at, depth + 1) if editing.kind_of(child) else self.line(child, at))
        return GroupView(
            place=place,
            kind=kind,
            kinds=[Option(key, label, key == kind) for key, label in labels.items()],
            nodes=nodes,
            word=words[kind],
            problem=self.wrong.get(place, "") if nodes else "",
            may_nest=depth < MAXIMUM_DEPTH,
        )

    def line(self, node: Any, place: str) -> LineView:
        line = node if isinstance(node, dict) else {}
        fact = self.vocabulary.find(str(line.get("fact")))
        if fact is None:
            return LineView(place, self._fact_options(""), [], "", problem=self.wrong.get(place, ""))
        op, value = line.get("op"), line.get("value")
        values = value if isinstance(value, list) else [value]
        is_choice = fact.type is FactType.CHOICE
        choices = _choice_options(fact, values) if is_choice else []
        return LineView(
            place=place,
            facts=self._fact_options(fact.key),
            operators=[Option(key, str(label), key == op) for key, label in fact.operator_labels.items()],
            type=fact.type.value,
            is_choice=is_choice,
            is_open=fact.open_choices,
            is_range=op == "between",
            values=[_text(item) for item in values],
            choices=choices,
            chosen=", ".join(option.label for option in choices if option.is_chosen),
            unit=str(fact.unit),
            parameter=_parameter_view(fact, line),
            is_no=value is False,
            problem=self.wrong.get(place, ""),
        )

    def _fact_options(self, chosen: str) -> list[tuple[str, list[Option]]]:
        known = self.vocabulary.all_facts()
        groups = list(dict.fromkeys(str(fact.group) for fact in known))
        by_group = groupby(
            sorted(known, key=lambda fact: groups.index(str(fact.group))), key=lambda fact: str(fact.group)
        )
        options = [
            (group, [Option(fact.key, str(fact.label), fact.key == chosen) for fact in found])
            for group, found in by_group
        ]
        return options if chosen else [("", [Option("", _("Choose…"), True)]), *options]


def _choice_options(fact: Fact, values: list[Any]) -> list[Option]:
    labels = {key: str(label) for key, label in fact.choice_labels().items()}
    # A value that is in the tree but no longer among the choices stays in sight.
    labels |= {item: item for item in values if isinstance(item, str) and item not in labels}
    return [Option(key, label, key in values) for key, label in labels.items()]


def _parameter_view(fact: Fact, line: dict[str, Any]) -> ParameterView | None:
    parameter = fact.parameter
    if parameter is None:
        return None
    before, _dots, after = str(parameter.pattern).partition("…")
    return ParameterView(
        key=parameter.key,
        before=before.strip(),
        after=after.strip(),
        value=_text(line.get(parameter.key)),
        is_number=parameter.type is FactType.INTEGER,
        suggestions=list(parameter.suggestions()) if parameter.suggestions else [],
    )


def _text(value: Any) -> str:
    return "" if value is None or isinstance(value, bool | list | dict) else str(value)
