"""The life of a campaign's run: launched by a person, planned by the tick, paused, resumed, ended.

Every change of state is a conditional UPDATE: of twenty people who press a button at once, one does it.
"""

import logging
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from campaigns import audiences, drafts, reasons
from campaigns.models import Campaign, Message, Run
from members import conditions
from members.experiments import BUCKET_SQL, CONTROL, Arm, arm_sql
from members.models import Experiment
from staff import audit
from staff.models import User

logger = logging.getLogger(__name__)

State = Campaign.State


class NotPossible(Exception):
    """The campaign is not in the state that this needs; somebody else may have been faster."""


def launch(campaign_id: int, *, revision: int, user: User | None, now: datetime | None = None) -> Campaign:
    """Schedule a draft, exactly as it was reviewed (``revision``). The only door to sending.

    Raises ``drafts.Incomplete`` with what is missing, ``drafts.Changed`` when it was edited since, and
    :class:`NotPossible` when it is no draft any more.
    """
    now = now or timezone.now()
    campaign = Campaign.objects.get(pk=campaign_id)
    problems = drafts.problems(campaign, now)
    if campaign.state == State.DRAFT and problems:
        raise drafts.Incomplete(problems)
    with transaction.atomic():
        launched = Campaign.objects.filter(pk=campaign_id, state=State.DRAFT, revision=revision).update(
            state=State.SCHEDULED, scheduled_at=campaign.scheduled_at or now, updated_at=now
        )
        if not launched:
            campaign.refresh_from_db()
            raise drafts.Changed if campaign.state == State.DRAFT else NotPossible
        campaign.refresh_from_db()
        audit.record(user, "campaign.launch", campaign, detail={"scheduled_at": campaign.scheduled_at.isoformat()})  # type: ignore[union-attr]
    return campaign


def back_to_draft(campaign_id: int, *, user: User | None) -> None:
    """Take a campaign that has not begun off the schedule, to be edited again."""
    _move(campaign_id, [State.SCHEDULED], State.DRAFT, "campaign.unschedule", user)


def start_late(campaign_id: int, *, user: User | None) -> None:
    """Say yes to a campaign that was late and asks: it begins with the next tick."""
    with transaction.atomic():
        _move(campaign_id, [State.PAUSED], State.SCHEDULED, "campaign.start-late", user)
        if Run.objects.filter(campaign=campaign_id).exclude(state=Run.State.CANCELLED).exists():
            raise NotPossible
        Campaign.objects.filter(pk=campaign_id).update(late_policy=Campaign.LatePolicy.SEND)


def pause(campaign_id: int, *, user: User | None) -> None:
    """Stop claiming; what is being handed over in this second still goes."""
    with transaction.atomic():
        _move(campaign_id, [State.RUNNING], State.PAUSED, "campaign.pause", user)
        Run.objects.filter(campaign=campaign_id, state=Run.State.RUNNING).update(state=Run.State.PAUSED)


def resume(campaign_id: int, *, user: User | None) -> None:
    """Go on with what a pause left."""
    with transaction.atomic():
        if not Run.objects.filter(campaign=campaign_id, state=Run.State.PAUSED).exists():
            raise NotPossible
        _move(campaign_id, [State.PAUSED], State.RUNNING, "campaign.resume", user)
        Run.objects.filter(campaign=campaign_id, state=Run.State.PAUSED).update(
            state=Run.State.RUNNING, wait_until=None, wait_reason="", refusals=0
        )


def cancel(campaign_id: int, *, user: User | None) -> None:
    """End it for good; what is not sent yet never will be, and says so."""
    with transaction.atomic():
        _move(campaign_id, [State.SCHEDULED, State.RUNNING, State.PAUSED], State.CANCELLED, "campaign.cancel", user)
        Run.objects.filter(campaign=campaign_id, state__in=[Run.State.RUNNING, Run.State.PAUSED]).update(
            state=Run.State.CANCELLED, finished_at=timezone.now()
        )
        _skip_the_rest_of_cancelled()


