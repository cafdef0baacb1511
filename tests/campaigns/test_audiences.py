"""Reach, and what a test of a size can show."""

from datetime import timedelta

import pytest
from django.utils import timezone

from campaigns import audiences, runs
from campaigns.audiences import smallest_change
from members.models import Member
from tests.campaigns.campaigns import EVERYBODY, make_draft, make_many_members, make_members
from tests.factories import make_member, make_purchase


@pytest.mark.django_db
def test_who_is_left_out_is_counted_under_the_first_reason() -> None:
    make_members(3)
    make_member(status="blocked", email="", consents={})
    make_member(email="", consents={})
    make_member(consents={"email": False})
    make_member(consents={"sms": True})
    reach = audiences.reach(EVERYBODY)
    assert (reach.matched, reach.reachable, reach.left_out) == (7, 3, 4)
    assert (reach.not_active, reach.no_address, reach.no_consent) == (1, 1, 2)


@pytest.mark.django_db
def test_the_usual_share_of_buyers_is_that_of_the_last_days() -> None:
    make_many_members(200)
    members = list(Member.objects.all()[:12])
    now = timezone.now()
    for member in members[:10]:
        make_purchase(member, purchased_at=now - timedelta(days=3))
    make_purchase(members[11], purchased_at=now - timedelta(days=15))
    campaign = make_draft(holdout=20)
    power = audiences.power(campaign, runs.arms(campaign), now)
    assert power is not None
    assert (power.members, power.usual_percent) == (200, 5.0)
    alone = make_draft(variants="A", holdout=0)
    assert audiences.power(alone, runs.arms(alone), now) is None


def test_the_smallest_change_is_that_of_the_textbook() -> None:
    # Fleiss, Levin and Paik (2003), table A.4: 0.40 against 0.60 at 5% and 80% needs 97 each, without correction.
    found = smallest_change(0.40, 97, 97)
    assert found == pytest.approx(0.20, abs=0.002)
    assert smallest_change(0.061, 6955, 3478) == pytest.approx(0.0145, abs=0.0005)
    assert smallest_change(0.99, 5, 5) is None
    assert smallest_change(0.0, 100, 100) is None
