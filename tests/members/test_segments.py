"""Segments: who is in them since when, what a build costs, what may not contain what, and lists of numbers."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.db import DataError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from members import conditions, segments
from members.models import Member, Segment, SegmentMember
from staff import jobs
from staff.models import AuditEntry, Job
from tests.campaigns.campaigns import make_draft
from tests.factories import make_member, make_purchase, make_segment
from tests.loyalty.concurrency import at_once

pytestmark = pytest.mark.django_db

ACTIVE = {"fact": "member.status", "op": "in", "value": ["active"]}


def asks(*inside: Segment, op: str = "in") -> dict[str, Any]:
    return {"all": [{"fact": "member.segment", "op": op, "value": [str(segment.pk) for segment in inside]}]}


def ids(tree: Any) -> set[int]:
    query, parameters = conditions.members_sql(tree)
    with connection.cursor() as cursor:
        cursor.execute(query, parameters)
        return {row[0] for row in cursor.fetchall()}


def members_of(segment: Segment) -> set[int]:
    return set(SegmentMember.objects.filter(segment=segment, left_at=None).values_list("member_id", flat=True))


def test_a_build_takes_in_who_came_lets_go_who_left_and_leaves_the_rest_alone() -> None:
    stays, leaves = make_member(), make_member()
    segment = make_segment("Active")
    since = SegmentMember.objects.get(segment=segment, member=stays)
    Member.objects.filter(pk=leaves.pk).update(status="closed")
    comes = make_member()
    made = segments.build(segment)
    assert (made.size, made.entered, made.gone) == (2, 1, 1)
    assert members_of(segment) == {stays.pk, comes.pk}
    assert SegmentMember.objects.get(segment=segment, member=stays) == since
    assert SegmentMember.objects.get(segment=segment, member=leaves).left_at == made.built_at
    again = segments.build(segment)
    assert (again.size, again.entered, again.gone) == (2, 0, 0)


def test_who_comes_back_is_in_it_again_from_then_on() -> None:
    member = make_member()
    segment = make_segment("Active")
    for status in ("closed", "active"):
        Member.objects.filter(pk=member.pk).update(status=status)
        segments.build(segment)
    first, second = SegmentMember.objects.filter(segment=segment, member=member).order_by("entered_at")
    assert first.left_at is not None
    assert first.left_at <= second.entered_at
    assert second.left_at is None


def test_a_build_asks_as_many_statements_for_many_members_as_for_one() -> None:
    segment = make_segment("Active")
    counts = []
    for many in (1, 40):
        for _number in range(many):
            make_member()
        with CaptureQueriesContext(
            connection,
        ) as asked:
            segments.build(segment)
        counts.append(len(asked))
    assert counts == [counts[0], counts[0]]
    # A savepoint and its release, the lock, the difference, the build, the segment.
    assert counts[0] <= 6


@pytest.mark.django_db(transaction=True)
def test_builds_at_once_take_nobody_in_twice() -> None:
    for _number in range(20):
        make_member()
    segment = make_segment("Active")
    SegmentMember.objects.all().delete()
    assert at_once(*[lambda: segments.build(Segment.objects.get(pk=segment.pk))] * 4) == {"done": 4}
    assert SegmentMember.objects.filter(segment=segment, left_at=None).count() == 20
    assert sorted(segment.builds.values_list("entered", flat=True))[-2:] == [20, 20]


def test_a_list_is_written_with_its_segment_or_not_at_all() -> None:
    with pytest.raises(DataError), transaction.atomic():
        segments.save(Segment(name="Guests", kind=Segment.Kind.STATIC), user=None, members=[2**63])
    assert not Segment.objects.exists()
    assert not AuditEntry.objects.exists()
    guest = make_member()
    segment = Segment(name="Guests", kind=Segment.Kind.STATIC)
    segments.save(segment, user=None, members=[guest.pk])
    assert members_of(segment) == {guest.pk}
    told = AuditEntry.objects.order_by("pk").values_list("action", "detail")
    assert list(told) == [("segment.create", {"kind": "static"}), ("segment.list", {"members": 1})]


def test_the_condition_holds_for_those_who_are_in_it_and_not_in_for_all_others() -> None:
    inside, left, outside = make_member(), make_member(), make_member()
    segment = make_segment("Chosen", members=[inside, left])
    segments.fill(segment, [inside.pk])
    assert ids(asks(segment)) == {inside.pk}
    assert ids(asks(segment, op="not_in")) == {left.pk, outside.pk}
    assert conditions.sentence(asks(segment)) == "Members who are in the segment Chosen."


def test_each_segment_is_looked_into_once_however_many_ways_lead_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    below: list[Segment] = []
    for layer in range(10):
        tree = asks(*below) if below else {"all": [ACTIVE]}
        below = [Segment.objects.create(name=f"{layer} {one}", kind="dynamic", conditions=tree) for one in range(2)]
    looked: list[Any] = []
    contained_in = segments.contained_in

    def counted(tree: Any) -> set[int]:
        looked.append(tree)
        return contained_in(tree)

    monkeypatch.setattr(segments, "contained_in", counted)
    segments.save(below[0], user=None)
    assert len(looked) <= 20


def test_a_segment_that_is_gone_is_refused_in_a_condition() -> None:
    with pytest.raises(conditions.ConditionError, match="not one of the choices"):
        conditions.validate({"fact": "member.segment", "op": "in", "value": ["4711"]})


def test_segments_do_not_contain_each_other_in_a_circle() -> None:
    first = make_segment("First")
    second = make_segment("Second", conditions=asks(first))
    third = make_segment("Third", conditions={"none": [asks(second)]})
    first.conditions = asks(third)
    with pytest.raises(segments.Circle) as refusal:
        segments.save(first, user=None)
    assert refusal.value.names == ["First", "Third", "Second", "First"]
    first.conditions = asks(first)
    with pytest.raises(segments.Circle):
        segments.save(first, user=None)
    assert Segment.objects.get(pk=first.pk).conditions == {"all": [ACTIVE]}


def test_what_a_segment_contains_is_built_before_it() -> None:
    inner = make_segment("Z inner")
    outer = make_segment("A outer", conditions=asks(inner))
    assert segments.in_order([outer.pk, inner.pk]) == [inner.pk, outer.pk]
    member = make_member()
    job = jobs.create(segments.JOB, title="Build", payload={"segments": [outer.pk, inner.pk]}, user=None)
    assert jobs.run_inline(job).state == Job.State.DONE
    assert member.pk in members_of(outer)


def test_a_segment_that_is_used_stays_and_says_by_whom() -> None:
    segment = make_segment("Chosen", members=[make_member()])
    outer = make_segment("Outer", conditions=asks(segment))
    campaign = make_draft(audience=asks(segment))
    with pytest.raises(segments.InUse) as refusal:
        segments.remove(segment, user=None)
    assert {(str(use.what), use.name) for use in refusal.value.uses} == {
        ("Segment", "Outer"),
        ("Campaign", campaign.name),
    }
    segments.remove(outer, user=None)
    campaign.delete()
    segments.remove(segment, user=None)
    assert not SegmentMember.objects.exists()
    assert AuditEntry.objects.filter(action="segment.delete").count() == 2


def test_each_segment_is_built_by_its_own_rhythm() -> None:
    with time_machine.travel(datetime(2026, 3, 1, 18, 59, tzinfo=UTC), tick=False):  # 02:59 in Shanghai
        hourly, daily = make_segment("Hourly"), make_segment("Daily")
        make_segment("List", members=[])
    Segment.objects.filter(pk=hourly.pk).update(rhythm="hourly")
    Segment.objects.update(tried_at=datetime(2026, 3, 1, 18, 58, tzinfo=UTC))
    assert segments.due(datetime(2026, 3, 1, 18, 59, tzinfo=UTC)) == []
    assert segments.due(datetime(2026, 3, 1, 19, 0, tzinfo=UTC)) == [hourly.pk, daily.pk]
    Segment.objects.update(tried_at=datetime(2026, 3, 1, 19, 1, tzinfo=UTC))
    assert segments.due(datetime(2026, 3, 1, 20, 0, tzinfo=UTC)) == [hourly.pk]


def test_beat_queues_one_job_for_all_that_are_due() -> None:
    late = timezone.now() - timedelta(days=2)
    make_segment("One"), make_segment("Two")
    Segment.objects.update(tried_at=late)
    assert segments.start_due(timezone.now()) is not None
    assert segments.start_due(timezone.now()) is None


def test_a_segment_that_cannot_be_built_says_why_and_keeps_its_members() -> None:
    member = make_member()
    good, bad = make_segment("Good"), make_segment("Bad")
    Segment.objects.filter(pk=bad.pk).update(conditions={"fact": "member.shoe_size", "op": "gte", "value": 42})
    job = jobs.create(segments.JOB, title="Build", payload={"segments": [bad.pk, good.pk]}, user=None)
    assert "Not built: Bad" in jobs.run_inline(job).result["summary"]
    bad.refresh_from_db()
    assert "shoe_size" in bad.problem
    assert members_of(bad) == {member.pk}
    with pytest.raises(conditions.ConditionError):
        segments.build(bad)


def test_a_list_is_read_row_by_row_and_names_what_nobody_has() -> None:
    members = [make_member(number=f"M-{number}") for number in (1, 2)]
    numbers = segments.read_numbers('\ufeffnumber,in_it_since\r\n"M-1",2026\r\n\r\n M-2;x\nM-9\nM-1\n')
    assert numbers == [(2, "M-1"), (4, "M-2"), (5, "M-9"), (6, "M-1")]
    found = segments.look_up(numbers)
    assert sorted(found.members) == [member.pk for member in members]
    assert found.unknown == [(5, "M-9")]


def test_the_database_keeps_a_member_from_being_in_it_twice_or_leaving_before_coming() -> None:
    member = make_member()
    segment = make_segment("Chosen", members=[member])
    now = timezone.now()
    with pytest.raises(Exception, match="members_segment_member_once"), connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO members_segmentmember (segment_id, member_id, entered_at) VALUES (%s, %s, %s)",
            [segment.pk, member.pk, now],
        )


def test_stages_of_the_lifecycle_are_told_apart_and_leave_nobody_out() -> None:
    days = {"prospect": [], "new": [90, 3], "active": [400, 90], "lapsing": [400, 91, 365], "dormant": [366]}
    expected = {}
    for stage, bought in days.items():
        member = make_member()
        for ago in bought:
            make_purchase(member, purchased_at=timezone.now() - timedelta(days=ago))
        expected[stage] = member.pk
    for stage, pk in expected.items():
        assert ids({"fact": "member.lifecycle", "op": "in", "value": [stage]}) == {pk}, stage
        assert ids({"fact": "member.lifecycle", "op": "not_in", "value": [stage]}) == set(expected.values()) - {pk}
    assert ids({"fact": "member.lifecycle", "op": "in", "value": list(days)}) == set(expected.values())
