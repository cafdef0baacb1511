"""The lines of a purchase: what is paid for each, and what is refused."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from django.test import Client
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st

from loyalty import programme
from loyalty.intake import LineInput, PurchaseDiffers, Recorded, WrongLines, record_purchase
from loyalty.intake.lines import share_out
from members.models import Member, Purchase
from staff.permissions import Role
from tests.factories import make_member, make_user

NOW = datetime(2026, 6, 1, 4, 0, tzinfo=UTC)

cents = st.decimals(min_value=0, max_value=10_000_000, places=2)


@pytest.fixture
def member(db: None) -> Member:
    programme.ensure_defaults()
    return make_member()


def bought(member: Member, amount: str, *lines: LineInput, **more: Decimal) -> Recorded:
    return record_purchase(
        member_id=member.pk, key="p", purchased_at=NOW, amount=Decimal(amount), lines=lines, receipt="S-1", **more
    )


@given(st.lists(cents, min_size=1, max_size=12), st.data())
def test_sharing_out_leaks_no_cent_and_gives_nobody_more_than_their_weight(
    weights: list[Decimal], data: st.DataObject
) -> None:
    whole = sum(weights, Decimal(0))
    total = data.draw(st.decimals(min_value=0, max_value=whole, places=2))
    parts = share_out(total, weights)
    assert sum(parts) == total
    assert all(0 <= part <= weight for part, weight in zip(parts, weights, strict=True))


def test_a_line_keeps_what_was_paid_for_it(member: Member) -> None:
    purchase = bought(
        member,
        "100",
        LineInput(amount=Decimal(60), quantity=Decimal(3), sku="tea"),
        LineInput(amount=Decimal(40), product="Cup"),
    ).purchase
    assert list(purchase.lines.values_list("line_no", "sku", "product", "quantity", "amount", "value")) == [
        (1, "tea", "", 3, 60, 60),
        (2, "", "Cup", 1, 40, 40),
    ]


def test_a_discount_on_the_whole_is_taken_off_the_lines_and_charges_stand_on_none(member: Member) -> None:
    lines = [LineInput(amount=Decimal("33.33")) for _ in range(3)]
    purchase = bought(member, "94.99", *lines, discount=Decimal(10), charges=Decimal(5)).purchase
    amounts = [line.amount for line in purchase.lines.all()]
    assert sum(amounts) == Decimal("89.99")
    assert max(amounts) - min(amounts) <= Decimal("0.01")


def test_lines_in_another_currency_are_worth_the_purchase(member: Member) -> None:
    purchase = record_purchase(
        member_id=member.pk,
        key="p",
        purchased_at=NOW,
        amount=Decimal("10.00"),
        currency="EUR",
        rate=Decimal("7.777"),
        lines=[LineInput(amount=Decimal("3.33")), LineInput(amount=Decimal("6.67"))],
    ).purchase
    assert sum(line.value for line in purchase.lines.all()) == purchase.value == Decimal("77.77")


@pytest.mark.parametrize(
    ("lines", "more", "where"),
    [
        ([LineInput(amount=Decimal(99))], {}, ("amount", "sum", None)),
        ([LineInput(amount=Decimal(100))], {"discount": Decimal(1)}, ("amount", "sum", None)),
        ([], {"charges": Decimal(1)}, ("amount", "sum", None)),
        ([LineInput(amount=Decimal(-1)), LineInput(amount=Decimal(101))], {}, ("amount", "negative", 1)),
        ([LineInput(amount=Decimal(100), quantity=Decimal(0))], {}, ("quantity", "negative", 1)),
        ([LineInput(amount=Decimal("99.999"))], {}, ("amount", "too_exact", 1)),
        ([LineInput(amount=Decimal(50), line_no=4)] * 2, {}, ("line_no", "doubled", 4)),
        ([LineInput(amount=Decimal(5))], {"discount": Decimal(6)}, ("discount", "discount", None)),
        ([LineInput(amount=Decimal(105))], {"charges": Decimal(-5)}, ("charges", "negative", None)),
    ],
)
def test_wrong_lines_are_refused_by_name_and_nothing_is_written(
    member: Member, lines: list[LineInput], more: dict[str, Decimal], where: tuple[str, str, int | None]
) -> None:
    with pytest.raises(WrongLines) as refusal:
        bought(member, "100", *lines, **more)
    assert (refusal.value.field, refusal.value.reason, refusal.value.line_no) == where
    assert not Purchase.objects.exists()


def test_the_same_purchase_again_is_the_same_and_with_other_lines_it_is_refused(member: Member) -> None:
    first = bought(member, "100", LineInput(amount=Decimal(40)), LineInput(amount=Decimal(60)))
    again = bought(member, "100.00", LineInput(amount=Decimal("40.00")), LineInput(amount=Decimal(60)))
    assert (again.is_new, again.purchase) == (False, first.purchase)
    with pytest.raises(PurchaseDiffers):
        bought(member, "100", LineInput(amount=Decimal(41)), LineInput(amount=Decimal(59)))
    with pytest.raises(PurchaseDiffers):
        bought(member, "100")


def test_the_timeline_tells_the_lines(member: Member, client: Client) -> None:
    lines = [LineInput(amount=Decimal(10), quantity=Decimal(2), product=f"Tea {n}") for n in range(7)]
    bought(member, "70", *lines)
    client.force_login(make_user(Role.CUSTOMER_SERVICE))
    page = client.get(reverse("members:member", args=[member.number])).content.decode()
    assert "2 × Tea 0 ¥10.00" in page
    assert "2 more lines" in page
