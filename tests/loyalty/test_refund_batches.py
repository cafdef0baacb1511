"""Refunds by the batch: what comes of each, and of all of them, is what comes of them one by one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import pytest
import time_machine
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from hypothesis import example, given, settings
from hypothesis import strategies as st

from loyalty import ledger, policies, programme, rewards
from loyalty.intake import (
    LineInput,
    RecordedRefund,
    RefundDiffers,
    RefundLineInput,
    RefundRefused,
    record_purchase,
    record_purchases,
    record_refund,
    record_refunds,
)
from loyalty.models import Account, Entry, Lot, Policy, ProgrammeSettings, Reward, TierStanding
from members.models import Member, Purchase, Refund, RefundLine
from staff.models import AuditEntry
from tests.factories import make_member
from tests.loyalty.concurrency import at_once
from tests.loyalty.test_earning import in_force, prove

NOW: Final = datetime(2026, 6, 1, 4, 0, tzinfo=UTC)
LATER: Final = NOW + timedelta(hours=1)
UNSEEN: Final = 4


@dataclass(frozen=True)
class Asked:
    """One refund: of which purchase, in which way, how much (in tenths), when, and under which key."""

    purchase: int
    way: str
    tenths: int
    day: int
    key: int

    @property
    def arguments(self) -> dict[str, Any]:
        part = Decimal(self.tenths)
        lines = {
            "line": [RefundLineInput(line_no=1 + self.tenths % 2)],
            "quantity": [RefundLineInput(line_no=1, quantity=part / 4)],
            "line amount": [RefundLineInput(line_no=2, amount=part * 3)],
            "no such line": [RefundLineInput(line_no=7)],
        }
        return {
            "key": f"r{self.key}",
            "purchase_key": f"p{self.purchase}",
            "refunded_at": NOW + timedelta(days=self.day),
            "amount": part * 7 if self.way == "amount" else None,
            "lines": lines.get(self.way, []),
            "currency": "XXX" if self.way == "other money" else "",
        }


WAYS: Final = ("whole", "amount", "line", "quantity", "line amount", "amount", "line", "no such line", "other money")
ASKED: Final = st.builds(
    Asked,
    purchase=st.integers(0, UNSEEN + 1),
    way=st.sampled_from(WAYS),
    tenths=st.integers(1, 10),
    day=st.integers(-1, 4),
    key=st.integers(0, 30),
)


def sale(member: Member, place: int, **more: Any) -> dict[str, Any]:
    return {
        "member_id": member.pk,
        "key": f"p{place}",
        "purchased_at": NOW + timedelta(minutes=place),
        "amount": Decimal(100),
        "receipt": f"p{place}",
        "lines": [LineInput(amount=Decimal(60), quantity=Decimal(3), sku="tea"), LineInput(amount=Decimal("30.01"))],
        "charges": Decimal("9.99"),
    } | more


def history(members: Sequence[Member], spent: Sequence[int], *, with_points: bool, expiring: bool) -> None:
    """Two purchases of each; one may be paid with points, and some points may expire before the refunds come."""
    if expiring:
        ledger.award(
            member_id=members[0].pk, points=30, key="gone", occurred_at=NOW, expires_at=NOW + timedelta(days=2),
            explanation={},
        )  # fmt: skip
    for place in range(UNSEEN):
        paid = []
        if with_points and place == UNSEEN - 1:
            reward = Reward.objects.create(name="Voucher", points=40)
            paid = [rewards.redeem(member_id=members[1].pk, reward_id=reward.pk, key="paid", user=None).pk]
        record_purchase(**sale(members[place % 2], place), redemptions=paid)
    for member, points in zip(members, spent, strict=True):
        if points:
            ledger.spend(member_id=member.pk, points=points, key=f"s{member.pk}", occurred_at=LATER, explanation={})


def one_by_one(asked: Sequence[Asked], coming: Sequence[dict[str, Any]]) -> list[Any]:
    outcomes = []
    for one in asked:
        try:
            outcomes.append(told(record_refund(**one.arguments)))
        except (RefundRefused, RefundDiffers) as refusal:
            outcomes.append(told(refusal))
    ledger.expire_due(NOW + timedelta(days=3))
    for purchase in coming:
        record_purchase(**purchase)
    return outcomes


def by_the_batch(asked: Sequence[Asked], coming: Sequence[dict[str, Any]]) -> list[Any]:
    outcomes = [told(one) for one in record_refunds([one.arguments for one in asked], label="Till")]
    ledger.expire_due(NOW + timedelta(days=3))
    record_purchases(coming)
    prove()
    return outcomes


def told(outcome: RecordedRefund | Exception) -> Any:
    if isinstance(outcome, Exception):
        return type(outcome).__name__, str(outcome)
    refund = outcome.refund
    return (
        outcome.is_new, refund.key, refund.state, refund.amount, refund.value, outcome.points_taken,
        outcome.points_returned, outcome.debt,
    )  # fmt: skip


def rows() -> dict[str, Any]:
    """All that refunds change, without the ids that the database made."""
    entries = Entry.objects.order_by("member_id", "seq")
    moved = entries.values_list("member_id", "kind", "points", "qualifying", "debt", "debt_after", "balance_after",
                                "occurred_at", "counts_at", "purchase__key", "award__idempotency_key",
                                "explanation")  # fmt: skip
    unnamed = {"refund", "purchase", "lots"}
    return {
        "entries": [(*row[:-2], {k: v for k, v in row[-1].items() if k not in unnamed}) for row in moved],
        "lots": list(Lot.objects.order_by("member_id", "pk").values_list("member_id", "points", "remaining")),
        "accounts": list(Account.objects.order_by("pk").values_list("pk", "balance", "debt", "version")),
        "refunds": list(
            Refund.objects.order_by("key").values_list(
                "key", "purchase_key", "state", "problem", "amount", "value", "currency", "rate", "attempt", "member_id"
            )
        ),
        "lines": list(
            RefundLine.objects.order_by("refund__key", "line__line_no").values_list(
                "refund__key", "line__line_no", "quantity", "amount", "value"
            )
        ),
        "purchases": list(Purchase.objects.order_by("key").values_list("key", "refunded_value")),
        "tiers": list(TierStanding.objects.order_by("member_id").values_list("member_id", "tier__key")),
        "acts": list(
            AuditEntry.objects.filter(action="refund.record").order_by("pk").values_list("subject_label", "detail")
        ),
    }


def undone(act: Callable[[], Any]) -> tuple[Any, dict[str, Any]]:
    """What an act brings and leaves behind; then it is undone."""
    with transaction.atomic():
        brought = act()
        left = rows()
        transaction.set_rollback(True)
    return brought, left


@pytest.mark.django_db
@settings(max_examples=30, deadline=None)
@given(
    asked=st.lists(ASKED, min_size=1, max_size=14),
    spent=st.tuples(st.integers(0, 200), st.integers(0, 150)),
    policy=st.sampled_from(Policy.values),
    with_points=st.booleans(),
    expiring=st.booleans(),
)
# Of the first, one of its two awards could be taken back and the other not: what could is there for those after it.
@example(
    asked=[Asked(0, "whole", 1, 1, 0), Asked(2, "amount", 10, 1, 1), Asked(2, "amount", 3, 1, 2)],
    spent=(121, 0),
    policy=Policy.REFUSE,
    with_points=False,
    expiring=False,
)
def test_any_batch_of_refunds_does_what_they_do_one_by_one(
    asked: list[Asked], spent: tuple[int, int], policy: str, *, with_points: bool, expiring: bool
) -> None:
    with time_machine.travel(NOW + timedelta(days=3), tick=False), transaction.atomic():
        programme.ensure_defaults()
        tea = {"fact": "line.sku", "op": "in", "value": ["tea"]}
        in_force("Tea week", {"type": "per_line", "points": 11, "lines": tea})
        policies.settings_now()
        ProgrammeSettings.objects.update(clawback_policy=policy)
        members = [make_member(), make_member()]
        history(members, spent, with_points=with_points, expiring=expiring)
        coming = [sale(members[place % 2], place) for place in (UNSEEN, UNSEEN + 1)]
        alone, left_alone = undone(lambda: one_by_one(asked, coming))
        batch, left_by_batch = undone(lambda: by_the_batch(asked, coming))
        transaction.set_rollback(True)
    assert batch == alone
    for name, left in left_alone.items():
        assert left_by_batch[name] == left, name


@pytest.mark.django_db
@time_machine.travel(NOW + timedelta(days=3), tick=False)
def test_a_batch_of_refunds_asks_the_database_as_often_however_many_they_are() -> None:
    programme.ensure_defaults()
    counts = []
    for count in (3, 30):
        member_of = [make_member() for _ in range(count)]
        keys = range(100 * count, 101 * count)
        record_purchases([sale(member, place, purchased_at=NOW) for member, place in zip(member_of, keys, strict=True)])
        asked = [
            {"key": f"r{place}:{part}", "purchase_key": f"p{place}", "refunded_at": NOW + timedelta(days=1), **of}
            for place in keys
            for part, of in enumerate(({"amount": Decimal(40)}, {}))
        ]
        with CaptureQueriesContext(connection) as queries:
            done = record_refunds(asked, label="Till")
        assert {type(one).__name__ for one in done} == {"RecordedRefund"}
        assert {account.balance for account in Account.objects.all()} == {0}
        counts.append(len(queries))
    assert counts[0] == counts[1]
    prove()


@pytest.mark.django_db(transaction=True)
def test_batches_of_the_same_refunds_at_once_count_each_once() -> None:
    programme.ensure_defaults()
    members = [make_member() for _ in range(5)]
    at = datetime.now(UTC) - timedelta(hours=2)
    record_purchases([sale(member, place, purchased_at=at) for place, member in enumerate(members)])
    asked = [
        {"key": f"r{place}", "purchase_key": f"p{place}", "refunded_at": at + timedelta(hours=1), "amount": Decimal(60)}
        for place in range(7)
    ]
    turned = [lambda: record_refunds(asked, label="Till"), lambda: record_refunds(asked[::-1], label="Till")]
    assert at_once(*turned * 8) == {"done": 16}
    assert [account.balance for account in Account.objects.all()] == [40] * 5
    assert Refund.objects.filter(state=Refund.State.WAITING).count() == 2
    prove()
