"""Refunds: the complaints of others, each by its name."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
import time_machine
from django.db import connection
from django.db.models import Sum
from hypothesis import given, settings
from hypothesis import strategies as st

from loyalty import ledger, policies, programme, rules, verify
from loyalty.intake import (
    LineInput,
    RecordedRefund,
    RefundDiffers,
    RefundLineInput,
    RefundRefused,
    preview_refund,
    record_purchase,
    record_purchases,
    record_refund,
)
from loyalty.intake.returning import Allocation, Line, Standing, allocate, points_until
from loyalty.models import Account, EarningRule, Entry, ProgrammeSettings, RuleVersion, TierStanding
from loyalty.rules import backtest, simulation
from members.models import Member, Purchase, Refund
from staff import jobs
from tests.factories import make_member
from tests.members.imports import bring_in, written

NOW = datetime(2026, 6, 1, 4, 0, tzinfo=UTC)


@pytest.fixture
def member(db: None) -> Member:
    programme.ensure_defaults()
    return make_member()


@pytest.fixture(autouse=True)
def _now() -> object:
    with time_machine.travel(NOW + timedelta(days=30), tick=False):
        yield


def bought(member: Member, amount: str = "100", *lines: LineInput, key: str = "p", at: datetime = NOW) -> Purchase:
    return record_purchase(
        member_id=member.pk, key=key, purchased_at=at, amount=Decimal(amount), receipt=key, lines=lines
    ).purchase


def refunded(
    amount: str | None = None, *lines: RefundLineInput, key: str = "r", of: str = "p", days: int = 1
) -> RecordedRefund:
    return record_refund(
        key=key,
        purchase_key=of,
        refunded_at=NOW + timedelta(days=days),
        amount=None if amount is None else Decimal(amount),
        lines=lines,
    )


def balance(member: Member) -> int:
    return Account.objects.get(member=member).balance


def prove() -> None:
    """Let the deferred checks run now, and ``manage.py verify`` after them."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")
    assert {check.key: rows for check in verify.checks() if (rows := check.offending())} == {}


def test_buying_refunding_and_buying_again_does_not_mint_points(member: Member) -> None:
    for turn in range(3):
        bought(member, key=f"p{turn}")
        refunded(key=f"r{turn}", of=f"p{turn}")
    assert balance(member) == 0
    bought(member, key="last")
    assert balance(member) == 100
    prove()


def test_a_partial_return_takes_its_share(member: Member) -> None:
    purchase = bought(member, "100", LineInput(amount=Decimal(60), quantity=Decimal(3)), LineInput(amount=Decimal(40)))
    done = refunded(None, RefundLineInput(line_no=1, quantity=Decimal(1)))
    assert (done.refund.amount, done.points_taken, balance(member)) == (Decimal("20.00"), 20, 80)
    done = refunded("10", key="r2")
    assert (done.points_taken, balance(member)) == (10, 70)
    done = refunded(key="r3")
    assert (done.refund.amount, done.points_taken, balance(member)) == (Decimal("70.00"), 70, 0)
    purchase.refresh_from_db()
    assert purchase.net_value == 0
    assert all(line.refunds.aggregate(sum=Sum("amount"))["sum"] == line.amount for line in purchase.lines.all())
    prove()


@pytest.mark.parametrize(
    ("parts", "taken"),
    [(["7.50", None], [8, 7]), (["0.50", "0.50", None], [1, 0, 14]), (["2.50", "5.00", "2.50", None], [3, 5, 2, 5])],
)
def test_half_a_point_is_taken_back_with_the_refund_that_reaches_it(
    member: Member, parts: list[str | None], taken: list[int]
) -> None:
    bought(member, "15")
    for number, (part, points) in enumerate(zip(parts, taken, strict=True)):
        key = f"r{number}"
        foreseen = preview_refund(purchase_key="p", amount=None if part is None else Decimal(part))
        done = refunded(part, key=key)
        assert (foreseen.points_taken, done.points_taken) == (points, points)
    assert balance(member) == 0
    prove()


