"""Approvals: asked for by one person, decided once by another, carried out with the decision."""

from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from config import needs
from staff import approvals, audit
from staff.approvals import Outlook
from staff.models import Approval, AuditEntry, User
from staff.permissions import Permission
from tests.factories import make_user
from tests.loyalty.concurrency import at_once

pytestmark = pytest.mark.django_db

CARRIED_OUT = "test.carried-out"


def carry_out(approval: Approval) -> None:
    if approval.payload.get("impossible"):
        raise approvals.CannotBeDone("There is nothing left to count.")
    audit.record(approval.decided_by, CARRIED_OUT)


@pytest.fixture(autouse=True)
def _counting(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kind of request whose effect can be counted."""
    monkeypatch.setattr(approvals, "_kinds", dict(approvals._kinds))
    approvals.register(
        "test",
        "Counting",
        Permission.APPROVALS_DECIDE,
        carry_out,
        outlook=lambda approval: Outlook([("Sheep", str(approval.payload.get("sheep", 0)))]),
    )


def ask(user: User | None = None, **told: Any) -> Approval:
    values = {"subject": "Count 12 sheep", "payload": {"sheep": 12}, "user": user or make_user("customer_service")}
    return approvals.request("test", **(values | told))


def times_carried_out() -> int:
    return AuditEntry.objects.filter(action=CARRIED_OUT).count()


def client_of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def test_approving_carries_it_out_and_keeps_what_the_second_person_saw() -> None:
    approval, approver = ask(), make_user("approver")
    approvals.approve(approval, user=approver, reason="Seen the herd.")
    assert times_carried_out() == 1
    approval.refresh_from_db()
    assert (approval.state, approval.decided_by, approval.reason) == ("approved", approver, "Seen the herd.")
    assert approvals.outlook(approval).figures == [("Sheep", "12")]
    acts = AuditEntry.objects.filter(subject_type="staff.approval").order_by("pk")
    assert [act.action for act in acts] == ["approval.request", "approval.approve"]


def test_a_refusal_without_a_reason_is_marked_at_the_field() -> None:
    asked = ask()
    answer = client_of(make_user("approver")).post(reverse("staff:approval_refuse", args=[asked.pk]), {"reason": " "})
    assert answer.status_code == 422
    field = answer.text.split('id="reason"')[1].split("</form>")[0]
    assert 'aria-invalid="true"' in field
    assert "Say why: whoever asked will read it." in field
    assert answer.text.count("Say why") == 1


def test_refusing_carries_nothing_out_and_needs_a_reason() -> None:
    approval, approver = ask(), make_user("approver")
    with pytest.raises(approvals.ReasonMissing):
        approvals.refuse(approval, user=approver, reason="  ")
    approvals.refuse(approval, user=approver, reason="Nobody needs that.")
    assert times_carried_out() == 0
    assert Approval.objects.get().state == "refused"


@pytest.mark.parametrize("role", ["administrator", "approver"])
def test_nobody_decides_what_they_asked_for(role: str) -> None:
    user = make_user(role)
    approval = ask(user)
    with pytest.raises(approvals.OwnRequest):
        approvals.approve(approval, user=user)
    with pytest.raises(approvals.OwnRequest):
        approvals.refuse(approval, user=user, reason="no")
    for name in ("approval_approve", "approval_refuse"):
        response = client_of(user).post(reverse(f"staff:{name}", args=[approval.pk]), {"reason": "I say so"})
        assert response.status_code == 403
    assert Approval.objects.get().state == "requested"
    assert times_carried_out() == 0
    assert approval not in approvals.waiting_for(user)


def test_a_kind_may_ask_for_more_than_the_right_to_decide() -> None:
    approvals.register("test", "Counting", Permission.PEOPLE_EDIT, carry_out)
    approval = ask()
    with pytest.raises(approvals.NotTheirs):
        approvals.approve(approval, user=make_user("approver"))
    approvals.approve(approval, user=make_user("administrator"))
    assert times_carried_out() == 1


def test_what_cannot_be_carried_out_keeps_waiting() -> None:
    approval, approver = ask(payload={"impossible": True}), make_user("approver")
    response = client_of(approver).post(reverse("staff:approval_approve", args=[approval.pk]))
    assert response.status_code == 409
    assert "There is nothing left to count." in response.content.decode()
    assert Approval.objects.get().state == "requested"
    assert not AuditEntry.objects.filter(action="approval.approve").exists()


@pytest.mark.parametrize("change", [{"is_active": False}, {"role": "executive"}])
def test_what_somebody_asked_for_who_has_left_is_not_approved_and_its_page_says_so(change: dict[str, Any]) -> None:
    author, approver = make_user("customer_service", name="Lin Mei"), make_user("approver")
    approval, told = ask(author), "Lin Mei may not ask for this any more: refuse it."
    address = reverse("staff:approval", args=[approval.pk])
    assert told not in client_of(approver).get(address).text
    User.objects.filter(pk=author.pk).update(**change)
    assert told in client_of(approver).get(address).text
    with pytest.raises(approvals.CannotBeDone, match="anew"):
        approvals.approve(approval, user=approver)
    assert times_carried_out() == 0
    approvals.refuse(Approval.objects.get(), user=approver, reason="She has left.")
    approvals.approve(ask(make_user("customer_service")), user=approver)
    assert times_carried_out() == 1


def test_what_a_machine_asked_for_does_not_go_with_the_person_who_made_its_key() -> None:
    keeper = make_user("administrator")
    approval = ask(keeper, label="Till (st_1234)")
    User.objects.filter(pk=keeper.pk).update(is_active=False)
    approvals.approve(approval, user=make_user("approver"))
    assert times_carried_out() == 1


def test_only_its_author_takes_a_request_back_and_only_while_it_waits() -> None:
    author, other = make_user("customer_service"), make_user("customer_service")
    approval = ask(author)
    assert client_of(other).post(reverse("staff:approval_withdraw", args=[approval.pk])).status_code == 403
    assert client_of(author).post(reverse("staff:approval_withdraw", args=[approval.pk])).status_code == 302
    assert Approval.objects.get().state == "withdrawn"
    with pytest.raises(approvals.AlreadyDecided):
        approvals.approve(approval, user=make_user("approver"))
    assert times_carried_out() == 0


def test_the_same_key_is_the_same_request_and_other_content_is_refused() -> None:
    author = make_user("customer_service")
    first = ask(author, key="form-1")
    assert ask(author, key="form-1") == first
    with pytest.raises(approvals.KeyReused):
        ask(author, key="form-1", payload={"sheep": 13})
    assert Approval.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_of_ten_people_who_decide_at_once_one_does() -> None:
    approval = ask()
    people = [make_user("approver", password=None) for _ in range(10)]

    def decide(place: int, user: User) -> Approval:
        mine = Approval.objects.get(pk=approval.pk)
        if place % 2:
            return approvals.refuse(mine, user=user, reason="no")
        return approvals.approve(mine, user=user)

    outcomes = at_once(*(lambda place=place, user=user: decide(place, user) for place, user in enumerate(people)))
    assert outcomes == {"done": 1, "AlreadyDecided": 9}
    assert times_carried_out() == (Approval.objects.get().state == "approved")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE staff_approval SET payload = '{}'",
        "UPDATE staff_approval SET subject = '', state = 'approved', decided_by_id = %(approver)s, decided_at = now()",
        "UPDATE staff_approval SET state = 'approved', decided_by_id = %(author)s, decided_at = now()",
        "UPDATE staff_approval SET state = 'approved'",
        "UPDATE staff_approval SET state = 'withdrawn', decided_by_id = %(approver)s, decided_at = now()",
        "DELETE FROM staff_approval",
        "TRUNCATE staff_approval",
    ],
)
def test_not_even_plain_sql_changes_a_request_or_decides_it_alone(statement: str) -> None:
    approval = ask()
    people = {"author": approval.requested_by_id, "approver": make_user("approver").pk}
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        with pytest.raises((DatabaseError, IntegrityError)), transaction.atomic():
            cursor.execute(statement, people)
    assert Approval.objects.get().state == "requested"


def test_a_decision_is_never_changed() -> None:
    approval = approvals.refuse(ask(), user=make_user("approver"), reason="no")
    with connection.cursor() as cursor, pytest.raises(DatabaseError, match="decided once"), transaction.atomic():
        cursor.execute("UPDATE staff_approval SET state = 'approved' WHERE id = %s", [approval.pk])


def test_the_list_shows_what_waits_filters_it_and_keeps_what_was_decided() -> None:
    author, approver = make_user("customer_service", name="Lin Mei"), make_user("approver")
    waiting = ask(author, subject="Count 100 sheep")
    approvals.refuse(ask(author, subject="Count wolves"), user=approver, reason="There are none.")
    client = client_of(approver)
    page = client.get(reverse("staff:approvals")).content.decode()
    assert "Count 100 sheep" in page
    assert "Count wolves" not in page
    decided = client.get(reverse("staff:approvals"), {"show": "decided"}).content.decode()
    assert "There are none." in decided
    assert "Count 100 sheep" not in decided

    def found(**query: str) -> list[Approval]:
        return list(client.get(reverse("staff:approvals"), query).context["page"].rows)

    assert found(q="100 SHEEP") == [waiting]
    assert found(q="lin mei") == [waiting]
    assert found(q="goats") == []
    assert found(kind="test") == [waiting]
    assert found(kind="other") == []
    assert found(whose="to-decide") == [waiting]
    assert found(whose="mine") == []
    assert found(show="decided", state="approved") == []
    csv = b"".join(client.get(reverse("staff:approvals_csv")).streaming_content).decode()
    assert "Count 100 sheep" in csv
    assert "Count wolves" not in csv


def test_the_list_needs_the_same_few_queries_however_long_it_is(django_assert_num_queries: Any) -> None:
    client = client_of(make_user("approver"))
    for _ in range(30):
        ask()
    with django_assert_num_queries(3):  # session, user, page
        client.get(reverse("staff:approvals"))
    address = reverse("staff:approval", args=[approvals.request("test", subject="", payload={}, user=None).pk])
    with django_assert_num_queries(3):
        client.get(address)


def test_home_tells_those_who_decide_and_not_about_their_own() -> None:
    approver = make_user("approver")

    def told(user: User) -> bool:
        return any("waits for a second person" in need.text for need in needs.of(user, now=timezone.now()))

    ask(approver)
    assert not told(approver)
    assert told(make_user("administrator"))
    assert not told(make_user("customer_service"))
    ask()
    assert told(approver)
