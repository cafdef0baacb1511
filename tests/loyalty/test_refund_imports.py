"""Refunds by the file: applied in order, refused by name, repeated without effect, taken back as a whole."""

from datetime import UTC, datetime
from decimal import Decimal
from io import StringIO
from pathlib import Path

import pytest
import time_machine
from django.core.management import call_command

from loyalty import programme
from loyalty.intake import LineInput, record_purchase
from loyalty.models import Account, TierStanding
from members.importing import runs
from members.models import Member, Purchase, Refund
from tests.factories import make_member
from tests.loyalty.test_refunds import prove
from tests.members.imports import bring_in, refused, tried, written

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 6, 1, 4, 0, tzinfo=UTC)
HEADER = "refund,receipt,time,amount,line,quantity\n"
PURCHASES = "receipt,person,time,amount\n"


@pytest.fixture
def member() -> Member:
    """100.00 as "a" in two lines and 9,000.00 as "b"."""
    programme.ensure_defaults()
    member = make_member(external_id="m")
    for key, amount, lines in (
        ("a", 100, [LineInput(amount=Decimal(60), quantity=Decimal(3)), LineInput(amount=Decimal(40))]),
        ("b", 9000, []),
    ):
        record_purchase(
            member_id=member.pk, key=key, purchased_at=NOW, amount=Decimal(amount), receipt=key, lines=lines
        )
    return member


@pytest.fixture(autouse=True)
def _now() -> object:
    with time_machine.travel(datetime(2026, 7, 1, tzinfo=UTC), tick=False):
        yield


def balance(member: Member) -> int:
    return Account.objects.get(member=member).balance


def test_a_file_of_refunds_goes_in_once_and_out_whole(member: Member, tmp_path: Path) -> None:
    earned = balance(member)
    path = written(
        tmp_path,
        HEADER + "r1,a,2026-06-03T00:00:00Z,,1,1\nr2,a,2026-06-04T00:00:00Z,30.50,,\n"
        "r3,b,2026-06-05T00:00:00Z,,,\nr4,later,2026-06-06T00:00:00Z,10,,\n",
    )
    assert (tried("refunds", path).added, Refund.objects.count()) == (4, 0)
    run = bring_in("refunds", path)
    assert (run.rows_added, run.rows_refused) == (4, 0)
    a, b = (Purchase.objects.get(key=key) for key in "ab")
    assert (a.net_value, b.net_value) == (Decimal("49.50"), 0)
    assert run.report["notes"]["refunds_waiting"] == 1
    assert run.report["notes"]["points_taken_back"] == earned - balance(member)
    assert TierStanding.objects.get(member=member).tier.key == "bronze"
    prove()

    again = bring_in("refunds", path)
    assert (again.rows_added, again.rows_unchanged) == (0, 4)

    runs.undo(run, user=None)
    assert (balance(member), Refund.objects.count()) == (earned, 0)
    assert TierStanding.objects.get(member=member).tier.key == "gold"
    prove()
    bring_in("refunds", path)
    assert Refund.objects.filter(state="applied").count() == 3
    prove()


@pytest.mark.parametrize(
    ("rows", "column", "reason"),
    [
        ("r,a,2026-06-03T00:00:00Z,100.01,,", "amount", "is more than the 100 that are left"),
        ("q,a,2026-06-03T00:00:00Z,70,,\nr,a,2026-06-03T00:00:00Z,31,,", "amount", "is more than the 30 that are left"),
        ("q,a,2026-06-03T00:00:00Z,,,\nr,a,2026-06-03T00:00:00Z,,,", "amount", "has been given back in full already"),
        ("r,a,2026-06-03T00:00:00Z,,7,", "line", "is no line of this purchase"),
        ("r,a,2026-06-03T00:00:00Z,,1,4", "quantity", "is more than the 3 that are left"),
        ("r,b,2026-06-03T00:00:00Z,,1,", "line", "cannot be chosen: the purchase came without lines"),
        ("r,a,2026-05-03T00:00:00Z,,,", "time", "is before the purchase"),
        ("r,a,2026-06-03T00:00:00Z,,,2", "quantity", "needs the line that it is of"),
    ],
)
def test_a_row_that_cannot_be_given_back_is_refused_by_name(
    member: Member, tmp_path: Path, rows: str, column: str, reason: str
) -> None:
    _, errors = refused("refunds", written(tmp_path, HEADER + rows + "\n"))
    assert [(error["column"], error["reason"]) for error in errors] == [(column, reason)]
    assert not Refund.objects.exists()


def test_undoing_one_import_leaves_the_refunds_of_another(member: Member, tmp_path: Path) -> None:
    first = bring_in("refunds", written(tmp_path, HEADER + "r1,a,2026-06-03T00:00:00Z,33.33,,\n"))
    bring_in("refunds", written(tmp_path, HEADER + "r2,a,2026-06-04T00:00:00Z,33.33,,\n"))
    runs.undo(first, user=None)
    assert Purchase.objects.get(key="a").refunded_value == Decimal("33.33")
    prove()
    bring_in("refunds", written(tmp_path, HEADER + "r3,a,2026-06-05T00:00:00Z,,,\n"))
    bring_in("refunds", written(tmp_path, HEADER + "r4,b,2026-06-05T00:00:00Z,,,\n"))
    assert balance(member) == 0
    prove()


def test_purchases_by_import_find_the_refunds_that_wait_and_leave_them_when_undone(tmp_path: Path) -> None:
    programme.ensure_defaults()
    member = make_member(external_id="m")
    bring_in("refunds", written(tmp_path, HEADER + "r1,x,2026-06-03T00:00:00Z,40,,\n"))
    path = written(tmp_path, PURCHASES + "x,m,2026-06-01T00:00:00Z,100\n")
    for _ in range(2):
        run = bring_in("purchases", path)
        assert (balance(member), Refund.objects.get().state) == (60, "applied")
        prove()
        assert not runs.preview_undo(run).obstacles
        runs.undo(run, user=None)
        assert (balance(member), Refund.objects.get().state, Purchase.objects.count()) == (0, "waiting", 0)
        prove()


def test_the_command_says_what_it_did(member: Member, tmp_path: Path) -> None:
    out = StringIO()
    call_command("import", "refunds", written(tmp_path, HEADER + "r1,a,2026-06-03,10,,\n"), stdout=out)
    assert "1" in out.getvalue()
    assert Purchase.objects.get(key="a").refunded_value == Decimal(10)
