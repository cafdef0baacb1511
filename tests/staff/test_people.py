"""People of the desk: invited, changed, shut out; never so that nobody is left to administer."""

import re
import threading

import pytest
from django.core import mail
from django.db import connection
from django.test import Client

from staff import approvals, people
from staff.models import Approval, AuditEntry, User
from staff.permissions import ROLE_PERMISSIONS, Permission, Role
from tests.conftest import Mailbox
from tests.factories import PASSWORD, make_user
from tests.loyalty.concurrency import at_once

INVITED = {"name": "Wang Fang", "email": "wang@example.com", "language": "en"}


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def test_an_invitation_goes_out_by_mail_and_its_link_works_once(db: None, mailbox: Mailbox) -> None:
    admin = make_user(name="Lin Mei")
    form = {"name": "Wang Fang", "email": "Wang@Example.com", "role": "executive", "language": "en"}
    page = signed_in(admin).post("/desk/people/invite/", form)
    assert page.status_code == 200
    user = User.objects.get(email="wang@example.com")
    [letter] = mailbox.messages
    text = letter.get_content()
    link = re.search(r"http://testserver(\S+)", text).group(1)
    assert letter["To"] == "wang@example.com"
    assert "Lin Mei has given you an account" in text
    assert link in page.content.decode()
    assert page["Cache-Control"].startswith("max-age=0")

    newcomer = Client()
    form = newcomer.get(link, follow=True)
    newcomer.post(form.request["PATH_INFO"], {"password1": PASSWORD, "password2": PASSWORD})
    newcomer.post("/accounts/login/", {"login": "wang@example.com", "password": PASSWORD})
    assert newcomer.get("/").status_code == 200
    assert Client().get(link, follow=True).context["token_fail"]
    assert list(AuditEntry.objects.filter(subject_id=str(user.pk)).order_by("pk").values_list("action", flat=True)) == [
        "person.invited",
        "password.changed",
        "sign-in",
    ]


def test_a_link_is_shown_even_when_the_mail_server_is_away(db: None, settings: object) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1
    form = {"name": "Wang Fang", "email": "wang@example.com", "role": "executive", "language": "en"}
    page = signed_in(make_user()).post("/desk/people/invite/", form).content.decode()
    assert "/accounts/password/reset/key/" in page
    assert "did not take" in page


@pytest.mark.parametrize(
    ("form", "field"),
    [
        ({"name": "", "email": "a@example.com", "role": "executive", "language": "en"}, "name"),
        ({"name": "A", "email": "not-an-address", "role": "executive", "language": "en"}, "email"),
        ({"name": "A", "email": "TAKEN@example.com", "role": "executive", "language": "en"}, "email"),
        ({"name": "A", "email": "a@example.com", "role": "root", "language": "en"}, "role"),
    ],
)
def test_a_faulty_invitation_says_so_beside_the_field_and_adds_nobody(
    db: None, form: dict[str, str], field: str
) -> None:
    admin = make_user(email="taken@example.com")
    page = signed_in(admin).post("/desk/people/invite/", form)
    assert page.status_code == 422
    assert list(page.context["form"].errors) == [field]
    assert User.objects.count() == 1
    assert mail.outbox == []


def test_a_new_role_counts_from_the_next_click(db: None) -> None:
    admin, user = make_user(), make_user("executive")
    client = signed_in(user)
    assert client.get("/desk/audit/").status_code == 403
    signed_in(admin).post(f"/desk/people/{user.pk}/role/", {"role": "approver"})
    assert client.get("/desk/audit/").status_code == 200
    entry = AuditEntry.objects.get(action="person.role-changed")
    assert entry.detail == {"role": "approver", "role_before": "executive"}


def test_nobody_changes_their_own_role_or_shuts_themselves_out(db: None) -> None:
    admin = make_user()
    make_user()
    client = signed_in(admin)
    client.post(f"/desk/people/{admin.pk}/role/", {"role": "executive"})
    client.post(f"/desk/people/{admin.pk}/deactivate/")
    admin.refresh_from_db()
    assert (admin.role, admin.is_active) == ("administrator", True)


def test_the_last_administrator_stays(db: None) -> None:
    admin = make_user()
    former = make_user(is_active=False)
    with pytest.raises(people.PeopleError, match="last administrator"):
        people.deactivate(admin, by=former)
    with pytest.raises(people.PeopleError, match="last administrator"):
        people.change_role(admin, "executive", by=former)


