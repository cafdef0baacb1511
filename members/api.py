"""What the REST API tells about members."""

from typing import ClassVar

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from members.models import Member
from staff.api import ApiView
from staff.permissions import Scope


class MemberSerializer(serializers.ModelSerializer[Member]):
    """A member as machines see one; how to reach a member is not told."""

    class Meta:
        model = Member
        fields = ("number", "external_id", "given_name", "family_name", "status", "language", "joined_at")


class MemberView(ApiView):
    """One member."""

    scopes: ClassVar[dict[str, Scope]] = {"GET": Scope.MEMBERS_READ}

    @extend_schema(operation_id="get_member", responses=MemberSerializer)
    def get(self, request: Request, number: str) -> Response:
        """Read one member by the number on the card."""
        member = get_object_or_404(Member, number=number.replace("\0", ""))
        return Response(MemberSerializer(member).data)
