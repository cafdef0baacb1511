"""The points ledger: the only writer of accounts, entries, lots and draws.

Every write locks the account first (several: in member order), carries an idempotency key, and leaves
one entry that explains itself. The database checks the sums at commit (docs/adr/0002).
"""

from loyalty.ledger.bulk import STAGING_COLUMNS, post_awards
from loyalty.ledger.errors import (
    AlreadyReversed,
    InsufficientPoints,
    KeyReused,
    LedgerError,
    NotReversible,
)
from loyalty.ledger.expiry import expire_due
from loyalty.ledger.posting import available, available_to, award, reverse, spend
from loyalty.ledger.spending import SPENDING_COLUMNS, post_spends
from loyalty.ledger.undo import AlreadySpent, BatchPreview, preview_batch, undo_batch

__all__ = [
    "SPENDING_COLUMNS",
    "STAGING_COLUMNS",
    "AlreadyReversed",
    "AlreadySpent",
    "BatchPreview",
    "InsufficientPoints",
    "KeyReused",
    "LedgerError",
    "NotReversible",
    "available",
    "available_to",
    "award",
    "expire_due",
    "post_awards",
    "post_spends",
    "preview_batch",
    "reverse",
    "spend",
    "undo_batch",
]