def test_half_a_point_of_a_line_is_taken_back_too(member: Member) -> None:
    lines = LineInput(amount=Decimal("7.50"), quantity=Decimal(1)), LineInput(amount=Decimal("7.50"))
    purchase = bought(member, "15", *lines)
    assert refunded(None, RefundLineInput(line_no=1)).points_taken == 8
    assert Account.objects.get(member=member).balance == 7
    assert purchase.entries.aggregate(left=Sum("qualifying"))["left"] == 7
    prove()


def test_a_refund_sent_twice_counts_once(member: Member) -> None:
    bought(member)
    first, again = refunded("30"), refunded("30.00")
    assert (first.is_new, again.is_new, again.refund, again.entries) == (True, False, first.refund, first.entries)
    assert balance(member) == 70
    with pytest.raises(RefundDiffers):
        refunded("31")
    bought(member, key="other")
    with pytest.raises(RefundDiffers):
        refunded("30", of="other")
    assert balance(member) == 170


def test_a_refund_for_a_purchase_that_has_not_come_waits_for_it(member: Member) -> None:
    early = refunded("30")
    whole = refunded("999", key="too much", days=2)
    assert (early.refund.state, early.entries) == (Refund.State.WAITING, [])
    purchase = bought(member)
    assert balance(member) == 70
    early.refund.refresh_from_db()
    assert (early.refund.state, early.refund.purchase) == (Refund.State.APPLIED, purchase)
    whole.refund.refresh_from_db()
    assert (whole.refund.state, whole.refund.problem) == (Refund.State.REFUSED, "more_than_left")
    assert refunded("30").points_taken == 30
    prove()


def test_a_late_refund_after_expiry_takes_nothing_twice(member: Member) -> None:
    bought(member)
    with time_machine.travel(NOW + timedelta(days=1000), tick=False):
        ledger.expire_due(NOW + timedelta(days=1000))
        assert balance(member) == 0
        done = refunded(days=999)
        assert (done.points_taken, balance(member), Account.objects.get(member=member).debt) == (0, 0, 0)
    prove()


def test_what_was_spent_becomes_debt_that_the_next_purchase_pays(member: Member) -> None:
    bought(member)
    ledger.spend(
        member_id=member.pk, points=70, key="spent", occurred_at=NOW + timedelta(hours=1), explanation={"text": "mug"}
    )
    told = preview_refund(purchase_key="p")
    assert (told.points_taken, told.debt) == (100, 70)
    assert not Refund.objects.exists()
    done = refunded()
    assert (done.points_taken, done.debt, balance(member)) == (100, 70, -70)
    bought(member, key="next", at=NOW + timedelta(days=2))
    assert balance(member) == 30
    prove()


@pytest.mark.parametrize(("policy", "left"), [("refuse", 30), ("take", 0)])
def test_other_policies_refuse_or_take_what_is_there(member: Member, policy: str, left: int) -> None:
    settings_row = policies.settings_now()
    settings_row.clawback_policy = policy
    settings_row.save()
    bought(member)
    ledger.spend(
        member_id=member.pk, points=70, key="spent", occurred_at=NOW + timedelta(hours=1), explanation={"text": "mug"}
    )
    if policy == "refuse":
        with pytest.raises(RefundRefused, match="points_spent"):
            refunded()
        assert not Refund.objects.exists()
    else:
        assert refunded().points_taken == 30
    assert balance(member) == left
    prove()


def in_force(rule: EarningRule, *, since_ever: bool = True, **definition: object) -> None:
    """A version by which purchases earn from now on, ``since_ever`` however old they are."""
    version = rules.draft(rule, definition=rules.usual() | definition, user=None)
    rules.submit(version, user=None)
    rules.approve(version, user=None)
    rules.activate(version, user=None, since_ever=since_ever)


def test_the_rules_of_today_have_no_say_in_what_is_taken_back(member: Member) -> None:
    bought(member)
    dearer = [{"type": "per_amount", "points": "5", "per": "1"}]
    in_force(EarningRule.objects.get(), since_ever=False, effects=dearer)
    bought(member, key="new", at=NOW + timedelta(days=30))
    assert balance(member) == 600
    assert refunded("50").points_taken == 50
    assert refunded("50", key="r2", of="new", days=30).points_taken == 250
    prove()


