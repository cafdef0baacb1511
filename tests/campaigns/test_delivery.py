"""Delivery: every message at most once, and none lost without a word."""

import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.db import IntegrityError, connection, transaction
from django.db.models import Count

from campaigns import delivery, reasons, runs
from campaigns.models import Campaign, Message, Run
from campaigns.tasks import tick
from members.models import Consent
from tests.campaigns.campaigns import NOON, in_thread, make_draft, make_many_members, make_members, start
from tests.conftest import Mailbox, Worker, wait_until

pytestmark = pytest.mark.django_db(transaction=True)


def states(campaign: Campaign) -> dict[str, int]:
    """How many messages are in each state."""
    rows = Message.objects.filter(run__campaign=campaign).values_list("state").annotate(Count("pk"))
    return dict(rows)


def ticked() -> bool:
    """What beat does, five times a second."""
    time.sleep(0.2)
    tick()
    return True


def deliver(campaign: Campaign) -> None:
    for run in campaign.runs.all():
        delivery.deliver(run.pk)


@contextmanager
def server_that_hangs_up(*, after: int) -> Iterator[int]:
    """A mail server that takes some messages, then reads one more, closes the line without a word, and is gone."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        line, _address = listener.accept()
        listener.close()
        taken = 0
        with line, line.makefile("rb") as reader:
            line.sendall(b"220 ready\r\n")
            for command in reader:
                verb = command[:4].upper()
                line.sendall(b"354 go\r\n" if verb == b"DATA" else b"250 ok\r\n")
                if verb == b"DATA":
                    while reader.readline() != b".\r\n":
                        pass
                    taken += 1
                    if taken > after:
                        return
                    line.sendall(b"250 taken\r\n")

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield listener.getsockname()[1]
    thread.join(5)


def test_a_member_gets_one_message_with_their_own_words(mailbox: Mailbox) -> None:
    [member] = make_members(1, given_name="小雨", family_name="王")
    campaign = start(make_draft(variants="A"))
    deliver(campaign)
    deliver(campaign)
    [mail] = mailbox.messages
    message = Message.objects.get()
    assert mail["To"] == member.email
    assert mail["Subject"] == "A: for 王小雨"
    assert mail["Message-ID"] == f"<steadfast.{message.pk}@steadfast.example>"
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert mail["List-Unsubscribe"].strip().startswith("<http://")
    assert "王小雨" in mail.get_body(("plain",)).get_content()
    html = mail.get_body(("html",)).get_content()
    assert "王小雨" in html
    assert "shop.example" not in html  # the link goes through us
    assert states(campaign) == {"sent": 1}
    campaign.refresh_from_db()
    assert campaign.state == Campaign.State.DONE
    assert campaign.runs.get().finished_at is not None


def test_what_changed_since_the_audience_was_drawn_counts(mailbox: Mailbox) -> None:
    withdrew, blocked, without, fine = make_members(4)
    campaign = start(make_draft(variants="A"))
    Consent.objects.filter(member=withdrew).update(granted=False)
    type(blocked).objects.filter(pk=blocked.pk).update(status="blocked")
    type(without).objects.filter(pk=without.pk).update(email="")
    deliver(campaign)
    assert mailbox.recipients == [fine.email]
    found = dict(Message.objects.values_list("member_id", "reason"))
    assert found == {
        withdrew.pk: reasons.NO_CONSENT,
        blocked.pk: reasons.NOT_ACTIVE,
        without.pk: reasons.NO_ADDRESS,
        fine.pk: "",
    }


def test_a_member_in_quiet_hours_is_written_to_in_the_morning(mailbox: Mailbox) -> None:
    [asleep] = make_members(1, time_zone="America/Los_Angeles")
    [awake] = make_members(1, time_zone="Asia/Shanghai")
    [unknown] = make_members(1, time_zone="")
    midnight = datetime(2026, 3, 8, 8, 0, tzinfo=UTC)  # 00:00 in Los Angeles, the night the clocks go forward
    with time_machine.travel(midnight, tick=False) as clock:
        campaign = start(make_draft(variants="A"))
        deliver(campaign)
        assert sorted(mailbox.recipients) == sorted([awake.email, unknown.email])
        waiting = Message.objects.get(member=asleep)
        assert waiting.state == Message.State.PLANNED
        assert waiting.not_before == datetime(2026, 3, 8, 15, 0, tzinfo=UTC)  # 08:00 there, in summer time
        assert delivery.due_runs(midnight) == []
        clock.move_to(waiting.not_before)
        deliver(campaign)
    assert asleep.email in mailbox.recipients
    assert states(campaign) == {"sent": 3}


def test_the_weekly_cap_holds_over_campaigns(mailbox: Mailbox, settings: Any) -> None:
    settings.CAMPAIGN_WEEKLY_CAP = 2
    make_members(1)
    with time_machine.travel(NOON, tick=False) as clock:
        for _campaign in range(3):
            deliver(start(make_draft(variants="A")))
        assert len(mailbox.messages) == 2
        assert Message.objects.get(state="skipped").reason == reasons.WEEKLY_CAP
        clock.shift(timedelta(days=7, seconds=1))
        deliver(start(make_draft(variants="A")))
    assert len(mailbox.messages) == 3


def test_a_mail_server_that_cannot_be_reached_loses_nothing(mailbox: Mailbox, settings: Any) -> None:
    make_members(3)
    port = settings.EMAIL_PORT
    with time_machine.travel(NOON, tick=False) as clock:
        campaign = start(make_draft(variants="A"))
        settings.EMAIL_PORT = 1
        deliver(campaign)
        run = Run.objects.get()
        assert states(campaign) == {"planned": 3}
        assert run.wait_until == NOON + timedelta(seconds=30)
        assert "refused" in run.wait_reason.lower()
        settings.EMAIL_PORT = port
        deliver(campaign)
        assert not mailbox.messages  # it waits
        clock.move_to(run.wait_until)
        deliver(campaign)
    assert states(campaign) == {"sent": 3}
    run.refresh_from_db()
    assert (run.refusals, run.wait_reason) == (0, "")


def test_what_the_mail_server_refuses_is_failed_and_what_it_puts_off_waits(mailbox: Mailbox) -> None:
    refused, later, _fine = make_members(3)
    answers = {refused.email: "550 no such user", later.email: "451 try again"}
    mailbox.answer = lambda recipient: answers.get(recipient, "250 OK")
    with time_machine.travel(NOON, tick=False) as clock:
        campaign = start(make_draft(variants="A"))
        deliver(campaign)
        assert states(campaign) == {"failed": 1, "planned": 1, "sent": 1}
        assert Message.objects.get(member=refused).reason == "550 no such user"
        clock.shift(timedelta(minutes=10))
        answers.clear()
        deliver(campaign)
    assert states(campaign) == {"failed": 1, "sent": 2}


def test_a_connection_that_breaks_after_the_message_leaves_it_unknown(settings: Any) -> None:
    make_members(3)
    campaign = start(make_draft(variants="A"))
    settings.EMAIL_BACKEND, settings.EMAIL_HOST = "django.core.mail.backends.smtp.EmailBackend", "127.0.0.1"
    with server_that_hangs_up(after=1) as settings.EMAIL_PORT:
        deliver(campaign)
    found = states(campaign)
    assert found["unknown"] == 1
    assert Message.objects.get(state="unknown").reason == reasons.CONNECTION_LOST
    assert found["sent"] == 1
    assert found["planned"] == 1


@contextmanager
def server_that_answers(reply: bytes) -> Iterator[int]:
    """A mail server that takes each message and then answers something (nothing: it hangs up)."""
    listener = socket.create_server(("127.0.0.1", 0))

    def talk(line: socket.socket) -> None:
        with line, line.makefile("rb") as reader:
            line.sendall(b"220 ready\r\n")
            for command in reader:
                is_data = command[:4].upper() == b"DATA"
                line.sendall(b"354 go\r\n" if is_data else b"250 ok\r\n")
                if is_data:
                    while reader.readline() != b".\r\n":
                        pass
                    if not reply:
                        return
                    line.sendall(reply)

    def serve() -> None:
        while True:
            try:
                talk(listener.accept()[0])
            except OSError:
                return

    threading.Thread(target=serve, daemon=True).start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


@pytest.mark.parametrize("reply", [b"", b"<html>hello\r\n", b"354 more\r\n"])
def test_a_server_that_gives_no_answer_costs_a_few_messages_and_not_the_run(settings: Any, reply: bytes) -> None:
    make_members(8)
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    with server_that_answers(reply) as port:
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", port
        campaign = start(make_draft())
        deliver(campaign)
    assert states(campaign) == {"unknown": delivery.MOST_LOST, "planned": 8 - delivery.MOST_LOST}
    run = campaign.runs.get()
    assert run.wait_until is not None


def test_pause_resume_and_cancel_hold_at_once(mailbox: Mailbox) -> None:
    make_members(45)
    campaign = start(make_draft(variants="A"))

    def pause_at_first(recipient: str) -> str:
        if not mailbox.messages:
            in_thread(lambda: runs.pause(campaign.pk, user=None))
        return "250 OK"

    mailbox.answer = pause_at_first
    deliver(campaign)
    assert len(mailbox.messages) == delivery.GROUP
    assert states(campaign) == {"sent": delivery.GROUP, "planned": 45 - delivery.GROUP}
    with pytest.raises(runs.NotPossible):
        runs.pause(campaign.pk, user=None)
    runs.resume(campaign.pk, user=None)
    mailbox.answer = lambda recipient: "250 OK"
    runs.cancel(campaign.pk, user=None)
    deliver(campaign)
    assert states(campaign) == {"sent": delivery.GROUP, "skipped": 45 - delivery.GROUP}
    with pytest.raises(runs.NotPossible):
        runs.resume(campaign.pk, user=None)


def test_a_killed_worker_sends_nothing_twice_and_loses_nothing(mailbox: Mailbox, worker: Worker) -> None:
    """Two workers at once, both killed in the middle with SIGKILL, and started again."""
    many = int(os.environ.get("MESSAGES", "1500"))
    make_many_members(many)
    campaign = start(make_draft(variants="AB", holdout=0))
    wait_until(lambda: ticked() and len(mailbox.messages) > many // 3, seconds=200)
    worker.kill()
    at_kill = len(mailbox.messages)
    assert at_kill < many
    worker.start()

    wait_until(lambda: ticked() and Run.objects.get().state == Run.State.DONE, seconds=300)
    found = states(campaign)
    counts = Counter(mail["Message-ID"] for mail in mailbox.messages)
    assert max(counts.values()) == 1
    assert set(found) <= {"sent", "unknown"}
    assert sum(found.values()) == many
    assert found["unknown"] <= 2 * delivery.CHUNK
    arrived = set(counts)
    sent = {
        f"<steadfast.{pk}@steadfast.example>"
        for pk in Message.objects.filter(state="sent").values_list("pk", flat=True)
    }
    assert sent <= arrived
    print(f"{at_kill} of {many} had arrived at the kill; then {found}, {len(arrived)} arrived")
    # What arrived and is not known as sent is shown as unknown.
    assert len(arrived - sent) <= found["unknown"]
    campaign.refresh_from_db()
    assert campaign.state == Campaign.State.DONE


def test_unknown_messages_are_sent_again_only_on_a_persons_word(mailbox: Mailbox) -> None:
    make_members(3)
    campaign = start(make_draft(variants="A"))
    Message.objects.update(state="claimed", claim="6d0cf6f6-6c5f-4d4c-9f43-2b1f6b3f0a01", claimed_at=NOON)
    assert delivery.sweep() == 3
    deliver(campaign)
    tick()
    assert not mailbox.messages
    campaign.refresh_from_db()
    assert campaign.state == Campaign.State.DONE
    assert runs.resend_unknown(campaign.pk, user=None) == 3
    deliver(campaign)
    assert len(mailbox.messages) == 3
    with pytest.raises(runs.NotPossible):
        runs.resend_unknown(campaign.pk, user=None)


def test_the_claim_of_a_living_worker_is_left_alone() -> None:
    make_members(2)
    campaign = start(make_draft(variants="A"))
    loop = delivery.Loop(campaign.runs.get().pk)
    other = connection.copy()
    with other.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", [str(loop.claim)])
    delivery._claim(loop, datetime.now(UTC))
    assert delivery.sweep() == 0
    other.close()
    wait_until(lambda: delivery.sweep() == 2)


def test_the_database_refuses_a_second_message_and_one_sent_unclaimed() -> None:
    make_members(1)
    start(make_draft(variants="A"))
    message = Message.objects.get()
    with pytest.raises(IntegrityError), transaction.atomic():
        Message.objects.create(run=message.run, member=message.member, variant=message.variant)
    with pytest.raises(IntegrityError), transaction.atomic():
        Message.objects.update(state="sent")
