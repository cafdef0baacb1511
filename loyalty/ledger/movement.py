"""One movement of points before it is written, and the hash that recognises it when it comes again."""

import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from loyalty.ledger.errors import KeyReused
from loyalty.models import Entry

# The same hash as :attr:`Movement.input_hash`, over columns of these names. ``concat_ws`` passes over NULL, so what
# only some kinds have changes no hash of the others.
INPUT_HASH_SQL = """sha256(convert_to(concat_ws('|', member_id, kind,
    CASE kind WHEN 'clawback' THEN '-' || (explanation->>'asked') ELSE points::text END,
    coalesce(purchase_id::text, ''), coalesce(redemption_id::text, ''), coalesce(rule_version_id::text, ''),
    coalesce(reverses_id::text, ''), award_id,
    CASE WHEN kind = 'clawback' THEN '-' || (explanation->>'asked_qualifying')
         WHEN kind = 'transfer' THEN explanation->>'member'
         WHEN points = 0 THEN qualifying::text END), 'UTF8'))"""

# The same again for what a redemption takes; the column ``points`` is above 0.
SPEND_HASH_SQL = """sha256(convert_to(concat_ws('|', member_id, 'redeem', -points, '',
    coalesce(redemption_id::text, ''), '', ''), 'UTF8'))"""


@dataclass(frozen=True, kw_only=True)
class Movement:
    """What an entry will say. ``points`` and ``qualifying`` are signed."""

    member_id: int
    kind: str
    points: int
    key: str
    occurred_at: datetime
    explanation: dict[str, Any] = field(default_factory=dict)
    purchase_id: int | None = None
    redemption_id: int | None = None
    rule_version_id: int | None = None
    reverses_id: int | None = None
    award_id: int | None = None
    qualifying: int = 0
    counts_at: datetime | None = None
    debt: int = 0

    @property
    def input_hash(self) -> bytes:
        """SHA-256 over who gets what and why.

        Times and words are left out: a caller who repeats a request says "now" again, and it is still
        the same request. Of a clawback it is over what was asked for: what it takes depends on what has
        expired and what was spent by then. Of a transfer it is also over the other member.
        """
        points, more = str(self.points), str(self.qualifying) if not self.points else None
        if self.kind == Entry.Kind.CLAWBACK:
            points, more = f"-{self.explanation['asked']}", f"-{self.explanation['asked_qualifying']}"
        elif self.kind == Entry.Kind.TRANSFER:
            more = str(self.explanation["member"])
        causes = (self.purchase_id, self.redemption_id, self.rule_version_id, self.reverses_id)
        parts = [self.member_id, self.kind, points, *("" if cause is None else cause for cause in causes)]
        parts += [part for part in (self.award_id, more) if part is not None]
        return hashlib.sha256("|".join(str(part) for part in parts).encode()).digest()

    def written_before(self) -> Entry | None:
        """The entry that this movement left when it was posted before. Raises :class:`KeyReused`."""
        entry = Entry.objects.filter(idempotency_key=self.key).first()
        if entry and bytes(entry.input_hash) != self.input_hash:
            raise KeyReused(self.key)
        return entry