def first_purchase_bonus() -> None:
    first = {"fact": "purchase.is_first", "op": "is", "value": True}
    in_force(EarningRule.objects.create(name="Welcome"), when=first, effects=[{"type": "fixed", "points": 200}])


def test_a_bonus_for_the_first_purchase_goes_with_it_and_may_be_earned_again(member: Member) -> None:
    first_purchase_bonus()
    for turn in range(3):
        bought(member, key=f"p{turn}", at=NOW + timedelta(days=turn))
        assert balance(member) == 300
        refunded(key=f"r{turn}", of=f"p{turn}", days=turn)
        assert balance(member) == 0
    prove()


def test_buying_again_beside_a_purchase_that_stands_earns_no_second_bonus_for_the_first(member: Member) -> None:
    first_purchase_bonus()
    bought(member)
    refunded("99.99")
    bought(member, key="second", at=NOW + timedelta(days=2))
    refunded(key="rest", days=3)
    bought(member, key="third", at=NOW + timedelta(days=4))
    assert balance(member) == 200
    prove()


def test_who_kept_the_bonus_for_a_first_purchase_does_not_earn_it_again(member: Member) -> None:
    first_purchase_bonus()
    policies.settings_now()
    ProgrammeSettings.objects.update(clawback_policy=ledger.Policy.TAKE)
    bought(member)
    ledger.spend(member_id=member.pk, points=250, key="s", occurred_at=NOW, explanation={})
    assert refunded().points_taken == 50
    bought(member, key="again", at=NOW + timedelta(days=2))
    assert balance(member) == 100


def test_a_stage_is_reckoned_without_what_was_given_back_by_then(member: Member) -> None:
    """A purchase that was given back whole is none, from the moment of its refund on."""
    prospect = {"fact": "member.lifecycle", "op": "in", "value": ["prospect"]}
    in_force(EarningRule.objects.create(name="Prospects"), when=prospect, effects=[{"type": "fixed", "points": 7}])
    bought(member)
    bought(member, key="beside", at=NOW + timedelta(days=1))
    refunded(days=2)
    refunded(key="r2", of="beside", days=2)
    assert balance(member) == 0
    bought(member, key="late", at=NOW + timedelta(days=1, hours=1))
    assert balance(member) == 100
    refunded(key="r3", of="late", days=3)
    bought(member, key="after", at=NOW + timedelta(days=4))
    assert balance(member) == 107


def test_simulation_and_backtest_count_purchases_as_intake_did(member: Member) -> None:
    first_purchase_bonus()
    shopping = [("p0", 0), ("p1", 2), ("p2", 4), ("p3", 6)]
    for key, day in shopping:
        bought(member, key=key, at=NOW + timedelta(days=day))
        if key in {"p0", "p2"}:
            refunded(key=f"r:{key}", of=key, days=day + 1)
    refunded(key="late", of="p1", days=20)
    earned = {
        key: sum(Entry.objects.filter(purchase__key=key, kind="earn").values_list("points", flat=True))
        for key, _day in shopping
    }
    assert earned == {"p0": 300, "p1": 300, "p2": 100, "p3": 100}
    for purchase in Purchase.objects.all():
        assert sum(award.points for award in simulation.explain(purchase).awards) == earned[purchase.key]
    job = jobs.run_inline(backtest.start(RuleVersion.objects.get(rule__name="Welcome"), 12, None))
    assert (job.result["detail"]["total"]["would"], job.result["detail"]["total"]["all_would"]) == (400, 800)


def test_purchases_by_the_batch_and_by_import_find_what_refunds_that_waited_gave_back(
    member: Member, tmp_path: Path
) -> None:
    first_purchase_bonus()
    sales = []
    for who, place in [(who, place) for who in (member, make_member(), make_member()) for place in range(3)]:
        key = f"{who.pk}:{place}"
        sales.append(
            {
                "member_id": who.pk,
                "key": key,
                "receipt": key,
                "purchased_at": NOW + timedelta(days=2 * place),
                "amount": Decimal(100),
            }
        )
        if place < 2:
            refunded(key=f"r:{key}", of=key, days=2 * place + 1)
    for sale in sales[:3]:
        record_purchase(**sale)
    record_purchases(sales[3:6])
    numbers = dict(Member.objects.values_list("pk", "number"))
    rows = [f"{one['key']},{numbers[one['member_id']]},{one['purchased_at'].isoformat()},100" for one in sales[6:]]
    bring_in("purchases", written(tmp_path, "receipt,person,time,amount\n" + "\n".join(rows) + "\n"))
    assert [account.balance for account in Account.objects.all()] == [300] * 3
    earned = Entry.objects.filter(kind="earn").order_by("member_id", "occurred_at", "points")
    assert list(earned.values_list("points", flat=True)) == [100, 200] * 9
    prove()


