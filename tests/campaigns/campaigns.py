"""Campaigns for the tests, made by the real writers."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from django.db import connection

from campaigns import drafts, runs
from campaigns.models import Campaign, Message
from members.models import Member
from tests.factories import make_member

NOON = datetime(2026, 3, 10, 4, 0, tzinfo=UTC)  # 12:00 in Shanghai
EVERYBODY = {"all": [{"fact": "member.status", "op": "in", "value": ["active", "blocked", "closed"]}]}
BODY = "Hello {{ member.name }},\n\nyou have {{ member.points }} points.\n\n[Shop now](https://shop.example/sale?a=1&b=2)\n"


def make_draft(*, variants: str = "AB", holdout: int = 0, body: str = BODY, **fields: Any) -> Campaign:
    """A complete draft to everybody, to be sent as soon as it is launched."""
    campaign = drafts.create(name=fields.pop("name", "Win back"), goal_days=14, user=None)
    rows = [{"key": key, "share": 50, "subject": f"{key}: for {{{{ member.name }}}}", "body": body} for key in variants]
    values = {"audience": EVERYBODY, "holdout_percent": holdout, "scheduled_at": None}
    drafts.save(campaign.pk, revision=1, variants=rows, **(values | fields))
    campaign.refresh_from_db()
    return campaign


def start(campaign: Campaign, *, now: datetime | None = None) -> Campaign:
    """Launch a draft and plan its run."""
    runs.launch(campaign.pk, revision=campaign.revision, user=None, now=now)
    runs.start_due(now)
    campaign.refresh_from_db()
    return campaign


def make_members(count: int, **fields: Any) -> list[Member]:
    """Members who agreed to e-mail."""
    return [make_member(consents={"email": True}, **fields) for _number in range(count)]


def make_many_members(count: int) -> None:
    """The same in one go, for tests with thousands."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            WITH made AS (
                INSERT INTO members_member (number, given_name, family_name, email, phone, gender, joined_at, status,
                    language, time_zone, attributes, created_at, updated_at)
                SELECT 'T' || i, 'Xiaoyu ' || i, 'Wang', 'm' || i || '@example.com', '', '', now(), 'active',
                    'zh-hans', '', '{}', now(), now()
                FROM generate_series(1, %s) i RETURNING id
            )
            INSERT INTO members_consent (member_id, channel, granted, changed_at, source)
            SELECT id, 'email', true, now(), 'test' FROM made
            """,
            [count],
        )


def in_threads(act: Callable[[], Any], count: int) -> list[Any]:
    """What ``count`` people get who do the same at once, each on a connection of their own; exceptions are results."""

    def one(_number: int) -> Any:
        try:
            return act()
        except Exception as error:
            return error
        finally:
            connection.close()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


def in_thread(act: Callable[[], Any]) -> Any:
    """The same for one."""
    [result] = in_threads(act, 1)
    if isinstance(result, Exception):
        raise result
    return result


def draft_at(step: str) -> Callable[[], str]:
    """Makes a draft with members to send it to, and says where one of its steps is."""

    def address() -> str:
        make_members(3)
        return f"/campaigns/{make_draft(holdout=20).pk}/edit/{step}/"

    return address


def running_campaign() -> str:
    """Makes a campaign that runs and has a message of unknown fate, and says where it is."""
    make_members(5)
    campaign = start(make_draft(holdout=20))
    first = Message.objects.filter(run__campaign=campaign).first()
    if first is not None:
        Message.objects.filter(pk=first.pk).update(
            state="unknown", reason="worker-died", claim=uuid4(), claimed_at=NOON, finished_at=NOON
        )
    return f"/campaigns/{campaign.pk}/"
