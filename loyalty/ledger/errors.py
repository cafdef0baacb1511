"""What the ledger refuses, and why. Views and the API put these into words."""


class LedgerError(Exception):
    """The ledger refused; nothing was written."""


class InsufficientPoints(LedgerError):
    """A member has fewer points to spend than are asked for."""

    def __init__(self, *, available: int, needed: int) -> None:
        self.available = available
        self.needed = needed
        super().__init__(f"{needed} points are needed, {available} can be spent")


class KeyReused(LedgerError):
    """An idempotency key came back with other input."""

    def __init__(self, key: str) -> None:
        self.key = key
        super().__init__(f"the key {key!r} was used with other input")


class AlreadyReversed(LedgerError):
    """An entry is reversed at most once."""

    def __init__(self, entry_id: int) -> None:
        self.entry_id = entry_id
        super().__init__(f"entry {entry_id} was reversed before")


class MoreThanAwarded(LedgerError):
    """All parts together would take more back than an award gave, or give more back than was taken."""

    def __init__(self, award_id: int) -> None:
        self.award_id = award_id
        super().__init__(f"award {award_id} did not give that much")


class NotReversible(LedgerError):
    """A reversal itself is not reversed: what it took back is awarded or spent anew. A transfer is given back.

    Of a redemption that was partly given back, only the rest is.
    """
