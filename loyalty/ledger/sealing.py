"""Sealing the ledger: a chain of hashed blocks over its entries, so that tampering shows (docs/adr/0014).

A block's hash is SHA-256 over the hash of the block before it and over every column of its entries in the
order of their ids, all computed in SQL. What goes into it is numbered (``form``): a later column makes a new
form, and old blocks are checked by theirs.

Ids are drawn before they are committed, so an id below the highest may still be in flight. Sealing therefore
has two phases. It notes the highest id it sees, and *then* has PostgreSQL give its transaction a number. Every
writer locks an account, and so has a number, before it draws an id: who drew one up to the noted id has a lower
number than the note. Once every transaction below that number is over, no entry up to that id can come any more.
"""

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from loyalty.ledger import rollup
from loyalty.sealed import Block

BLOCK_ENTRIES: Final = 50_000
LATE: Final = timedelta(hours=1)
LOCK: Final = 5_107_014  # an arbitrary number of our own, for pg_advisory_xact_lock

# What is hashed of an entry, by form. Numbers, not words, stand for times: they do not depend on the session.
# A form never changes once blocks were sealed with it; tests/loyalty/test_sealing.py asks for a new one.
FORMS: Final = {
    1: """json_build_array(
        entry.id, entry.member_id, entry.seq, entry.kind, entry.points, entry.balance_after, entry.qualifying,
        extract(epoch FROM entry.counts_at), entry.debt, entry.debt_after,
        extract(epoch FROM entry.occurred_at), extract(epoch FROM entry.created_at),
        entry.idempotency_key, encode(entry.input_hash, 'hex'), entry.purchase_id, entry.redemption_id,
        entry.rule_version_id, entry.reverses_id, entry.award_id, entry.explanation)""",
}
FORM: Final = max(FORMS)

# SHA-256 of one entry in the form of its block, and of a block: what it says of itself, then its entries' hashes.
_FORMS: Final = " ".join(f"WHEN {form} THEN {content}::text" for form, content in FORMS.items())
_ENTRY_HASH: Final = f"sha256(convert_to(CASE block.form {_FORMS} END, 'UTF8'))"
_BLOCK_HASH: Final = """sha256(previous_hash
    || convert_to(concat_ws('|', number, form, first_entry, last_entry, entries), 'UTF8') || rows)"""
# The first eight bytes of an entry's hash: enough to say which entry was changed once its block says that one was.
_PRINT: Final = "('x' || encode(substring(hash FROM 1 FOR 8), 'hex'))::bit(64)::bigint"


@dataclass(frozen=True, kw_only=True)
class Seal:
    """The last block, to be noted somewhere else: who can change the database cannot change that note."""

    number: int
    hash: str
    entries: int
    last_entry: int
    sealed_at: datetime

    def as_json(self) -> dict[str, int | str]:
        """For machines."""
        return asdict(self) | {"sealed_at": self.sealed_at.isoformat()}


@dataclass(frozen=True, kw_only=True)
class State:
    """The last block, how many entries came after it, and whether they wait too long."""

    last: Seal | None
    waiting: int
    is_late: bool


def seal() -> int:
    """Seal every entry whose writers are over; returns how many. Any number of calls may run at once.

    Call it outside a transaction: what is noted in one counts only once it is committed.
    """
    _sum_anew()
    sealed = _seal_noted()
    _note()
    return sealed + _seal_noted()


def last() -> Seal | None:
    """The last block; None before the first."""
    block = Block.objects.order_by("-number").defer("entry_ids", "entry_prints").first()
    if block is None:
        return None
    return Seal(
        number=block.number,
        hash=bytes(block.hash).hex(),
        entries=block.entries,
        last_entry=block.last_entry,
        sealed_at=block.sealed_at,
    )


