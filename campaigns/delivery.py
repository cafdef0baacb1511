"""Delivery: workers claim messages, check each once more, send it and write down what became of it.

At most once (docs/adr/0005): a message is claimed, and the claim committed, before the mail server is
spoken to. A claim belongs to one delivery loop, which holds a PostgreSQL advisory lock for as long as
it lives. When the lock is free and messages are still claimed, their loop died: they become ``unknown``
and are not sent again by themselves.
"""

import logging
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Count, Exists, OuterRef, Q
from django.utils import timezone

from campaigns import mail, promise, quiet, reasons
from campaigns.content import ContentError, RenderError, compile_content
from campaigns.models import Campaign, Message, Run, Variant
from members.models import Consent, Member

logger = logging.getLogger(__name__)

CHUNK = 100
"""Messages claimed at a time: the most that a killed worker leaves unknown."""
GROUP = 20
"""Messages whose fate is written down together; between groups a pause is noticed."""
LOOP_SECONDS = 15.0
"""How long one task delivers before it lets others of its queue through."""
WEEK = timedelta(days=7)
FIRST_WAIT = timedelta(seconds=30)
LONGEST_WAIT = timedelta(minutes=30)
LATER_WAIT = timedelta(minutes=10)
MOST_LOST = 3
"""After so many messages in a row whose fate is unknown the run rests: the next ones would only share it."""
MOST_ATTEMPTS = 5
"""How often a message is offered to a mail server that says "later"."""

State = Message.State


@dataclass(frozen=True)
class Claimed:
    """One message that is ours to send, with what its content needs."""

    message: Message
    member: Member
    points: int
    tier: str


@dataclass(frozen=True)
class Fate:
    """What became of one message."""

    message_id: int
    state: str
    reason: str = ""
    not_before: datetime | None = None
    attempts: int = 0


@dataclass
class Loop:
    """One worker delivering one run: its claim, its connection to the mail server."""

    run_id: int
    claim: uuid.UUID = field(default_factory=uuid.uuid4)
    transport: mail.Transport = field(default_factory=mail.Transport)
    unreachable: str = ""
    lost: int = 0


def due_runs(now: datetime) -> list[int]:
    """The runs that have something to deliver now."""
    waiting = Message.objects.filter(run=OuterRef("pk"), state=State.PLANNED, not_before__lte=now)
    return list(
        Run.objects.filter(Q(wait_until=None) | Q(wait_until__lte=now), Exists(waiting), state=Run.State.RUNNING)
        .order_by("due_at")
        .values_list("pk", flat=True)
    )


def deliver(run_id: int, *, seconds: float = LOOP_SECONDS) -> int:
    """Deliver a run for a while, beside at most ``CAMPAIGN_WORKERS_PER_RUN`` - 1 others.

    Returns how many messages were dealt with. Ends early when nothing is left, the run is paused, or
    the mail server cannot be reached.
    """
    loop = Loop(run_id)
    dealt_with = 0
    deadline = time.monotonic() + seconds
    with _slot(run_id) as got_slot:
        if not got_slot:
            return 0
        with _lock(str(loop.claim)):
            try:
                while time.monotonic() < deadline and not loop.unreachable:
                    taken, claimed = _claim(loop, timezone.now())
                    if not taken:
                        break
                    _send(loop, claimed)
                    dealt_with += taken
            finally:
                loop.transport.close()
    finish(run_id)
    return dealt_with


def sweep() -> int:
    """Mark what dead workers had claimed as unknown. Returns how many messages."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            WITH dead AS MATERIALIZED (
                SELECT claim FROM (
                    SELECT DISTINCT claim FROM campaigns_message WHERE state = 'claimed'
                ) claims
                WHERE pg_try_advisory_xact_lock(hashtextextended(claim::text, 0))
            )
            UPDATE campaigns_message m SET state = 'unknown', reason = %s, finished_at = %s
            FROM dead WHERE m.claim = dead.claim AND m.state = 'claimed'
            """,
            [reasons.WORKER_DIED, timezone.now()],
        )
        count: int = cursor.rowcount
    if count:
        logger.warning("%d messages of dead workers are now unknown", count)
    return count


