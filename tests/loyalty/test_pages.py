"""The programme's pages, and its parts of the member page."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import pytest
import time_machine
from django.test import Client
from django.urls import reverse
from django.utils import timezone, translation

from loyalty import ledger, programme, rewards, words
from loyalty.intake import record_purchase
from loyalty.models import Account, Entry, Redemption, Reward, Tier, TierThreshold
from loyalty.tier_models import scheme
from loyalty.tiers import editing
from members import timeline
from members.conditions import counts
from members.models import Member
from staff import jobs
from staff.models import AuditEntry, Job
from staff.permissions import Role
from tests.factories import make_member, make_user

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 6, 1, 4, 0, tzinfo=UTC)
EARNED = datetime(2022, 1, 3, 2, 0, tzinfo=UTC)  # usable whatever day the tests run on


@pytest.fixture(autouse=True)
def _programme() -> None:
    programme.ensure_defaults()


def signed_in(role: str) -> Client:
    client = Client()
    client.force_login(make_user(role))
    return client


def member_with(points: int, **fields: Any) -> Member:
    member = make_member()
    ledger.award(
        member_id=member.pk, points=points, key=f"{member.pk}", **({"occurred_at": EARNED, "explanation": {}} | fields)
    )
    return member


def text_of(client: Client, name: str, *args: object) -> str:
    response = client.get(reverse(name, args=args))
    assert response.status_code == 200
    return response.content.decode()


def test_an_entry_says_in_words_why_it_is_there() -> None:
    member = make_member()
    with time_machine.travel(NOW, tick=False):
        for place, amount in enumerate(("9000.00", "1286.00")):
            at = NOW - timedelta(days=2 - place)
            record_purchase(
                member_id=member.pk, key=f"k{place}", purchased_at=at, amount=Decimal(amount), receipt="S-1"
            )
        entry = Entry.objects.latest("seq")
        assert words.details(entry)[:2] == [
            "1 point per ¥1 on ¥1,286.00 → 1,286",
            "Gold ×1.25 → 1,607.5, rounded down to 1,607",
        ]
        with translation.override("zh-hans"):
            assert "黄金" in words.details(entry)[1]
        items = timeline.page(member, before=NOW, limit=20).items
        bought = next(item for item in items if item.points == 1_607)
        assert (bought.title.startswith("Order S-1"), bought.balance) == (True, 10_607)
        moved = next(item for item in items if item.kind == "tiers")
        assert moved.title == "Bronze → Gold"
        assert "¥9,000" in moved.details[0]


def test_the_member_page_shows_points_tier_and_lots() -> None:
    with time_machine.travel(NOW, tick=False):
        desk = signed_in(Role.CUSTOMER_SERVICE)
        member = member_with(8_420, expires_at=NOW + timedelta(days=39))
        ledger.award(
            member_id=member.pk,
            points=300,
            key="pending",
            occurred_at=NOW,
            activates_at=NOW + timedelta(days=3),
            explanation={},
        )
        summary = text_of(desk, "loyalty:member-summary", member.number)
        assert "8,420" in summary
        assert "300 pending" in summary
        assert "¥2,000 more for Silver" in summary
        assert "expire within 30 days" not in summary
        lots = text_of(desk, "loyalty:member-lots", member.number)
        assert "in 39 days" in lots
        assert "Bronze" in text_of(desk, "loyalty:member-badge", member.number)


def test_the_member_page_warns_of_points_that_expire() -> None:
    with time_machine.travel(NOW, tick=False):
        member = member_with(1_200, expires_at=NOW + timedelta(days=11))
        summary = text_of(signed_in(Role.CUSTOMER_SERVICE), "loyalty:member-summary", member.number)
    assert "1,200 expire within 30 days, the first on 12 Jun 2026" in summary


def redeem_form(desk: Client, member: Member) -> dict[str, str]:
    page = text_of(desk, "loyalty:member-redeem", member.number)
    key = page.split('name="key" value="')[1].split('"')[0]
    return {"key": key}


def test_a_reward_is_redeemed_in_the_dialog_and_the_page_is_told() -> None:
    member, reward, desk = (
        member_with(500),
        Reward.objects.create(name="Coffee", points=200, stock=3),
        signed_in("customer_service"),
    )
    form = redeem_form(desk, member) | {"reward": str(reward.pk)}
    url = reverse("loyalty:member-redeem", args=[member.number])
    for _ in range(2):  # a second click sends the same key
        response = desk.post(url, form)
        events = json.loads(response["HX-Trigger"])
        assert {"points-changed", "dialog:close", "toast"} == set(events)
        assert "Coffee redeemed for 200 points" in events["toast"]["text"]
    assert (Account.objects.get(member=member).balance, Redemption.objects.get().state) == (300, "confirmed")


def test_a_refused_redemption_says_why_in_the_dialog() -> None:
    member, desk = member_with(100), signed_in("customer_service")
    dear = Reward.objects.create(name="Dear", points=200)
    Reward.objects.create(name="Gone", points=50, stock=0)
    page = text_of(desk, "loyalty:member-redeem", member.number)
    assert "100 points short" in page
    assert "out of stock" in page
    response = desk.post(
        reverse("loyalty:member-redeem", args=[member.number]), redeem_form(desk, member) | {"reward": str(dear.pk)}
    )
    assert "200 points are needed; 100 can be spent." in response.content.decode()
    assert not Redemption.objects.exists()


def test_nobody_pays_another_price_than_the_dialog_showed() -> None:
    member, desk = member_with(500), signed_in("customer_service")
    Reward.objects.create(name="Biscuit", points=100)
    reward = Reward.objects.create(name="Coffee", points=200)
    url = reverse("loyalty:member-redeem", args=[member.number])
    page = text_of(desk, "loyalty:member-redeem", member.number)
    assert f'name="price-{reward.pk}" value="200"' in page
    form = redeem_form(desk, member) | {"reward": str(reward.pk), f"price-{reward.pk}": "200"}
    Reward.objects.filter(pk=reward.pk).update(points=400)
    answer = desk.post(url, form).content.decode()
    assert "price of this reward has just changed" in answer
    assert f'name="price-{reward.pk}" value="400"' in answer
    assert f'value="{reward.pk}" checked' in answer
    assert not Redemption.objects.exists()


@pytest.mark.parametrize("posted", [{"reward": "²"}, {"reward": "9" * 5000}, {"reward": "9" * 19}])
def test_a_redemption_that_no_dialog_sends_is_refused_in_words(posted: dict[str, str]) -> None:
    member, desk = member_with(500), signed_in("customer_service")
    response = desk.post(reverse("loyalty:member-redeem", args=[member.number]), {"key": "k"} | posted)
    assert "Choose a reward." in response.content.decode()


def tier_form(**changes: str) -> dict[str, str | list[str]]:
    stands = scheme()
    form: dict[str, str | list[str]] = {
        name: changes.get(name, getattr(stands, name)) for name in editing.SCHEME_FIELDS
    }
    for tier in Tier.objects.all():
        for part in ("name", "name_zh", "multiplier"):
            form[f"{part}_{tier.pk}"] = changes.get(f"{part}_{tier.key}", str(getattr(tier, part)))
        spend = tier.thresholds.filter(measure="spend").first()
        form[f"spend_{tier.pk}"] = changes.get(f"spend_{tier.key}", str(spend.value) if spend else "")
    return form


def test_the_tier_page_counts_moves_before_it_saves_and_then_moves_them() -> None:
    desk, member = signed_in("marketing_manager"), make_member()
    record_purchase(member_id=member.pk, key="k", purchased_at=timezone.now(), amount=Decimal(2_500))
    form = tier_form(spend_silver="3000")
    desk.post(reverse("loyalty:tiers-preview"), form)
    job = jobs.run_inline(Job.objects.get())
    page = desk.get(reverse("loyalty:tiers-preview-result", args=[job.pk])).content.decode()
    assert "1 member would lose Silver and be Bronze." in page
    assert TierThreshold.objects.get(tier__key="silver").value == 2_000
    desk.post(reverse("loyalty:tiers-save"), form)
    assert TierThreshold.objects.get(tier__key="silver").value == 3_000
    assert Job.objects.exclude(pk=job.pk).get().kind == "recalculate-tiers"
    assert AuditEntry.objects.get(action="tier.change").detail["after"] == {"spend": "3000"}


def test_thresholds_that_do_not_rise_are_refused_beside_the_field() -> None:
    desk = signed_in("marketing_manager")
    response = desk.post(reverse("loyalty:tiers-save"), tier_form(spend_gold="1000"))
    assert response.status_code == 422
    assert "must be more than for Silver" in response.content.decode()
    assert TierThreshold.objects.get(tier__key="gold").value == 8_000


def test_stock_is_added_to_and_never_overwritten() -> None:
    desk = signed_in("marketing_manager")
    create = {"name": "Coffee", "points": "100", "cost": "3.50", "active": "on"}
    assert desk.post(reverse("loyalty:reward-new"), create).status_code == 422
    desk.post(reverse("loyalty:reward-new"), create | {"stock_change": "10"})
    reward = Reward.objects.get()
    rewards.redeem(member_id=member_with(100).pk, reward_id=reward.pk, key="k", user=None)
    desk.post(reverse("loyalty:reward", args=[reward.pk]), create | {"stock_change": "5", "points": "90"})
    reward.refresh_from_db()
    assert (reward.stock, reward.points) == (14, 90)
    response = desk.post(reverse("loyalty:reward", args=[reward.pk]), create | {"stock_change": "-15"})
    assert "Only 14 are left." in response.content.decode()


def test_redemptions_are_found_handed_over_and_cancelled() -> None:
    desk, reward = signed_in("customer_service"), Reward.objects.create(name="Coffee", points=100)
    kept, undone = (
        rewards.redeem(member_id=member_with(100).pk, reward_id=reward.pk, key=key, user=None) for key in "ab"
    )
    url = reverse("loyalty:redemptions")
    page = desk.get(f"{url}?{urlencode({'q': kept.member.number, 'state': 'reserved'})}").content.decode()
    assert kept.member.number in page
    assert undone.member.number not in page
    assert 'name="step" value="confirm"' in page
    for step, state in (("confirm", "confirmed"), ("fulfil", "fulfilled")):
        for _ in range(2):  # a second click does not take the step after it
            told = {"step": step, "next": "https://elsewhere.example/"}
            response = desk.post(reverse("loyalty:redemption-advance", args=[kept.pk]), told)
            assert response["Location"] == url
            kept.refresh_from_db()
            assert kept.state == state
    response = desk.post(reverse("loyalty:redemption-cancel", args=[undone.pk]), {"next": f"{url}?state=reserved"})
    assert response["Location"] == f"{url}?state=reserved"
    kept.refresh_from_db()
    undone.refresh_from_db()
    assert (kept.state, undone.state) == ("fulfilled", "cancelled")
    assert Account.objects.get(member=undone.member).balance == 100


def test_the_timeline_says_once_that_a_reward_is_reserved() -> None:
    reward, lin = Reward.objects.create(name="Coffee", points=100), make_user(name="Lin Mei")
    redemption = rewards.redeem(member_id=member_with(100).pk, reward_id=reward.pk, key="a", user=lin)

    def details() -> list[str]:
        items = timeline.page(redemption.member, before=timezone.now() + timedelta(days=1), kind="points").items
        return [detail for item in items for detail in item.details if "reserved" in detail or "confirmed" in detail]

    assert details() == ["reserved by Lin Mei"]
    rewards.confirm(redemption, user=lin)
    assert details() == ["confirmed", "reserved by Lin Mei"]


def test_redemptions_are_paged_by_time() -> None:
    desk, reward, member = (
        signed_in("customer_service"),
        Reward.objects.create(name="Coffee", points=1),
        member_with(60),
    )
    for number in range(51):
        with time_machine.travel(NOW + timedelta(minutes=number // 2), tick=False):
            rewards.redeem(member_id=member.pk, reward_id=reward.pk, key=str(number), user=None)
    first = desk.get(reverse("loyalty:redemptions"))
    assert len(first.context["rows"]) == 50
    rest = desk.get(reverse("loyalty:redemptions") + first.context["page"].next_query)
    assert [row[0].idempotency_key for row in rest.context["rows"]] == ["0"]
    assert desk.get(reverse("loyalty:redemptions"), {"before": "rubbish"}).status_code == 200


def test_the_ledger_page_adds_up() -> None:
    member_with(70, expires_at=timezone.now() + timedelta(days=400))
    member_with(30)
    page = text_of(signed_in("executive"), "loyalty:ledger")
    assert "All balances and all lots come to 100 points." in page


@pytest.mark.parametrize(
    ("condition", "count"),
    [
        ({"fact": "member.tier", "op": "in", "value": ["bronze"]}, 2),
        ({"fact": "member.tier", "op": "in", "value": ["gold"]}, 1),
        ({"fact": "member.balance", "op": "gte", "value": 8_000}, 1),
        ({"fact": "member.balance", "op": "eq", "value": 0}, 1),
        ({"fact": "member.points_expiring", "op": "gte", "value": 1, "days": 30}, 1),
        ({"fact": "member.points_earned", "op": "gt", "value": 50}, 1),
    ],
)
def test_conditions_know_tiers_and_points(condition: dict[str, Any], count: int) -> None:
    make_member()
    member_with(50, expires_at=timezone.now() + timedelta(days=10), occurred_at=timezone.now())
    record_purchase(member_id=make_member().pk, key="k", purchased_at=timezone.now(), amount=Decimal(8_000))
    assert counts.count({"all": [condition]}) == count
