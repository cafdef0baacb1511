"""Which points pay can be chosen, of the member's own and of what can be spent."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from loyalty import ledger, programme
from loyalty.models import Lot, Redemption, Reward
from members.models import Member
from staff.permissions import Role
from tests.factories import make_member, make_user
from tests.over_http import Till

pytestmark = pytest.mark.django_db

LONG_AGO = datetime(2024, 1, 1, tzinfo=UTC)


@pytest.fixture
def member() -> Member:
    programme.ensure_defaults()
    return make_member()


@pytest.fixture
def reward() -> Reward:
    return Reward.objects.create(name="Coffee", points=100)


def lot(member: Member, points: int, *, days: int | None, **options: Any) -> int:
    """A lot that expires in so many days."""
    expires_at = None if days is None else timezone.now() + timedelta(days=days)
    entry = ledger.award(
        member_id=member.pk,
        points=points,
        key=f"{member.pk}:{points}:{days}",
        occurred_at=LONG_AGO,
        explanation={"text": "given"},
        expires_at=expires_at,
        **options,
    )
    return entry.lot.pk


def left(*lots: int) -> list[int]:
    known = dict(Lot.objects.values_list("pk", "remaining"))
    return [known[pk] for pk in lots]


def test_a_machine_chooses_which_lots_pay_and_in_which_order(member: Member, reward: Reward) -> None:
    soon, later, never = lot(member, 80, days=5), lot(member, 90, days=50), lot(member, 70, days=None)
    till = Till()
    asked = {"member": member.number, "reward": reward.pk, "lots": [never, later]}
    assert till.post("redemptions", asked, key="one").status_code == 201
    assert left(soon, later, never) == [80, 60, 0]
    other = till.post("redemptions", asked | {"lots": [later, soon]}, key="one")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency-key-reused")


def test_lots_that_cannot_pay_are_refused_by_their_id(member: Member, reward: Reward) -> None:
    good, small = lot(member, 400, days=50), lot(member, 60, days=5)
    held = lot(member, 300, days=None, held=True)
    expired = lot(member, 200, days=-1)
    theirs = lot(make_member(), 500, days=50)
    till = Till()
    for chosen, code, said in [
        ([theirs], "lot-not-theirs", str(theirs)),
        ([good, 999_999_999], "lot-not-theirs", "999999999"),
        ([good, held], "lot-not-usable", str(held)),
        ([expired, good], "lot-not-usable", str(expired)),
        ([small], "insufficient-points", "60"),
    ]:
        refused = till.post("redemptions", {"member": member.number, "reward": reward.pk, "lots": chosen})
        assert (refused.status_code, refused.json()["code"]) == (422, code)
        assert said in refused.json()["detail"]
    assert not Redemption.objects.exists()
    assert left(good, small, held) == [400, 60, 300]


def test_the_desk_chooses_lots_in_the_dialog(member: Member, reward: Reward, client: Client) -> None:
    soon, later = lot(member, 150, days=5), lot(member, 120, days=50)
    client.force_login(make_user(Role.CUSTOMER_SERVICE))
    url = reverse("loyalty:member-redeem", args=[member.number])
    page = client.get(url).content.decode()
    assert page.index(f'name="lot" value="{soon}"') < page.index(f'name="lot" value="{later}"')
    posted = {"reward": str(reward.pk), f"price-{reward.pk}": "100"}
    assert client.post(url, posted | {"key": "a", "lot": [str(later)]}).status_code == 200
    assert left(soon, later) == [150, 20]
    again = client.post(url, posted | {"key": "b", "lot": [str(later)]}).content.decode()
    assert "100 points are needed; 20 can be spent." in again
    client.post(url, posted | {"key": "c"})
    assert left(soon, later) == [50, 20]