def test_a_rule_for_some_lines_is_taken_back_by_them(member: Member) -> None:
    """50 points for each line of tea; the cup earns by its amount alone."""
    tea = {"fact": "line.sku", "op": "in", "value": ["tea"]}
    effects = [{"type": "per_line", "points": 50, "lines": tea}]
    in_force(EarningRule.objects.create(name="Tea week"), effects=effects)
    lines = [LineInput(amount=Decimal(50), sku="tea"), LineInput(amount=Decimal(50), sku="cup")]
    bought(member, "100", *lines)
    assert balance(member) == 150
    refunded(None, RefundLineInput(line_no=2))
    assert balance(member) == 100
    refunded("25", key="r2")
    assert balance(member) == 50
    refunded(key="r3")
    assert balance(member) == 0
    prove()


def test_a_tier_that_a_refunded_purchase_reached_is_looked_at_again(member: Member) -> None:
    bought(member, "9000")
    assert TierStanding.objects.get(member=member).tier.key == "gold"
    refunded("6500")
    assert TierStanding.objects.get(member=member).tier.key == "silver"
    refunded(key="r2")
    assert TierStanding.objects.get(member=member).tier.key == "bronze"


@pytest.mark.parametrize(
    ("amount", "lines", "where"),
    [
        ("100.01", [], ("amount", "more_than_left", None, Decimal(100))),
        ("0", [], ("amount", "not_positive", None, None)),
        ("-5", [], ("amount", "not_positive", None, None)),
        (None, [RefundLineInput(line_no=3)], ("line_no", "no_such_line", 3, None)),
        (None, [RefundLineInput(line_no=1, quantity=Decimal(4))], ("quantity", "more_than_left", 1, Decimal(3))),
        (None, [RefundLineInput(line_no=1, amount=Decimal(61))], ("amount", "more_than_left", 1, Decimal(60))),
        (None, [RefundLineInput(line_no=2)] * 2, ("line_no", "line_twice", 2, None)),
        ("29", [RefundLineInput(line_no=2)], ("amount", "less_than_lines", None, Decimal(30))),
        ("41", [RefundLineInput(line_no=2)], ("amount", "more_than_left", None, Decimal(40))),
    ],
)
def test_what_cannot_be_given_back_is_refused_by_name(
    member: Member, amount: str | None, lines: list[RefundLineInput], where: tuple[object, ...]
) -> None:
    record_purchase(
        member_id=member.pk,
        key="p",
        purchased_at=NOW,
        amount=Decimal(100),
        lines=[LineInput(amount=Decimal(60), quantity=Decimal(3)), LineInput(amount=Decimal(30))],
        charges=Decimal(10),
    )
    with pytest.raises(RefundRefused) as refusal:
        refunded(amount, *lines)
    found = refusal.value
    assert (found.field, found.reason, found.line_no, found.left) == where
    assert (balance(member), Refund.objects.count()) == (100, 0)


def test_a_refund_of_the_refunded_before_the_purchase_or_in_other_money_is_refused(member: Member) -> None:
    bought(member)
    with pytest.raises(RefundRefused, match="refunded_at: before_purchase"):
        refunded(days=-1)
    with pytest.raises(RefundRefused, match="refunded_at: future"):
        refunded(days=60)
    with pytest.raises(RefundRefused, match="currency"):
        record_refund(key="r", purchase_key="p", refunded_at=NOW, currency="EUR")
    with pytest.raises(RefundRefused, match="lines: no_lines"):
        refunded(None, RefundLineInput(line_no=1))
    refunded()
    with pytest.raises(RefundRefused, match="amount: nothing_left"):
        refunded(key="r2")


