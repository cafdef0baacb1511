"""Purchases come in, by the file or one by one, and earn."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import StringIO
from pathlib import Path

import pytest
import time_machine
from django.core.management import call_command
from django.db import DataError, connection, transaction
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from loyalty import ledger, programme, verify
from loyalty.intake import LiesInTheFuture, PurchaseDiffers, RateMissing, record_purchase
from loyalty.models import Account, EarningRule, Entry, Lot, ProgrammeSettings, Tier, TierChange, TierStanding
from members.importing import runs
from members.importing.options import Options
from members.models import Member, Purchase
from tests.factories import make_member
from tests.members.imports import bring_in, refused, written

pytestmark = pytest.mark.django_db

HEADER = "receipt,person,time,amount\n"
NOW = datetime(2026, 6, 1, 4, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _programme() -> None:
    programme.ensure_defaults()


def prove() -> None:
    """Let the deferred checks run now, and ``manage.py verify`` after them."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")
    assert {check.key: rows for check in verify.checks() if (rows := check.offending())} == {}


def test_what_was_undone_earns_again_when_it_comes_again(tmp_path: Path) -> None:
    member = make_member(external_id="p")
    path = written(tmp_path, HEADER + "a,p,2024-01-31T00:00:00Z,70\nb,p,2026-01-01T00:00:00Z,2030\n")
    with time_machine.travel(NOW, tick=False):
        for _ in range(2):
            run = bring_in("purchases", path)
            assert (run.rows_added, Account.objects.get(member=member).balance) == (2, 2_030)
            prove()
            runs.undo(run, user=None)
            assert (Purchase.objects.count(), Account.objects.get(member=member).balance) == (0, 0)
            assert not TierStanding.objects.exists()
            prove()
    assert not Entry.objects.standing().exists()


def test_each_row_earns_by_the_tier_of_its_moment(tmp_path: Path) -> None:
    make_member(external_id="p")
    with time_machine.travel(NOW, tick=False):
        bring_in(
            "purchases",
            written(
                tmp_path,
                HEADER
                + "c,p,2026-03-03T00:00:00Z,100\n"
                + "a,p,2026-03-01T00:00:00Z,1999.99\n"
                + "b,p,2026-03-02T00:00:00Z,6000.01\n"
                + "d,p,2026-03-03T00:00:00Z,100\n",
            ),
        )
        prove()
    entries = Entry.objects.order_by("seq")
    assert [(e.explanation["receipt"], e.explanation["tier"], e.points) for e in entries] == [
        ("a", "bronze", 1_999),
        ("b", "bronze", 6_000),
        ("c", "gold", 125),
        ("d", "gold", 125),
    ]
    assert entries[0].lot.expires_at == datetime(2028, 3, 1, tzinfo=UTC)


def test_a_late_purchase_earns_by_its_own_moment_and_is_posted_last(tmp_path: Path) -> None:
    make_member(external_id="p")
    with time_machine.travel(NOW, tick=False):
        bring_in("purchases", written(tmp_path, HEADER + "b,p,2026-05-02T00:00:00Z,9000\n"))
        bring_in("purchases", written(tmp_path, HEADER + "a,p,2026-05-01T00:00:00Z,50\nc,p,2026-05-03T00:00:00Z,50\n"))
        prove()
    entries = Entry.objects.order_by("seq")
    assert [(e.explanation["receipt"], e.explanation["tier"]) for e in entries] == [
        ("b", "bronze"),
        ("a", "bronze"),
        ("c", "gold"),
    ]


def test_points_whose_expiry_has_passed_come_in_and_go_out_at_once(tmp_path: Path) -> None:
    member = make_member(external_id="p")
    with time_machine.travel(NOW, tick=False):
        bring_in("purchases", written(tmp_path, HEADER + "a,p,2024-01-31T00:00:00Z,70\nb,p,2026-01-01T00:00:00Z,30\n"))
        prove()
    assert list(Entry.objects.order_by("seq").values_list("kind", "points", "balance_after")) == [
        ("earn", 70, 70),
        ("earn", 30, 100),
        ("expire", -70, 30),
    ]
    assert Entry.objects.get(kind="expire").occurred_at == datetime(2026, 1, 31, tzinfo=UTC)
    assert ledger.available(member.pk, NOW) == 30


def test_an_undo_finds_what_stood_before_it(tmp_path: Path) -> None:
    member = make_member(external_id="p")
    with time_machine.travel(NOW, tick=False):
        bring_in("purchases", written(tmp_path, HEADER + "a,p,2026-02-01T00:00:00Z,2500\nz,p,2023-01-01T00:00:00Z,9\n"))
        before = list(TierChange.objects.values_list("to_tier__key", "changed_at"))
        second = bring_in(
            "purchases", written(tmp_path, HEADER + "b,p,2026-03-01T00:00:00Z,9000\ny,p,2024-02-01T00:00:00Z,9\n")
        )
        assert TierStanding.objects.get(member=member).tier.key == "gold"
        runs.undo(second, user=None)
        prove()
        assert list(TierChange.objects.values_list("to_tier__key", "changed_at")) == before
        assert TierStanding.objects.get(member=member).tier.key == "silver"
        assert Account.objects.get(member=member).balance == 2_500


