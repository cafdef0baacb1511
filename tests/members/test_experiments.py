"""Which arm a member is in: the same in Python and in SQL, in the shares that were asked for."""

from collections import Counter
from itertools import pairwise

import pytest
from django.db import connection
from hypothesis import given, settings
from hypothesis import strategies as st

from members import experiments
from members.experiments import Arm

KEYS = st.one_of(
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40),
    st.sampled_from(["campaign:1", "%s", "it's", "活动"]),
)
# Cuts of 0 to 100 into whole shares, some of them empty.
SHARES = st.lists(st.integers(0, 100), max_size=4).map(lambda cuts: [0, *sorted(cuts), 100])


def arms_of(cuts: list[int]) -> list[Arm]:
    return [Arm(key=f"arm {place}", share=upper - lower) for place, (lower, upper) in enumerate(pairwise(cuts))]


@pytest.mark.django_db
def test_python_and_sql_put_every_member_into_the_same_arm() -> None:
    ids = [1, 2, 7, 10, 999, 123_456, 2**31, 2**62]

    @settings(max_examples=200, deadline=None)
    @given(key=KEYS, cuts=SHARES)
    def check(key: str, cuts: list[int]) -> None:
        arms = arms_of(cuts)
        choice, choice_params = experiments.arm_sql(arms)
        query = (
            f"SELECT member_id, bucket, {choice} FROM"
            f" (SELECT member_id, {experiments.BUCKET_SQL} AS bucket FROM unnest(%s::bigint[]) AS m(member_id)) b"
        )
        with connection.cursor() as cursor:
            cursor.execute(query, [*choice_params, key, ids])
            rows = cursor.fetchall()
        expected = [(pk, experiments.bucket(key, pk), experiments.arm_of(key, pk, arms)) for pk in ids]
        assert rows == expected

    check()


def test_the_shares_come_out_and_experiments_do_not_move_together() -> None:
    arms = [Arm(key="A", share=40), Arm(key="B", share=40), Arm(key=experiments.CONTROL, share=20)]
    members = range(1, 50_001)
    first = {pk: experiments.arm_of("first", pk, arms) for pk in members}
    second = {pk: experiments.arm_of("second", pk, arms) for pk in members}
    for found in (Counter(first.values()), Counter(second.values())):
        # Four standard deviations of a share of 50,000 are under 0.9 points.
        assert found["A"] / 50_000 == pytest.approx(0.4, abs=0.009)
        assert found["B"] / 50_000 == pytest.approx(0.4, abs=0.009)
        assert found[experiments.CONTROL] / 50_000 == pytest.approx(0.2, abs=0.009)
    both = sum(first[pk] == second[pk] == "A" for pk in members) / 50_000
    assert both == pytest.approx(0.16, abs=0.009)


def test_shares_that_do_not_add_up_are_refused() -> None:
    short = [Arm(key="A", share=1)]
    with pytest.raises(ValueError, match="add up to 1, not 100"):
        [experiments.arm_of("x", pk, short) for pk in range(500)]
