"""Points that paid for a purchase come back with its refund: to their lots, once, and never more than were spent."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
import time_machine
from django.db import IntegrityError, transaction

from loyalty import ledger, policies, programme, rewards
from loyalty.intake import record_purchase, record_refund
from loyalty.ledger import posting
from loyalty.ledger.movement import Movement
from loyalty.models import Account, Entry, Lot, Redemption, Reward
from members.models import Member
from tests.factories import make_member
from tests.loyalty.test_refunds import prove

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 6, 1, 4, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _now() -> object:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def member() -> Member:
    """30 points that expire in ten days and 100 that never do."""
    programme.ensure_defaults()
    member = make_member()
    for key, points, expires_at in (("soon", 30, NOW + timedelta(days=10)), ("never", 100, None)):
        ledger.award(
            member_id=member.pk, points=points, key=key, occurred_at=NOW, explanation={}, expires_at=expires_at
        )
    return member


def buy_with_points(member: Member) -> Redemption:
    """A voucher for 60 points pays a part of a purchase that costs 100.00 besides and earns 100."""
    reward = Reward.objects.create(name="Voucher", points=60)
    redemption = rewards.redeem(member_id=member.pk, reward_id=reward.pk, key="voucher", user=None)
    record_purchase(member_id=member.pk, key="p", purchased_at=NOW, amount=Decimal(100), redemptions=[redemption.pk])
    return redemption


def refund(key: str, amount: int | None = None) -> tuple[int, int]:
    done = record_refund(
        key=key,
        purchase_key="p",
        refunded_at=datetime.now(UTC),
        amount=None if amount is None else Decimal(amount),
    )
    return done.points_taken, done.points_returned


def lots(member: Member) -> dict[str, int]:
    found = Lot.objects.filter(member=member, remaining__gt=0).order_by("expires_at")
    return {lot.entry.idempotency_key.split(":")[0]: lot.remaining for lot in found}


def balance(member: Member) -> int:
    return Account.objects.get(member=member).balance


def test_points_come_back_in_proportion_to_the_lots_that_paid_with_the_expiry_they_had(member: Member) -> None:
    buy_with_points(member)
    assert lots(member) == {"never": 70, "purchase": 100}
    assert refund("r1", 50) == (50, 30)
    assert lots(member) == {"soon": 15, "never": 85, "purchase": 50}
    assert refund("r2") == (50, 30)
    assert lots(member) == {"soon": 30, "never": 100}
    prove()


def test_where_a_lot_has_expired_they_come_back_for_the_days_of_grace(member: Member) -> None:
    buy_with_points(member)
    later = NOW + timedelta(days=20)
    with time_machine.travel(later, tick=False):
        assert refund("r") == (100, 60)
        assert (lots(member), balance(member)) == ({"refund": 30, "never": 100}, 130)
        grace = Lot.objects.get(member=member, entry__kind="return")
        assert grace.expires_at == later + timedelta(days=policies.settings_now().grace_days)
    prove()


def test_odd_parts_come_to_exactly_what_was_spent(member: Member) -> None:
    buy_with_points(member)
    returned = sum(refund(f"r{n}", 3)[1] for n in range(33)) + refund("rest")[1]
    assert (returned, lots(member)) == (60, {"soon": 30, "never": 100})
    prove()


@pytest.mark.parametrize("parts", [[None], [40, None], [40]])
def test_refunding_and_then_cancelling_the_redemption_gives_nothing_twice(
    member: Member, parts: list[int | None]
) -> None:
    redemption = buy_with_points(member)
    for number, part in enumerate(parts):
        refund(f"r{number}", part)
    rewards.cancel(redemption, user=None)
    assert balance(member) == 130 + (60 if parts == [40] else 0)
    prove()


def test_cancelling_the_redemption_and_then_refunding_gives_nothing_twice(member: Member) -> None:
    redemption = buy_with_points(member)
    rewards.cancel(redemption, user=None)
    assert refund("r") == (100, 0)
    assert balance(member) == 130
    prove()


def test_what_comes_back_pays_what_is_owed_first(member: Member) -> None:
    buy_with_points(member)
    ledger.spend(member_id=member.pk, points=170, key="all", occurred_at=NOW, explanation={"text": "mug"})
    assert refund("r") == (100, 60)
    account = Account.objects.get(member=member)
    assert (account.balance, account.debt) == (-40, 40)
    prove()


def test_a_redemption_pays_for_one_purchase_of_its_own_member(member: Member) -> None:
    redemption = buy_with_points(member)
    with pytest.raises(rewards.NotTheirs):
        record_purchase(
            member_id=make_member().pk, key="q", purchased_at=NOW, amount=Decimal(1), redemptions=[redemption.pk]
        )
    with pytest.raises(rewards.NotTheirs):
        record_purchase(member_id=member.pk, key="q", purchased_at=NOW, amount=Decimal(1), redemptions=[redemption.pk])


def test_the_database_gives_back_no_more_than_was_taken(member: Member) -> None:
    spent = buy_with_points(member).entries.get()
    refund("r", 50)
    with pytest.raises(ledger.MoreThanAwarded):
        ledger.give_back(spent, points=31, key="k", occurred_at=NOW, explanation={}, grace_until=NOW)
    past_the_ledger = Movement(
        member_id=member.pk,
        kind=Entry.Kind.REVERSE,
        points=60,
        key="past the ledger",
        occurred_at=NOW,
        explanation={},
        redemption_id=spent.redemption_id,
        reverses_id=spent.pk,
    )
    with pytest.raises(IntegrityError, match="a part stands"), transaction.atomic():
        posting.write(ledger.lock(member.pk), past_the_ledger)


def test_a_redemption_that_was_partly_returned_is_not_reversed_as_well(member: Member) -> None:
    spent = buy_with_points(member).entries.get()
    refund("r", 50)
    before = balance(member), lots(member)
    with pytest.raises(ledger.NotReversible):
        ledger.reverse(spent, explanation={})
    with pytest.raises(ledger.NotReversible):
        ledger.preview_reversal(spent, occurred_at=NOW)
    assert (balance(member), lots(member)) == before
    prove()


@pytest.mark.parametrize(("parts", "returned"), [([50], [8]), ([25, 25], [4, 4]), ([50, None], [8, 7])])
def test_half_a_point_of_a_return_goes_to_the_member(
    member: Member, parts: list[int | None], returned: list[int]
) -> None:
    reward = Reward.objects.create(name="Sticker", points=15)
    redemption = rewards.redeem(member_id=member.pk, reward_id=reward.pk, key="sticker", user=None)
    record_purchase(member_id=member.pk, key="p", purchased_at=NOW, amount=Decimal(100), redemptions=[redemption.pk])
    # Of 15 points that paid, half are seven and a half: eight come back now, and seven with the rest.
    assert [refund(f"r{number}", part)[1] for number, part in enumerate(parts)] == returned
    prove()