def test_a_clock_that_is_hours_behind_does_not_refuse_a_refund_of_the_same_day(member: Member) -> None:
    bought(member)
    done = record_refund(key="r", purchase_key="p", refunded_at=NOW - timedelta(hours=3))
    assert done.points_taken == 100


cents = st.decimals(min_value=Decimal("0.01"), max_value=500, places=2)


@given(points=st.integers(0, 10**9), cuts=st.lists(st.fractions(0, 1), min_size=1, max_size=1000))
def test_rounding_never_leaks_over_a_thousand_split_refunds(points: int, cuts: list[Fraction]) -> None:
    shares = [Fraction(0), *sorted(cuts), Fraction(1)]
    parts = [points_until(points, after) - points_until(points, before) for before, after in zip(shares, shares[1:])]  # noqa: B905, RUF007
    assert sum(parts) == points
    assert all(part >= 0 for part in parts)


@given(amounts=st.lists(cents, min_size=1, max_size=6), charges=cents, data=st.data())
def test_any_sequence_of_refunds_comes_to_the_purchase_and_never_to_more(
    amounts: list[Decimal], charges: Decimal, data: st.DataObject
) -> None:
    """By amount, by line and by quantity in any order, then the rest: every cent of every line, once."""
    lines = [
        Line(id=number, line_no=number, quantity=Decimal(number), amount=amount, value=amount * 7)
        for number, amount in enumerate(amounts, 1)
    ]
    total = sum(amounts, charges)
    standing = Standing(amount=total, value=total * 7, currency="CNY", lines=lines)
    done: list[Allocation] = []
    for _ in range(data.draw(st.integers(0, 30))):
        if standing.is_over:
            break
        try:
            done.append(_some_refund(standing, data))
        except RefundRefused:
            continue
        standing = standing.after(done[-1])
        assert standing.charges_left >= 0
        assert all(line.amount_left >= 0 and line.quantity_left >= 0 for line in standing.lines)
        assert all(0 <= line.refunded_value <= line.value for line in standing.lines)
    if not standing.is_over:
        done.append(allocate(standing, amount=None, lines=[]))
        standing = standing.after(done[-1])
    assert (standing.refunded_amount, standing.refunded_value) == (total, total * 7)
    assert sum(part.amount for part in done) == total
    assert all((line.amount_left, line.refunded_value) == (0, line.value) for line in standing.lines)
    assert standing.share_of({"lines": {"1": "3.5"}}) == 1


def _some_refund(standing: Standing, data: st.DataObject) -> Allocation:
    line = data.draw(st.sampled_from(list(standing.lines)))
    way = data.draw(st.sampled_from(["amount", "line", "quantity", "line amount"]))
    if way == "amount":
        return allocate(standing, amount=data.draw(cents), lines=[])
    asked = RefundLineInput(
        line_no=line.line_no,
        quantity=data.draw(st.integers(1, 3).map(Decimal)) if way == "quantity" else None,
        amount=data.draw(cents) if way == "line amount" else None,
    )
    return allocate(standing, amount=None, lines=[asked])


@pytest.mark.django_db
@settings(max_examples=15)
@given(parts=st.lists(st.integers(1, 40), min_size=2, max_size=30))
def test_the_ledger_takes_back_exactly_what_split_refunds_come_to(parts: list[int]) -> None:
    programme.ensure_defaults()
    member = make_member()
    total = Decimal(sum(parts)) / 7
    total = total.quantize(Decimal("0.01"))
    key = f"p{member.pk}"
    purchase = bought(member, str(total), key=key)
    earned = balance(member) if Account.objects.filter(member=member).exists() else 0
    taken = 0
    for place, part in enumerate(parts[:-1]):
        amount = (Decimal(part) / 7).quantize(Decimal("0.01"))
        purchase.refresh_from_db()
        if amount and amount < purchase.net_value:
            taken += refunded(str(amount), key=f"{key}:{place}", of=key).points_taken
            assert taken <= earned
    taken += refunded(key=f"{key}:rest", of=key).points_taken
    assert (taken, balance(member)) == (earned, 0)
    prove()