def test_an_undo_takes_points_that_are_spent_from_other_lots_or_is_refused(tmp_path: Path) -> None:
    member = make_member(external_id="p", number="M-1")
    with time_machine.travel(NOW, tick=False):
        bring_in("purchases", written(tmp_path, HEADER + "a,p,2026-05-02T00:00:00Z,100\n"))
        second = bring_in("purchases", written(tmp_path, HEADER + "b,p,2026-05-01T00:00:00Z,60\n"))
        third = bring_in("purchases", written(tmp_path, HEADER + "c,p,2026-05-03T00:00:00Z,100\n"))
        ledger.spend(member_id=member.pk, points=80, key="s", occurred_at=NOW, explanation={})
        runs.undo(second, user=None)
        assert sorted(Lot.objects.values_list("remaining", flat=True)) == [0, 20, 100]
        ledger.spend(member_id=member.pk, points=70, key="t", occurred_at=NOW, explanation={})
        ProgrammeSettings.objects.update_or_create(pk=1, defaults={"clawback_policy": "refuse"})
        words, count = runs.preview_undo(third).obstacles[0]
        assert (count, "M-1" in str(words)) == (1, True)
        with pytest.raises(runs.Refused, match="1 members have spent"):
            runs.undo(third, user=None)
        assert Account.objects.get(member=member).balance == 50
        prove()
        ProgrammeSettings.objects.update(clawback_policy="debt")
        told = {str(words): count for words, count in runs.preview_undo(third).removes}
        assert told["points are owed, and later earnings pay for them"] == 50
        runs.undo(third, user=None)
        assert Account.objects.get(member=member).debt == 50
        prove()


def test_rows_of_another_currency_need_what_they_are_worth(tmp_path: Path) -> None:
    make_member(external_id="p")
    header = "receipt,person,time,amount,currency,worth\n"
    options = Options(columns={"worth": "programme_amount"})
    bad = written(tmp_path, header + "a,p,2026-05-01T00:00:00Z,10,usd,\nb,p,2026-05-01T00:00:00Z,10,CNY,\n")
    _, errors = refused("purchases", bad, options)
    assert len(errors) == 1
    assert "not the programme" in errors[0]["reason"]
    bring_in("purchases", written(tmp_path, header + "a,p,2026-05-01T00:00:00Z,10,usd,71.5\n"), options)
    purchase = Purchase.objects.get()
    assert (purchase.currency, purchase.value, purchase.rate) == ("USD", Decimal("71.50"), Decimal("7.15"))
    assert Entry.objects.get().points == 71


def test_a_receipt_that_comes_back_with_another_amount_is_refused(tmp_path: Path) -> None:
    make_member(external_id="p")
    bring_in("purchases", written(tmp_path, HEADER + "a,p,2026-05-01T00:00:00Z,10\n"))
    _, errors = refused("purchases", written(tmp_path, HEADER + "a,p,2026-05-01T00:00:00Z,11\n"))
    assert "already there" in errors[0]["reason"]
    assert Purchase.objects.get().amount == 10


def test_recording_the_same_purchase_again_changes_nothing() -> None:
    member = make_member()

    def record(**fields: object) -> object:
        content: dict[str, object] = {"member_id": member.pk, "key": "k", "purchased_at": NOW, "amount": Decimal(80)}
        return record_purchase(**(content | fields))  # type: ignore[arg-type]

    first = record()
    assert record() != first  # the same but for being new
    assert (Purchase.objects.count(), Account.objects.get(member=member).balance) == (1, 80)
    for change in ({"amount": Decimal(81)}, {"purchased_at": NOW + timedelta(days=1)}, {"member_id": make_member().pk}):
        with pytest.raises(PurchaseDiffers):
            record(**change)
    with pytest.raises(RateMissing):
        record(key="other", currency="USD")
    prove()


SALES = st.lists(
    st.tuples(
        st.integers(0, 1),
        st.integers(0, 900),
        st.sampled_from([0, 0, 12]),
        st.decimals(min_value=0, max_value=9000, places=2),
    ),
    min_size=1,
    max_size=12,
)


