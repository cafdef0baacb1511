"""Taking an import back from the desk: a second person decides where it moves many points."""

from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
import time_machine
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from loyalty import adjustments, ledger, limits, programme, rewards
from loyalty.intake import record_purchase
from loyalty.models import Account, DayUse, Entry, ProgrammeSettings, Reward
from members.importing import taking_back
from members.models import ImportRun, Member, Purchase
from staff import approvals, jobs
from staff.models import Approval, Job, User
from tests.factories import make_member, make_user
from tests.loyalty.concurrency import at_once
from tests.members.imports import bring_in, written

pytestmark = pytest.mark.django_db


@pytest.fixture
def run(tmp_path: Path) -> ImportRun:
    """Purchases that earned one member 150 points."""
    programme.ensure_defaults()
    make_member(external_id="m")
    lines = "receipt,person,time,amount\na,m,2026-03-01T00:00:00Z,100\nb,m,2026-03-02T00:00:00Z,50\n"
    return bring_in("purchases", written(tmp_path, lines))


def client_of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def limit(points: int) -> None:
    ProgrammeSettings.objects.update(adjust_approval_above=points)


def do_job(run: ImportRun) -> None:
    run.refresh_from_db()
    assert run.job is not None
    jobs.run_inline(run.job)
    run.refresh_from_db()


def test_an_import_that_gave_many_points_is_taken_back_by_two(run: ImportRun) -> None:
    limit(100)
    manager, approver = make_user("marketing_manager"), make_user("approver")
    desk, address = client_of(manager), reverse("members:import_undo", args=[run.pk])
    assert "So many points, with what you moved today, take a second person" in desk.get(address).content.decode()
    for _ in range(2):
        desk.post(address)
    asked = Approval.objects.get()
    assert not Job.objects.filter(kind="import-undo").exists()
    assert asked.get_absolute_url() in desk.get(address).content.decode()
    page = client_of(approver).get(asked.get_absolute_url()).content.decode()
    assert "points are taken back" in page
    assert "150" in page
    approvals.approve(asked, user=approver)
    do_job(run)
    assert run.state == ImportRun.State.UNDONE
    assert Account.objects.get(member=Member.objects.get()).balance == 0
    assert not Purchase.objects.exists()


def test_up_to_the_limit_and_where_nobody_else_could_decide_one_person_takes_it_back(run: ImportRun) -> None:
    limit(150)
    manager = make_user("marketing_manager")
    make_user("approver", is_active=True)
    assert isinstance(taking_back.take_back(run, user=manager), Job)
    ImportRun.objects.update(job=None)
    limit(149)
    assert isinstance(taking_back.take_back(run, user=manager), Approval)
    User.objects.filter(role="approver").update(is_active=False)
    assert isinstance(taking_back.take_back(run, user=manager), Approval)
    with time_machine.travel(timezone.now() + timedelta(days=15)):
        assert isinstance(taking_back.take_back(run, user=manager), Job)


def test_what_was_taken_back_in_between_is_not_started_again(run: ImportRun) -> None:
    limit(100)
    approver = make_user("approver")
    asked = taking_back.take_back(run, user=make_user("marketing_manager"))
    assert isinstance(asked, Approval)
    ImportRun.objects.filter(pk=run.pk).update(state=ImportRun.State.UNDONE)
    assert "was taken back already" in client_of(approver).get(asked.get_absolute_url()).content.decode()
    with pytest.raises(approvals.CannotBeDone):
        approvals.approve(asked, user=approver)


def small(directory: Path, count: int) -> list[ImportRun]:
    """Imports of one purchase each, which earned 80 points."""
    programme.ensure_defaults()
    make_member(external_id="m")
    head = "receipt,person,time,amount\n"
    return [
        bring_in("purchases", written(directory, f"{head}r{place},m,2026-03-01T00:00:00Z,80\n", f"{place}.csv"))
        for place in range(count)
    ]


