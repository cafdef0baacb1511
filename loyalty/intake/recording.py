"""One purchase: written, rewarded and counted for the tier in one transaction."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from operator import attrgetter
from typing import Any, Final, LiteralString, NamedTuple, Required, TypedDict, Unpack

from django.conf import settings
from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper
from django.utils import timezone
from psycopg import sql

from loyalty import ledger, rewards, rules, tiers
from loyalty.intake import refund_batch, refunds
from loyalty.intake.earning import earn_for_one
from loyalty.intake.lines import LineInput, settle, to_cents
from loyalty.models import Account, Entry
from loyalty.rules import gathering
from loyalty.rules.events import PURCHASE
from members.importing.dates import latest_moment
from members.models import Purchase, PurchaseLine
from staff.statements import prepared

_IDENTITY: Final = ("member_id", "external_id", "purchased_at", "amount", "currency", "value")
# What a file may have said nothing about.
_DETAILS: Final = ("channel", "store", "category")
_COLUMNS: Final[dict[str, LiteralString]] = {
    "key": "text",
    "member_id": "bigint",
    "purchased_at": "timestamptz",
    "amount": "numeric",
    "currency": "text",
    "rate": "numeric",
    "value": "numeric",
    "channel": "text",
    "store": "text",
    "category": "text",
    "external_id": "text",
    "input_hash": "bytea",
    "created_at": "timestamptz",
}
_LINE: Final = ("line_no", "sku", "product", "brand", "category", "quantity", "amount")


class PurchaseDiffers(ledger.KeyReused):
    """The key of a purchase came back with anything else than it came with first."""


class LiesInTheFuture(ValueError):
    """A purchase cannot have been made more than a day from now."""


class RateMissing(ValueError):
    """A purchase in another currency needs the rate of its day."""


class Sale(TypedDict, total=False):
    """What is told of a purchase.

    ``amount`` is in ``currency`` (empty: the programme's); ``rate`` is programme currency per unit and
    needed for any other (:class:`RateMissing`). ``lines``, less the ``discount`` on all of them and with
    the ``charges`` that stand on none, must come to it (:class:`~loyalty.intake.lines.WrongLines`).
    ``redemptions`` are the ids of those whose points paid a part of it
    (:class:`~loyalty.rewards.NotTheirs`).
    """

    member_id: Required[int]
    key: Required[str]
    purchased_at: Required[datetime]
    amount: Required[Decimal]
    currency: str
    rate: Decimal | None
    receipt: str
    channel: str
    store: str
    category: str
    lines: Sequence[LineInput]
    discount: Decimal
    charges: Decimal
    redemptions: Sequence[int]


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """A purchase, the entries it earned (one for each rule that gave points), and whether it was new.

    ``lines`` in order. ``stands``: nothing was taken back of what it earned, as far as is known without asking.
    """

    purchase: Purchase
    lines: Sequence[PurchaseLine]
    entries: Sequence[Entry]
    is_new: bool
    stands: bool

    @property
    def points(self) -> int:
        """What it earned in all."""
        return sum(entry.points for entry in self.entries)


def record_purchase(**sale: Unpack[Sale]) -> Recorded:
    """Take one purchase in: it earns by the rules in force then and the tier that the member had just before it.

    A time more than a day ahead is refused (:class:`LiesInTheFuture`), and so is what would earn absurdly much
    (:class:`~loyalty.rules.TooManyPoints`). The same key with the same content returns what was recorded first;
    with other content it raises :class:`PurchaseDiffers`.
    """
    with transaction.atomic():
        return record_within(**sale)


def record_within(**sale: Unpack[Sale]) -> Recorded:
    """As :func:`record_purchase`, in a transaction of the caller's, who rolls it back for whatever this raises."""
    drawn, settled = draw_up(**sale)
    member_id, redemptions = drawn.member_id, sale.get("redemptions", ())
    # A refund that waits for this purchase gives points back to those who paid for these.
    for payer in sorted({member_id} | rewards.payers(redemptions)) if redemptions else ():
        ledger.lock(payer)
    with prepared() as cursor:
        account, is_new = _write(cursor, drawn)
        if not is_new:
            return _recorded_before(drawn, settled, redemptions)
        _write_lines(drawn, settled)
        if redemptions:
            rewards.pays(redemptions, drawn)
        known = _known(cursor, drawn)
        earned = _earn(cursor, drawn, settled, account, known)
    refunded = bool(known.has_refunds and refund_batch.apply_waiting([drawn]))
    if refunded:
        refunds.look_at_tiers([member_id])
    if known.has_sliding_lots:
        ledger.prolong([member_id], drawn.purchased_at)
    settled.sort(key=attrgetter("line_no"))
    return Recorded(purchase=drawn, lines=settled, entries=earned, is_new=True, stands=not refunded)


def _recorded_before(drawn: Purchase, lines: Sequence[PurchaseLine], redemptions: Sequence[int]) -> Recorded:
    purchase = Purchase.objects.get(key=drawn.key)
    refuse_difference(purchase, drawn, lines, redemptions)
    entries = Entry.objects.filter(purchase=purchase, kind=Entry.Kind.EARN).order_by("seq")
    return Recorded(
        purchase=purchase, lines=list(purchase.lines.all()), entries=list(entries), is_new=False, stands=False
    )


class _Known(NamedTuple):
    """What is in force when a purchase is made, whether something else waits for it, and where its member stood."""

    ladder: tiers.Ladder
    terms: Sequence[rules.Terms]
    has_refunds: bool
    has_sliding_lots: bool
    stood: tiers.Stood


def _known(cursor: CursorWrapper, purchase: Purchase) -> _Known:
    """Read it, of a purchase that is written: a refund that comes meanwhile waits for this transaction."""
    at = purchase.purchased_at
    asked: dict[str, Any] = {"first": at, "last": at, "since": at, "key": purchase.key, "member": purchase.member_id}
    cursor.execute(_KNOWN, asked)
    ladder, versions, has_refunds, has_sliding_lots, *stood = cursor.fetchone()
    terms = [terms for terms in rules.Period(at, at, told=versions).terms if terms.definition.event == PURCHASE]
    return _Known(tiers.read_ladder(ladder), terms, has_refunds, has_sliding_lots, tiers.Stood(*stood))


def _earn(
    cursor: CursorWrapper, purchase: Purchase, lines: Sequence[PurchaseLine], account: Account, known: _Known
) -> list[Entry]:
    """Award what the purchase earns, and bring its member's tier up to date."""
    member_id, now, terms = purchase.member_id, timezone.now(), known.terms
    since = {member_id: purchase.purchased_at}
    look = tiers.Look(cursor, [member_id], ladder=known.ladder, now=now, since=since, stood=[known.stood])
    gathered = gathering.of_purchase(cursor, purchase, lines, rules.needs(terms), look.before)
    earned = earn_for_one(cursor, gathered, terms=terms, look=look, purchase=purchase, account=account)
    if any(entry.lot.expires_at and entry.lot.expires_at <= now for entry in earned):
        with connection.cursor() as plain:
            ledger.expire_members(plain, [member_id], now)
    look.settle()
    return earned


def draw_up(
    *,
    member_id: int,
    key: str,
    purchased_at: datetime,
    amount: Decimal,
    currency: str = "",
    rate: Decimal | None = None,
    receipt: str = "",
    channel: str = "",
    store: str = "",
    category: str = "",
    lines: Sequence[LineInput] = (),
    discount: Decimal = Decimal(0),
    charges: Decimal = Decimal(0),
    redemptions: Sequence[int] = (),
) -> tuple[Purchase, list[PurchaseLine]]:
    """A purchase and its lines as they will be written. Raises what :func:`record_purchase` does of the input alone."""
    if purchased_at > latest_moment():
        raise LiesInTheFuture(purchased_at.isoformat())
    currency = currency or settings.PROGRAMME_CURRENCY
    if rate is None:
        if currency != settings.PROGRAMME_CURRENCY:
            raise RateMissing(currency)
        rate = Decimal(1)
    value = to_cents(amount * rate)
    purchase = Purchase(
        member_id=member_id,
        key=key,
        external_id=receipt,
        purchased_at=purchased_at,
        amount=amount,
        currency=currency,
        rate=rate,
        value=value,
        channel=channel,
        store=store,
        category=category,
    )
    settled = settle(lines, amount=amount, value=value, discount=discount, charges=charges)
    purchase.input_hash = _input_hash(purchase, lines, discount, charges, redemptions)
    return purchase, settled


def refuse_difference(
    known: Purchase, drawn: Purchase, lines: Sequence[PurchaseLine], redemptions: Sequence[int] = ()
) -> None:
    """Raise :class:`PurchaseDiffers` where a purchase of this key was recorded with other content."""
    if known.input_hash is None:
        same = _stands_as(known, drawn, lines, redemptions)
    else:
        same = bytes(known.input_hash) == drawn.input_hash
    if not same:
        raise PurchaseDiffers(known.key)


def _input_hash(
    purchase: Purchase,
    lines: Sequence[LineInput],
    discount: Decimal,
    charges: Decimal,
    redemptions: Sequence[int],
) -> bytes:
    """SHA-256 of all that the caller said: the same however numbers, times and defaults are written."""
    told = {
        "member": purchase.member_id,
        "receipt": purchase.external_id,
        "purchased_at": purchase.purchased_at.astimezone(UTC).isoformat(),
        "amount": _digits(purchase.amount),
        "currency": purchase.currency,
        "rate": _digits(purchase.rate),
        "details": [getattr(purchase, name) for name in _DETAILS],
        "lines": sorted(
            [
                line.line_no or place,
                line.sku,
                line.product,
                line.brand,
                line.category,
                _digits(line.quantity),
                _digits(line.amount),
            ]
            for place, line in enumerate(lines, 1)
        ),
        "discount": _digits(discount),
        "charges": _digits(charges),
        "redemptions": sorted(set(redemptions)),
    }
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).digest()


