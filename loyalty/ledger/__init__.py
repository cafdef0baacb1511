"""The points ledger: the only writer of accounts, entries, lots and draws.

Every write locks the account first (several: in member order), carries an idempotency key, and leaves
one entry that explains itself. The database checks the sums at commit (docs/adr/0002).
"""

from loyalty.ledger.activity import prolong
from loyalty.ledger.balances import Balances, balances_of
from loyalty.ledger.bulk import STAGING_COLUMNS, lock_accounts, lock_members, post_awards, refresh_plans, stage
from loyalty.ledger.clawbacks import Holdings, Taking, claw_back
from loyalty.ledger.errors import (
    AlreadyReversed,
    InsufficientPoints,
    KeyReused,
    LedgerError,
    MoreThanAwarded,
    NotReversible,
)
from loyalty.ledger.expiry import expire_due, expire_members
from loyalty.ledger.lots import LotState, available, available_to, held_by, state_of, usable_lots, usable_sql
from loyalty.ledger.posting import account_of, award, debt_of, lock, spend
from loyalty.ledger.releasing import release
from loyalty.ledger.returning import give_back, returned
from loyalty.ledger.spending import SPENDING_COLUMNS, post_spends
from loyalty.ledger.taking import ReversalPreview, counts_as_given_back, preview_reversal, reverse
from loyalty.ledger.transferring import transfer
from loyalty.ledger.undo import AlreadySpent, BatchPreview, preview_batch, undo_batch
from loyalty.models import Policy

__all__ = [
    "SPENDING_COLUMNS",
    "STAGING_COLUMNS",
    "AlreadyReversed",
    "AlreadySpent",
    "Balances",
    "BatchPreview",
    "Holdings",
    "InsufficientPoints",
    "KeyReused",
    "LedgerError",
    "LotState",
    "MoreThanAwarded",
    "NotReversible",
    "Policy",
    "ReversalPreview",
    "Taking",
    "account_of",
    "available",
    "available_to",
    "award",
    "balances_of",
    "claw_back",
    "counts_as_given_back",
    "debt_of",
    "expire_due",
    "expire_members",
    "give_back",
    "held_by",
    "lock",
    "lock_accounts",
    "lock_members",
    "post_awards",
    "post_spends",
    "preview_batch",
    "preview_reversal",
    "prolong",
    "refresh_plans",
    "release",
    "returned",
    "reverse",
    "spend",
    "stage",
    "state_of",
    "transfer",
    "undo_batch",
    "usable_lots",
    "usable_sql",
]
