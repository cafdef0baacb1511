"""Undoing all that one version of a rule gave in a time."""

from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from loyalty import batches, ledger, programme, rewards, verify
from loyalty.intake import record_purchase
from loyalty.models import Entry, Policy, Reward, RuleVersion
from members.models import Member
from staff import approvals, jobs
from staff.models import Approval, Job
from tests.factories import make_member, make_user

pytestmark = pytest.mark.django_db

NOW = timezone.now().replace(second=0, microsecond=0)


@pytest.fixture(autouse=True)
def _programme() -> None:
    programme.ensure_defaults()


def bought(member: Member, amount: int, at: datetime = NOW - timedelta(hours=1)) -> None:
    record_purchase(member_id=member.pk, key=f"p:{member.pk}:{amount}:{at}", purchased_at=at, amount=Decimal(amount))


def batch(hours: int = 24) -> batches.Batch:
    version = RuleVersion.objects.get()
    return batches.Batch(version=version.pk, since=NOW - timedelta(hours=hours), until=NOW)


def ask(policy: str = Policy.DEBT, **fields: object) -> Approval:
    values = {"policy": policy, "comment": "Doubled by mistake.", "key": "k", "user": make_user("marketing_manager")}
    return batches.request(batch(), **(values | fields))


def undone(approval: Approval) -> Job:
    """Approved by somebody else, and done by a worker."""
    approvals.approve(approval, user=make_user("approver"))
    job = Job.objects.get(kind=batches.JOB, payload__approval=approval.pk)
    jobs.run(job.pk)
    job.refresh_from_db()
    return job


def spend(member: Member, points: int) -> None:
    reward = Reward.objects.create(name=f"Reward {Reward.objects.count()}", points=points)
    rewards.redeem(member_id=member.pk, reward_id=reward.pk, key=f"r{reward.pk}", user=None)


def balance(member: Member) -> int:
    member.account.refresh_from_db()
    return member.account.balance


def broken() -> list[str]:
    return [check.key for check in verify.checks() if check.offending()]


def test_nothing_moves_until_another_approves_and_then_everything_does() -> None:
    members = [make_member() for _ in range(3)]
    for member in members:
        bought(member, 500)
    bought(members[0], 100, NOW - timedelta(days=30))
    asked = ask()
    assert ask() == asked
    assert Entry.objects.filter(kind="reverse").count() == 0
    job = undone(asked)
    assert (job.state, job.result) == ("done", {"entries_taken_back": 3, "members": 3})
    assert [balance(member) for member in members] == [100, 0, 0]
    entry = Entry.objects.filter(kind="reverse").first()
    assert entry is not None
    assert entry.explanation["comment"] == "Doubled by mistake."
    assert broken() == []


@pytest.mark.parametrize(("policy", "left"), [(Policy.DEBT, -400), (Policy.TAKE, 0)])
def test_what_is_spent_is_owed_or_let_go_by_policy(policy: Policy, left: int) -> None:
    spender, saver = make_member(), make_member()
    bought(spender, 500)
    bought(saver, 500)
    spend(spender, 400)
    found = batches.preview(batch())
    assert (found.entries, found.members, found.points, found.spent_members, found.debt) == (2, 2, 1_000, 1, 400)
    assert batches.short_members(found) == [(spender, 400)]
    assert undone(ask(policy)).state == "done"
    assert (balance(spender), balance(saver)) == (left, 0)
    assert broken() == []


def test_where_the_policy_refuses_nothing_is_taken_back() -> None:
    spender, saver = make_member(), make_member()
    bought(spender, 500)
    bought(saver, 500)
    spend(spender, 400)
    asked = ask(Policy.REFUSE)
    assert "nothing would be taken back" in approvals.outlook(asked).warning
    job = undone(asked)
    assert job.state == "failed"
    assert "Nothing was taken back" in job.error
    assert (balance(spender), balance(saver)) == (100, 500)


def test_a_killed_job_goes_on_with_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "CHUNK", 1)
    members = [make_member() for _ in range(3)]
    for member in members:
        bought(member, 500)
    asked = ask()
    # As a worker leaves it that dies after its first chunk.
    assert batches._undo_chunk(batch(), 1, {"batch": "x", "by": ""}, Policy.DEBT) == (1, 1)
    assert undone(asked).result == {"entries_taken_back": 2, "members": 2}
    assert [balance(member) for member in members] == [0, 0, 0]
    assert Entry.objects.filter(kind="reverse").count() == 3
    assert broken() == []


def test_a_batch_that_gave_nothing_is_not_asked_for() -> None:
    with pytest.raises(batches.EmptyBatch):
        ask()


def test_undoing_a_batch_looks_at_the_tiers_again() -> None:
    member = make_member()
    bought(member, 500)
    undone(ask())
    assert ledger.available(member.pk, timezone.now()) == 0
    assert broken() == []


def test_the_page_shows_the_batch_asks_and_tells_what_became_of_it() -> None:
    member, manager = make_member(), make_user("marketing_manager")
    bought(member, 500)
    spend(member, 400)
    client = Client()
    client.force_login(manager)
    local = timezone.localtime
    query = {
        "version": str(RuleVersion.objects.get().pk),
        "since": f"{local(NOW - timedelta(days=1)):%Y-%m-%dT%H:%M}",
        "until": f"{local(NOW):%Y-%m-%dT%H:%M}",
    }
    page = client.get(reverse("loyalty:batches"), query).content.decode()
    for shown in ("Ask to take 500 points back", member.number, "1 member holds too little"):
        assert shown in page
    address = f"{reverse('loyalty:batches')}?" + "&".join(f"{name}={value}" for name, value in query.items())
    form = {"policy": "debt", "comment": "Doubled by mistake.", "key": "abc"}
    assert client.post(address, form | {"comment": ""}).status_code == 422
    assert client.post(address, form).status_code == 302
    asked = Approval.objects.get()
    with pytest.raises(approvals.NotTheirs):
        approvals.approve(asked, user=make_user("customer_service"))
    undone(asked)
    after = client.get(reverse("loyalty:batches"), query).content.decode()
    assert "Nothing to take back" in after
    assert "Doubled by mistake." in after
    assert client.get(reverse("loyalty:batches"), query | {"until": query["since"]}).status_code == 200


def test_a_request_sent_again_after_it_was_done_is_the_first_one() -> None:
    bought(make_member(), 100)
    user = make_user("marketing_manager")
    first = ask(user=user)
    undone(first)
    assert ask(user=user) == first
    with pytest.raises(batches.EmptyBatch):
        ask(user=user, key="another")
    assert Approval.objects.count() == 1
