"""Sealed blocks: nothing in flight is left out, and whoever goes round the guards is named."""

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction
from django.db.backends.utils import CursorWrapper

from loyalty import ledger, verify
from loyalty.ledger import sealing
from loyalty.models import Entry
from loyalty.sealed import Block, SealNote
from tests.factories import make_member
from tests.loyalty.concurrency import at_once
from tests.transactions import oldest_of_this_database

NOW = datetime(2026, 6, 1, 4, 0, tzinfo=UTC)


def award(key: str, points: int = 10, member_id: int | None = None) -> Entry:
    return ledger.award(
        member_id=member_id or make_member().pk, points=points, key=key, occurred_at=NOW, explanation={"text": key}
    )


def seal_all() -> None:
    """Seal what there is, in blocks of three; in a test that is one transaction, nobody else can be in flight."""
    last = Entry.objects.latest("id").pk
    with connection.cursor() as cursor:
        while sealing.seal_up_to(cursor, last):
            pass


def offending() -> list[dict[str, Any]]:
    """What ``manage.py verify`` finds of the seal."""
    [check] = [check for check in verify.checks() if check.key == "sealed"]
    return check.offending()


def behind_its_back(statement: str, *values: object) -> None:
    """A statement of somebody who may switch the guards off."""
    with connection.cursor() as cursor:
        # What was written properly is checked first, as at commit.
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(statement, values)
        assert cursor.rowcount
        cursor.execute("SET LOCAL session_replication_role = DEFAULT")


@pytest.fixture
def entries(monkeypatch: pytest.MonkeyPatch) -> list[Entry]:
    """Eight entries in blocks of three, three and two."""
    monkeypatch.setattr(sealing, "BLOCK_ENTRIES", 3)
    made = [award(f"key {number}") for number in range(8)]
    seal_all()
    return made