def state(now: datetime) -> State:
    """How far the ledger is sealed. Late: entries wait, and no block came for an hour."""
    with connection.cursor() as cursor:
        cursor.execute(_COUNT_UNSEALED)
        waiting = int(cursor.fetchone()[0])
    seal = last()
    return State(last=seal, waiting=waiting, is_late=bool(waiting and seal and now - seal.sealed_at > LATE))


def seal_up_to(cursor: CursorWrapper, entry_id: int) -> int:
    """Write the next block over entries up to an id, below which none can come any more. Returns how many."""
    cursor.execute(_SEAL, {"form": FORM, "up_to": entry_id, "most": BLOCK_ENTRIES})
    row = cursor.fetchone()
    if row is None:
        return 0
    entries, after, last_entry = row
    rollup.add(cursor, after, last_entry)
    return int(entries)


def oldest_transaction(cursor: CursorWrapper) -> int:
    """The number below which every transaction of the server is over."""
    cursor.execute("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
    return int(cursor.fetchone()[0])


@transaction.atomic
def _sum_anew() -> None:
    """Count the sums of what is sealed again, where there are none in the programme's zone."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [LOCK])
        if not cursor.fetchone()[0] or rollup.is_there(cursor):
            return
        cursor.execute("SELECT max(last_entry) FROM loyalty_block")
        [last_entry] = cursor.fetchone()
        if last_entry:
            rollup.add(cursor, last_entry, last_entry)


def _seal_noted() -> int:
    """Seal up to the note, where all writers from before it are over: one transaction per block."""
    total = 0
    while sealed := _seal_next_block():
        total += sealed
    return total


@transaction.atomic
def _seal_next_block() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [LOCK])
        if not cursor.fetchone()[0]:
            return 0
        cursor.execute("SELECT last_entry, transaction FROM loyalty_sealnote")
        note = cursor.fetchone()
        if note is None or oldest_transaction(cursor) < note[1]:
            return 0
        return seal_up_to(cursor, note[0])


@transaction.atomic
def _note() -> None:
    """Note the highest id and a transaction number drawn after it, unless an older note still waits."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s), pg_current_xact_id_if_assigned() IS NULL", [LOCK])
        # Whoever has written already has a number, and it may be lower than that of a writer below the highest id.
        if cursor.fetchone() != (True, True):
            return
        cursor.execute(_HIGHEST)
        highest, waits = cursor.fetchone()
        if highest is None or waits:
            return
        cursor.execute("SELECT pg_current_xact_id()::text::bigint")
        cursor.execute(_NOTE, {"last_entry": highest, "transaction": cursor.fetchone()[0]})


_SEALED: Final = "coalesce((SELECT max(last_entry) FROM loyalty_block), 0)"

_COUNT_UNSEALED: Final = f"SELECT count(*) FROM loyalty_entry WHERE id > {_SEALED}"  # noqa: S608

# The highest id that is not sealed yet, and whether a note waits. One whose number lies in the future came with a
# dump from another server, where transactions are counted otherwise: it is noted anew.
_HIGHEST: Final = f"""
SELECT (SELECT max(id) FROM loyalty_entry WHERE id > {_SEALED}),
       EXISTS (SELECT FROM loyalty_sealnote
                WHERE last_entry > {_SEALED} AND transaction < pg_snapshot_xmax(pg_current_snapshot())::text::bigint)
"""  # noqa: S608

_NOTE: Final = """
INSERT INTO loyalty_sealnote (id, last_entry, transaction, noted_at)
VALUES (1, %(last_entry)s, %(transaction)s, now())
ON CONFLICT (id) DO UPDATE
   SET last_entry = excluded.last_entry, transaction = excluded.transaction, noted_at = excluded.noted_at
"""