def resend_unknown(campaign_id: int, *, user: User | None) -> int:
    """Send the messages of unknown fate again, on a person's word that some may arrive twice.

    Returns how many. A run that was over runs again.
    """
    with transaction.atomic():
        campaign = Campaign.objects.select_for_update().get(pk=campaign_id)
        if campaign.state not in {State.RUNNING, State.PAUSED, State.DONE}:
            raise NotPossible
        count = Message.objects.filter(run__campaign=campaign_id, state=Message.State.UNKNOWN).update(
            state=Message.State.PLANNED, claim=None, finished_at=None, reason="", not_before=timezone.now()
        )
        if not count:
            raise NotPossible
        Run.objects.filter(campaign=campaign_id, state=Run.State.DONE).update(state=Run.State.RUNNING, finished_at=None)
        Campaign.objects.filter(pk=campaign_id, state=State.DONE).update(state=State.RUNNING, updated_at=timezone.now())
        audit.record(user, "campaign.resend-unknown", campaign, detail={"messages": count})
    return count


def start_due(now: datetime | None = None) -> list[int]:
    """Begin every campaign whose time has come. Any number of these may run at once; returns what this one began."""
    now = now or timezone.now()
    due = Campaign.objects.filter(state=State.SCHEDULED, scheduled_at__lte=now).order_by("scheduled_at")
    begun = []
    for campaign_id in due.values_list("pk", flat=True):
        try:
            if start(campaign_id, now):
                begun.append(campaign_id)
        except Exception:  # one broken campaign must not hold up the others; it is tried again
            logger.exception("campaign %d could not be started", campaign_id)
    return begun


def start(campaign_id: int, now: datetime) -> bool:
    """Begin one campaign, in one transaction: killed in the middle, nothing has happened. True if this call did it."""
    with transaction.atomic():
        campaign = (
            Campaign.objects.select_for_update(skip_locked=True)
            .filter(pk=campaign_id, state=State.SCHEDULED, scheduled_at__lte=now)
            .first()
        )
        if campaign is None:
            return False
        if _is_late(campaign, now) and campaign.late_policy != Campaign.LatePolicy.SEND:
            _follow_late_policy(campaign, now)
            return False
        try:
            conditions.validate(campaign.audience)
        except conditions.ConditionError:
            _give_up(campaign, State.DRAFT, reasons.AUDIENCE_UNREADABLE, now)
            return False
        _plan(campaign, now)
    return True


def skip_the_rest_of_cancelled() -> None:
    """Messages that a worker gave back just when their run was cancelled are not sent either."""
    with transaction.atomic():
        _skip_the_rest_of_cancelled()


def arms(campaign: Campaign) -> list[Arm]:
    """The arms of a campaign: the holdout, and the variants that share the rest by weight."""
    variants = list(campaign.variants.all())
    return arms_by(campaign.holdout_percent, [one.key for one in variants], [one.share for one in variants])


