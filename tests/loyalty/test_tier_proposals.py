"""Other tiers and benefits: one asks with the numbers counted, another decides."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from loyalty import programme, tiers
from loyalty.intake import record_purchase
from loyalty.models import Reward, Tier, TierBenefit, TierScheme
from loyalty.tiers import preview, proposals
from staff import approvals, jobs, people
from staff.models import Approval, AuditEntry, Job, User
from tests.factories import make_member, make_user
from tests.loyalty.concurrency import at_once
from tests.loyalty.test_tier_pages import filled_in

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _programme() -> None:
    programme.ensure_defaults()


def client_of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def ask(user: User, **changes: object) -> Approval:
    """The request that the form with these changes makes."""
    assert client_of(user).post(reverse("loyalty:tiers-save"), filled_in(**changes)).status_code == 302
    return Approval.objects.latest("pk")


def spend_of(key: str) -> Decimal:
    return next(rung.thresholds["spend"] for rung in tiers.ladder().rungs if rung.key == key)


def test_another_threshold_is_decided_by_another_person_who_sees_who_would_move() -> None:
    manager, approver = make_user("marketing_manager", name="Mei"), make_user("approver")
    member = make_member()
    record_purchase(
        member_id=member.pk, key="k", purchased_at=timezone.now() - timedelta(days=1), amount=Decimal(8_500)
    )
    asked = ask(manager, spend_gold=9_000, warn_days=60)
    assert ask(manager, spend_gold=9_000, warn_days=60) == asked  # the second time it is the same request
    assert (spend_of("gold"), TierScheme.objects.get().warn_days) == (8_000, 30)
    page = client_of(manager).get(reverse("loyalty:tiers")).text
    assert asked.get_absolute_url() in page
    assert "Ask a second person" in page
    job = jobs.run_inline(Job.objects.get(kind=preview.JOB))
    page = client_of(approver).get(asked.get_absolute_url()).text
    for line in ("Gold: spend", "¥8,000 → ¥9,000", "Warned days ahead", "30 → 60", "Members who would move"):
        assert line in page
    told = client_of(approver).get(reverse("loyalty:tiers-preview-result", args=[job.pk])).text
    assert "1 member would lose Gold and be Silver." in told
    with pytest.raises(approvals.OwnRequest):
        approvals.approve(asked, user=manager)
    approvals.approve(asked, user=approver)
    assert (spend_of("gold"), TierScheme.objects.get().warn_days) == (9_000, 60)
    assert AuditEntry.objects.get(action="tier.change").actor == approver
    assert Job.objects.filter(kind="recalculate-tiers").exists()


def test_the_preview_of_a_request_is_counted_to_its_end_whatever_its_author_tries_meanwhile() -> None:
    manager, _approver = make_user("marketing_manager"), make_user("approver")
    ask(manager, spend_gold=9_000)
    client_of(manager).post(reverse("loyalty:tiers-preview"), filled_in(spend_gold=9_500))
    first, second = Job.objects.filter(kind=preview.JOB).order_by("pk")
    assert (first.state, second.state) == (Job.State.QUEUED, Job.State.QUEUED)


def test_a_multiplier_is_asked_for_and_names_are_not() -> None:
    manager, approver = make_user("marketing_manager"), make_user("approver")
    gold = Tier.objects.get(key="gold")
    form = filled_in() | {f"name_{gold.pk}": "Golden"}
    client_of(manager).post(reverse("loyalty:tiers-save"), form)
    gold.refresh_from_db()
    assert (gold.name, Approval.objects.exists()) == ("Golden", False)
    form |= {f"multiplier_{gold.pk}": "9.00", f"name_{gold.pk}": "Sun"}
    client_of(manager).post(reverse("loyalty:tiers-save"), form)
    gold.refresh_from_db()
    assert (gold.name, gold.multiplier) == ("Golden", Decimal("1.25"))
    asked = Approval.objects.get()
    page = client_of(approver).get(asked.get_absolute_url()).text
    assert "Multiplier of Golden" in page
    assert "×1.25 → ×9.00" in page
    approvals.approve(asked, user=approver)
    gold.refresh_from_db()
    assert (gold.name, gold.multiplier) == ("Sun", Decimal("9.00"))


def test_what_was_asked_for_on_other_tiers_is_not_carried_out() -> None:
    manager, approver = make_user("marketing_manager"), make_user("approver")
    first, second = ask(manager, spend_gold=9_000), ask(manager, spend_silver=1_000)
    approvals.approve(second, user=approver)
    assert "Approving it will be refused." in client_of(approver).get(first.get_absolute_url()).text
    with pytest.raises(approvals.CannotBeDone, match="asked for again"):
        approvals.approve(first, user=approver)
    assert (spend_of("silver"), spend_of("gold")) == (1_000, 8_000)


@pytest.mark.django_db(transaction=True)
def test_of_two_requests_approved_at_once_one_is_carried_out() -> None:
    manager, deciders = make_user("marketing_manager"), [make_user("approver"), make_user("approver")]
    asked = [ask(manager, spend_gold=9_000), ask(manager, spend_gold=7_000)]
    pairs = zip(asked, deciders, strict=True)
    outcomes = at_once(*(lambda one=one, user=user: approvals.approve(one, user=user) for one, user in pairs))
    assert outcomes == {"done": 1, "CannotBeDone": 1}


def test_shutting_the_only_other_out_does_not_let_one_change_tiers_alone() -> None:
    admin, approver = make_user(), make_user("approver")
    people.deactivate(approver, by=admin)
    ask(admin, spend_gold=9_000)
    assert spend_of("gold") == 8_000


def test_where_nobody_else_decides_tiers_and_benefits_count_at_once() -> None:
    only = make_user()
    client_of(only).post(reverse("loyalty:tiers-save"), filled_in(spend_gold=9_000))
    assert (spend_of("gold"), Approval.objects.exists()) == (9_000, False)


def test_a_benefit_is_asked_for_and_taken_away_alone() -> None:
    manager, approver = make_user("marketing_manager"), make_user("approver")
    cup = Reward.objects.create(name="Cup", points=900, cost=Decimal(12))
    gold = Tier.objects.get(key="gold")
    form = {"tier": gold.pk, "kind": "gift", "text": "A cup", "text_zh": "", "yearly_value": ""}
    form |= {"reward": cup.pk, "points": "300", "when_passed": "on"}
    for _ in range(2):  # the second time it is the same request
        client_of(manager).post(reverse("loyalty:tier-benefit-add"), form)
    asked = Approval.objects.get()
    assert not TierBenefit.objects.exists()
    page = client_of(approver).get(asked.get_absolute_url()).text
    for line in ("Gold gives: A cup", "Cup + 300 points", "¥15.00"):
        assert line in page
    approvals.approve(asked, user=approver)
    benefit = TierBenefit.objects.get()
    assert (benefit.reward, benefit.points, benefit.when_passed, benefit.tier) == (cup, 300, True, gold)
    assert AuditEntry.objects.get(action="tier-benefit.add").actor == approver
    client_of(manager).post(reverse("loyalty:tier-benefit-remove", args=[benefit.pk]))
    assert not TierBenefit.objects.exists()


def test_the_page_of_approvals_asks_no_more_for_a_longer_list_of_tiers(django_assert_max_num_queries: object) -> None:
    manager, approver = make_user("marketing_manager"), make_user("approver")
    for amount in range(9_000, 9_010):
        ask(manager, spend_gold=amount)
    client = client_of(approver)
    with django_assert_max_num_queries(4):  # type: ignore[operator]
        assert client.get(reverse("staff:approvals")).text.count("Gold: spend") >= 10


def test_what_stands_and_what_is_proposed_are_compared_by_value() -> None:
    stands = tiers.ladder()
    form = filled_in(spend_gold="8000")
    assert proposals.told(stands) == proposals.told(tiers.ladder())
    make_user("approver")
    client_of(make_user("marketing_manager")).post(reverse("loyalty:tiers-save"), form)
    assert not Approval.objects.exists()
