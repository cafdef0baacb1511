"""Taking parts of awards back: one, or those of many members at once, by the same reckoning (docs/adr/0008)."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from django.db import IntegrityError, connection, transaction
from django.db.models import BigIntegerField, F, Sum
from django.db.models.fields.json import KT
from django.db.models.functions import Cast

from loyalty.ledger.errors import AlreadyReversed, InsufficientPoints, KeyReused, MoreThanAwarded
from loyalty.ledger.expiry import expire_if_due
from loyalty.ledger.lots import Portion, portions_of
from loyalty.ledger.movement import Movement
from loyalty.ledger.posting import drawn_up, lock
from loyalty.ledger.sources import expired_of, lots_of
from loyalty.models import Account, Draw, Entry, Lot, Policy


@dataclass(frozen=True, kw_only=True)
class Taking:
    """A part of an award that is to be taken back; ``key``, ``occurred_at`` and ``explanation`` are its entry's."""

    award: Entry
    points: int
    qualifying: int
    key: str
    occurred_at: datetime
    explanation: dict[str, Any]

    @property
    def told(self) -> dict[str, Any]:
        """The explanation with what is asked for."""
        return self.explanation | {"asked": self.points, "asked_qualifying": self.qualifying}

    @property
    def movement(self) -> Movement:
        """The movement without its points, which depend on what is there."""
        award = self.award
        return Movement(
            member_id=award.member_id,
            kind=Entry.Kind.CLAWBACK,
            points=0,
            qualifying=-self.qualifying,
            counts_at=(award.counts_at or award.occurred_at) if self.qualifying else None,
            key=self.key,
            occurred_at=self.occurred_at,
            explanation=self.told,
            purchase_id=award.purchase_id,
            rule_version_id=award.rule_version_id,
            award_id=award.pk,
        )


@dataclass(frozen=True, kw_only=True)
class _Taken:
    """What clawbacks of one award asked for so far, and how much of that was taken or let go."""

    asked: int = 0
    qualifying: int = 0
    settled: int = 0


def claw_back(
    award: Entry,
    *,
    points: int,
    qualifying: int,
    key: str,
    policy: str,
    occurred_at: datetime,
    explanation: dict[str, Any],
) -> Entry | None:
    """Take a part of an award back; all parts together never come to more than the award.

    Points of the award that have expired are gone already and not taken a second time: the member gives
    back only what exceeds them. ``policy`` decides what happens to points that are spent. The entry says
    what was asked for, what had expired of it and what was let go; it may come to nothing. None where
    nothing is asked for. The same key with the same input returns the first entry.

    Raises :class:`~loyalty.ledger.MoreThanAwarded`, :class:`~loyalty.ledger.AlreadyReversed`,
    :class:`~loyalty.ledger.InsufficientPoints` and :class:`~loyalty.ledger.KeyReused`.
    """
    if points < 0 or qualifying < 0:
        raise ValueError(f"a clawback takes points, not {points} and {qualifying}")
    if not points and not qualifying:
        return None
    taking = Taking(
        award=award, points=points, qualifying=qualifying, key=key, occurred_at=occurred_at, explanation=explanation
    )
    with transaction.atomic():
        account = lock(award.member_id)
        if before := taking.movement.written_before():
            return before
        if Entry.objects.filter(reverses=award).exists():
            raise AlreadyReversed(award.pk)
        expire_if_due(account, occurred_at)
        holdings = Holdings([account], [award])
        [entry] = holdings.take([taking], policy)
        holdings.write()
    return entry


