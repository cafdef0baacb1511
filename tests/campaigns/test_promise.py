"""What a message promises is what the member can spend, in the member's language."""

from datetime import timedelta

import pytest
from django.utils import timezone

from campaigns.promise import points_and_tiers
from loyalty import ledger, programme
from tests.factories import make_member

pytestmark = pytest.mark.django_db


def test_points_that_cannot_be_spent_are_not_promised() -> None:
    programme.ensure_defaults()
    now = timezone.now()
    chinese, english = make_member(language="zh-hans"), make_member(language="en")
    lots = (
        (500, {}),
        (70, {"activates_at": now + timedelta(days=3)}),
        (30, {"occurred_at": now - timedelta(days=400), "expires_at": now - timedelta(days=1)}),
    )
    for place, (points, fields) in enumerate(lots):
        values = {"occurred_at": now, "explanation": {}} | fields
        ledger.award(member_id=chinese.pk, points=points, key=f"lot {place}", **values)
    assert points_and_tiers([chinese, english]) == {chinese.pk: (500, "青铜"), english.pk: (0, "Bronze")}


def test_a_hundred_members_take_no_more_queries_than_one(django_assert_num_queries) -> None:
    programme.ensure_defaults()
    members = [make_member() for _number in range(20)]
    with django_assert_num_queries(3):
        points_and_tiers(members)
