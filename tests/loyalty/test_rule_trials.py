"""The pages on which a rule is tried: on a purchase, a made-up basket, months of history; and why points are there."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from loyalty import programme, rules
from loyalty.intake import record_purchase
from loyalty.models import EarningRule
from loyalty.rules import backtest, starters
from staff import jobs
from staff.models import Job, User
from staff.permissions import Role
from tests.factories import make_member, make_user
from tests.loyalty.rule_forms import a_draft, page, problem_at, signed_in

pytestmark = pytest.mark.django_db

HOSTILE = "<script>alert('points')</script>"


@pytest.fixture
def author() -> User:
    return make_user(Role.MARKETING_MANAGER)


@pytest.fixture
def desk(author: User) -> Client:
    return signed_in(author)


def test_a_real_purchase_is_reckoned_today_and_with_a_draft(author: User, desk: Client) -> None:
    programme.ensure_defaults()
    bought = record_purchase(
        member_id=make_member().pk, key="k", purchased_at=timezone.now(), amount=Decimal(1_000), channel="store"
    ).purchase
    in_store = {"all": [{"fact": "purchase.channel", "op": "in", "value": ["store"]}]}
    on_web = {"all": [{"fact": "purchase.channel", "op": "in", "value": ["web"]}]}
    draft = a_draft(author)
    rules.change(draft, definition=starters.find("member-day").definition | {"when": in_store}, user=author)
    asked = {"member": bought.member.number, "real": str(bought.pk), "version": str(draft.pk)}
    shown = page(desk, "loyalty:rules-simulate", **asked)
    assert "2,000 points with “Weekend”, 1,000 more than the 1,000 of today." in shown
    assert "1 point per ¥1 on ¥1,000.00" in shown
    rules.change(draft, definition=starters.find("member-day").definition | {"when": on_web}, user=author)
    assert "Asked: the channel is web. It is store." in page(desk, "loyalty:rules-simulate", **asked)


def test_a_made_up_basket_is_reckoned_line_by_line(author: User, desk: Client) -> None:
    programme.ensure_defaults()
    assert "Nothing to reckon yet" in page(desk, "loyalty:rules-simulate")
    coffee = {"all": [{"fact": "line.category", "op": "in", "value": ["coffee"]}]}
    effect = {"type": "per_line", "points": 7, "lines": coffee}
    draft = a_draft(author)
    rules.change(draft, definition=starters.find("per-unit").definition | {"effects": [effect]}, user=author)
    basket = {
        "amount": "",
        "line1-category": "coffee",
        "line1-amount": "30",
        "line2-category": "tea",
        "line2-amount": "20",
    }
    shown = page(desk, "loyalty:rules-simulate", version=str(draft.pk), **basket)
    assert "57 points with “Weekend”, 7 more than the 50 of today." in shown
    wrong = {"amount": "a lot", "line1-amount": "-3"}
    for headers in ({}, {"hx-request": "true", "hx-target": "simulation"}):
        answer = desk.get(reverse("loyalty:rules-simulate"), wrong, headers=headers).text
        assert "Put right what is marked" in answer
        assert problem_at(answer, "id_amount") == "Enter a number."
        assert problem_at(answer, "id_line1-amount") == "Amount: Ensure this value is greater than or equal to 0."
        assert problem_at(answer, "id_line2-amount") == ""
    for nonsense in (
        {"version": "x"},
        {"real": "9" * 30},
        {"event": "raffle"},
        {"member": HOSTILE},
        {"amount": "1", "at": "soon"},
    ):
        assert HOSTILE not in page(desk, "loyalty:rules-simulate", **nonsense)


def test_a_member_page_answers_why_and_why_not(author: User) -> None:
    programme.ensure_defaults()
    version = rules.draft(
        EarningRule.objects.create(name=HOSTILE), definition=starters.find("first-purchase").definition, user=author
    )
    rules.submit(version, user=None)
    rules.approve(version, user=None)
    rules.activate(version, user=None, since_ever=True)
    member, service = make_member(), signed_in(make_user(Role.CUSTOMER_SERVICE))
    first, second = (
        record_purchase(member_id=member.pk, key=key, purchased_at=timezone.now() - timedelta(days=age), amount=amount)
        for key, age, amount in (("a", 2, Decimal(100)), ("b", 1, Decimal("0.50")))
    )
    timeline = page(service, "members:member", member.number)
    assert reverse("loyalty:purchase-why", args=[second.purchase.pk]) in timeline
    assert ("Why these points?" in timeline, "Why no points?" in timeline) == (True, True)
    why = page(service, "loyalty:purchase-why", first.purchase.pk)
    assert "earned 200 points" in why
    assert "1 point per ¥1 on ¥100.00" in why
    assert HOSTILE not in why
    why_not = page(service, "loyalty:purchase-why", second.purchase.pk)
    assert "earned no points" in why_not
    assert "It comes to less than a whole point." in why_not
    assert "the member&#x27;s first purchase. It is no." in why_not


def test_a_backtest_is_started_and_read_beside_what_was_given(author: User, desk: Client) -> None:
    assert "No version to test" in page(desk, "loyalty:rules-backtests")
    programme.ensure_defaults()
    for number in range(3):
        at = timezone.now() - timedelta(days=number)
        record_purchase(member_id=make_member().pk, key=str(number), purchased_at=at, amount=Decimal(100))
    draft = a_draft(author)
    doubled = starters.find("member-day").definition | {"when": {}}
    rules.change(draft, definition=doubled, user=author)
    assert desk.post(reverse("loyalty:rules-backtests"), {"version": "9", "months": "99"}).status_code == 422
    desk.post(reverse("loyalty:rules-backtests"), {"version": str(draft.pk), "months": "3"})
    job = Job.objects.get(kind=backtest.JOB)
    assert "every 1s" in page(desk, "loyalty:rules-backtest", job.pk)
    reader = signed_in(make_user(Role.MARKETING_MANAGER, language="zh-hans"))
    for address in (reverse("loyalty:rules-backtests"), reverse("loyalty:rules-backtest", args=[job.pk])):
        told = reader.get(address).text
        assert "回测 Weekend 版本 1" in told
        assert "Backtest of" not in told
    jobs.run(job.pk)
    shown = page(desk, "loyalty:rules-backtest", job.pk)
    assert "300 points more would have been given, worth ¥3.00." in shown
    assert "3 get more, 0 less" in shown
    assert "Bronze" in shown
    table = b"".join(desk.get(reverse("loyalty:rules-backtest-csv", args=[job.pk])).streaming_content).decode()  # type: ignore[attr-defined]
    assert '"tier","bronze","3","300","0","600","300","3.00"' in table
    assert reverse("loyalty:rules-backtest", args=[job.pk]) in page(desk, "staff:job", job.pk)
