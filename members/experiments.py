"""Which arm of an experiment a member is in.

The arm is a hash of experiment and member, so that it is the same on every machine, in Python and in
SQL, and needs no write. The hash is cut into 10,000 equal buckets, shares are whole percents.
"""

import hashlib
from collections.abc import Sequence
from typing import TypedDict

CONTROL = "control"
BUCKETS = 10_000

# The same as :func:`bucket`, for the experiment key bound as a parameter and a column "member_id".
BUCKET_SQL = "(('x' || left(md5(%s || ':' || member_id), 8))::bit(32)::bigint %% 10000)"


class Arm(TypedDict):
    """One arm and its share of members in whole percent."""

    key: str
    share: int


def bucket(experiment_key: str, member_id: int) -> int:
    """A member's place in the experiment, 0 to 9999."""
    digest = hashlib.md5(f"{experiment_key}:{member_id}".encode(), usedforsecurity=False).hexdigest()
    return int(digest[:8], 16) % BUCKETS


def arm_of(experiment_key: str, member_id: int, arms: Sequence[Arm]) -> str:
    """The key of the arm that a member is in. Shares must add up to 100."""
    place = bucket(experiment_key, member_id)
    upper = 0
    for arm in arms:
        upper += arm["share"] * BUCKETS // 100
        if place < upper:
            return arm["key"]
    raise ValueError(f"the shares of {experiment_key} add up to {upper * 100 / BUCKETS:g}, not 100")


def arm_sql(arms: Sequence[Arm]) -> tuple[str, list[object]]:
    """The same choice as :func:`arm_of` as an SQL expression.

    Returns the expression over a column ``bucket`` and its parameters.
    """
    upper = 0
    whens: list[str] = []
    parameters: list[object] = []
    for arm in arms:
        upper += arm["share"] * BUCKETS // 100
        whens.append("WHEN bucket < %s THEN %s")
        parameters += [upper, arm["key"]]
    return f"CASE {' '.join(whens)} END", parameters