def test_two_administrators_cannot_shut_each_other_out_at_once(transactional_db: None) -> None:
    first, second = make_user(), make_user()
    together = threading.Barrier(2)
    outcomes: list[str] = []

    def shut_out(user: User, by: User) -> None:
        together.wait()
        try:
            people.deactivate(user, by=by)
            outcomes.append("done")
        except people.PeopleError:
            outcomes.append("refused")
        connection.close()

    threads = [threading.Thread(target=shut_out, args=pair) for pair in ((first, second), (second, first))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["done", "refused"]
    assert User.objects.filter(is_active=True).count() == 1


def test_the_right_to_decide_is_given_by_two_where_there_are_two(db: None) -> None:
    admin, approver = make_user(), make_user("approver")
    page = signed_in(admin).post("/desk/people/invite/", INVITED | {"role": "approver"}).content.decode()
    assert "Until a second person decides, they are Executive." in page
    newcomer = User.objects.get(email="wang@example.com")
    asked = Approval.objects.get()
    assert newcomer.role == "executive"
    with pytest.raises(approvals.OwnRequest):
        approvals.approve(asked, user=admin)
    with pytest.raises(approvals.NotTheirs):
        approvals.approve(asked, user=newcomer)
    told = signed_in(approver).get(asked.get_absolute_url()).content.decode()
    assert "Let Wang Fang be Approver" in told
    assert "Executive → Approver" in told
    approvals.approve(asked, user=approver)
    newcomer.refresh_from_db()
    assert newcomer.role == "approver"
    assert AuditEntry.objects.get(action="person.role-changed").actor == approver


@pytest.mark.parametrize("role", ["approver", "administrator"])
def test_nobody_makes_their_own_second_person_of_somebody_who_is_there(db: None, role: str) -> None:
    admin, other = make_user(), make_user("executive")
    make_user("approver")
    for _ in range(2):  # the second time it is the same request
        signed_in(admin).post(f"/desk/people/{other.pk}/role/", {"role": role})
    other.refresh_from_db()
    assert (other.role, Approval.objects.count()) == ("executive", 1)


def test_nor_after_shutting_the_only_other_out(db: None) -> None:
    admin, approver, other = make_user(), make_user("approver"), make_user("executive")
    former = make_user("approver", is_active=False)
    people.deactivate(approver, by=admin)
    assert isinstance(people.change_role(other, "approver", by=admin), Approval)
    assert isinstance(people.reactivate(former, by=admin), Approval)
    puppet = people.invite(email="p@example.com", name="P", role="administrator", language="en", by=admin)
    assert puppet.role == "executive"
    former.refresh_from_db()
    assert not former.is_active
    assert not any(approvals.may_decide(asked, other) for asked in Approval.objects.all())


def test_who_was_shut_out_by_mistake_is_let_in_again_at_once(db: None) -> None:
    admin, approver = make_user(), make_user("approver")
    people.deactivate(approver, by=admin)
    signed_in(admin).post(f"/desk/people/{approver.pk}/reactivate/")
    approver.refresh_from_db()
    assert approver.is_active
    people.change_role(approver, "executive", by=admin)
    people.change_role(approver, "approver", by=admin)
    approver.refresh_from_db()
    assert approver.role == "approver"


def test_letting_an_approver_in_again_is_decided_by_another_one(db: None) -> None:
    admin, approver, former = make_user(), make_user("approver"), make_user("approver", is_active=False)
    asked = people.reactivate(former, by=admin)
    assert isinstance(asked, Approval)
    approvals.approve(asked, user=approver)
    former.refresh_from_db()
    assert former.is_active


def test_where_there_is_one_person_they_invite_the_second_alone(db: None) -> None:
    first = make_user()
    made = people.invite(email="b@example.com", name="B", role="approver", language="en", by=first)
    # Who has not come yet decides nothing, and keeps nobody from inviting another.
    other = people.invite(email="c@example.com", name="C", role="administrator", language="en", by=first)
    assert (made.role, other.role) == ("approver", "administrator")
    assert not Approval.objects.exists()


def test_at_the_terminal_there_is_nobody_to_ask(db: None) -> None:
    make_user()
    made = people.invite(email="b@example.com", name="B", role="administrator", language="en", by=None)
    assert made.role == "administrator"


def test_nobody_else_gets_the_link_into_an_account_that_somebody_has(db: None, mailbox: Mailbox) -> None:
    admin, approver = make_user(), make_user("approver")
    invited = make_user("executive", password=None)
    page = signed_in(admin).post(f"/desk/people/{approver.pk}/invite/").content.decode()
    assert "/accounts/password/reset/key/" not in page
    assert "Only they see the link" in page
    [letter] = mailbox.messages
    assert "/accounts/password/reset/key/" in letter.get_content()
    page = signed_in(admin).post(f"/desk/people/{invited.pk}/invite/").content.decode()
    assert "/accounts/password/reset/key/" not in page
    assert len(mailbox.messages) == 2
    people.deactivate(approver, by=admin)  # for two weeks they still count
    page = signed_in(admin).post(f"/desk/people/{invited.pk}/invite/").content.decode()
    assert "/accounts/password/reset/key/" not in page


@pytest.mark.parametrize("role", ["customer_service", "marketing_manager"])
def test_nobody_approves_what_an_agent_they_invented_asks_for(db: None, mailbox: Mailbox, role: str) -> None:
    admin, approver = make_user(), make_user("approver")
    page = signed_in(admin).post("/desk/people/invite/", INVITED | {"role": role}).content.decode()
    assert "/accounts/password/reset/key/" not in page
    assert "Until a second person decides, they are Executive." in page
    agent, asked = User.objects.get(email="wang@example.com"), Approval.objects.get()
    assert (agent.role, agent.may("approvals.view")) == ("executive", False)
    with pytest.raises(approvals.OwnRequest):
        approvals.approve(asked, user=admin)
    told = signed_in(approver).get(asked.get_absolute_url()).content.decode()
    assert "wang@example.com" in told
    assert "that the address is theirs" in told
    approvals.approve(asked, user=approver)
    agent.refresh_from_db()
    assert agent.role == role


def test_nor_an_executive_who_becomes_one_or_an_agent_who_is_let_in_again(db: None) -> None:
    admin, _approver = make_user(), make_user("approver")
    executive, former = make_user("executive"), make_user("customer_service", is_active=False)
    assert isinstance(people.change_role(executive, "customer_service", by=admin), Approval)
    assert isinstance(people.reactivate(former, by=admin), Approval)
    executive.refresh_from_db()
    former.refresh_from_db()
    assert (executive.role, former.is_active) == ("executive", False)


def test_who_takes_part_already_changes_between_asking_roles_at_once(db: None) -> None:
    admin, agent = make_user(), make_user("customer_service")
    make_user("approver")
    assert people.change_role(agent, "marketing_manager", by=admin) is None
    assert isinstance(people.change_role(agent, "approver", by=admin), Approval)


def test_every_role_but_the_executives_takes_part_in_approvals() -> None:
    may_only_look = {role for role in Role.values if not people.brings_in(role)}
    assert may_only_look == {Role.EXECUTIVE}
    writes = {permission for permission in ROLE_PERMISSIONS[Role.EXECUTIVE] if not permission.endswith(".view")}
    assert writes == {Permission.DESK_USE}


def test_a_link_is_not_shown_to_the_first_of_two_even_when_the_mail_server_is_away(db: None, settings: object) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1
    admin, _approver = make_user(), make_user("approver")
    page = signed_in(admin).post("/desk/people/invite/", INVITED | {"role": "executive"}).content.decode()
    assert "/accounts/password/reset/key/" not in page
    assert "manage.py invite --again wang@example.com" in page


def test_a_role_that_waited_does_not_take_the_last_administrator_away(db: None) -> None:
    first, approver, other = make_user(), make_user("approver"), make_user("executive")
    stale = people.change_role(other, "approver", by=first)
    newer = people.change_role(other, "administrator", by=first)
    assert isinstance(stale, Approval)
    assert isinstance(newer, Approval)
    approvals.approve(newer, user=approver)
    other.refresh_from_db()
    people.change_role(first, "marketing_manager", by=other)
    page = signed_in(approver).get(stale.get_absolute_url()).content.decode()
    assert "This is the last administrator: approving it will be refused." in page
    with pytest.raises(approvals.CannotBeDone, match="last administrator"):
        approvals.approve(stale, user=approver)
    assert User.objects.filter(role="administrator", is_active=True).get() == other


def test_two_roles_that_waited_are_not_given_at_once_so_that_no_administrator_is_left(transactional_db: None) -> None:
    first, deciders = make_user(), [make_user("approver"), make_user("approver")]
    others = [make_user("executive"), make_user("executive")]
    stale = [people.change_role(user, "approver", by=first) for user in others]
    for user in others:
        approvals.approve(people.change_role(user, "administrator", by=first), user=deciders[0])
    people.change_role(first, "marketing_manager", by=others[0])
    pairs = zip(stale, deciders, strict=True)
    outcomes = at_once(*(lambda asked=asked, user=user: approvals.approve(asked, user=user) for asked, user in pairs))
    assert outcomes == {"done": 1, "CannotBeDone": 1}
    assert User.objects.filter(role="administrator", is_active=True).count() == 1