_SEAL: Final = f"""
WITH block AS (
    SELECT %(form)s::smallint AS form, coalesce(max(number), 0) + 1 AS number, coalesce(max(last_entry), 0) AS after,
           coalesce((SELECT hash FROM loyalty_block ORDER BY number DESC LIMIT 1), ''::bytea) AS previous_hash
      FROM loyalty_block
), hashed AS (
    SELECT entry.id, {_ENTRY_HASH} AS hash
      FROM block, loyalty_entry entry WHERE entry.id > (SELECT after FROM block) AND entry.id <= %(up_to)s
     ORDER BY entry.id LIMIT %(most)s
), summed AS (
    SELECT count(*) AS entries, min(id) AS first_entry, max(id) AS last_entry,
           string_agg(hash, ''::bytea ORDER BY id) AS rows,
           array_agg(id ORDER BY id) AS entry_ids, array_agg({_PRINT} ORDER BY id) AS entry_prints
      FROM hashed HAVING count(*) > 0
), sealed AS (
    INSERT INTO loyalty_block (number, form, first_entry, last_entry, entries, previous_hash, hash,
                               entry_ids, entry_prints, sealed_at)
    SELECT number, form, first_entry, last_entry, entries, previous_hash, {_BLOCK_HASH}, entry_ids, entry_prints, now()
      FROM block, summed
    RETURNING number, entries, last_entry, hash
), noted AS (
    UPDATE loyalty_sealnote SET number = sealed.number, hash = sealed.hash FROM sealed
)
SELECT sealed.entries, block.after, sealed.last_entry FROM sealed, block
"""  # noqa: S608

# Everything that was changed behind the program's back. A block is recomputed from the entries between the end of
# the one before it and its own; only where that does not come to its hash are its entries looked at one by one.
CHECK: Final = f"""
WITH chain AS (
    SELECT block.*, lag(number, 1, 0::bigint) OVER in_order AS number_before,
           lag(hash, 1, ''::bytea) OVER in_order AS hash_before,
           lag(last_entry, 1, 0::bigint) OVER in_order AS last_before
      FROM loyalty_block block WINDOW in_order AS (ORDER BY number)
), block AS (
    SELECT chain.*, CASE WHEN number = number_before + 1 THEN last_before ELSE first_entry - 1 END AS after FROM chain
), broken AS MATERIALIZED (
    SELECT block.* FROM block, LATERAL (
        SELECT string_agg({_ENTRY_HASH}, ''::bytea ORDER BY entry.id) AS rows
          FROM loyalty_entry entry WHERE entry.id > block.after AND entry.id <= block.last_entry) recomputed
     WHERE rows IS NULL OR hash <> {_BLOCK_HASH} OR cardinality(entry_ids) <> entries
), sealed AS (
    SELECT block.number, sealed.id, sealed.print
      FROM broken block, LATERAL unnest(block.entry_ids, block.entry_prints) AS sealed(id, print)
), present AS (
    SELECT number, id, {_PRINT} AS print FROM (
        SELECT block.number, entry.id, {_ENTRY_HASH} AS hash
          FROM broken block JOIN loyalty_entry entry ON entry.id > block.after AND entry.id <= block.last_entry) hashed
), named AS (
    SELECT number, id AS entry,
           CASE WHEN present.print IS NULL THEN 'entry was removed'
                WHEN sealed.print IS NULL THEN 'entry was slipped in'
                ELSE 'entry was changed' END AS finding
      FROM sealed FULL JOIN present USING (number, id) WHERE sealed.print IS DISTINCT FROM present.print
)
SELECT number AS block, finding, entry FROM named
UNION ALL
SELECT number, 'block was changed', NULL FROM broken WHERE number NOT IN (SELECT number FROM named)
UNION ALL
SELECT missing, 'block was removed', NULL FROM chain, generate_series(number_before + 1, number - 1) AS missing
UNION ALL
SELECT number, 'does not follow the block before it', NULL
  FROM chain WHERE number = number_before + 1 AND previous_hash <> hash_before
UNION ALL
SELECT note.number, 'last block was removed or replaced', NULL
  FROM loyalty_sealnote note LEFT JOIN loyalty_block block ON block.number = note.number
 WHERE note.number IS NOT NULL AND block.hash IS DISTINCT FROM note.hash
"""  # noqa: S608
