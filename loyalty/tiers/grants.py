"""Tiers given by hand: until when, why, and by whom. They hold beside whatever is earned."""

from datetime import datetime

from django.db import connection, transaction
from django.db.models import F
from django.db.models.functions import Greatest
from django.utils import timezone

from loyalty import ledger
from loyalty.tier_models import Tier, TierGrant
from loyalty.tiers.ladder import ladder
from loyalty.tiers.standing import evaluate
from members.models import Member
from staff import audit
from staff.models import User


class NotHigher(ValueError):
    """A member is only given a tier above the one that is held without it."""


@transaction.atomic
def grant(*, member: Member, tier: Tier, until: datetime, reason: str, user: User) -> TierGrant:
    """Give a member a tier from now until a moment. A grant that runs already ends with it.

    Raises :class:`NotHigher` for a tier that the member holds anyway, and ValueError for an end in the past.
    """
    now = timezone.now()
    if until <= now:
        raise ValueError("a grant ends in the future")
    _lock(member)
    _end(member, now)
    _evaluate(member, now)
    standing = getattr(Member.objects.select_related("standing__tier").get(pk=member.pk), "standing", None)
    lowest = Tier.objects.order_by("rank")[0]
    if tier.rank <= (standing.tier if standing else lowest).rank:
        raise NotHigher(tier.key)
    given = TierGrant.objects.create(
        member=member, tier=tier, starts_at=now, ends_at=until, reason=reason, granted_by=user
    )
    _evaluate(member, now)
    detail = {"tier": tier.key, "until": until.isoformat(), "reason": reason}
    audit.record(user, "tier.grant", member, detail=detail)
    return given


@transaction.atomic
def withdraw(*, member: Member, reason: str, user: User) -> bool:
    """End a member's grant now; what is earned stands again. False where none runs."""
    now = timezone.now()
    _lock(member)
    if not _end(member, now):
        return False
    _evaluate(member, now)
    audit.record(user, "tier.grant-withdrawn", member, detail={"reason": reason})
    return True


def _lock(member: Member) -> None:
    with connection.cursor() as cursor:
        ledger.lock_members(cursor, [member.pk])


def _end(member: Member, now: datetime) -> int:
    running = TierGrant.objects.filter(member=member, ends_at__gt=now)
    return running.update(ends_at=Greatest(F("starts_at"), now))


def _evaluate(member: Member, now: datetime) -> None:
    with connection.cursor() as cursor:
        evaluate(cursor, [member.pk], ladder=ladder(), now=now, since={member.pk: now})
