"""What changed from one version of a rule to another, as a person reads it."""

from collections.abc import Iterator
from datetime import datetime

from django.utils.translation import gettext as _

from loyalty.models import RuleVersion
from loyalty.rules import sentences, subjects
from staff import figures
from staff.changes import Difference


def differences(before: RuleVersion, after: RuleVersion) -> list[Difference]:
    """One line for each thing that the two say differently; empty where they say the same."""
    old, new = dict(_aspects(before)), dict(_aspects(after))
    return [
        Difference(label, old.get(label, ""), new.get(label, ""))
        for label in dict.fromkeys([*old, *new])
        if old.get(label, "") != new.get(label, "")
    ]


def _aspects(version: RuleVersion) -> Iterator[tuple[str, str]]:
    definition = version.definition
    yield _("For what"), subjects.said(definition)
    for place, effect in enumerate(sentences.effect_list(definition), 1):
        yield _("Effect %(place)d") % {"place": place}, effect
    yield _("Rounding"), sentences.rounding(definition)
    for place, cap in enumerate(sentences.part_list(definition, "caps"), 1):
        yield _("Limit %(place)d") % {"place": place}, sentences.cap(cap)
    yield _("Beside other rules"), sentences.stacking(definition)
    yield _("Waiting"), sentences.pending(definition)
    yield _("Expiry"), sentences.expiry(definition)
    yield _("Tiers"), sentences.qualifying(definition)
    yield _("Starts"), _moment(version.starts_at)
    yield _("Ends"), _moment(version.ends_at)
    yield _("Legal note"), version.legal_note


def _moment(moment: datetime | None) -> str:
    return figures.when(moment) if moment else ""
