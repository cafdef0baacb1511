"""What campaigns add to a member's timeline: messages, and what the member did with them."""

from collections.abc import Sequence
from datetime import datetime
from heapq import merge
from itertools import islice

from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from campaigns import reasons
from campaigns.models import CampaignEvent, Message
from members import timeline
from members.experiments import CONTROL
from members.models import Member
from members.timeline import TimelineItem, Tone

TONES: dict[str, Tone] = {"sent": "good", "failed": "bad", "unknown": "look", "skipped": "idle"}
EVENT_TONES: dict[str, Tone] = {"clicked": "good", "completed": "good", "unsubscribed": "bad"}


def register() -> None:
    """Make the source known to the member page."""
    timeline.register("campaigns", items, label=gettext_lazy("Messages"), order=30)


def items(member: Member, before: datetime, limit: int) -> Sequence[TimelineItem]:
    """The member's newest messages and reactions before a moment, newest first."""
    both = merge(_messages(member, before, limit), _events(member, before, limit), key=_at, reverse=True)
    return list(islice(both, limit))


def _at(item: TimelineItem) -> datetime:
    return item.at


def _messages(member: Member, before: datetime, limit: int) -> list[TimelineItem]:
    rows = (
        Message.objects.filter(member=member, finished_at__lt=before)
        .select_related("run__campaign", "variant")
        .order_by("-finished_at")[:limit]
    )
    return [
        TimelineItem(
            at=row.finished_at,
            kind="campaigns",
            label=capfirst(row.get_state_display()),
            tone=TONES.get(row.state, "idle"),
            title=_("E-mail “%(campaign)s”, variant %(variant)s")
            % {"campaign": row.run.campaign.name, "variant": row.variant.key},
            details=[reasons.in_words(row.reason)] if row.reason else [],
        )
        for row in rows
        if row.finished_at is not None
    ]


def _events(member: Member, before: datetime, limit: int) -> list[TimelineItem]:
    rows = (
        CampaignEvent.objects.filter(member=member, occurred_at__lt=before)
        .select_related("campaign")
        .order_by("-occurred_at")[:limit]
    )
    return [
        TimelineItem(
            at=row.occurred_at,
            kind="campaigns",
            label=capfirst(event_in_words(row.event)),
            tone=EVENT_TONES.get(row.event, "accent"),
            title=_("Campaign “%(campaign)s”") % {"campaign": row.campaign.name},
            details=[_arm_in_words(row.arm)],
        )
        for row in rows
    ]


def _arm_in_words(arm: str) -> str:
    return _("not sent anything (holdout)") if arm == CONTROL else _("variant %(arm)s") % {"arm": arm}


def event_in_words(event: str) -> str:
    """The word for an event of ours; one that was imported stands as it was written."""
    from campaigns.facts import EVENTS

    return str(dict(EVENTS).get(event, event))
