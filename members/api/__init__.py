"""The REST API of members."""

from members.api.members import MembersView, MemberView

__all__ = ["MemberView", "MembersView"]
