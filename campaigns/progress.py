"""How far a campaign is, and what each arm has come to: the figures of its page."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count

from campaigns.models import Campaign, CampaignEvent, Message, Run
from members.experiments import CONTROL
from members.models import Exposure

State = Message.State
OVER = (State.SENT, State.FAILED, State.SKIPPED, State.UNKNOWN)


@dataclass(frozen=True)
class Progress:
    """One run in numbers. ``waiting`` are planned messages that wait for the morning or for the mail server."""

    run: Run
    counts: dict[str, int]
    waiting: int
    waits_until: datetime | None
    time_left: timedelta | None

    @property
    def total(self) -> int:
        """All messages."""
        return sum(self.counts.values())

    @property
    def over(self) -> int:
        """Messages whose fate is known, or known to be unknown."""
        return sum(self.counts.get(state, 0) for state in OVER)

    @property
    def percent(self) -> int:
        """Of all messages, 0 to 100."""
        return 100 * self.over // self.total if self.total else 100

    @property
    def sent(self) -> int:
        """Messages that the mail server took."""
        return self.counts.get(State.SENT, 0)

    @property
    def to_send(self) -> int:
        """Messages that are still to be sent."""
        return self.counts.get(State.PLANNED, 0) + self.counts.get(State.CLAIMED, 0)

    @property
    def unknown(self) -> int:
        """Messages of which nobody knows whether they arrived."""
        return self.counts.get(State.UNKNOWN, 0)

    @property
    def rows(self) -> list[tuple[str, object, int]]:
        """State, its words, and how many; those without messages are left out."""
        return [(state.value, state.label, self.counts[state]) for state in State if self.counts.get(state)]


@dataclass(frozen=True)
class ArmProgress:
    """One arm: members in it, messages sent, and how many members did what."""

    key: str
    subject: str
    members: int
    sent: int
    events: dict[str, int]

    @property
    def is_control(self) -> bool:
        """Whether it is the holdout."""
        return self.key == CONTROL


def of_run(run: Run, now: datetime) -> Progress:
    """Count a run's messages. The state index answers; it is asked every two seconds while a run is watched."""
    messages = Message.objects.filter(run=run)
    counts = dict(messages.values_list("state").annotate(Count("pk")))
    later = messages.filter(state=State.PLANNED, not_before__gt=now)
    waits_until = later.order_by("not_before").values_list("not_before", flat=True).first()
    progress = Progress(run, counts, later.count() if waits_until else 0, waits_until, None)
    return Progress(run, counts, progress.waiting, waits_until, _time_left(progress, now))


def arms_of(campaign: Campaign) -> list[ArmProgress]:
    """Every arm with what its members did; of an imported campaign, as its events tell."""
    sent = dict(
        Message.objects.filter(run__campaign=campaign, state=State.SENT)
        .values_list("variant__key")
        .annotate(Count("pk"))
    )
    events: dict[str, dict[str, int]] = {}
    told = CampaignEvent.objects.filter(campaign=campaign)
    for arm, event, members in told.values_list("arm", "event").annotate(Count("member", distinct=True)):
        events.setdefault(arm, {})[event] = members
    if campaign.experiment_id:
        exposed = Exposure.objects.filter(experiment=campaign.experiment_id)
        members = dict(exposed.values_list("arm").annotate(Count("pk")))
    else:
        members = dict(told.values_list("arm").annotate(Count("member", distinct=True)))
    subjects = {variant.key: variant.subject for variant in campaign.variants.all()}
    keys = sorted({*subjects, *members, *events}, key=lambda key: (key == CONTROL, key))
    return [
        ArmProgress(key, subjects.get(key, ""), members.get(key, 0), sent.get(key, 0), events.get(key, {}))
        for key in keys
    ]


def _time_left(progress: Progress, now: datetime) -> timedelta | None:
    """At the pace so far; None while nobody can know."""
    run = progress.run
    ready = progress.to_send - progress.waiting
    if run.state != Run.State.RUNNING or run.started_at is None or ready <= 0 or progress.over < 50:
        return None
    spent = now - run.started_at
    return spent * (ready / progress.over) if spent > timedelta(seconds=3) else None
