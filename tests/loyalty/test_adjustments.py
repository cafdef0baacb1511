"""Points by hand: limits, reasons, a second person, and taking an entry back."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import time_machine
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from loyalty import adjustments, ledger, limits, programme, reversals, rewards, tiers, verify
from loyalty.adjustments import Adjustment
from loyalty.models import (
    AdjustReason,
    DayUse,
    Entry,
    Lot,
    Policy,
    ProgrammeSettings,
    Reward,
    Tier,
    TierScheme,
    TierThreshold,
)
from loyalty.policies import settings_now
from members.importing import runs
from members.models import Member
from staff import approvals
from staff.models import Approval, AuditEntry, User
from tests.factories import make_member, make_user
from tests.loyalty.concurrency import at_once
from tests.members.imports import bring_in, written

pytestmark = pytest.mark.django_db


def wish(member: Member, points: int, reason: str = "goodwill") -> Adjustment:
    return Adjustment(member_id=member.pk, points=points, reason=reason, comment="Rang twice.")


def adjust(
    member: Member, points: int, *, key: str = "k", user: User | None = None, reason: str = "goodwill"
) -> object:
    return adjustments.adjust(wish(member, points, reason), key=key, user=user or make_user("customer_service"))


def set_limits(**values: object) -> None:
    settings_now()
    ProgrammeSettings.objects.update(**values)


def usable(member: Member) -> int:
    return ledger.available(member.pk, timezone.now())


def broken() -> list[str]:
    return [check.key for check in verify.checks() if check.offending()]


def client_of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def test_points_are_given_with_their_reason_comment_and_author() -> None:
    member, user = make_member(), make_user("customer_service", name="Lin Mei")
    entry = adjust(member, 500, user=user)
    assert isinstance(entry, Entry)
    assert (entry.kind, entry.points, entry.qualifying) == ("adjust", 500, 0)
    assert entry.explanation == {
        "adjust": "goodwill",
        "reason": "Goodwill",
        "reason_zh": "善意补偿",
        "comment": "Rang twice.",
        "by": "Lin Mei",
        "approved_by": "",
    }
    assert entry.lot.expires_at is not None
    page = client_of(user).get(f"/members/{member.number}/").content.decode()
    assert "Goodwill" in page
    assert "Rang twice. · by Lin Mei" in page
    assert AuditEntry.objects.get(action="points.adjust").detail["points"] == 500


def test_points_given_for_some_reasons_count_for_tiers() -> None:
    entry = adjust(make_member(), 500, reason="missing-points")
    assert isinstance(entry, Entry)
    assert entry.qualifying == 500


def test_points_are_taken_but_never_more_than_there_are() -> None:
    member = make_member()
    adjust(member, 500)
    with pytest.raises(ledger.InsufficientPoints):
        adjust(member, -501, key="b")
    adjust(member, -200, key="c")
    assert usable(member) == 300
    assert broken() == []


def test_the_same_key_adjusts_once_and_other_input_is_refused() -> None:
    member, user = make_member(), make_user("customer_service")
    first = adjust(member, 500, user=user)
    assert adjust(member, 500, user=user) == first
    for other in (wish(member, 400), wish(make_member(), 500), wish(member, 500, "fraud")):
        with pytest.raises(ledger.KeyReused):
            adjustments.adjust(other, key="k", user=user)
    assert usable(member) == 500
    assert DayUse.objects.get().points == 500


def test_a_closed_member_and_a_reason_out_of_use_are_refused() -> None:
    with pytest.raises(adjustments.NotEligible):
        adjust(make_member(status="closed"), 5)
    adjustments.reasons()
    AdjustReason.objects.filter(key="goodwill").update(active=False)
    with pytest.raises(adjustments.NoSuchReason):
        adjust(make_member(), 5)


def test_given_and_taken_points_count_together_towards_the_day() -> None:
    set_limits(adjust_daily_limit=1_000)
    member, user = make_member(), make_user("customer_service")
    adjust(member, 600, key="a", user=user)
    adjust(member, -300, key="b", user=user)
    with pytest.raises(limits.DayLimitReached) as refusal:
        adjust(member, 101, key="c", user=user)
    assert (refusal.value.left, refusal.value.limit) == (100, 1_000)
    adjust(member, 100, key="d", user=user)
    adjust(member, 100, key="e")  # somebody else has a day of their own


def test_the_keys_of_a_person_and_they_themselves_share_one_day() -> None:
    set_limits(adjust_daily_limit=1_000)
    member, owner = make_member(), make_user("customer_service")

    def by_key(agent: str, keeper: User | None) -> object:
        key = f"{agent}:{keeper}"
        return adjustments.adjust(wish(member, 600), key=key, user=None, agent=agent, label="till", keeper=keeper)

    by_key("key:1", owner)
    for again in (lambda: by_key("key:2", owner), lambda: adjust(member, 600, key="desk", user=owner)):
        with pytest.raises(limits.DayLimitReached):
            again()
    by_key("key:3", None)
    by_key("key:4", None)
    assert usable(member) == 1_800


def test_an_approval_gives_nothing_to_who_left_in_between() -> None:
    set_limits(adjust_approval_above=100)
    member, approver = make_member(), make_user("approver")
    asked = adjust(member, 200)
    assert isinstance(asked, Approval)
    Member.objects.filter(pk=member.pk).update(status="closed")
    page = client_of(approver).get(asked.get_absolute_url()).content.decode()
    assert "approving it will be refused" in page
    with pytest.raises(approvals.CannotBeDone, match="has left the programme"):
        approvals.approve(asked, user=approver)
    assert usable(member) == 0


def test_an_approval_about_a_member_who_went_with_their_import_says_so(tmp_path: Path) -> None:
    set_limits(adjust_approval_above=100)
    run = bring_in("members", written(tmp_path, "external_id\na1\n"))
    member, approver = Member.objects.get(), make_user("approver")
    asked = adjust(member, 200)
    assert isinstance(asked, Approval)
    runs.undo(run, user=None)
    assert not Member.objects.exists()
    page = client_of(approver).get(asked.get_absolute_url())
    assert "What it is about is not there any more." in page.content.decode()
    with pytest.raises(approvals.CannotBeDone, match="not there any more"):
        approvals.approve(asked, user=approver)
    approvals.refuse(asked, user=approver, reason="Gone.")


def test_the_day_is_the_programmes() -> None:
    set_limits(adjust_daily_limit=100)
    member, user = make_member(), make_user("customer_service")
    # 23:30 in Shanghai, and half an hour later
    with time_machine.travel(datetime(2026, 3, 1, 15, 30, tzinfo=UTC), tick=False):
        adjust(member, 100, key="a", user=user)
        with pytest.raises(limits.DayLimitReached):
            adjust(member, 1, key="b", user=user)
    with time_machine.travel(datetime(2026, 3, 1, 16, 0, tzinfo=UTC), tick=False):
        adjust(member, 100, key="b", user=user)


@pytest.mark.django_db(transaction=True)
def test_twenty_requests_at_once_do_not_pass_the_days_limit() -> None:
    set_limits(adjust_daily_limit=1_000)
    adjustments.reasons()
    user = make_user("customer_service")
    members = [make_member() for _ in range(20)]
    outcomes = at_once(
        *(
            lambda place=place, member=member: adjust(member, 90, key=f"k{place}", user=user)
            for place, member in enumerate(members)
        )
    )
    assert outcomes == {"done": 11, "DayLimitReached": 9}
    assert DayUse.objects.get().points == 990
    assert sum(usable(member) for member in members) == 990
    assert broken() == []


@pytest.mark.django_db(transaction=True)
def test_the_same_form_sent_twenty_times_at_once_counts_once() -> None:
    adjustments.reasons()
    settings_now()
    member, user = make_member(), make_user("customer_service")
    outcomes = at_once(*[lambda: adjust(member, 90, user=user)] * 20)
    assert outcomes == {"done": 20}
    assert usable(member) == 90
    assert DayUse.objects.get().points == 90


def test_above_the_limit_nothing_moves_until_a_second_person_approves() -> None:
    member, user, approver = make_member(), make_user("customer_service"), make_user("approver", name="Wang Fang")
    asked = adjust(member, 1_001, user=user)
    assert isinstance(asked, Approval)
    assert adjust(member, 1_001, user=user) == asked
    assert usable(member) == 0
    assert not DayUse.objects.filter(points__gt=0).exists()
    waiting = client_of(user).get(reverse("loyalty:member-waiting", args=[member.number])).content.decode()
    assert f"Give 1,001 points to {member.number}" in waiting
    page = client_of(approver).get(asked.get_absolute_url()).content.decode()
    for figure in ("Can be spent after it", "1,001", "¥10.01"):
        assert figure in page
    approvals.approve(asked, user=approver)
    entry = Entry.objects.get()
    assert (entry.points, entry.explanation["approved_by"]) == (1_001, "Wang Fang")
    assert adjust(member, 1_001, user=user) == entry
    assert usable(member) == 1_001
    assert b"waits" not in client_of(user).get(reverse("loyalty:member-waiting", args=[member.number])).content


def test_points_that_are_gone_when_it_is_approved_are_not_taken() -> None:
    member = make_member()
    for key in "ab":
        adjust(member, 1_000, key=key)
    asked = adjust(member, -1_500, key="c")
    assert isinstance(asked, Approval)
    adjust(member, -1_000, key="d")
    with pytest.raises(approvals.CannotBeDone):
        approvals.approve(asked, user=make_user("approver"))
    asked.refresh_from_db()
    assert asked.state == "requested"
    assert usable(member) == 1_000


@pytest.mark.django_db(transaction=True)
def test_approved_by_many_at_once_it_is_given_once() -> None:
    member = make_member()
    asked = adjust(member, 2_000)
    people = [make_user("approver", password=None) for _ in range(8)]
    outcomes = at_once(
        *(lambda user=user: approvals.approve(Approval.objects.get(pk=asked.pk), user=user) for user in people)
    )
    assert outcomes == {"done": 1, "AlreadyDecided": 7}
    assert usable(member) == 2_000
    assert broken() == []


def test_the_dialog_shows_what_it_does_before_it_does_it() -> None:
    member, client = make_member(), client_of(make_user("customer_service"))
    address = reverse("loyalty:member-adjust", args=[member.number])
    form = {"direction": "give", "points": "300", "reason": "goodwill", "comment": "Rang twice.", "key": "abc"}
    shown = client.post(address, form | {"step": "look"}).content.decode()
    assert "300 points are given: Goodwill." in shown
    assert "Give 300 points" in shown
    assert usable(member) == 0
    for _ in range(2):
        done = client.post(address, form | {"step": "do"})
        assert "points-changed" in done["HX-Trigger"]
    assert usable(member) == 300
    short = client.post(address, form | {"direction": "take", "points": "301", "step": "look"}).content.decode()
    assert "Only 300 points can be taken" in short
    assert "This field is required" in client.post(address, form | {"comment": "", "step": "do"}).content.decode()


def spent(member: Member, points: int) -> None:
    reward = Reward.objects.create(name=f"Reward {Reward.objects.count()}", points=points)
    rewards.redeem(member_id=member.pk, reward_id=reward.pk, key=f"r{reward.pk}", user=None)


def reverse_entry(entry: object, user: User | None = None) -> object:
    assert isinstance(entry, Entry)
    return reversals.reverse(entry, comment="Wrong member.", user=user or make_user("customer_service"))


def test_an_entry_is_taken_back_once_and_says_why() -> None:
    member, user = make_member(), make_user("customer_service")
    entry = adjust(member, 500, user=user)
    reversal = reverse_entry(entry, user)
    assert isinstance(reversal, Entry)
    assert (reversal.points, reversal.reverses_id) == (-500, entry.pk)
    with pytest.raises(ledger.AlreadyReversed):
        reverse_entry(entry, user)
    dialog = client_of(user).get(reverse("loyalty:entry-reverse", args=[entry.pk])).content.decode()
    assert "An entry is taken back once." in dialog
    page = client_of(user).get(f"/members/{member.number}/").content.decode()
    assert "Taken back: Goodwill" in page
    assert "Wrong member." in page
    assert DayUse.objects.get().points == 1_000
    assert broken() == []


@pytest.mark.parametrize(("policy", "left"), [(Policy.TAKE, 0), (Policy.DEBT, -400)])
def test_what_is_spent_of_an_entry_goes_by_the_programmes_policy(policy: Policy, left: int) -> None:
    set_limits(clawback_policy=policy)
    member = make_member()
    entry = adjust(member, 500)
    spent(member, 400)
    found = reversals.preview(entry)
    assert (found.does.own, found.does.others, found.does.missing) == (100, 0, 400)
    reverse_entry(entry)
    member.account.refresh_from_db()
    assert member.account.balance == left
    assert broken() == []


def test_what_is_spent_is_not_taken_back_where_the_programme_refuses() -> None:
    set_limits(clawback_policy=Policy.REFUSE)
    member = make_member()
    entry = adjust(member, 500)
    spent(member, 400)
    client = client_of(make_user("customer_service"))
    dialog = client.get(reverse("loyalty:entry-reverse", args=[entry.pk])).content.decode()
    assert "does not take back what is spent" in dialog
    with pytest.raises(ledger.InsufficientPoints):
        reverse_entry(entry)
    assert usable(member) == 100


def test_points_that_expired_come_back_with_the_programmes_grace() -> None:
    set_limits(grace_days=10)
    member = make_member()
    at = timezone.now() - timedelta(days=40)
    ledger.award(
        member_id=member.pk, points=300, key="a", occurred_at=at, explanation={}, expires_at=at + timedelta(days=30)
    )
    ledger.expire_due(timezone.now())
    reverse_entry(Entry.objects.get(kind="expire"))
    assert usable(member) == 300
    assert Lot.objects.get(remaining__gt=0).expires_at <= timezone.now() + timedelta(days=10)
    assert broken() == []


def test_above_the_limit_a_reversal_waits_for_a_second_person() -> None:
    member, user = make_member(), make_user("customer_service")
    asked = adjust(member, 2_000, user=user)
    assert isinstance(asked, Approval)
    approvals.approve(asked, user=make_user("approver"))
    entry = Entry.objects.get()
    request = reverse_entry(entry, user)
    assert isinstance(request, Approval)
    assert reverse_entry(entry, user) == request
    assert usable(member) == 2_000
    approvals.approve(request, user=make_user("approver"))
    assert usable(member) == 0
    with pytest.raises(ledger.AlreadyReversed):
        reverse_entry(entry, user)


@pytest.mark.django_db(transaction=True)
def test_an_entry_taken_back_by_twenty_at_once_is_taken_back_once() -> None:
    set_limits(adjust_daily_limit=100_000)
    member = make_member()
    entry = adjust(member, 500)
    people = [make_user("customer_service", password=None) for _ in range(20)]
    outcomes = at_once(*(reversing(entry, user) for user in people))
    assert outcomes == {"done": 1, "AlreadyReversed": 19}
    assert usable(member) == 0
    assert broken() == []


def reversing(entry: object, user: User) -> Callable[[], object]:
    return lambda: reverse_entry(entry, user)


def test_a_redemption_is_not_taken_back_entry_by_entry() -> None:
    member = make_member()
    adjust(member, 500)
    spent(member, 100)
    entry = Entry.objects.get(kind="redeem")
    with pytest.raises(ledger.NotReversible):
        reverse_entry(entry)
    assert client_of(make_user()).get(reverse("loyalty:entry-reverse", args=[entry.pk])).status_code == 404


def test_missing_points_that_service_gives_reach_a_tier_at_once_and_taking_them_back_loses_it() -> None:
    programme.ensure_defaults()
    TierScheme.objects.update_or_create(pk=1, defaults={"measures": ["points"]})
    silver = Tier.objects.get(key="silver")
    TierThreshold.objects.update_or_create(tier=silver, measure="points", defaults={"value": 400})
    member = make_member()
    entry = adjust(member, 500, reason="missing-points")
    assert tiers.progress(member.pk, timezone.now()).tier == silver
    reverse_entry(entry)
    assert tiers.progress(member.pk, timezone.now()).tier.key == "bronze"
    assert broken() == []
