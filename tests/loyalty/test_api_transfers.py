"""Points moved between members over the REST API, and what a household can spend."""

import pytest

from loyalty import ledger, policies, programme
from loyalty.models import Account, ProgrammeSettings
from members.models import Household, Member
from staff.models import Approval, AuditEntry
from staff.permissions import Scope
from tests.factories import make_member
from tests.loyalty.test_chosen_lots import lot
from tests.over_http import Till

pytestmark = pytest.mark.django_db


@pytest.fixture
def giver() -> Member:
    programme.ensure_defaults()
    giver = make_member()
    lot(giver, 1000, days=50)
    return giver


def balance(member: Member) -> int:
    return Account.objects.get(member=member).balance


def test_points_are_moved_once_and_each_member_is_told_why(giver: Member) -> None:
    receiver, till = make_member(), Till(Scope.POINTS_TRANSFER, Scope.POINTS_READ)
    wish = {"to": receiver.number, "points": 300, "comment": "A present"}
    first, again = (till.post(f"members/{giver.number}/points/transfers", wish, key="one") for _ in range(2))
    assert (first.status_code, first.json()["state"], first.json()["entry"]["points"]) == (201, "done", -300)
    assert again.json() == first.json()
    assert (balance(giver), balance(receiver)) == (700, 300)
    [got] = till.get(f"members/{receiver.number}/points/entries").json()["results"]
    assert (got["points"], got["title"]) == (300, f"Received from {giver.number}")
    assert AuditEntry.objects.get(action="points.transfer").actor_label.startswith("Till")


def test_above_a_limit_a_transfer_waits_for_the_desk(giver: Member) -> None:
    policies.settings_now()
    ProgrammeSettings.objects.update(transfer_approval_above=200)
    receiver, till = make_member(), Till()
    answer = till.post(f"members/{giver.number}/points/transfers", {"to": receiver.number, "points": 201})
    assert (answer.status_code, answer.json()["state"]) == (202, "waiting")
    assert Approval.objects.get().pk == answer.json()["approval"]
    assert balance(giver) == 1000


def test_a_transfer_that_cannot_be_is_refused(giver: Member) -> None:
    till = Till()
    closed = make_member(status=Member.Status.CLOSED)
    for to, points, status, code in [
        (giver.number, 5, 422, "same-member"),
        (closed.number, 5, 422, "not-eligible"),
        (make_member().number, 1001, 422, "insufficient-points"),
        ("nobody", 5, 404, "unknown-member"),
    ]:
        refused = till.post(f"members/{giver.number}/points/transfers", {"to": to, "points": points})
        assert (refused.status_code, refused.json()["code"]) == (status, code)
    assert balance(giver) == 1000


def test_the_balance_tells_what_the_household_can_spend_together(giver: Member) -> None:
    till = Till()
    assert till.get(f"members/{giver.number}/points").json()["pool"] is None
    other = make_member()
    Member.objects.filter(pk__in=[giver.pk, other.pk]).update(household=Household.objects.create(name="Wang"))
    lot(other, 50, days=None)
    ledger.award(member_id=make_member().pk, points=9, key="else", occurred_at=giver.joined_at, explanation={})
    body = till.get(f"members/{giver.number}/points").json()
    assert (body["available"], body["pool"]) == (1000, {"members": 2, "available": 1050})