def _digits(number: Decimal) -> str:
    return f"{number.normalize():f}"


def _stands_as(known: Purchase, drawn: Purchase, lines: Sequence[PurchaseLine], redemptions: Sequence[int]) -> bool:
    """Whether a purchase without a hash (a file's, or from before there were hashes) is what is said now."""
    from_file = known.import_run_id is not None
    names = [*_IDENTITY, *(name for name in _DETAILS if not from_file or getattr(known, name))]
    names += [] if from_file else ["rate"]
    if any(getattr(known, name) != getattr(drawn, name) for name in names):
        return False
    had, has = ({tuple(getattr(line, name) for name in _LINE) for line in some} for some in (known.lines.all(), lines))
    return had == has and set(known.redemptions.values_list("pk", flat=True)) == set(redemptions)


def _write(cursor: CursorWrapper, purchase: Purchase) -> tuple[Account, bool]:
    """Lock the member's account, then write the purchase; not where one of its key is there.

    Waits for whoever writes one of this key just now.
    """
    purchase.created_at = timezone.now()
    values = {name: getattr(purchase, name) for name in _COLUMNS}
    cursor.execute(_LOCK_AND_INSERT, values)
    row = cursor.fetchone()
    if row is None:
        ledger.lock(purchase.member_id)  # opens it
        cursor.execute(_LOCK_AND_INSERT, values)
        row = cursor.fetchone()
    *account, purchase.pk = row
    purchase._state.adding = purchase.pk is None
    return ledger.account_of(account), purchase.pk is not None


