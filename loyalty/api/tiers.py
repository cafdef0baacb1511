"""Tiers, and where a member stands."""

from typing import Any, ClassVar

from django.utils import timezone
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from loyalty import tiers, words
from loyalty.api.refusals import refusing
from loyalty.tier_models import Tier, TierBenefit
from loyalty.tier_models import TierStanding as Standing
from members.api.naming import member_of
from staff.api import ApiView
from staff.permissions import Scope

READS: dict[str, Scope] = {"GET": Scope.TIERS_READ}
NUMBERS = {"type": "object", "additionalProperties": {"type": "string"}}


class TierName(serializers.ModelSerializer[Tier]):
    """A tier by its key, and by its name in the language of the request."""

    title = serializers.SerializerMethodField()

    class Meta:
        model = Tier
        fields: tuple[str, ...] = ("key", "title", "rank")
        read_only_fields: tuple[str, ...] = fields

    def get_title(self, tier: Tier) -> str:
        """The name in the reader's language."""
        return words.tier_name(tier)


class BenefitRow(serializers.ModelSerializer[TierBenefit]):
    """What a tier gives besides points. A gift names the reward (by id) and the points that are handed out."""

    class Meta:
        model = TierBenefit
        fields = ("kind", "text", "text_zh", "reward", "points")
        read_only_fields = fields


class TierRow(TierName):
    """A tier: ``thresholds`` says from how much of each measure on it is reached."""

    thresholds = serializers.SerializerMethodField()
    benefits = BenefitRow(many=True)

    class Meta(TierName.Meta):
        fields = (*TierName.Meta.fields, "name", "name_zh", "multiplier", "thresholds", "benefits")
        read_only_fields = fields

    @extend_schema_field(NUMBERS)
    def get_thresholds(self, tier: Tier) -> dict[str, str]:
        """By measure: spend, points, orders, months or referrals."""
        return {threshold.measure: str(threshold.value) for threshold in tier.thresholds.all()}


class TierList(serializers.Serializer[Any]):
    """All tiers, the lowest first."""

    results = TierRow(many=True)


class Step(serializers.Serializer[Any]):
    """One measure on the way to a tier."""

    measure = serializers.CharField()
    value = serializers.DecimalField(max_digits=None, decimal_places=2)
    threshold = serializers.DecimalField(max_digits=None, decimal_places=2)
    missing = serializers.DecimalField(max_digits=None, decimal_places=2)


class MemberTier(serializers.Serializer[Any]):
    """Where a member stands. ``next_steps`` lead to the next tier, ``to_keep`` to staying past ``falls_at``.

    ``needs`` says whether any one of the steps is enough, or all are needed.
    """

    member = serializers.CharField()
    tier = TierName()
    since = serializers.DateTimeField(allow_null=True)
    valid_until = serializers.DateTimeField(allow_null=True)
    needs = serializers.ChoiceField(choices=["any", "all"])
    next_tier = TierName(allow_null=True)
    next_steps = Step(many=True)
    percent = serializers.IntegerField()
    falls_at = serializers.DateTimeField(allow_null=True)
    falls_to = TierName(allow_null=True)
    to_keep = Step(many=True)


class TiersView(ApiView):
    """The tiers."""

    scopes: ClassVar[dict[str, Scope]] = READS

    @extend_schema(operation_id="list_tiers", responses={200: TierList})
    def get(self, request: Request) -> Response:
        """List the tiers, the lowest first."""
        rows = Tier.objects.order_by("rank").prefetch_related("thresholds", "benefits")
        return Response({"results": TierRow(rows, many=True).data})


class StandingView(ApiView):
    """A member's tier."""

    scopes: ClassVar[dict[str, Scope]] = READS

    @extend_schema(operation_id="get_tier", responses={200: MemberTier})
    def get(self, request: Request, number: str) -> Response:
        """Read the tier that a member is in, how far the next one is, and what threatens."""
        member = member_of(number)
        with refusing():
            progress = tiers.progress(member.pk, timezone.now())
        standing = Standing.objects.filter(member=member).first()
        told = {
            "member": member.number,
            "tier": progress.tier,
            "since": standing.since if standing else None,
            "valid_until": progress.valid_until,
            "needs": progress.scheme.needs,
            "next_tier": progress.next_tier,
            "next_steps": progress.parts,
            "percent": progress.percent,
            "falls_at": progress.falls_at,
            "falls_to": progress.falls_to,
            "to_keep": progress.to_keep,
        }
        return Response(MemberTier(told).data)
