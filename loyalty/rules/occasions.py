"""What a rule gives a member once: for their n-th purchase, for coming back after a time (docs/adr/0010).

The occasion stands in the explanation of the award. As long as that stands, the rule gives nothing for it again,
whatever comes in late, is returned or is bought again.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC
from typing import Final

from loyalty.rules.definition import Definition
from loyalty.rules.events import PURCHASE, Case, Facts
from loyalty.rules.results import Award

OCCASION: Final = "occasion"


def seen_by(definition: Definition, case: Case) -> Case:
    """The case as a rule for the n-th purchase sees it.

    What came in late is any number from its place by time to the one in which it came in: whichever is free.
    """
    facts, number = case.facts, definition.number
    if number is None or facts.nth is None or facts.place is None or not facts.place <= number < facts.nth:
        return case
    return replace(case, facts=replace(facts, nth=number))


def occasion(definition: Definition, case: Case) -> str | None:
    """For what a rule rewards a purchase once; None where it may as often as its conditions hold."""
    if case.event.kind != PURCHASE:
        return None
    if definition.number is not None:
        return f"purchase {definition.number}"
    if definition.is_for_return and case.facts.previous_at is not None:
        return f"since {case.facts.previous_at.astimezone(UTC).isoformat()}"
    return None


class Rewarded:
    """For what members were rewarded by what is reckoned but not in the ledger yet."""

    def __init__(self) -> None:
        # By member: the purchase, and the award for it.
        self._by_member: dict[int, list[tuple[int, Award]]] = {}

    def facts(self, member_id: int, facts: Facts) -> Facts:
        """What is known of a member, with this."""
        both = {rule: dict(told) for rule, told in facts.rewarded.items()}
        for purchase_id, award in self._by_member.get(member_id, ()):
            if purchase_id not in facts.returned:
                told = award.explanation
                both.setdefault(award.terms.rule_id, {})[told[OCCASION]] = told["receipt"]
        return replace(facts, rewarded=both) if both else facts

    def note(self, purchase_id: int, awards: Iterable[Award]) -> None:
        """One purchase more."""
        for award in awards:
            if award.member_id is not None and OCCASION in award.explanation:
                self._by_member.setdefault(award.member_id, []).append((purchase_id, award))
