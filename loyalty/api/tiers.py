"""Tiers, and where a member stands."""

from typing import Any, ClassVar

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from loyalty import tiers, words
from loyalty.api.refusals import refusing
from loyalty.models import Tier, TierStanding
from members.api.naming import member_of
from staff.api import ApiView
from staff.permissions import Scope

READS: dict[str, Scope] = {"GET": Scope.TIERS_READ}


class TierRow(serializers.ModelSerializer[Tier]):
    """A tier; ``title`` is its name in the language of the request."""

    title = serializers.SerializerMethodField()

    class Meta:
        model = Tier
        fields = ("key", "title", "name", "name_zh", "rank", "threshold", "multiplier")
        read_only_fields = fields

    def get_title(self, tier: Tier) -> str:
        """The name in the reader's language."""
        return words.tier_name(tier)


class TierList(serializers.Serializer[Any]):
    """All tiers, the lowest first."""

    results = TierRow(many=True)


class Standing(serializers.Serializer[Any]):
    """Where a member stands, and what is missing for the next tier (programme currency)."""

    member = serializers.CharField()
    tier = TierRow()
    since = serializers.DateTimeField(allow_null=True)
    spend = serializers.DecimalField(max_digits=14, decimal_places=2)
    next_tier = TierRow(allow_null=True)
    missing = serializers.DecimalField(max_digits=14, decimal_places=2)
    percent = serializers.IntegerField()


class TiersView(ApiView):
    """The tiers."""

    scopes: ClassVar[dict[str, Scope]] = READS

    @extend_schema(operation_id="list_tiers", responses={200: TierList})
    def get(self, request: Request) -> Response:
        """List the tiers, the lowest first."""
        return Response({"results": TierRow(Tier.objects.order_by("rank"), many=True).data})


class StandingView(ApiView):
    """A member's tier."""

    scopes: ClassVar[dict[str, Scope]] = READS

    @extend_schema(operation_id="get_tier", responses={200: Standing})
    def get(self, request: Request, number: str) -> Response:
        """Read the tier that a member is in, and how far the next one is."""
        member = member_of(number)
        with refusing():
            progress = tiers.progress(member.pk, timezone.now())
        standing = TierStanding.objects.filter(member=member).first()
        return Response(
            Standing(
                {
                    "member": member.number,
                    "tier": progress.tier,
                    "since": standing.since if standing else None,
                    "spend": progress.spend,
                    "next_tier": progress.next_tier,
                    "missing": progress.missing,
                    "percent": progress.percent,
                }
            ).data
        )