def _write_lines(purchase: Purchase, lines: Sequence[PurchaseLine]) -> None:
    for line in lines:
        line.purchase = purchase
    PurchaseLine.objects.bulk_create(lines)


# Typed, or a time would be taken for a text; the columns see to lengths and decimals.
_VALUES: Final = sql.SQL(", ").join(
    sql.SQL("{}::{}").format(sql.Placeholder(name), sql.SQL(type_of)) for name, type_of in _COLUMNS.items()
)

# In this order: the purchase comes from the account, so the account is locked before anything of it is written.
_LOCK_AND_INSERT: Final = (
    sql.SQL(
        """
WITH account AS MATERIALIZED (
    SELECT member_id, balance, debt, version FROM loyalty_account WHERE member_id = %(member_id)s FOR UPDATE
), made AS (
    INSERT INTO members_purchase ({}) SELECT {} FROM account ON CONFLICT (key) DO NOTHING RETURNING id
)
SELECT account.member_id, balance, debt, version, made.id FROM account LEFT JOIN made ON true
"""
    )
    .format(sql.SQL(", ").join(map(sql.Identifier, _COLUMNS)), _VALUES)
    .as_string()
)

# Few purchases are waited for by a refund, and few programmes have points that live on with each purchase.
_KNOWN: Final = (
    sql.SQL(
        """
SELECT {}, {}, EXISTS (SELECT FROM members_refund WHERE purchase_key = %(key)s AND state = 'waiting'),
       EXISTS (SELECT FROM loyalty_lot WHERE member_id = %(member)s AND remaining > 0 AND idle_months IS NOT NULL),
       stood.*
  FROM ({}) AS stood
"""
    )
    .format(sql.SQL(tiers.LADDER), sql.SQL(rules.IN_FORCE), sql.SQL(tiers.STOOD))
    .as_string()
)
