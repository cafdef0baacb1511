"""One chunk of members: draw them, what they did and which campaigns they were in."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from config.seed import behaviour, people
from config.seed.story import STORIES, Story, arms_of
from members import experiments

HOURS_SENT = 10  # campaigns of the sample go out at ten in the morning


@dataclass(frozen=True, kw_only=True)
class Calendar:
    """The days that the history spans, in the programme's zone, and when they were told."""

    now: datetime
    last_day: date
    days: int
    zone: ZoneInfo

    @property
    def first_day(self) -> date:
        """Day 0."""
        return self.last_day - timedelta(days=self.days - 1)

    def moment(self, second: int) -> datetime:
        """The moment so many seconds after the first midnight."""
        midnight = datetime(self.first_day.year, self.first_day.month, self.first_day.day, tzinfo=self.zone)
        return midnight + timedelta(seconds=second)


@dataclass(frozen=True)
class Participation:
    """Who of a chunk was in a campaign: index in the chunk and arm, in the order of the index."""

    story: Story
    day: int
    members: np.ndarray
    arms: list[str]


@dataclass(frozen=True)
class Chunk:
    """Everything drawn for the members with these ids."""

    number: int
    ids: np.ndarray
    people: list[people.Person]
    traits: behaviour.Traits
    purchases: behaviour.Purchases
    participations: list[Participation]


def draw(seed: int, number: int, ids: np.ndarray, first: int, calendar: Calendar) -> Chunk:
    """Draw chunk ``number``. Depends only on the seed, the chunk's place and the calendar."""
    rng = np.random.default_rng([seed, number])
    persons = people.people(
        rng, first=first, count=len(ids), last_day=calendar.last_day, days=calendar.days, zone=calendar.zone
    )
    joined = np.array([(person.joined_at.date() - calendar.first_day).days for person in persons])
    traits = behaviour.traits(rng, joined)
    bought = behaviour.purchases(
        rng,
        traits,
        days=calendar.days,
        first_weekday=calendar.first_day.weekday(),
        first_yearday=calendar.first_day.timetuple().tm_yday - 1,
    )
    participations = []
    for story in STORIES:
        if story.days_ago + 60 < calendar.days:
            part = _participation(rng, story, ids=ids, persons=persons, bought=bought, calendar=calendar)
            participations.append(part)
            bought = _merge(bought, _caused(rng, part, traits))
    return Chunk(number, ids, persons, traits, bought, participations)


def _participation(
    rng: np.random.Generator,
    story: Story,
    *,
    ids: np.ndarray,
    persons: list[people.Person],
    bought: behaviour.Purchases,
    calendar: Calendar,
) -> Participation:
    """Those who may be written to and bought in the 365 days before the campaign."""
    day = calendar.days - 1 - story.days_ago
    before = (bought.second < day * 86_400) & (bought.second >= (day - 365) * 86_400)
    recent = np.zeros(len(ids), dtype=bool)
    recent[bought.member[before]] = True
    reachable = np.array([bool(person.email and person.email_consent) for person in persons])
    members = np.flatnonzero(recent & reachable)
    arms = [experiments.arm_of(story.key, int(ids[index]), arms_of(story)) for index in members]
    kept = rng.random(len(members)) >= np.array([story.lost.get(arm, 0.0) for arm in arms])
    return Participation(story, day, members[kept], [arm for arm, keep in zip(arms, kept, strict=True) if keep])


def _caused(rng: np.random.Generator, part: Participation, traits: behaviour.Traits) -> behaviour.Purchases:
    """The purchases that the campaign brought about."""
    chance = np.array([part.story.effect.get(arm, 0.0) for arm in part.arms])
    moved = part.members[rng.random(len(part.members)) < chance] if len(part.members) else part.members
    days = min(part.story.goal_days, part.story.days_ago)
    return behaviour.extra_purchases(rng, traits, moved, part.day + 1, max(days - 1, 1))


def _merge(one: behaviour.Purchases, other: behaviour.Purchases) -> behaviour.Purchases:
    order = np.argsort(np.concatenate([one.second, other.second]), kind="stable")
    return behaviour.Purchases(
        *(
            np.concatenate([getattr(one, name), getattr(other, name)])[order]
            for name in ("member", "second", "amount", "category", "channel", "store")
        )
    )