class TestOneByOneAndByTheFile(TestCase):
    @settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(sales=SALES)
    def test_purchases_in_order_of_time_earn_the_same_both_ways(
        self, sales: list[tuple[int, int, int, Decimal]]
    ) -> None:
        programme.ensure_defaults()
        ordered = sorted(sales, key=lambda sale: (sale[1], sale[2]))
        single = [make_member() for _ in range(2)]
        together = [make_member() for _ in range(2)]
        start = NOW - timedelta(days=900)

        def at(sale: tuple[int, int, int, Decimal]) -> datetime:
            return start + timedelta(days=sale[1], hours=sale[2])

        with time_machine.travel(NOW, tick=False):
            for place, sale in enumerate(ordered):
                record_purchase(member_id=single[sale[0]].pk, key=f"one:{place}", purchased_at=at(sale), amount=sale[3])
            import_rows = [
                (together[sale[0]].pk, f"many:{place}", at(sale), sale[3]) for place, sale in enumerate(ordered)
            ]
            self._import(import_rows)
        prove()
        for one, many in zip(single, together, strict=True):
            assert said(one) == said(many)
            assert TierStanding.objects.filter(member=one).values_list("tier").first() == (
                TierStanding.objects.filter(member=many).values_list("tier").first()
            )

    def _import(self, rows: list[tuple[int, str, datetime, Decimal]]) -> None:
        from loyalty.intake.purchase_kind import PurchaseKind
        from members.models import ImportRun

        run = ImportRun.objects.create(kind="purchases", file_name="f.csv", path="f.csv")
        with connection.cursor() as cursor:
            cursor.execute(
                "CREATE TEMPORARY TABLE import_rows (row_no serial, member_id bigint, row_key text, receipt text,"
                " purchased_at timestamptz, amount numeric(14, 2), currency text, programme_amount numeric,"
                " channel text, store text, category text) ON COMMIT DROP"
            )
            cursor.executemany(
                "INSERT INTO import_rows (member_id, row_key, purchased_at, amount) VALUES (%s, %s, %s, %s)", rows
            )
            PurchaseKind().apply(cursor, run.pk)
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED; DROP TABLE import_rows")


def said(member: Member) -> list[tuple[object, ...]]:
    """What the ledger says of a member's earnings."""
    entries = Entry.objects.filter(member=member, kind="earn").order_by("occurred_at", "seq").select_related("lot")
    return [
        (entry.points, entry.occurred_at, entry.explanation, entry.lot.remaining, entry.lot.expires_at)
        for entry in entries
    ]


def test_a_purchase_of_the_future_is_refused_and_gives_nothing() -> None:
    member = make_member()
    with time_machine.travel(NOW, tick=False):
        with pytest.raises(LiesInTheFuture):
            record_purchase(
                member_id=member.pk, key="k", purchased_at=NOW + timedelta(days=2), amount=Decimal(100), receipt="S-1"
            )
        assert not Purchase.objects.exists()
        assert not Entry.objects.exists()
        record_purchase(member_id=member.pk, key="k", purchased_at=NOW + timedelta(hours=14), amount=Decimal(100))


def test_an_import_says_in_words_what_it_gave(tmp_path: Path) -> None:
    make_member(external_id="p")
    out = StringIO()
    call_command("import", "purchases", written(tmp_path, HEADER + "a,p,2026-01-31,70\n"), stdout=out)
    lines = [line.strip() for line in out.getvalue().splitlines()]
    assert {"Points given: 70", "Entries in the ledger: 1", "Tier changes: 0", "Lots of points expired: 0"} <= {*lines}


def buy(member: Member, key: str) -> int:
    return record_purchase(member_id=member.pk, key=key, purchased_at=NOW, amount=Decimal(100)).points


@time_machine.travel(NOW, tick=False)
def test_a_purchase_takes_five_statements_and_is_right_from_the_first_to_the_last() -> None:
    member = make_member()
    assert buy(member, "opens the account") == 100
    with CaptureQueriesContext(connection) as queries:
        buy(member, "R-2")
    # Lock and write; what is in force, and where the member stood; what counts; the award; where the member stands.
    assert len([query for query in queries if "SAVEPOINT" not in query["sql"]]) == 5
    for number in range(3, 15):  # the connection prepares them meanwhile, and PostgreSQL keeps their plans
        assert buy(member, f"R-{number}") == 100
    account = Account.objects.get(member=member)
    assert (account.balance, account.version) == (1_400, 14)
    prove()


@time_machine.travel(NOW, tick=False)
def test_the_very_next_purchase_earns_by_what_was_changed_just_now() -> None:
    member = make_member()
    assert buy(member, "R-1") == 100
    Tier.objects.filter(rank=1).update(multiplier=Decimal(2))
    assert buy(member, "R-2") == 200
    rule = EarningRule.objects.get()
    rule.name = "Points for all"
    rule.save(update_fields=["name"])
    recorded = record_purchase(member_id=member.pk, key="R-3", purchased_at=NOW, amount=Decimal(1))
    assert recorded.entries[0].explanation["rule"] == "Points for all"


def test_what_no_column_holds_is_refused_and_not_cut_off() -> None:
    member = make_member()
    with pytest.raises(DataError), transaction.atomic():
        record_purchase(member_id=member.pk, key="R", purchased_at=NOW, amount=Decimal(1), channel="a" * 33)
    assert not Purchase.objects.exists()
