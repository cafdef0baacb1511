"""Posting one entry that gives or takes points: award and spend."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone
from psycopg import sql

from loyalty.ledger.errors import KeyReused
from loyalty.ledger.lots import Portion, all_of, chosen_lots
from loyalty.ledger.movement import Movement
from loyalty.models import Account, Draw, Entry, Lot, Redemption
from loyalty.months import add_months
from members.models import Purchase
from staff.statements import prepared


def award(
    *,
    member_id: int,
    points: int,
    key: str,
    occurred_at: datetime,
    explanation: dict[str, Any],
    purchase: Purchase | None = None,
    rule_version_id: int | None = None,
    qualifying: int | None = None,
    counts_at: datetime | None = None,
    activates_at: datetime | None = None,
    held: bool = False,
    expires_at: datetime | None = None,
    idle_months: int | None = None,
    kind: str = Entry.Kind.EARN,
    account: Account | None = None,
) -> Entry:
    """Give whole points, and ``qualifying`` ones that count for tiers (empty: as many).

    Usable from ``activates_at`` (empty: from ``occurred_at``), or once released where they are ``held``.
    With ``idle_months`` they expire so long after the member's last activity. What the member owes is
    paid first. The same key with the same input returns the first entry; with other input it raises
    :class:`~loyalty.ledger.KeyReused`. Who has locked the ``account`` in this transaction gives it.
    """
    qualifying = points if qualifying is None else qualifying
    if points < 0 or not (points or qualifying):
        raise ValueError(f"an award gives points, not {points}")
    movement = Movement(
        member_id=member_id,
        kind=kind,
        points=points,
        qualifying=qualifying,
        counts_at=counts_at,
        key=key,
        occurred_at=occurred_at,
        explanation=explanation,
        purchase_id=purchase.pk if purchase else None,
        rule_version_id=rule_version_id,
    )
    if idle_months and not expires_at:
        expires_at = add_months(occurred_at, idle_months)
    lot = Lot(
        points=points,
        activates_at=None if held else activates_at or occurred_at,
        expires_at=expires_at,
        idle_months=idle_months,
    )
    if account is not None:
        return bring(account, movement, lot)
    with transaction.atomic():
        return bring(lock(member_id), movement, lot)


def spend(
    *,
    member_id: int,
    points: int,
    key: str,
    occurred_at: datetime,
    explanation: dict[str, Any],
    redemption: Redemption | None = None,
    kind: str = Entry.Kind.REDEEM,
    lots: Sequence[int] | None = None,
) -> Entry:
    """Take whole points from the lots that expire first, then from the oldest; or from ``lots`` only, in that order.

    Only lots that are active and not expired at ``occurred_at`` count. Raises
    :class:`~loyalty.ledger.InsufficientPoints` and :class:`~loyalty.ledger.KeyReused`.
    """
    if points <= 0:
        raise ValueError(f"a spend takes points, not {points}")
    movement = Movement(
        member_id=member_id,
        kind=kind,
        points=-points,
        key=key,
        occurred_at=occurred_at,
        explanation=explanation,
        redemption_id=redemption.pk if redemption else None,
    )
    with transaction.atomic():
        account = lock(member_id)
        if before := movement.written_before():
            return before
        portions = all_of(points, chosen_lots(member_id, occurred_at, lots))
        entry = write(account, movement)
        draw(entry, portions)
        return entry


def lock(member_id: int) -> Account:
    """Open the member's account where there is none, and lock it until the transaction ends."""
    with prepared() as cursor:
        cursor.execute(_LOCK, [member_id])
        row = cursor.fetchone()
        if row is None:
            Account.objects.bulk_create([Account(member_id=member_id)], ignore_conflicts=True)
            cursor.execute(_LOCK, [member_id])
            row = cursor.fetchone()
    return account_of(row)


def account_of(row: Sequence[int]) -> Account:
    """The account of a row of ``member_id, balance, debt, version``."""
    return Account.from_db("default", ["member_id", "balance", "debt", "version"], row)


def debt_of(member_id: int) -> int:
    """The points that a member owes."""
    return Account.objects.filter(member_id=member_id).values_list("debt", flat=True).first() or 0