class Holdings:
    """What some members hold and owe, and what was taken of some of their awards before: read once, written once.

    Their accounts are locked, what has expired by the moment of each taking is taken out, none of the awards is
    reversed, and the keys are new.
    """

    def __init__(self, accounts: Iterable[Account], awards: Sequence[Entry]) -> None:
        self._accounts = {account.pk: account for account in accounts}
        self._lots: dict[int, list[Lot]] = defaultdict(list)
        held = Lot.objects.filter(member__in=self._accounts, remaining__gt=0)
        for lot in held.order_by(F("expires_at").asc(nulls_last=True), "activates_at", "id"):
            self._lots[lot.member_id].append(lot)
        ids = [award.pk for award in awards]
        self._own = lots_of(ids)
        self._expired = expired_of(self._own)
        self._taken = defaultdict(_Taken, _taken_of(ids))
        self._entries: list[tuple[Entry, list[Portion]]] = []

    def take(self, takings: Sequence[Taking], policy: str) -> list[Entry]:
        """Take these parts of one member's awards back, one after the other: all or none. Not written yet.

        Raises :class:`~loyalty.ledger.MoreThanAwarded`, and :class:`~loyalty.ledger.InsufficientPoints`: the latter
        leaves everything as it was.
        """
        planned: list[tuple[Entry, list[Portion]]] = []
        before = {taking.award.pk: self._taken[taking.award.pk] for taking in takings}
        try:
            for taking in takings:
                self._take(taking, policy, planned)
        except InsufficientPoints:
            for entry, portions in reversed(planned):
                self._put_back(entry, portions)
            self._taken.update(before)
            raise
        self._entries += planned
        return [entry for entry, _portions in planned]

    def write(self) -> None:
        """Put everything that was taken into the ledger."""
        if not self._entries:
            return
        try:
            Entry.objects.bulk_create([entry for entry, _portions in self._entries])
        except IntegrityError as error:
            # Another member's request took the same key in the meantime: this one's input is another.
            if "idempotency_key" in str(error):
                raise KeyReused(", ".join(entry.idempotency_key for entry, _portions in self._entries[:1])) from error
            raise
        Draw.objects.bulk_create(
            Draw(entry=entry, lot=lot, points=points) for entry, portions in self._entries for lot, points in portions
        )
        drawn: Counter[int] = Counter()
        for _entry, portions in self._entries:
            drawn.update({lot.pk: points for lot, points in portions})
        moved = {entry.member_id for entry, _portions in self._entries}
        accounts = [account for pk, account in self._accounts.items() if pk in moved]
        with connection.cursor() as cursor:
            cursor.execute(_LESSEN_LOTS, [list(drawn), list(drawn.values())])
            columns = ("pk", "balance", "debt", "version")
            cursor.execute(_MOVE_ACCOUNTS, [[getattr(account, name) for account in accounts] for name in columns])
        self._entries = []

    def _take(self, taking: Taking, policy: str, planned: list[tuple[Entry, list[Portion]]]) -> None:
        award, account = taking.award, self._accounts[taking.award.member_id]
        due = self._due(taking)
        portions, missing = portions_of(due, self._own_lots_first(award, taking.occurred_at))
        if missing and policy == Policy.REFUSE:
            raise InsufficientPoints(available=due - missing, needed=due)
        let_go = missing if policy == Policy.TAKE else 0
        told = taking.told
        if due < taking.points:
            told["expired"] = taking.points - due
        if let_go:
            told["let_go"] = let_go
        movement = replace(taking.movement, points=let_go - due, debt=missing - let_go, explanation=told)
        entry = drawn_up(account, movement)
        account.balance, account.debt, account.version = entry.balance_after, entry.debt_after, entry.seq
        for lot, points in portions:
            lot.remaining -= points
        before = self._taken[award.pk]
        self._taken[award.pk] = _Taken(
            asked=before.asked + taking.points,
            qualifying=before.qualifying + taking.qualifying,
            settled=before.settled + due,
        )
        planned.append((entry, portions))

    def _put_back(self, entry: Entry, portions: Sequence[Portion]) -> None:
        account = self._accounts[entry.member_id]
        account.balance -= entry.points
        account.debt -= entry.debt
        account.version -= 1
        for lot, points in portions:
            lot.remaining += points

    def _due(self, taking: Taking) -> int:
        """How much of what is asked for is still to be taken: what expired of the award counts as given back."""
        award, before = taking.award, self._taken[taking.award.pk]
        asked = before.asked + taking.points
        if asked > award.points or before.qualifying + taking.qualifying > award.qualifying:
            raise MoreThanAwarded(award.pk)
        return max(min(asked - self._expired.get(award.pk, 0) - before.settled, taking.points), 0)

    def _own_lots_first(self, award: Entry, at: datetime) -> list[Lot]:
        return own_first(self._lots[award.member_id], self._own[award.pk], at)


def own_first(lots: Iterable[Lot], own: Sequence[int], at: datetime) -> list[Lot]:
    """Lots in the order in which an award is taken back: its own, what can be spent, and what is still pending."""
    return sorted(lots, key=lambda lot: (lot.pk not in own, lot.activates_at is None or lot.activates_at > at))


def _taken_of(awards: Sequence[int]) -> dict[int, _Taken]:
    """What was taken of these awards before."""
    parts = Entry.objects.filter(award__in=awards, kind=Entry.Kind.CLAWBACK, reversed_by__isnull=True).order_by()
    told = parts.annotate(
        asked=Cast(KT("explanation__asked"), BigIntegerField()),
        let_go=Cast(KT("explanation__let_go"), BigIntegerField()),
    )
    sums = told.values_list("award").annotate(Sum("asked"), Sum("qualifying"), Sum("points"), Sum("let_go"))
    return {
        award: _Taken(asked=asked or 0, qualifying=-(qualifying or 0), settled=(let_go or 0) - (points or 0))
        for award, asked, qualifying, points, let_go in sums
    }


_LESSEN_LOTS: Final = """
UPDATE loyalty_lot lot SET remaining = remaining - drawn.points
  FROM unnest(%s::bigint[], %s::bigint[]) AS drawn(lot_id, points) WHERE lot.id = drawn.lot_id
"""

_MOVE_ACCOUNTS: Final = """
UPDATE loyalty_account account SET balance = moved.balance, debt = moved.debt, version = moved.version
  FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[]) AS moved(member_id, balance, debt, version)
 WHERE account.member_id = moved.member_id
"""
