"""Purchases with lines and refunds: what the database itself refuses, and what counts after a refund."""

from decimal import Decimal

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from members.models import Purchase, PurchaseLine, Refund, RefundLine
from tests.factories import make_purchase

pytestmark = pytest.mark.django_db

RETURN = (
    "INSERT INTO members_refundline (refund_id, line_id, quantity, amount, value)"
    " VALUES ({refund}, {line}, 1, {amount}, {amount})"
)


@pytest.fixture
def purchase() -> Purchase:
    """100.00 in two lines: three of 20.00 and one of 30.00; 10.00 are for delivery."""
    purchase = make_purchase(amount=100)
    for line_no, quantity, amount in ((1, 3, 60), (2, 1, 30)):
        PurchaseLine.objects.create(
            purchase=purchase, line_no=line_no, sku=f"sku-{line_no}", quantity=quantity, amount=amount, value=amount
        )
    return purchase


def commit(*statements: str) -> None:
    """Run statements as one transaction, up to and including its checks at commit."""
    with transaction.atomic(), connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")


def refund(purchase: Purchase, amount: int, **fields: object) -> Refund:
    """Written past the program, with what the purchase notes of it."""
    refund = Refund.objects.create(
        key=f"refund:{Refund.objects.count()}",
        purchase=purchase,
        purchase_key=purchase.key,
        member=purchase.member,
        refunded_at=timezone.now(),
        amount=amount,
        currency="CNY",
        rate=1,
        value=amount,
        state="applied",
        **fields,
    )
    Purchase.objects.filter(pk=purchase.pk).update(refunded_value=sum(r.value or 0 for r in purchase.refunds.all()))
    return refund


def net() -> list[tuple[int, Decimal]]:
    """What the view shows."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT id, value FROM members_net_purchase ORDER BY id")
        return cursor.fetchall()


def test_what_is_refunded_does_not_count_and_a_purchase_given_back_whole_is_none(purchase: Purchase) -> None:
    assert net() == [(purchase.pk, Decimal(100))]
    refund(purchase, 30)
    commit()
    assert net() == [(purchase.pk, Decimal(70))]
    refund(purchase, 70)
    commit()
    assert net() == []


def test_a_gift_that_cost_nothing_is_still_a_purchase() -> None:
    gift = make_purchase(amount=0)
    assert net() == [(gift.pk, Decimal(0))]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE members_purchase SET refunded_value = 20",
        "UPDATE members_refund SET value = 31",
        "UPDATE members_refund SET amount = 101",
        "UPDATE members_refund SET state = 'waiting', purchase_id = NULL",
        "DELETE FROM members_refundline; DELETE FROM members_refund",
    ],
)
def test_a_purchase_notes_exactly_what_its_refunds_come_to(purchase: Purchase, statement: str) -> None:
    refund(purchase, 30)
    commit()
    with pytest.raises(IntegrityError, match="noted on it"):
        commit(statement)


def test_refunds_never_come_to_more_than_the_purchase(purchase: Purchase) -> None:
    refund(purchase, 60)
    commit()
    with pytest.raises(IntegrityError), transaction.atomic():
        refund(purchase, 41)


@pytest.mark.parametrize(("quantity", "amount"), [(4, 10), (3, 61)])
def test_a_line_is_not_given_back_beyond_its_quantity_and_amount(
    purchase: Purchase, quantity: int, amount: int
) -> None:
    given = refund(purchase, 70)
    line = purchase.lines.get(line_no=1)
    RefundLine.objects.create(refund=given, line=line, quantity=1, amount=0, value=0)
    commit()
    with pytest.raises(IntegrityError, match=f"line {line.pk} of"):
        commit(f"UPDATE members_refundline SET quantity = {quantity}, amount = {amount}, value = {amount}")


def test_a_refund_gives_back_only_lines_of_its_own_purchase(purchase: Purchase) -> None:
    given = refund(make_purchase(amount=50), 20)
    line = purchase.lines.get(line_no=1)
    with pytest.raises(IntegrityError, match="not its purchase"):
        commit(RETURN.format(refund=given.pk, line=line.pk, amount=20))


def test_lines_of_a_refund_are_part_of_it(purchase: Purchase) -> None:
    given = refund(purchase, 20)
    line = purchase.lines.get(line_no=1)
    with pytest.raises(IntegrityError, match="more than it gave back"):
        commit(RETURN.format(refund=given.pk, line=line.pk, amount=21))


def test_lines_are_not_more_than_the_purchase_and_do_not_change(purchase: Purchase) -> None:
    with pytest.raises(IntegrityError, match="more than its amount"), transaction.atomic():
        PurchaseLine.objects.create(purchase=purchase, line_no=3, amount=11, value=0)
    with pytest.raises(IntegrityError, match="is not changed"), transaction.atomic():
        purchase.lines.update(amount=1)


@pytest.mark.parametrize("state", ["applied", "gone"])
def test_an_applied_refund_names_its_purchase(state: str) -> None:
    with pytest.raises(IntegrityError, match="members_refund_state_is_whole"), transaction.atomic():
        Refund.objects.create(key="r", purchase_key="p", refunded_at=timezone.now(), state=state)
