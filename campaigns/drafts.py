"""A campaign while it is being written: its edits, and what is still missing before it can be launched."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import F, TextField
from django.db.models.functions import Cast
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from campaigns import content
from campaigns.models import Campaign, Variant
from members import conditions
from members.conditions.uses import Use
from staff.models import User
from staff.permissions import Permission

STEPS = ("goal", "audience", "content", "schedule")

Problems = dict[str, list[str]]


class Incomplete(Exception):
    """The draft cannot be launched; ``problems`` says what is missing, by step."""

    def __init__(self, problems: Problems) -> None:
        super().__init__("; ".join(line for lines in problems.values() for line in lines))
        self.problems = problems


class Changed(Exception):
    """Somebody else changed the draft meanwhile, or it is no draft any more."""


def create(*, name: str, goal_days: int, user: User | None) -> Campaign:
    """A new draft with one variant to write."""
    with transaction.atomic():
        campaign = Campaign.objects.create(
            name=name, goal_days=goal_days, created_by=user, time_zone=timezone.get_default_timezone_name()
        )
        Variant.objects.create(campaign=campaign, key="A")
    return campaign


def copy(campaign: Campaign, *, name: str, user: User | None) -> Campaign:
    """A new draft with the same audience, content and split, to be scheduled anew."""
    with transaction.atomic():
        made = Campaign.objects.create(
            name=name,
            audience=campaign.audience,
            holdout_percent=campaign.holdout_percent,
            time_zone=campaign.time_zone,
            late_policy=campaign.late_policy,
            goal_days=campaign.goal_days,
            created_by=user,
        )
        for variant in campaign.variants.all():
            Variant.objects.create(
                campaign=made,
                key=variant.key,
                name=variant.name,
                share=variant.share,
                subject=variant.subject,
                body=variant.body,
            )
    return made


def save(campaign_id: int, *, revision: int, variants: list[dict[str, Any]] | None = None, **fields: Any) -> int:
    """Change a draft that is still the one the person saw (``revision``); returns its new revision.

    ``variants`` replaces all variants. Raises :class:`Changed`.
    """
    with transaction.atomic():
        saved = Campaign.objects.filter(pk=campaign_id, state=Campaign.State.DRAFT, revision=revision).update(
            **fields, revision=F("revision") + 1, updated_at=timezone.now()
        )
        if not saved:
            raise Changed
        if variants is not None:
            Variant.objects.filter(campaign=campaign_id).exclude(key__in=[row["key"] for row in variants]).delete()
            for row in variants:
                Variant.objects.update_or_create(campaign_id=campaign_id, key=row["key"], defaults=row)
    return revision + 1


def delete(campaign_id: int) -> None:
    """Throw a draft away. Raises :class:`Changed` when it is none any more."""
    with transaction.atomic():
        campaign = Campaign.objects.select_for_update().filter(pk=campaign_id, state=Campaign.State.DRAFT).first()
        if campaign is None or campaign.runs.exists():
            raise Changed
        campaign.delete()


def keep(key: str) -> Iterator[Use]:
    """Where this room keeps conditions: in audiences that are still to be drawn."""
    over = [Campaign.State.DONE, Campaign.State.CANCELLED]
    open_ones = Campaign.objects.exclude(state__in=over).annotate(text=Cast("audience", TextField()))
    for campaign in open_ones.filter(text__contains=f'"{key}"').order_by("name"):
        url = reverse("campaigns:campaign", args=[campaign.pk])
        yield Use(_("Campaign"), campaign.name, url, Permission.CAMPAIGNS_VIEW, campaign.audience)


def problems(campaign: Campaign, now: datetime) -> Problems:
    """What keeps the draft from being launched, by step, in words; empty when it is complete."""
    found: Problems = {step: [] for step in STEPS}
    if not campaign.name.strip():
        found["goal"].append(_("The campaign has no name."))
    if campaign.goal_days < 1:
        found["goal"].append(_("The goal needs at least one day."))
    if not campaign.audience:
        found["audience"].append(_("Nobody is chosen yet."))
    else:
        try:
            conditions.validate(campaign.audience)
        except conditions.ConditionError as error:
            found["audience"].append(str(error))
    found["content"] += _content_problems(campaign)
    if campaign.scheduled_at is not None and campaign.scheduled_at <= now:
        found["schedule"].append(_("The time is in the past."))
    return {step: lines for step, lines in found.items() if lines}


def _content_problems(campaign: Campaign) -> list[str]:
    variants = list(campaign.variants.all())
    if not variants:
        return [_("There is no message yet.")]
    lines = []
    if sum(variant.share for variant in variants) == 0:
        lines.append(_("No variant has a share."))
    for variant in variants:
        for problem in content.problems(variant.subject, variant.body):
            where = _("Subject") if problem.field == "subject" else _("Text")
            place = _("%(field)s, line %(line)d") % {"field": where, "line": problem.line} if problem.line else where
            lines.append(
                _("Variant %(key)s, %(place)s: %(message)s")
                % {"key": variant.key, "place": place, "message": problem.message}
            )
    return lines
