"""What one member has, of every sort, in one query."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.db import connection

from loyalty.ledger.lots import state_sql


@dataclass(frozen=True, kw_only=True)
class Balances:
    """Whole points. ``available`` can be spent.

    ``pending`` becomes active at a known time, ``held`` waits to be released, ``expired`` is taken out with
    the next run. ``debt`` is owed. ``qualifying`` is all that ever counted for tiers by then.
    """

    balance: int
    available: int
    pending: int
    held: int
    expired: int
    debt: int
    qualifying: int


def balances_of(member_id: int, at: datetime) -> Balances:
    """What a member has at a moment."""
    with connection.cursor() as cursor:
        cursor.execute(_BALANCES, {"member": member_id, "at": at})
        balance, debt, available, pending, held, expired, qualifying = map(int, cursor.fetchone())
    return Balances(
        balance=balance,
        available=available,
        pending=pending,
        held=held,
        expired=expired,
        debt=debt,
        qualifying=qualifying,
    )


_STATE: Final = state_sql("%(at)s")

_BALANCES: Final = f"""
WITH lot AS (
    SELECT remaining, {_STATE} AS state
      FROM loyalty_lot lot WHERE member_id = %(member)s AND remaining > 0
), counted AS (
    SELECT coalesce(sum(qualifying), 0) AS points
      FROM loyalty_entry WHERE member_id = %(member)s AND coalesce(counts_at, occurred_at) <= %(at)s
), account AS (
    SELECT coalesce(sum(balance), 0) AS balance, coalesce(sum(debt), 0) AS debt
      FROM loyalty_account WHERE member_id = %(member)s
)
SELECT account.balance, account.debt,
       coalesce(sum(remaining) FILTER (WHERE state = 'usable'), 0),
       coalesce(sum(remaining) FILTER (WHERE state = 'pending'), 0),
       coalesce(sum(remaining) FILTER (WHERE state = 'held'), 0),
       coalesce(sum(remaining) FILTER (WHERE state = 'expired'), 0),
       counted.points
  FROM account CROSS JOIN counted LEFT JOIN lot ON true
 GROUP BY account.balance, account.debt, counted.points
"""  # noqa: S608