def test_many_small_imports_taken_back_in_a_day_are_added_up(tmp_path: Path) -> None:
    ProgrammeSettings.objects.update(adjust_approval_above=100, adjust_daily_limit=200)
    manager, member = make_user("administrator"), make_member()
    make_user("approver")
    first, second, third = small(tmp_path, 3)
    assert isinstance(taking_back.take_back(first, user=manager), Job)
    assert isinstance(taking_back.take_back(first, user=manager), Job)  # a second click counts and starts nothing
    assert Job.objects.filter(kind="import-undo").count() == 1
    assert not DayUse.objects.exists()
    do_job(first)
    assert DayUse.objects.get().points == 80
    goodwill = adjustments.Adjustment(member_id=member.pk, points=50, reason="goodwill", comment="")
    adjustments.adjust(goodwill, key="k", user=manager)
    dialog = client_of(manager).get(reverse("members:import_undo", args=[second.pk])).content.decode()
    assert "So many points, with what you moved today, take a second person" in dialog
    assert isinstance(taking_back.take_back(second, user=manager), Approval)
    assert isinstance(taking_back.take_back(third, user=make_user("marketing_manager")), Job)


def test_points_given_and_taken_by_refunds_do_not_make_up_for_each_other(tmp_path: Path) -> None:
    programme.ensure_defaults()
    limit(100)
    member, now = make_member(external_id="m"), timezone.now() - timedelta(days=1)
    ledger.award(member_id=member.pk, points=150, key="x", occurred_at=now, explanation={})
    voucher = rewards.redeem(
        member_id=member.pk, reward_id=Reward.objects.create(name="Voucher", points=150).pk, key="r", user=None
    )
    record_purchase(
        member_id=member.pk, key="p", purchased_at=now, amount=Decimal(150), redemptions=[voucher.pk], receipt="p"
    )
    run = bring_in("refunds", written(tmp_path, f"refund,receipt,time\nf,p,{timezone.now():%Y-%m-%dT%H:%M:%SZ}\n"))
    make_user("approver")
    refunded = Entry.objects.filter(idempotency_key__startswith="refund:").values_list("points", flat=True)
    assert sorted(refunded) == [-150, 150]
    assert isinstance(taking_back.take_back(run, user=make_user("marketing_manager")), Approval)


@pytest.mark.parametrize("end", ["cancelled", "refused", "broken"])
def test_what_is_not_taken_back_in_the_end_counts_nothing(
    run: ImportRun, end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = make_user("marketing_manager")
    make_user("approver")
    job = taking_back.take_back(run, user=manager)
    assert isinstance(job, Job)
    if end == "cancelled":
        jobs.cancel(job)
    elif end == "refused":  # its points are spent, and the policy takes none that are
        ProgrammeSettings.objects.update(clawback_policy="refuse")
        member = Member.objects.get()
        reward = Reward.objects.create(name="Voucher", points=150)
        rewards.redeem(member_id=member.pk, reward_id=reward.pk, key="r", user=None)
    else:
        monkeypatch.setattr("loyalty.tiers.rewind", None)
    do_job(run)
    assert run.state == ImportRun.State.DONE
    assert limits.left(limits.Limit.ADJUST, limits.counted_as(manager)) == limits.daily(limits.Limit.ADJUST)


@pytest.mark.django_db(transaction=True)
def test_imports_taken_back_at_once_do_not_pass_the_days_limit(tmp_path: Path) -> None:
    ProgrammeSettings.objects.update(adjust_approval_above=100, adjust_daily_limit=200)
    manager = make_user("marketing_manager")
    make_user("approver")
    runs = small(tmp_path, 5)
    assert at_once(*(lambda run=run: taking_back.take_back(run, user=manager) for run in runs)) == {"done": 5}
    assert Job.objects.filter(kind="import-undo").count() == 5
    at_once(*(lambda run=run: do_job(run) for run in runs))
    undone = ImportRun.objects.filter(state=ImportRun.State.UNDONE)
    failed = Job.objects.filter(kind="import-undo", state=Job.State.FAILED)
    assert (undone.count(), failed.count()) == (2, 3)
    assert all("more points than you may move alone today" in job.error for job in failed)
    assert limits.left(limits.Limit.ADJUST, limits.counted_as(manager)) == 40
    rest = ImportRun.objects.filter(state=ImportRun.State.DONE)
    assert all(isinstance(taking_back.take_back(run, user=manager), Approval) for run in rest)
