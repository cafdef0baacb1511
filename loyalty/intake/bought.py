"""What many purchases earn, and what refunds that waited for them take back of it."""

from collections import Counter
from datetime import datetime
from typing import Final

from django.db.backends.utils import CursorWrapper

from loyalty.intake import refunds
from loyalty.intake.earning import earn_for_bought
from loyalty.intake.withdrawal import apply_again


def earn_and_refund(cursor: CursorWrapper, *, now: datetime) -> dict[str, int]:
    """What the purchases of ``loyalty_bought`` earn, as :func:`~loyalty.intake.earning.earn_for_bought`.

    A refund that waited for one of them is applied before its member's later ones are reckoned, which then find a
    purchase that was given back, as they would have one by one. Returns counts by name.
    """
    cursor.execute(_ANY_WAITS)
    if not cursor.fetchone()[0]:
        return earn_for_bought(cursor, now=now)
    cursor.execute("DROP TABLE IF EXISTS pg_temp.loyalty_turns")
    cursor.execute(_TURNS)
    cursor.execute("SELECT max(turn) FROM loyalty_turns")
    notes: Counter[str] = Counter()
    for turn in range(cursor.fetchone()[0] + 1):
        cursor.execute("TRUNCATE loyalty_bought")
        cursor.execute(_TAKE_TURN, [turn])
        notes.update(earn_for_bought(cursor, now=now))
        cursor.execute("SELECT purchase_id, member_id FROM loyalty_turns WHERE turn = %s AND is_refunded", [turn])
        refunded = cursor.fetchall()
        apply_again([purchase for purchase, _member in refunded])
        refunds.look_at_tiers(sorted({member for _purchase, member in refunded}))
        notes["refunds_applied"] += len(refunded)
    return dict(notes)


_WAITS: Final = """
SELECT FROM members_refund refund JOIN members_purchase purchase ON purchase.key = refund.purchase_key
 WHERE purchase.id = bought.purchase_id AND refund.state = 'waiting'
"""
_ANY_WAITS: Final = f"SELECT EXISTS (SELECT FROM loyalty_bought bought WHERE EXISTS ({_WAITS}))"  # noqa: S608

# A member's purchases up to the next one that is refunded are of one turn.
_TURNS: Final = f"""
CREATE TEMPORARY TABLE loyalty_turns ON COMMIT DROP AS
SELECT purchase_id, member_id, purchased_at, is_refunded,
       count(*) FILTER (WHERE is_refunded) OVER (PARTITION BY member_id ORDER BY purchased_at, purchase_id
           ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS turn
  FROM (SELECT bought.*, EXISTS ({_WAITS}) AS is_refunded FROM loyalty_bought bought) AS bought
"""  # noqa: S608

_TAKE_TURN: Final = """
INSERT INTO loyalty_bought (purchase_id, member_id, purchased_at)
SELECT purchase_id, member_id, purchased_at FROM loyalty_turns WHERE turn = %s
"""
