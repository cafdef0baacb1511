"""The campaigns of the sample programme, written as their runs would have left them."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import numpy as np

from campaigns.models import Campaign, CampaignEvent, Message, Run, Variant
from config.seed.chunk import HOURS_SENT, Calendar, Chunk, Participation
from config.seed.copying import copy
from config.seed.load import Rows
from config.seed.story import STORIES, Story, arms_of, body
from members.experiments import CONTROL
from members.models import Experiment, Exposure, Segment
from staff.models import User

BOUGHT_IN_A_YEAR = {"all": [{"fact": "member.last_purchase", "op": "lt", "value": 365}]}
OPENS, CLICKS = 0.34, 0.16


class Written:
    """The rows of one story that its members' rows refer to."""

    def __init__(self, story: Story, calendar: Calendar, user: User | None) -> None:
        self.story = story
        day = calendar.days - 1 - story.days_ago
        self.calendar = calendar
        self.sent_at = calendar.moment(day * 86_400 + HOURS_SENT * 3600)
        self.experiment = Experiment.objects.create(key=f"sample-{story.key}", name=story.name, arms=arms_of(story))
        self.campaign = Campaign.objects.create(
            name=story.name,
            state=Campaign.State.DONE,
            audience=BOUGHT_IN_A_YEAR,
            holdout_percent=story.holdout,
            scheduled_at=self.sent_at,
            time_zone=str(calendar.zone),
            goal_days=story.goal_days,
            experiment=self.experiment,
            created_by=user,
        )
        self.variants = {
            key: Variant.objects.create(
                campaign=self.campaign, key=key, share=share, subject=story.subjects[key], body=story.bodies[key]
            )
            for key, share in story.shares.items()
        }
        self.run = Run.objects.create(
            campaign=self.campaign,
            due_at=self.sent_at,
            state=Run.State.DONE,
            started_at=self.sent_at,
            finished_at=self.sent_at + timedelta(minutes=25),
        )

    def write(self, rng: np.random.Generator, chunk: Chunk, part: Participation) -> None:
        """COPY the exposures, messages and events of one chunk's members."""
        ids = [int(chunk.ids[index]) for index in part.members]
        copy(
            Exposure,
            ["experiment_id", "member_id", "arm", "exposed_at"],
            ((self.experiment.pk, key, arm, self.sent_at) for key, arm in zip(ids, part.arms, strict=True)),
        )
        sent = [(key, arm) for key, arm in zip(ids, part.arms, strict=True) if arm != CONTROL]
        draws = rng.random((len(sent), 4))
        copy(
            Message,
            [
                "run_id", "member_id", "step", "variant_id", "state", "reason", "not_before", "attempts", "claim",
                "claimed_at", "finished_at",
            ],
            (self._message(key, arm, draw) for (key, arm), draw in zip(sent, draws, strict=True)),
        )  # fmt: skip
        copy(
            CampaignEvent,
            ["campaign_id", "member_id", "arm", "event", "occurred_at", "key"],
            self._events(sent, draws),
        )

    def count(self) -> None:
        """Say in the run how many there were, once all chunks are written."""
        exposed = Exposure.objects.filter(experiment=self.experiment)
        self.run.matched, self.run.held_out = exposed.count(), exposed.filter(arm=CONTROL).count()
        self.run.save(update_fields=["matched", "held_out"])

    def _message(self, member_id: int, arm: str, draw: np.ndarray) -> tuple[Any, ...]:
        at = self.sent_at + timedelta(seconds=float(draw[0]) * 1500)
        refused = draw[1] < 0.004
        return (
            self.run.pk, member_id, 0, self.variants[arm].pk, "failed" if refused else "sent",
            "550 no such mailbox" if refused else "", self.sent_at, 1, UUID(int=self.run.pk), at, at,
        )  # fmt: skip

    def _events(self, sent: list[tuple[int, str]], draws: np.ndarray) -> Rows:
        for (member_id, arm), draw in zip(sent, draws, strict=True):
            opened = self.sent_at + timedelta(hours=0.2 + float(draw[3]) * 30)
            if draw[1] < 0.004 or draw[2] >= OPENS or opened > self.calendar.now:
                continue
            prefix = f"sample:{self.campaign.pk}:{member_id}"
            yield self.campaign.pk, member_id, arm, "opened", opened, f"{prefix}:opened"
            if draw[2] < CLICKS:
                clicked = opened + timedelta(minutes=1 + float(draw[3]) * 9)
                yield self.campaign.pk, member_id, arm, "clicked", clicked, f"{prefix}:clicked"


def write_stories(calendar: Calendar, user: User | None) -> dict[str, Written]:
    """Make the campaigns that fit into the history, by key."""
    return {story.key: Written(story, calendar, user) for story in STORIES if story.days_ago + 60 < calendar.days}


def write_draft(user: User | None, segment: Segment) -> Campaign:
    """One campaign that somebody is still working on."""
    campaign = Campaign.objects.create(
        name="Win back before the year ends",
        audience={
            "all": [
                {"fact": "member.tier", "op": "in", "value": ["silver", "gold"]},
                {"fact": "member.last_purchase", "op": "gt", "value": 60},
                {
                    "any": [
                        {"fact": "member.segment", "op": "in", "value": [str(segment.pk)]},
                        {"fact": "member.spend", "days": 365, "op": "gte", "value": "1000"},
                        {"fact": "member.points_expiring", "days": 30, "op": "gte", "value": 200},
                    ]
                },
            ]
        },
        holdout_percent=20,
        created_by=user,
    )
    for key, subject, text in (
        ("A", "We miss you, {{ member.given_name }}", "It has been a while. Your favourite is still on the menu."),
        ("B", "Your points are waiting", "They are good for more than a coffee: have a look."),
    ):
        Variant.objects.create(campaign=campaign, key=key, share=50, subject=subject, body=body(text))
    return campaign
