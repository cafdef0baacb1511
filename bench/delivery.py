"""Delivering a campaign: claimed, rendered, sent and recorded, against sending the finished mails by smtplib."""

import smtplib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.test import override_settings

from bench.measuring import Measurement, seconds
from campaigns import delivery, drafts, runs
from campaigns.models import Campaign, Message, Run
from config.embedded import free_ports

MOST = 2_000
EVERYBODY = {"all": [{"fact": "member.status", "op": "in", "value": ["active"]}]}
BODY = "Dear {{ member.name }},\n\nyou have {{ member.points }} points.\n\n[Shop](https://shop.example/)\n"


def measure(size: int) -> Iterator[Measurement]:
    """Deliver one campaign in this process over real SMTP to a sink in another."""
    with _sink() as (port, directory):
        mail = {"EMAIL_HOST": "127.0.0.1", "EMAIL_PORT": port, "EMAIL_USE_TLS": False, "EMAIL_USE_SSL": False}
        quiet = {"CAMPAIGN_WEEKLY_CAP": 0, "CAMPAIGN_QUIET_HOURS": (0, 0)}
        with override_settings(**mail, **quiet):
            run = _planned()
            planned = Message.objects.filter(run=run).count()
            ours = seconds(lambda: _deliver_all(run))
        sent = Message.objects.filter(run=run, state=Message.State.SENT).count()
        kept = list(directory.glob("*.eml"))
        if not sent == planned == len(kept):
            raise RuntimeError(f"{planned} planned, {sent} marked as sent, {len(kept)} arrived")
        mails = [path.read_bytes() for path in kept]
        yield Measurement(
            name="deliver a campaign, one worker",
            floor_name="the same finished mails by smtplib over one connection",
            rows=sent,
            ours=ours,
            floor=seconds(lambda: _send_bare(port, mails)),
        )


@contextmanager
def _sink() -> Iterator[tuple[int, Path]]:
    """A mail server in a process of its own, and where it keeps what it gets."""
    (port,) = free_ports(1)
    with tempfile.TemporaryDirectory() as name:
        process = subprocess.Popen([sys.executable, "-m", "config.mail_sink", str(port), name])  # noqa: S603
        try:
            deadline = time.monotonic() + 15
            while True:
                try:
                    smtplib.SMTP("127.0.0.1", port, timeout=1).quit()
                    break
                except OSError:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.05)
            yield port, Path(name)
        finally:
            process.terminate()
            process.wait()


def _planned() -> Run:
    """A launched campaign of at most ``MOST`` messages, planned but not sent."""
    campaign: Campaign = drafts.create(name="Bench", goal_days=14, user=None)
    rows = [{"key": key, "share": 50, "subject": "For {{ member.name }}", "body": BODY} for key in "AB"]
    drafts.save(campaign.pk, revision=1, variants=rows, audience=EVERYBODY, holdout_percent=0, scheduled_at=None)
    campaign.refresh_from_db()
    runs.launch(campaign.pk, revision=campaign.revision, user=None)
    runs.start_due()
    run = campaign.runs.get()
    beyond = Message.objects.filter(run=run).order_by("id").values_list("pk", flat=True)[MOST:]
    Message.objects.filter(pk__in=list(beyond)).delete()
    return run


def _deliver_all(run: Run) -> None:
    while Message.objects.filter(run=run, state=Message.State.PLANNED).exists():
        delivery.deliver(run.pk)


def _send_bare(port: int, mails: list[bytes]) -> None:
    with smtplib.SMTP("127.0.0.1", port) as server:
        for place, mail in enumerate(mails):
            server.sendmail("programme@steadfast.example", [f"member{place}@example.com"], mail)