@pytest.fixture
def alone_on_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let sealing wait for the transactions of this database only: other test processes share the server."""

    def oldest(cursor: CursorWrapper) -> int:
        cursor.execute("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint")
        [next_] = cursor.fetchone()
        return min(oldest_of_this_database(cursor) or next_, next_)

    monkeypatch.setattr(sealing, "oldest_transaction", oldest)


@pytest.mark.django_db
def test_blocks_follow_each_other_and_cover_every_entry(entries: list[Entry]) -> None:
    blocks = list(Block.objects.order_by("number"))
    assert [block.entry_ids for block in blocks] == [
        [entry.pk for entry in entries[first : first + 3]] for first in (0, 3, 6)
    ]
    assert [block.entries for block in blocks] == [3, 3, 2]
    assert [bytes(block.previous_hash) for block in blocks] == [b"", bytes(blocks[0].hash), bytes(blocks[1].hash)]
    assert offending() == []
    assert sealing.state(NOW).waiting == 0


@pytest.mark.django_db
@pytest.mark.parametrize(
    "change",
    [
        "points = points + 1, balance_after = balance_after + 1",
        'explanation = \'{"text": "another"}\'',
        "occurred_at = occurred_at + interval '1 microsecond'",
        "idempotency_key = 'another'",
        "input_hash = sha256('')",
        "purchase_id = 1",
    ],
)
def test_a_changed_entry_is_named(entries: list[Entry], change: str) -> None:
    behind_its_back(f"UPDATE loyalty_entry SET {change} WHERE id = %s", entries[4].pk)
    assert offending() == [{"block": 2, "finding": "entry was changed", "entry": entries[4].pk}]


@pytest.mark.django_db
def test_a_change_is_found_even_where_all_sums_agree(entries: list[Entry]) -> None:
    pk = entries[1].pk
    behind_its_back("UPDATE loyalty_entry SET points = 99, balance_after = 99 WHERE id = %s", pk)
    behind_its_back("UPDATE loyalty_account SET balance = 99 WHERE member_id = %s", entries[1].member_id)
    behind_its_back("UPDATE loyalty_lot SET points = 99, remaining = 99 WHERE entry_id = %s", pk)
    behind_its_back(
        "UPDATE loyalty_entry SET input_hash = (SELECT input_hash FROM loyalty_entry WHERE id = %s) WHERE id = %s",
        pk,
        pk,
    )
    broken = {check.key for check in verify.checks() if check.offending()}
    assert "balance" not in broken
    assert "lots" not in broken
    assert "sealed" in broken


@pytest.mark.django_db
def test_a_removed_and_a_slipped_in_entry_are_named(entries: list[Entry]) -> None:
    behind_its_back("DELETE FROM loyalty_entry WHERE id = %s", entries[3].pk)
    assert offending() == [{"block": 2, "finding": "entry was removed", "entry": entries[3].pk}]
    late = award("late")
    behind_its_back("UPDATE loyalty_entry SET id = %s WHERE id = %s", entries[3].pk, late.pk)
    assert offending() == [{"block": 2, "finding": "entry was changed", "entry": entries[3].pk}]


@pytest.mark.django_db
def test_an_entry_with_an_old_id_added_later_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealing, "BLOCK_ENTRIES", 3)
    with connection.cursor() as cursor:
        for key in "abcdef":
            award(key)
            # A rolled back transaction leaves such a gap, also between two blocks.
            cursor.execute("SELECT nextval(pg_get_serial_sequence('loyalty_entry', 'id'))")
            [gap] = cursor.fetchone()
    seal_all()
    first, second = Block.objects.order_by("number")
    late = award("late")
    for old in (first.entry_ids[0] + 1, first.last_entry + 1):
        behind_its_back("UPDATE loyalty_entry SET id = %s WHERE idempotency_key = 'late'", old)
        number = 1 if old < first.last_entry else 2
        assert offending() == [{"block": number, "finding": "entry was slipped in", "entry": old}]
    assert late.pk > gap > second.last_entry


@pytest.mark.django_db
@pytest.mark.parametrize(("number", "finding"), [(1, "block was removed"), (2, "block was removed")])
def test_a_removed_block_is_named(entries: list[Entry], number: int, finding: str) -> None:
    behind_its_back("DELETE FROM loyalty_block WHERE number = %s", number)
    assert offending() == [{"block": number, "finding": finding, "entry": None}]


@pytest.mark.django_db
def test_a_block_that_was_computed_anew_does_not_fit_the_next(entries: list[Entry]) -> None:
    """Somebody changes an entry and seals the block again: the block after it still names the old hash."""
    later = list(Block.objects.filter(number__gt=1).order_by("number"))
    behind_its_back("DELETE FROM loyalty_block")
    behind_its_back("UPDATE loyalty_entry SET points = 11 WHERE id = %s", entries[0].pk)
    with connection.cursor() as cursor:
        sealing.seal_up_to(cursor, entries[2].pk)
    Block.objects.bulk_create(later)
    assert offending() == [{"block": 2, "finding": "does not follow the block before it", "entry": None}]


@pytest.mark.django_db
def test_a_block_is_never_changed_or_removed(entries: list[Entry]) -> None:
    for statement in ("UPDATE loyalty_block SET entries = 1", "DELETE FROM loyalty_block", "TRUNCATE loyalty_block"):
        with pytest.raises(IntegrityError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)


@pytest.mark.django_db
def test_a_hash_does_not_depend_on_the_session(entries: list[Entry]) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL TimeZone = 'America/Havana'")
        cursor.execute("SET LOCAL DateStyle = 'SQL, DMY'")
        cursor.execute("SET LOCAL bytea_output = 'escape'")
        cursor.execute("SET LOCAL extra_float_digits = 0")
    assert offending() == []


@pytest.mark.django_db
def test_every_column_of_an_entry_is_sealed() -> None:
    """A new column needs a new form in ``sealing.FORMS``, as soon as blocks of the last one exist."""
    content = sealing.FORMS[sealing.FORM]
    columns = [field.column for field in Entry._meta.concrete_fields]
    assert [column for column in columns if not re.search(rf"entry\.{column}\b", content)] == []


@pytest.mark.django_db(transaction=True)
def test_an_entry_in_flight_is_not_left_out(alone_on_the_server: None) -> None:
    member, other_member = make_member(), make_member()
    other = connection.copy()
    other.set_autocommit(False)
    try:
        with other.cursor() as cursor:
            cursor.execute("INSERT INTO loyalty_account (member_id, balance, version) VALUES (%s, 0, 0)", [member.pk])
            cursor.execute("SELECT nextval(pg_get_serial_sequence('loyalty_entry', 'id'))")
            [late] = cursor.fetchone()
            early = award("early", member_id=other_member.pk)
            assert late < early.pk
            assert [sealing.seal() for _ in range(3)] == [0, 0, 0]
            cursor.execute(
                "INSERT INTO loyalty_entry (id, member_id, seq, kind, points, balance_after, occurred_at, created_at,"
                " idempotency_key, input_hash, explanation)"
                " SELECT %s, %s, 1, kind, points, balance_after, occurred_at, created_at, 'late', input_hash, '{}'"
                " FROM loyalty_entry WHERE id = %s",
                [late, member.pk, early.pk],
            )
            cursor.execute(
                "INSERT INTO loyalty_lot (entry_id, member_id, points, remaining, activates_at)"
                " VALUES (%s, %s, 10, 10, now())",
                [late, member.pk],
            )
            cursor.execute("UPDATE loyalty_account SET balance = 10, version = 1 WHERE member_id = %s", [member.pk])
        other.commit()
    finally:
        other.close()
    assert sealing.seal() == 2
    assert Block.objects.get().entry_ids == [late, early.pk]
    assert offending() == []


@pytest.mark.django_db(transaction=True)
def test_what_nobody_holds_up_is_sealed_at_once_and_only_once(alone_on_the_server: None) -> None:
    award("one")
    assert [sealing.seal(), sealing.seal()] == [1, 0]
    award("two")
    outcomes = at_once(*[sealing.seal] * 8)
    sealing.seal()
    assert outcomes == {"done": 8}
    assert list(Block.objects.order_by("number").values_list("number", "entries")) == [(1, 1), (2, 1)]


@pytest.mark.django_db(transaction=True)
def test_a_note_from_another_server_is_made_anew(alone_on_the_server: None) -> None:
    award("one")
    SealNote.objects.create(last_entry=10**9, transaction=2**60, noted_at=NOW)
    assert sealing.seal() == 1
    assert SealNote.objects.get().last_entry == Entry.objects.get().pk


@pytest.mark.django_db(transaction=True)
def test_a_last_block_that_was_removed_is_missed(alone_on_the_server: None) -> None:
    award("one")
    sealing.seal()
    with transaction.atomic():
        behind_its_back("DELETE FROM loyalty_block")
    assert offending() == [{"block": 1, "finding": "last block was removed or replaced", "entry": None}]


@pytest.mark.django_db(transaction=True)
def test_within_a_transaction_that_has_written_nothing_is_noted(alone_on_the_server: None) -> None:
    with transaction.atomic():
        award("one")
        assert sealing.seal() == 0
        assert not SealNote.objects.exists()
    assert sealing.seal() == 1


@pytest.mark.django_db(transaction=True)
def test_the_commands_print_the_last_block(alone_on_the_server: None, capsys: pytest.CaptureFixture[str]) -> None:
    award("one")
    call_command("seal")
    sealed = bytes(Block.objects.get().hash).hex()
    assert sealed in capsys.readouterr().out
    call_command("verify", "--json")
    assert sealed in capsys.readouterr().out
