"""How requests name a member, and who is asking."""

from typing import Any

from django.utils.translation import gettext as _
from rest_framework.request import Request

from members import references
from members.models import Member
from staff.api_input import Text
from staff.problems import Problem

HELP = "The number on the card, or “ext:” and your own id."


class MemberName(Text):
    """A member in a request: ``M00482113`` or ``ext:CRM-77a9``."""

    def __init__(self, **options: Any) -> None:
        super().__init__(longest=132, shortest=1, help_text=HELP, **options)

    def schema(self) -> dict[str, Any]:
        """With an example."""
        return super().schema() | {"examples": ["M00482113"]}


def member_of(reference: str, field: str = "") -> Member:
    """The member who is meant, or a 404 problem."""
    try:
        return references.member_of(reference)
    except references.UnknownMember as error:
        raise unknown(reference, field) from error


def unknown(reference: str, field: str = "") -> Problem:
    """Nobody has this number."""
    text = _("There is no member %(reference)s.") % {"reference": reference[:60]}
    return Problem(404, "unknown-member", text, field)


def label_of(request: Request) -> str:
    """Who is asking, for the audit."""
    return str(request.auth or request.user)[:200]