def bring(account: Account, movement: Movement, lot: Lot) -> Entry:
    """Write an entry that gives points, with its lot; what the member owes is paid out of that lot.

    All in one statement. Where the movement was posted before, it is that entry, or :class:`KeyReused`; the account
    is locked, and brought up to date.
    """
    paid = min(account.debt, movement.points)
    entry = drawn_up(account, replace(movement, debt=-paid))
    entry.created_at = timezone.now()
    values = {name: getattr(entry, name) for name in _ENTRY} | {"explanation": json.dumps(entry.explanation)}
    values |= {f"lot_{name}": getattr(lot, name) for name in ("points", "activates_at", "expires_at", "idle_months")}
    with prepared() as cursor:
        cursor.execute(_BRING, values)
        row = cursor.fetchone()
    if row is None:
        if before := movement.written_before():
            return before
        raise KeyReused(movement.key)
    entry.pk, lot.pk = row
    entry._state.adding = lot._state.adding = False
    account.balance, account.debt, account.version = entry.balance_after, entry.debt_after, entry.seq
    if movement.points:
        lot.entry, lot.member_id, lot.remaining = entry, entry.member_id, lot.points
    if paid:
        draw(entry, [(lot, paid)])
    return entry


def write(account: Account, movement: Movement) -> Entry:
    """Append the entry and move the account, which is locked; ``account`` is brought up to date."""
    entry = drawn_up(account, movement)
    try:
        entry.save(force_insert=True)
    except IntegrityError as error:
        # Another member's request took the same key in the meantime: this one's input is another.
        if "idempotency_key" in str(error):
            raise KeyReused(movement.key) from error
        raise
    account.balance, account.debt, account.version = entry.balance_after, entry.debt_after, entry.seq
    Account.objects.filter(pk=account.pk).update(balance=account.balance, debt=account.debt, version=account.version)
    return entry


def drawn_up(account: Account, movement: Movement) -> Entry:
    """The entry of a movement as it will be written; the account is locked."""
    return Entry(
        member_id=movement.member_id,
        seq=account.version + 1,
        kind=movement.kind,
        points=movement.points,
        balance_after=account.balance + movement.points,
        qualifying=movement.qualifying,
        counts_at=movement.counts_at,
        debt=movement.debt,
        debt_after=account.debt + movement.debt,
        occurred_at=movement.occurred_at,
        idempotency_key=movement.key,
        input_hash=movement.input_hash,
        purchase_id=movement.purchase_id,
        redemption_id=movement.redemption_id,
        rule_version_id=movement.rule_version_id,
        reverses_id=movement.reverses_id,
        award_id=movement.award_id,
        explanation=movement.explanation,
    )


def draw(entry: Entry, portions: list[Portion]) -> None:
    """Move points between an entry and lots. The account is locked, and so are its lots by that."""
    Draw.objects.bulk_create(Draw(entry=entry, lot=lot, points=points) for lot, points in portions)
    for lot, points in portions:
        Lot.objects.filter(pk=lot.pk).update(remaining=F("remaining") - points)


_LOCK: Final = "SELECT member_id, balance, debt, version FROM loyalty_account WHERE member_id = %s FOR UPDATE"

_ENTRY: Final = (
    "member_id", "seq", "kind", "points", "balance_after", "qualifying", "counts_at", "debt", "debt_after",
    "occurred_at", "created_at", "idempotency_key", "input_hash", "purchase_id", "redemption_id", "rule_version_id",
    "reverses_id", "award_id", "explanation",
)  # fmt: skip

# Nothing where the key is there: the account and the lot follow the entry.
_BRING: Final = (
    sql.SQL(
        """
WITH entry AS (
    INSERT INTO loyalty_entry ({}) VALUES ({}) ON CONFLICT (idempotency_key) DO NOTHING
    RETURNING id, member_id, points, balance_after, debt_after, seq
), moved AS (
    UPDATE loyalty_account account SET balance = balance_after, debt = debt_after, version = seq
      FROM entry WHERE account.member_id = entry.member_id
), lot AS (
    INSERT INTO loyalty_lot (entry_id, member_id, points, remaining, activates_at, expires_at, idle_months)
    SELECT id, member_id, %(lot_points)s::bigint, %(lot_points)s::bigint, %(lot_activates_at)s::timestamptz,
           %(lot_expires_at)s::timestamptz, %(lot_idle_months)s::smallint
      FROM entry WHERE points > 0 RETURNING id
)
SELECT entry.id, lot.id FROM entry LEFT JOIN lot ON true
"""
    )
    .format(sql.SQL(", ").join(map(sql.Identifier, _ENTRY)), sql.SQL(", ").join(map(sql.Placeholder, _ENTRY)))
    .as_string()
)
