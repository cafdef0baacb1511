"""The sample programme: the same for the same seed, true to the rules, and alive on every page."""

from datetime import UTC, datetime
from typing import Any

import pytest
import time_machine
from django.core.management import CommandError, call_command
from django.db import connection, transaction

from config.accounts import make_demo_accounts
from config.seed import programme
from loyalty import verify

NOW = datetime(2026, 6, 15, 4, 0, tzinfo=UTC)

# What a person would notice if it changed: who, what they bought, what they got, what they said.
SUMMARY = """
SELECT (SELECT md5(string_agg(number || given_name || joined_at, ',' ORDER BY number)) FROM members_member),
       (SELECT count(*) || ' ' || sum(value) FROM members_purchase),
       (SELECT string_agg(kind || ' ' || n || ' ' || p, ', ' ORDER BY kind)
          FROM (SELECT kind, count(*) n, sum(points) p FROM loyalty_entry GROUP BY kind) entries),
       (SELECT count(*) || ' ' || sum(score) FROM members_surveyresponse),
       (SELECT count(*) FROM campaigns_message), (SELECT sum(matched) || ' ' || sum(held_out) FROM campaigns_run),
       (SELECT md5(string_agg(concat_ws(' ', number, seq, points, balance_after, occurred_at,
                                        explanation - '{redemption,rule_id,gift,refund}'::text[]),
                              ',' ORDER BY number, seq))
          FROM loyalty_entry JOIN members_member member ON member.id = member_id)
"""


# Each of these feeds a page.
FILLED = (
    "members_consent",
    "members_interaction",
    "members_surveyresponse",
    "members_segmentbuild WHERE size > 0",
    "members_refund WHERE state = 'applied'",
    "members_refund WHERE state = 'waiting'",
    "members_refund WHERE state = 'undone'",
    "members_refundline",
    "members_member WHERE household_id IS NOT NULL",
    "loyalty_redemption WHERE state = 'reserved'",
    "loyalty_redemption WHERE state = 'fulfilled'",
    "loyalty_tierchange",
    "loyalty_tiergift WHERE given_at IS NOT NULL",
    "loyalty_tiergrant",
    "loyalty_lot WHERE activates_at IS NULL",
    "loyalty_entry WHERE kind = 'adjust'",
    "loyalty_entry WHERE kind = 'clawback'",
    "loyalty_entry WHERE kind = 'reverse'",
    "loyalty_entry WHERE kind = 'transfer'",
    "loyalty_ruleversion WHERE state = 'draft'",
    "staff_approval WHERE state = 'requested' AND kind = 'points.adjust'",
    "staff_approval WHERE state = 'requested' AND kind = 'rule.publish'",
    "staff_job WHERE state = 'done' AND kind = 'backtest-rule'",
    "campaigns_campaignevent",
    "analytics_membermonth",
    "analytics_membervalue",
)


class Undone(Exception):
    """Takes a whole build back."""


def summary_of_build(seed: int) -> tuple[Any, ...]:
    restart_member_ids()
    make_demo_accounts()
    try:
        with transaction.atomic():
            programme.build(members=150, months=14, seed=seed)
            found = summary()
            raise Undone
    except Undone:
        return found


def restart_member_ids() -> None:
    """The arms of experiments go by the members' ids."""
    with connection.cursor() as cursor:
        cursor.execute("ALTER SEQUENCE members_member_id_seq RESTART WITH 1")


def summary() -> tuple[Any, ...]:
    with connection.cursor() as cursor:
        cursor.execute(SUMMARY)
        found: tuple[Any, ...] = cursor.fetchone()
    return found


@pytest.mark.django_db
@time_machine.travel(NOW, tick=False)
def test_the_same_seed_builds_the_same_programme_and_another_seed_another() -> None:
    first = summary_of_build(1)
    assert summary_of_build(1) == first
    assert summary_of_build(2) != first


@pytest.mark.django_db(transaction=True)
@time_machine.travel(NOW, tick=False)
def test_several_processes_build_the_same_programme_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programme, "CHUNK", 60)
    by_one = summary_of_build(1)
    restart_member_ids()
    programme.build(members=150, months=14, seed=1, processes=2)
    assert summary() == by_one


@pytest.mark.django_db
@time_machine.travel(NOW, tick=False)
def test_the_sample_programme_keeps_every_invariant_and_has_something_for_every_page() -> None:
    make_demo_accounts()
    call_command("seed", members=600, months=14, seed=3, verbosity=0)
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        for check in verify.checks():
            assert not check.offending(), check.name
        for table in FILLED:
            cursor.execute(f"SELECT count(*) FROM {table}")
            assert cursor.fetchone()[0] > 0, table
        cursor.execute("SELECT kind, error FROM staff_job WHERE state <> 'done'")
        assert not cursor.fetchall()
    with pytest.raises(CommandError, match="There are members already"):
        call_command("seed", members=10, verbosity=0)


@pytest.mark.django_db
@time_machine.travel(NOW, tick=False)
def test_without_people_of_the_desk_nothing_is_signed_for_them() -> None:
    programme.build(members=100, months=3, seed=4)
    with connection.cursor() as cursor:
        cursor.execute("SELECT (SELECT count(*) FROM staff_approval), (SELECT count(*) FROM staff_user)")
        assert cursor.fetchone() == (0, 0)
        cursor.execute("SELECT count(*) FROM loyalty_ruleversion WHERE state = 'active'")
        assert cursor.fetchone() == (3,)
    assert not [check.name for check in verify.checks() if check.offending()]
