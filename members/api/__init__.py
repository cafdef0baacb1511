"""The REST API of members."""

from members.api.members import MembersView, MemberView
from members.api.segments import SegmentsView

__all__ = ["MemberView", "MembersView", "SegmentsView"]
