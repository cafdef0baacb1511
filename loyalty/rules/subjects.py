"""What a rule is about, in words: "For each purchase where the amount is at least ¥1,000".

Also what the condition builder needs to know of events: their facts, and the words around the conditions.
"""

from collections.abc import Iterator
from typing import Any

from django.db.models import TextField
from django.db.models.functions import Cast
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy

from loyalty.rule_models import RuleVersion
from loyalty.rules.events import EVENT_KINDS, INTERACTION, PURCHASE, SURVEY, EventKind
from loyalty.rules.vocabulary import LINES, VOCABULARIES
from members.conditions import scopes
from members.conditions.facts import FactType, Vocabulary
from members.conditions.scopes import Scope
from members.conditions.sentences import clauses
from members.conditions.tree import ConditionError, parse
from members.conditions.uses import Use
from staff.permissions import Permission

MISSING = "…"
LINE_SCOPE = "line"


def vocabulary_of(definition: dict[str, Any]) -> Vocabulary:
    """The facts that a rule may ask for: those of its event."""
    return VOCABULARIES[event_of(definition)]


def event_of(definition: dict[str, Any]) -> EventKind:
    """What a rule is about; purchases, where it does not say."""
    return next((kind for kind in EVENT_KINDS if kind == definition.get("event")), PURCHASE)


def said(definition: dict[str, Any]) -> str:
    """The whole subject of a rule, as it stands before the colon."""
    conditions = conditions_said(definition.get("when"), vocabulary_of(definition))
    every, some = {
        PURCHASE: (_("For each purchase"), _("For each purchase where %(conditions)s")),
        INTERACTION: (_("For each interaction"), _("For each interaction where %(conditions)s")),
        SURVEY: (_("For each survey answer"), _("For each survey answer where %(conditions)s")),
    }[event_of(definition)]
    return some % {"conditions": conditions} if conditions else every


def lines_said(tree: Any) -> str:
    """Which lines of a purchase are meant; empty for all of them."""
    return conditions_said(tree, LINES)


def conditions_said(tree: Any, vocabulary: Vocabulary) -> str:
    """The conditions as they follow "where"; empty where there are none, "…" where they are not finished."""
    try:
        return clauses(parse(tree or {}, vocabulary))
    except ConditionError:
        return MISSING


def choice_labels(key: str) -> dict[str, str]:
    """Values and words of a fact of an event that has choices."""
    fact = next(filter(None, (words.find(key) for words in VOCABULARIES.values())), None)
    return {value: str(words) for value, words in fact.choice_labels().items()} if fact else {}


def facts_with_choices(definition: dict[str, Any]) -> list[tuple[str, str]]:
    """Keys and words of the facts by whose value points can differ."""
    return [
        (fact.key, str(fact.label))
        for fact in vocabulary_of(definition).all_facts()
        if fact.type is FactType.CHOICE and not fact.key.startswith("line.")
    ]


def keep(key: str) -> Iterator[Use]:
    """Where this room keeps what names facts: in every version of a rule, since even old ones explain old points."""
    versions = RuleVersion.objects.annotate(text=Cast("definition", TextField())).filter(text__contains=f'"{key}"')
    for version in versions.select_related("rule").order_by("rule__name", "version"):
        url = reverse("loyalty:rule", args=[version.rule_id])
        yield Use(gettext_lazy("Earning rule"), str(version), url, Permission.PROGRAMME_VIEW, version.definition)


def register() -> None:
    """Let the condition builder ask for the facts of events."""
    scopes.register(
        Scope(
            name=PURCHASE,
            vocabulary=VOCABULARIES[PURCHASE],
            first_fact="purchase.amount",
            subject=pgettext_lazy("before all, any or none", "Purchases for which"),
            everything=gettext_lazy("No condition yet: this means every purchase."),
        )
    )
    scopes.register(
        Scope(
            name=INTERACTION,
            vocabulary=VOCABULARIES[INTERACTION],
            first_fact="interaction.kind",
            subject=pgettext_lazy("before all, any or none", "Interactions for which"),
            everything=gettext_lazy("No condition yet: this means every interaction."),
        )
    )
    scopes.register(
        Scope(
            name=SURVEY,
            vocabulary=VOCABULARIES[SURVEY],
            first_fact="survey.score",
            subject=pgettext_lazy("before all, any or none", "Survey answers for which"),
            everything=gettext_lazy("No condition yet: this means every survey answer."),
        )
    )
    scopes.register(
        Scope(
            name=LINE_SCOPE,
            vocabulary=LINES,
            first_fact="line.category",
            subject=pgettext_lazy("before all, any or none", "Lines for which"),
            everything=gettext_lazy("No condition yet: this means every line."),
        )
    )
