"""Taking an import back from the desk: a second person decides where it moves many points."""

from pathlib import Path

import pytest
from django.test import Client
from django.urls import reverse

from loyalty import programme
from loyalty.models import Account, ProgrammeSettings
from members.importing import taking_back
from members.models import ImportRun, Member, Purchase
from staff import approvals, jobs
from staff.models import Approval, Job, User
from tests.factories import make_member, make_user
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
    assert "So many points take a second person" in desk.get(address).content.decode()
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
