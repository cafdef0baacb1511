"""What this room puts on a member's timeline: points, tiers, rewards."""

from collections.abc import Sequence
from datetime import datetime

from django.db.models.functions import Coalesce
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from loyalty import reversals, tier_words, words
from loyalty.models import Entry, Redemption, Tier, TierChange, TierGift
from members import timeline
from members.conditions.facts import choices_kept
from members.models import Member
from members.timeline import Act, TimelineItem, Tone
from staff.permissions import Permission

TONES: dict[str, Tone] = {
    Entry.Kind.EARN: "good",
    Entry.Kind.REDEEM: "accent",
    Entry.Kind.EXPIRE: "look",
    Entry.Kind.ADJUST: "good",
    Entry.Kind.REVERSE: "bad",
    Entry.Kind.CLAWBACK: "bad",
    Entry.Kind.TRANSFER: "accent",
    Entry.Kind.RETURN: "good",
}


def points(member: Member, before: datetime, limit: int) -> Sequence[TimelineItem]:
    """The entries of the ledger, each with its reckoning. What a purchase earned joins its line, as does a refund's."""
    tiers = {tier.key: tier for tier in Tier.objects.all()}
    entries = (
        Entry.objects.filter(member=member, occurred_at__lt=before)
        .select_related("redemption__created_by", "reversed_by")
        .order_by("-occurred_at", "-seq")[:limit]
    )
    with choices_kept():
        return [_entry(entry, tiers) for entry in entries]


def _entry(entry: Entry, tiers: dict[str, Tier]) -> TimelineItem:
    details = words.details(entry, tiers)
    redemption = entry.redemption
    if entry.kind == Entry.Kind.REDEEM and redemption:
        by = redemption.created_by
        if redemption.state != Redemption.State.RESERVED or by is None:
            details.append(str(redemption.get_state_display()))
        if by:
            details.append(_("reserved by %(name)s") % {"name": by.name})
    acts = []
    if entry.purchase_id and entry.kind == Entry.Kind.EARN:
        url = reverse("loyalty:purchase-why", args=[entry.purchase_id])
        acts.append(Act(_("Why these points?"), url, Permission.MEMBERS_VIEW))
    if reversals.is_reversible(entry) and not hasattr(entry, "reversed_by"):
        url = reverse("loyalty:entry-reverse", args=[entry.pk])
        acts.append(Act(_("Take back…"), url, Permission.POINTS_REVERSE))
    return TimelineItem(
        at=entry.occurred_at,
        kind="points",
        label=_(str(entry.get_kind_display()).capitalize()),
        tone=TONES[entry.kind],
        title=words.title(entry),
        details=details,
        points=entry.points,
        balance=entry.balance_after,
        about=_about(entry),
        acts=acts,
    )


def _about(entry: Entry) -> str:
    """The purchase or refund in whose line an entry is shown."""
    if entry.purchase_id and entry.kind == Entry.Kind.EARN:
        return f"purchase:{entry.purchase_id}"
    if entry.explanation.get("reason") == "refund":
        return f"refund:{entry.explanation['refund']}"
    return ""


def tier_changes(member: Member, before: datetime, limit: int) -> Sequence[TimelineItem]:
    """The member's moves between tiers, each with the evidence that proves it."""
    changes = (
        TierChange.objects.filter(member=member, changed_at__lt=before)
        .select_related("from_tier", "to_tier")
        .order_by("-changed_at", "-pk")[:limit]
    )
    return [_change(change) for change in changes]


def _change(change: TierChange) -> TimelineItem:
    before = change.from_tier
    is_upgrade = before is None or change.to_tier.rank > before.rank
    return TimelineItem(
        at=change.changed_at,
        kind="tiers",
        label=_("Tier"),
        tone="good" if is_upgrade else "look",
        title=_("%(before)s → %(after)s")
        % {"before": words.tier_name(before) if before else "–", "after": words.tier_name(change.to_tier)},
        details=[tier_words.reason(change)],
    )


def gifts(member: Member, before: datetime, limit: int) -> Sequence[TimelineItem]:
    """What the member got, or is to get, for the tiers they earned; points have their own line as well."""
    found = (
        TierGift.objects.filter(member=member)
        .annotate(at=Coalesce("given_at", "reached_at"))
        .filter(at__lt=before)
        .select_related("member", "tier", "reward", "redemption")
        .order_by("-at", "-pk")[:limit]
    )
    return [_gift(gift, gift.at) for gift in found]


def _gift(gift: TierGift, at: datetime) -> TimelineItem:
    details = [words.given(gift), words.benefit_text(gift)]
    if gift.redemption:
        details.append(str(gift.redemption.get_state_display()))
    elif gift.given_at is None:
        details.append(tier_words.waits(gift))
    return TimelineItem(
        at=at,
        kind="gifts",
        label=_("Gift"),
        tone="good" if gift.given_at else "look",
        title=_("Gift for reaching %(tier)s") % {"tier": words.tier_name(gift.tier)},
        details=details,
    )


def register() -> None:
    """Put them on the timeline."""
    timeline.register("points", points, label=gettext_lazy("Points"), order=20)
    timeline.register("tiers", tier_changes, label=gettext_lazy("Tiers"), order=30)
    timeline.register("gifts", gifts, label=gettext_lazy("Gifts"), order=35)
