"""Launching and planning: one run, whoever asks and however often, of exactly the right members."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.db import connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from campaigns import drafts, reasons, runs
from campaigns.models import Campaign, Message, Run, Variant
from members.experiments import arm_of
from members.models import Experiment, Exposure, Member
from tests.campaigns.campaigns import EVERYBODY, NOON, in_thread, in_threads, make_draft, make_members, start
from tests.conftest import wait_until
from tests.factories import make_member, make_user


@pytest.mark.django_db(transaction=True)
def test_twenty_people_who_launch_at_once_make_one_run() -> None:
    make_members(3)
    campaign = make_draft()
    user = make_user()
    results = in_threads(lambda: runs.launch(campaign.pk, revision=campaign.revision, user=user), 20)
    assert sum(isinstance(result, Campaign) for result in results) == 1
    assert sum(isinstance(result, runs.NotPossible) for result in results) == 19
    begun = in_threads(runs.start_due, 20)
    assert sum(len(one) for one in begun) == 1
    assert Run.objects.count() == 1
    assert Message.objects.count() == 3


@pytest.mark.django_db(transaction=True)
def test_a_tick_killed_while_it_plans_leaves_nothing_and_the_next_one_does_it() -> None:
    make_members(3)
    campaign = make_draft(holdout=10)
    runs.launch(campaign.pk, revision=campaign.revision, user=None)
    # The last thing that planning writes has to wait; there its connection is cut.
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("LOCK TABLE staff_auditentry IN ACCESS EXCLUSIVE MODE")
        with ThreadPoolExecutor(1) as pool:
            planner = pool.submit(lambda: in_thread(runs.start_due))
            waiting = "SELECT pid FROM pg_locks WHERE NOT granted AND relation = 'staff_auditentry'::regclass"

            def cut() -> bool:
                cursor.execute(f"SELECT count(pg_terminate_backend(pid)) FROM ({waiting}) w")
                return bool(cursor.fetchone()[0])

            wait_until(cut)
            assert planner.result() == []
    assert not Run.objects.exists()
    assert not Experiment.objects.exists()
    assert not Message.objects.exists()
    assert runs.start_due() == [campaign.pk]
    assert Message.objects.count() + Exposure.objects.filter(arm="control").count() == 3


@pytest.mark.django_db
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    members=st.lists(
        st.tuples(st.sampled_from(Member.Status.values), st.booleans(), st.sampled_from([None, False, True])),
        max_size=12,
    ),
    holdout=st.integers(0, 90),
    weights=st.lists(st.integers(1, 100), min_size=1, max_size=2),
)
def test_planned_is_matched_minus_unreachable_minus_held_out(
    members: list[tuple[str, bool, bool | None]], holdout: int, weights: list[int]
) -> None:
    Message.objects.all().delete()
    made = [
        make_member(
            status=status,
            **({} if address else {"email": ""}),
            consents={} if consents is None else {"email": consents},
        )
        for status, address, consents in members
    ]
    campaign = make_draft(
        variants="AB"[: len(weights)],
        holdout=holdout,
        audience={"all": [{"fact": "member.status", "op": "in", "value": ["active", "blocked"]}]},
    )
    for variant, weight in zip(campaign.variants.all(), weights, strict=True):
        Variant.objects.filter(pk=variant.pk).update(share=weight)
    run = start(campaign).runs.get()
    mine = {member.pk for member in made}
    reachable = {
        member.pk
        for member, (status, address, consents) in zip(made, members, strict=True)
        if status == "active" and address and consents
    }
    exposed = dict(
        Exposure.objects.filter(experiment=campaign.__class__.objects.get(pk=campaign.pk).experiment).values_list(
            "member_id", "arm"
        )
    )
    assert {pk for pk in exposed if pk in mine} == reachable
    messages = Message.objects.filter(run=run).count()
    assert messages == run.matched - run.unreachable - run.held_out
    assert run.held_out == sum(arm == "control" for arm in exposed.values())
    experiment = Experiment.objects.get(campaign=campaign)
    assert sum(arm["share"] for arm in experiment.arms) == 100
    assert all(arm == arm_of(experiment.key, pk, experiment.arms) for pk, arm in exposed.items())


@pytest.mark.django_db
def test_what_is_launched_is_what_was_reviewed() -> None:
    campaign = make_draft()
    seen = campaign.revision
    drafts.save(campaign.pk, revision=seen, name="Other")
    with pytest.raises(drafts.Changed):
        runs.launch(campaign.pk, revision=seen, user=None)
    campaign.refresh_from_db()
    assert campaign.state == Campaign.State.DRAFT


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("fields", "step"),
    [
        ({"name": " "}, "goal"),
        ({"audience": {}}, "audience"),
        ({"audience": {"fact": "no.such", "op": "eq", "value": 1}}, "audience"),
        ({"body": "{{ member.nickname }}"}, "content"),
        ({"variants": ""}, "content"),
        ({"scheduled_at": NOON - timedelta(minutes=1)}, "schedule"),
    ],
)
def test_an_incomplete_draft_is_not_launched(fields: dict[str, Any], step: str) -> None:
    campaign = make_draft(**fields)
    with pytest.raises(drafts.Incomplete) as refused:
        runs.launch(campaign.pk, revision=campaign.revision, user=None, now=NOON)
    assert list(refused.value.problems) == [step]
    assert not Run.objects.exists()


@pytest.mark.django_db
def test_a_late_run_is_sent_skipped_or_asks() -> None:
    make_members(1)
    with time_machine.travel(NOON, tick=False) as clock:
        made = {
            policy: make_draft(scheduled_at=NOON + timedelta(hours=1), late_policy=policy)
            for policy in Campaign.LatePolicy.values
        }
        for campaign in made.values():
            runs.launch(campaign.pk, revision=campaign.revision, user=None)
        clock.shift(timedelta(hours=1, minutes=31))
        runs.start_due()
        runs.start_due()
        for campaign in made.values():
            campaign.refresh_from_db()
        assert made["send"].state == Campaign.State.RUNNING
        assert made["skip"].state == Campaign.State.CANCELLED
        assert made["skip"].runs.get().note == reasons.LATE
        assert made["ask"].state == Campaign.State.PAUSED
        with pytest.raises(runs.NotPossible):
            runs.resume(made["ask"].pk, user=None)
        runs.start_late(made["ask"].pk, user=None)
        assert runs.start_due() == [made["ask"].pk]


@pytest.mark.django_db
def test_a_running_campaign_that_is_paused_is_not_begun_again_as_late() -> None:
    make_members(1)
    campaign = start(make_draft())
    runs.pause(campaign.pk, user=None)
    with pytest.raises(runs.NotPossible):
        runs.start_late(campaign.pk, user=None)
    campaign.refresh_from_db()
    assert campaign.state == Campaign.State.PAUSED


@pytest.mark.django_db
def test_an_audience_that_can_no_longer_be_read_goes_back_to_draft_and_says_so() -> None:
    campaign = make_draft()
    runs.launch(campaign.pk, revision=campaign.revision, user=None)
    Campaign.objects.filter(pk=campaign.pk).update(audience={"all": [{"fact": "gone", "op": "eq", "value": 1}]})
    runs.start_due()
    campaign.refresh_from_db()
    assert campaign.state == Campaign.State.DRAFT
    assert campaign.runs.get().note == reasons.AUDIENCE_UNREADABLE


@pytest.mark.django_db
def test_a_draft_is_edited_by_one_person_at_a_time_and_never_after_launch() -> None:
    campaign = make_draft()
    drafts.save(campaign.pk, revision=campaign.revision, name="First")
    with pytest.raises(drafts.Changed):
        drafts.save(campaign.pk, revision=campaign.revision, name="Second")
    campaign.refresh_from_db()
    runs.launch(campaign.pk, revision=campaign.revision, user=None)
    with pytest.raises(drafts.Changed):
        drafts.save(campaign.pk, revision=campaign.revision, name="Third", variants=[])
    with pytest.raises(drafts.Changed):
        drafts.delete(campaign.pk)
    campaign.refresh_from_db()
    assert campaign.name == "First"
    assert campaign.variants.count() == 2
    assert campaign.audience == EVERYBODY
