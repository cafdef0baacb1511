"""One movement of points before it is written, and the hash that recognises it when it comes again."""

import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from loyalty.ledger.errors import KeyReused
from loyalty.models import Entry

# The same hash as :attr:`Movement.input_hash`, over columns of these names.
INPUT_HASH_SQL = """sha256(convert_to(concat_ws('|', member_id, kind, points, coalesce(purchase_id::text, ''),
    coalesce(redemption_id::text, ''), coalesce(rule_version_id::text, ''),
    coalesce(reverses_id::text, '')), 'UTF8'))"""

# The same again for what a redemption takes; the column ``points`` is above 0.
SPEND_HASH_SQL = """sha256(convert_to(concat_ws('|', member_id, 'redeem', -points, '',
    coalesce(redemption_id::text, ''), '', ''), 'UTF8'))"""


@dataclass(frozen=True, kw_only=True)
class Movement:
    """What an entry will say. ``points`` is signed."""

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

    @property
    def input_hash(self) -> bytes:
        """SHA-256 over who gets what and why.

        Times and words are left out: a caller who repeats a request says "now" again, and it is still
        the same request.
        """
        causes = (self.purchase_id, self.redemption_id, self.rule_version_id, self.reverses_id)
        parts = [self.member_id, self.kind, self.points, *("" if cause is None else cause for cause in causes)]
        return hashlib.sha256("|".join(str(part) for part in parts).encode()).digest()

    def written_before(self) -> Entry | None:
        """The entry that this movement left when it was posted before. Raises :class:`KeyReused`."""
        entry = Entry.objects.filter(idempotency_key=self.key).first()
        if entry and bytes(entry.input_hash) != self.input_hash:
            raise KeyReused(self.key)
        return entry