def finish(run_id: int) -> bool:
    """End a run that has nothing left to send. True when this call ended it."""
    open_messages = Message.objects.filter(run=OuterRef("pk"), state__in=[State.PLANNED, State.CLAIMED])
    now = timezone.now()
    with transaction.atomic():
        ended = (
            Run.objects.filter(pk=run_id, state=Run.State.RUNNING)
            .exclude(Exists(open_messages))
            .update(state=Run.State.DONE, finished_at=now)
        )
        if ended:
            Campaign.objects.filter(runs=run_id, state=Campaign.State.RUNNING).update(
                state=Campaign.State.DONE, updated_at=now
            )
    return bool(ended)


def finish_all() -> None:
    """End every run that has nothing left to send."""
    for run_id in Run.objects.filter(state=Run.State.RUNNING).values_list("pk", flat=True):
        finish(run_id)


@contextmanager
def _lock(name: str) -> Iterator[bool]:
    """An advisory lock of this connection: PostgreSQL frees it when the process or its connection dies."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", [name])
        got = bool(cursor.fetchone()[0])
    try:
        yield got
    finally:
        if got and connection.connection is not None and not connection.connection.closed:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", [name])


@contextmanager
def _slot(run_id: int) -> Iterator[bool]:
    """One of the places at a run, if one is free."""
    for number in range(settings.CAMPAIGN_WORKERS_PER_RUN):
        with _lock(f"campaigns.run:{run_id}:{number}") as got:
            if got:
                yield True
                return
    yield False


def _claim(loop: Loop, now: datetime) -> tuple[int, list[Claimed]]:
    """Take the next messages and check each once more.

    Returns how many were taken, and those of them that are to be sent; the others wait or are skipped.
    The members are locked, so that two runs cannot both pass a member's weekly cap.
    """
    with transaction.atomic():
        run = Run.objects.get(pk=loop.run_id)
        if run.state != Run.State.RUNNING or (run.wait_until is not None and run.wait_until > now):
            return 0, []
        messages = list(
            Message.objects.select_for_update(skip_locked=True)
            .filter(run_id=loop.run_id, state=State.PLANNED, not_before__lte=now)
            .order_by("not_before", "id")[:CHUNK]
        )
        if not messages:
            return 0, []
        ids = [message.member_id for message in messages]
        members = {
            member.pk: member
            for member in Member.objects.select_for_update(no_key=True).filter(pk__in=ids).order_by("pk")
        }
        fates = _check(messages, members, now)
        _write(fates, claim=None)
        decided = {fate.message_id for fate in fates}
        ours = [message for message in messages if message.pk not in decided]
        Message.objects.filter(pk__in=[message.pk for message in ours]).update(
            state=State.CLAIMED, claim=loop.claim, claimed_at=now, reason=""
        )
        return len(messages), _with_values(ours, members)


def _check(messages: list[Message], members: dict[int, Member], now: datetime) -> list[Fate]:
    """The messages that are not to be sent now, each with its reason."""
    consenting = set(
        Consent.objects.filter(member__in=members, channel=Consent.Channel.EMAIL, granted=True).values_list(
            "member_id", flat=True
        )
    )
    recent = dict(
        Message.objects.filter(
            member__in=members, state__in=[State.CLAIMED, State.SENT, State.UNKNOWN], claimed_at__gt=now - WEEK
        )
        .values_list("member_id")
        .annotate(Count("pk"))
    )
    fates = []
    for message in messages:
        member = members[message.member_id]
        reason = _reason_against(member, member.pk in consenting, recent.get(member.pk, 0))
        quiet_until = quiet.until(now, member.time_zone)
        if reason:
            fates.append(Fate(message.pk, State.SKIPPED, reason))
        elif quiet_until is not None:
            fates.append(Fate(message.pk, State.PLANNED, "", quiet_until, message.attempts))
    return fates


def _reason_against(member: Member, consents: bool, recent: int) -> str:
    if member.status != Member.Status.ACTIVE:
        return reasons.NOT_ACTIVE
    if not member.email:
        return reasons.NO_ADDRESS
    if not consents:
        return reasons.NO_CONSENT
    if 0 < settings.CAMPAIGN_WEEKLY_CAP <= recent:
        return reasons.WEEKLY_CAP
    return ""


def _with_values(messages: list[Message], members: dict[int, Member]) -> list[Claimed]:
    promises = promise.points_and_tiers(members[message.member_id] for message in messages)
    return [Claimed(message, members[message.member_id], *promises[message.member_id]) for message in messages]


def _send(loop: Loop, claimed: list[Claimed]) -> None:
    """Send group by group. What was claimed and surely not sent is given back when we must stop."""
    variants = {variant.pk: variant for variant in Variant.objects.filter(campaign__runs=loop.run_id)}
    for start in range(0, len(claimed), GROUP):
        if loop.unreachable or not _goes_on(loop.run_id):
            rest = claimed[start:]
            _write([Fate(one.message.pk, State.PLANNED, attempts=one.message.attempts) for one in rest], loop.claim)
            return
        fates: list[Fate] = []
        try:
            for one in claimed[start : start + GROUP]:
                variant = variants[one.message.variant_id]
                fates.append(_send_one(loop, one, variant.subject, variant.body))
        finally:
            _write(fates, loop.claim)
    if not loop.unreachable and claimed:
        Run.objects.filter(pk=loop.run_id, refusals__gt=0).update(refusals=0, wait_until=None, wait_reason="")


def _goes_on(run_id: int) -> bool:
    return Run.objects.filter(pk=run_id, state=Run.State.RUNNING).exists()


def _send_one(loop: Loop, one: Claimed, subject: str, body: str) -> Fate:
    """Offer one message to the mail server, unless it is known not to listen."""
    message = one.message
    if loop.unreachable:
        return Fate(message.pk, State.PLANNED, attempts=message.attempts)
    try:
        values = mail.merge_values(one.member, points=one.points, tier=one.tier, message_id=message.pk)
        built = mail.build(
            compile_content(subject, body),
            values,
            to=one.member.email,
            message_id=message.pk,
            campaign=str(loop.run_id),
        )
        loop.transport.send(built)
    except mail.Unreachable as error:
        loop.unreachable = str(error)
        _wait(loop.run_id, str(error))
        return Fate(message.pk, State.PLANNED, attempts=message.attempts)
    except mail.Later as error:
        return _later(message, str(error))
    except mail.Lost as error:
        loop.lost += 1
        if loop.lost >= MOST_LOST:
            loop.unreachable = str(error)
            _wait(loop.run_id, str(error))
        return Fate(message.pk, State.UNKNOWN, reasons.CONNECTION_LOST)
    except (mail.Refused, RenderError, ContentError, ValueError) as error:
        return Fate(message.pk, State.FAILED, str(error))
    loop.lost = 0
    return Fate(message.pk, State.SENT)


def _later(message: Message, words: str) -> Fate:
    attempts = message.attempts + 1
    if attempts >= MOST_ATTEMPTS:
        return Fate(message.pk, State.FAILED, words, attempts=attempts)
    return Fate(message.pk, State.PLANNED, words, timezone.now() + LATER_WAIT * attempts, attempts)


def _wait(run_id: int, words: str) -> None:
    """Let the run rest until the mail server may be back: 30 seconds, doubled each time, up to 30 minutes."""
    with transaction.atomic():
        run = Run.objects.select_for_update().get(pk=run_id)
        run.wait_until = timezone.now() + min(FIRST_WAIT * 2 ** min(run.refusals, 10), LONGEST_WAIT)
        run.wait_reason = words[:200]
        run.refusals = min(run.refusals + 1, 1000)
        run.save(update_fields=["wait_until", "wait_reason", "refusals"])


def _write(fates: list[Fate], claim: uuid.UUID | None) -> None:
    """Write down what became of messages: of those that ``claim`` took, or of those locked right now.

    A claim that was taken for dead (its connection to the database broke) may still say what it knows.
    """
    if not fates:
        return
    now = timezone.now()
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE campaigns_message m SET
                state = v.state, reason = v.reason, attempts = v.attempts,
                not_before = coalesce(v.not_before, m.not_before),
                claim = CASE WHEN v.state = 'planned' THEN NULL ELSE m.claim END,
                finished_at = CASE WHEN v.state = 'planned' THEN NULL ELSE %s END
            FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::timestamptz[], %s::int[])
                AS v(id, state, reason, not_before, attempts)
            WHERE m.id = v.id AND (
                (%s::uuid IS NULL AND m.state = 'planned')
                OR (m.claim = %s::uuid AND m.state IN ('claimed', 'unknown'))
            )
            """,
            [
                now,
                [fate.message_id for fate in fates],
                [str(fate.state) for fate in fates],
                [fate.reason[:200] for fate in fates],
                [fate.not_before for fate in fates],
                [fate.attempts for fate in fates],
                claim,
                claim,
            ],
        )
        if cursor.rowcount != len(fates):
            logger.error("%d of %d messages were not where they were left", len(fates) - cursor.rowcount, len(fates))
