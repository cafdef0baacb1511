"""Which gifts moves upwards earn: put down as due with the move, in its transaction (docs/adr/0019)."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple

from django.db import transaction
from django.db.backends.utils import CursorWrapper

from loyalty.tier_models import TierScheme

# Moves upwards for which the member did nothing: given by hand, or made by a new scheme.
NOT_EARNED: Final = frozenset({"granted", "grant_ended", "scheme"})


class Earned(NamedTuple):
    """A member reached a tier at a moment by what they did, or passed it on the way to a higher one."""

    member_id: int
    tier_id: int
    at: datetime
    is_passed: bool = False


def promise(cursor: CursorWrapper, earned: Sequence[Earned], scheme: TierScheme) -> int:
    """Put down what the tiers reached and passed give, once for each time that they are earned; return how many gifts.

    Only by benefits that were there when the tier was reached. Whoever has had the gift gets it again only after
    a fall that time brought (what counts left its window, the tier's validity or grace ended), not after one by
    a refund. Call it in the transaction that has locked the members' accounts, after the moves are written.
    """
    members, tiers, moments, passed = zip(*earned, strict=True)
    params: dict[str, list[int] | list[datetime] | list[bool] | int] = {
        "members": list(members),
        "tiers": list(tiers),
        "moments": list(moments),
        "passed": list(passed),
        "grace_days": scheme.grace_days + 1,  # one more, because a day may have 25 hours
    }
    cursor.execute(_PROMISE, params)
    promised: int = cursor.rowcount
    if promised:
        transaction.on_commit(_announce, robust=True)
    return promised


def _announce() -> None:
    """Tell the workers. If the broker is down, the clock tells them within a minute."""
    from loyalty.tasks import hand_out_gifts

    hand_out_gifts.apply_async(retry=False)


# The unique key is of member, benefit and the last fall, so that two moves of one statement give once as well. That
# no gift is younger than the fall holds also where a purchase that came late has moved the fall itself.
_PROMISE: Final = """
INSERT INTO loyalty_tiergift (member_id, benefit_id, tier_id, text, text_zh, reward_id, points, reached_at, lost_at,
                              created_at)
SELECT move.member_id, benefit.id, benefit.tier_id, benefit.text, benefit.text_zh, benefit.reward_id, benefit.points,
       move.reached_at, lost.at, now()
  FROM unnest(%(members)s::bigint[], %(tiers)s::bigint[], %(moments)s::timestamptz[], %(passed)s::boolean[])
       AS move(member_id, tier_id, reached_at, is_passed)
  JOIN loyalty_tierbenefit benefit ON benefit.tier_id = move.tier_id AND benefit.created_at <= move.reached_at
   AND (benefit.reward_id IS NOT NULL OR benefit.points > 0) AND (benefit.when_passed OR NOT move.is_passed)
  JOIN loyalty_tier tier ON tier.id = move.tier_id
 CROSS JOIN LATERAL (
       SELECT max(fall.changed_at) AS at
         FROM loyalty_tierchange fall
         JOIN loyalty_tier before ON before.id = fall.from_tier_id
         JOIN loyalty_tier after ON after.id = fall.to_tier_id
        WHERE fall.member_id = move.member_id AND fall.changed_at <= move.reached_at
          AND before.rank >= tier.rank AND after.rank < tier.rank
          AND (fall.evidence->>'cause' IN ('window', 'validity')
               OR (fall.evidence->>'cause' = 'grace' AND NOT EXISTS (
                       SELECT FROM members_refund refund
                        WHERE refund.member_id = move.member_id AND refund.state = 'applied'
                          AND refund.refunded_at <= fall.changed_at
                          AND refund.refunded_at >= fall.changed_at - make_interval(days => %(grace_days)s::int))))
       ) lost
 WHERE NOT EXISTS (
       SELECT FROM loyalty_tiergift had
        WHERE had.member_id = move.member_id AND had.benefit_id = benefit.id
          AND (lost.at IS NULL OR had.reached_at > lost.at))
 ORDER BY move.reached_at, move.member_id, benefit.id
    ON CONFLICT DO NOTHING
"""
