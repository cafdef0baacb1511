"""Earning rules: what an event is worth in points, and why. The format stands in docs/rules.md."""

from loyalty.rules import facts  # noqa: F401 (registers what can be asked)
from loyalty.rules.definition import Definition, usual
from loyalty.rules.engine import cap_keys, needs, reckon
from loyalty.rules.events import BasketLine, Event, Facts, Need
from loyalty.rules.reading import DefinitionError, parse, problems
from loyalty.rules.results import MOST_POINTS, Award, CapKey, Reason, Reckoning, Refusal, Terms, TooManyPoints, Used
from loyalty.rules.versions import (
    IN_FORCE,
    NotYet,
    Period,
    SecondPersonNeeded,
    WrongState,
    activate,
    active_versions,
    approve,
    change,
    draft,
    retire,
    send_back,
    start_due,
    submit,
    terms_of,
)

__all__ = [
    "IN_FORCE",
    "MOST_POINTS",
    "Award",
    "BasketLine",
    "CapKey",
    "Definition",
    "DefinitionError",
    "Event",
    "Facts",
    "Need",
    "NotYet",
    "Period",
    "Reason",
    "Reckoning",
    "Refusal",
    "SecondPersonNeeded",
    "Terms",
    "TooManyPoints",
    "Used",
    "WrongState",
    "activate",
    "active_versions",
    "approve",
    "cap_keys",
    "change",
    "draft",
    "needs",
    "parse",
    "problems",
    "reckon",
    "retire",
    "send_back",
    "start_due",
    "submit",
    "terms_of",
    "usual",
]
