"""How machines name a member: by the number on the card, or by the company's own id."""

from collections.abc import Iterable
from typing import Final

from members.models import Member

# What begins so is the company's own id: ``ext:CRM-77a9``.
OUTSIDE: Final = "ext:"


class UnknownMember(LookupError):
    """Nobody has this number or outside id."""

    def __init__(self, reference: str) -> None:
        self.reference = reference
        super().__init__(reference)


def member_of(reference: str) -> Member:
    """The member who is meant. Raises :class:`UnknownMember`."""
    field, value = _field(reference)
    try:
        return Member.objects.get(**{field: value})
    except Member.DoesNotExist:
        raise UnknownMember(reference) from None


def ids_of(references: Iterable[str]) -> dict[str, int]:
    """The ids of all who are meant, by reference, in two queries; the unknown are left out."""
    wanted: dict[str, dict[str, str]] = {"number": {}, "external_id": {}}
    for reference in references:
        field, value = _field(reference)
        wanted[field][value] = reference
    return {
        names[value]: pk
        for field, names in wanted.items()
        if names
        for value, pk in Member.objects.filter(**{f"{field}__in": list(names)}).values_list(field, "pk")
    }


def _field(reference: str) -> tuple[str, str]:
    if reference.startswith(OUTSIDE):
        return "external_id", reference.removeprefix(OUTSIDE)
    return "number", reference
