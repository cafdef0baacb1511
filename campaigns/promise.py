"""What a message may say of a member's points and tier."""

from collections.abc import Iterable

from django.conf import settings
from django.utils import timezone, translation

from loyalty import ledger, words
from loyalty.models import Tier, TierStanding
from members.models import Member

PointsAndTier = tuple[int, str]


def points_and_tiers(members: Iterable[Member]) -> dict[int, PointsAndTier]:
    """For each member the points that can be spent now, and the tier's name in the member's language."""
    wanted = list(members)
    ids = [member.pk for member in wanted]
    points = ledger.available_to(ids, timezone.now())
    standings = TierStanding.objects.filter(member__in=ids).select_related("tier")
    tiers = {standing.member_id: standing.tier for standing in standings}
    lowest = Tier.objects.first()
    found = {}
    for member in wanted:
        tier = tiers.get(member.pk, lowest)
        with translation.override(member.language or settings.LANGUAGE_CODE):
            found[member.pk] = points.get(member.pk, 0), words.tier_name(tier) if tier else ""
    return found


def points_and_tier(member: Member) -> PointsAndTier:
    """The same for one member."""
    return points_and_tiers([member])[member.pk]
