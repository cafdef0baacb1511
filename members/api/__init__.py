"""The REST API of members."""

from members.api.answers import AnswersView
from members.api.members import MembersView, MemberView

__all__ = ["AnswersView", "MemberView", "MembersView"]
