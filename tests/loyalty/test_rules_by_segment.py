"""Earning by segment: as it stood when the purchase was made, one by one and by the file, and why not."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from loyalty import programme
from loyalty.models import Entry
from loyalty.rules import reasons, simulation
from members import segments
from members.models import Member, Purchase, Segment, SegmentMember
from tests.factories import make_member, make_segment
from tests.loyalty.test_earning import buy, in_force
from tests.members.imports import bring_in, written

pytestmark = pytest.mark.django_db


def of(segment: Segment, op: str = "in") -> dict[str, Any]:
    return {"fact": "member.segment", "op": op, "value": [str(segment.pk)]}


def factors(**given: str) -> dict[str, Any]:
    return {"type": "coefficient", "fact": "member.segment", "factors": given, "default": "1"}


# Too little for a point by the usual rule.
HALF = "0.50"
TEN_FOR_HALF = {"type": "per_amount", "points": "20", "per": "1"}


@pytest.fixture(autouse=True)
def _programme() -> None:
    programme.ensure_defaults()


def in_it_for_two_days(member: Member) -> Segment:
    segment = make_segment("Chosen", members=[member])
    SegmentMember.objects.update(entered_at=timezone.now() - timedelta(days=2))
    return segment


def test_a_rule_asks_who_was_in_the_segment_when_the_purchase_was_made() -> None:
    member, other = make_member(), make_member()
    segment = in_it_for_two_days(member)
    in_force("Chosen ones", {"type": "fixed", "points": 7}, when=of(segment))
    in_force("The others", {"type": "fixed", "points": 3}, when=of(segment, "not_in"))
    now = timezone.now()
    segments.fill(segment, [])
    assert buy(member, HALF, "while in it", now - timedelta(days=1)) == 7
    assert buy(member, HALF, "before", now - timedelta(days=3)) == 3
    assert buy(member, HALF, "after", timezone.now()) == 3
    assert buy(other, HALF, "never", now - timedelta(days=1)) == 3


def test_the_largest_factor_of_the_members_segments_counts() -> None:
    member, other = make_member(), make_member()
    small, large = make_segment("Small", members=[member]), make_segment("Large", members=[member])
    in_force("By segment", TEN_FOR_HALF, factors(**{str(small.pk): "2", str(large.pk): "3"}))
    now = timezone.now()
    assert (buy(member, HALF, "a", now), buy(other, HALF, "b", now)) == (30, 10)
    steps = Entry.objects.get(member=member).explanation["steps"]
    assert steps[-1] == {
        "type": "coefficient",
        "fact": "member.segment",
        "is": str(large.pk),
        "factor": "3",
        "gives": "30",
    }


def test_a_file_earns_by_segment_as_single_purchases_do(tmp_path: Path) -> None:
    inside, outside = make_member(external_id="in"), make_member(external_id="out")
    segment = in_it_for_two_days(inside)
    in_force("By segment", TEN_FOR_HALF, factors(**{str(segment.pk): "2"}))
    day = (timezone.now() - timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    rows = f"receipt,member,time,amount\n1,in,{day},{HALF}\n2,out,{day},{HALF}\n"
    bring_in("purchases", written(tmp_path, rows))
    earned = dict(Entry.objects.values_list("member_id", "points"))
    assert earned == {inside.pk: 20, outside.pk: 10}


def test_why_not_names_the_segments_of_the_member() -> None:
    member, loner = make_member(), make_member()
    wanted, has = make_segment("Wanted", members=[]), make_segment("Has", members=[member])
    assert has.pk
    in_force("Chosen ones", {"type": "fixed", "points": 7}, when=of(wanted))
    for who in (member, loner):
        buy(who, HALF, who.number, timezone.now())
    said = []
    for who in (member, loner):
        reckoning = simulation.explain(Purchase.objects.get(member=who))
        said += [
            text for refusal in [one for one in reckoning.refusals if one.failed] for text in reasons.why_not(refusal)
        ]
    assert said == [
        "Asked: the member's segment is Wanted. It is Has.",
        "Asked: the member's segment is Wanted. There is none.",
    ]


def test_a_segment_that_a_rule_names_stays() -> None:
    inside = make_segment("In a condition", members=[])
    goes_by = make_segment("In a factor", members=[])
    in_force("Condition", {"type": "fixed", "points": 7}, when=of(inside))
    in_force("Factor", TEN_FOR_HALF, factors(**{str(goes_by.pk): "2"}))
    for segment, rule in ((inside, "Condition v1"), (goes_by, "Factor v1")):
        with pytest.raises(segments.InUse) as refusal:
            segments.remove(segment, user=None)
        assert [use.name for use in refusal.value.uses] == [rule]