def arms_by(holdout: int, keys: list[str], weights: list[int]) -> list[Arm]:
    """Arms with shares in whole percent that add up to 100; what rounding leaves over goes to the first ones."""
    treated = 100 - holdout
    shares = [treated * weight // sum(weights) for weight in weights]
    for index in range(treated - sum(shares)):
        shares[index] += 1
    made = [Arm(key=key, share=share) for key, share in zip(keys, shares, strict=True)]
    return [*made, Arm(key=CONTROL, share=holdout)] if holdout else made


def _plan(campaign: Campaign, now: datetime) -> None:
    """Draw the audience, assign the arms and queue the messages by one statement."""
    shares = arms(campaign)
    experiment = Experiment.objects.create(key=f"campaign-{campaign.pk}", name=campaign.name, arms=shares)
    run = Run.objects.create(campaign=campaign, due_at=campaign.scheduled_at or now, started_at=now)
    audience, audience_parameters = conditions.members_sql(campaign.audience)
    arm, arm_parameters = arm_sql(shares)
    parameters: list[Any] = [*audience_parameters, experiment.key, *arm_parameters]
    parameters += [experiment.pk, now, run.pk, now, campaign.pk, CONTROL]
    with connection.cursor() as cursor:
        cursor.execute(
            PLAN.format(audience=audience, reachable=audiences.REACHABLE, bucket=BUCKET_SQL, arm=arm), parameters
        )
        matched, reachable, held_out = cursor.fetchone()
    run.matched, run.unreachable, run.held_out = matched, matched - reachable, held_out
    run.state = Run.State.RUNNING
    run.save(update_fields=["matched", "unreachable", "held_out", "state"])
    Campaign.objects.filter(pk=campaign.pk).update(state=State.RUNNING, experiment=experiment, updated_at=now)
    audit.record(None, "campaign.start", campaign, label="schedule", detail={"matched": matched, "held_out": held_out})


# The parts in braces are SQL of our own modules; what people typed comes as parameters.
PLAN = """
    WITH audience AS MATERIALIZED ({audience}),
    reachable AS MATERIALIZED (
        SELECT a.id AS member_id FROM audience a JOIN members_member m ON m.id = a.id WHERE {reachable}
    ),
    placed AS (SELECT member_id, {bucket} AS bucket FROM reachable),
    armed AS MATERIALIZED (SELECT member_id, {arm} AS arm FROM placed),
    exposed AS (
        INSERT INTO members_exposure (experiment_id, member_id, arm, exposed_at)
        SELECT %s, member_id, arm, %s FROM armed
    ),
    queued AS (
        INSERT INTO campaigns_message (run_id, member_id, step, variant_id, state, reason, not_before, attempts)
        SELECT %s, a.member_id, 0, v.id, 'planned', '', %s, 0
        FROM armed a JOIN campaigns_variant v ON v.campaign_id = %s AND v.key = a.arm
        ORDER BY a.member_id
    )
    SELECT (SELECT count(*) FROM audience), (SELECT count(*) FROM armed),
        (SELECT count(*) FROM armed WHERE arm = %s)
"""


def _is_late(campaign: Campaign, now: datetime) -> bool:
    return campaign.scheduled_at is not None and now - campaign.scheduled_at > timedelta(
        minutes=settings.CAMPAIGN_LATE_MINUTES
    )


def _follow_late_policy(campaign: Campaign, now: datetime) -> None:
    if campaign.late_policy == Campaign.LatePolicy.SKIP:
        _give_up(campaign, State.CANCELLED, reasons.LATE, now)
        return
    Campaign.objects.filter(pk=campaign.pk).update(state=State.PAUSED, updated_at=now)
    audit.record(None, "campaign.late-asks", campaign, label="schedule")


def _give_up(campaign: Campaign, state: Campaign.State, note: str, now: datetime) -> None:
    """Do not start it, and leave a run that says why."""
    Run.objects.get_or_create(
        campaign=campaign,
        due_at=campaign.scheduled_at or now,
        defaults={"state": Run.State.CANCELLED, "note": note, "finished_at": now},
    )
    Campaign.objects.filter(pk=campaign.pk).update(state=state, updated_at=now)
    audit.record(None, "campaign.not-started", campaign, label="schedule", detail={"reason": note})


def _move(
    campaign_id: int, before: list[Campaign.State], after: Campaign.State, action: str, user: User | None
) -> None:
    """Change the state if it is still one of ``before``, and write down who did it."""
    with transaction.atomic():
        moved = Campaign.objects.filter(pk=campaign_id, state__in=before).update(state=after, updated_at=timezone.now())
        if not moved:
            raise NotPossible
        audit.record(user, action, Campaign.objects.get(pk=campaign_id))


def _skip_the_rest_of_cancelled() -> None:
    now = timezone.now()
    Message.objects.filter(
        state=Message.State.PLANNED, run__state=Run.State.CANCELLED, run__finished_at__gt=now - timedelta(hours=1)
    ).update(state=Message.State.SKIPPED, reason=reasons.CANCELLED, finished_at=now)
