"""The audit: nothing in it can be changed, everything in it can be found."""

from datetime import UTC, date, datetime

import pghistory
import pytest
import time_machine
from django.db import DatabaseError, connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext

from loyalty.models import AdjustReason
from staff import audit, changes
from staff.audit import Search
from staff.models import AuditEntry
from tests.factories import make_user

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE staff_auditentry SET actor_label = 'somebody else'",
        "DELETE FROM staff_auditentry",
        "TRUNCATE staff_auditentry",
        "DELETE FROM staff_auditentry WHERE false",
    ],
)
def test_not_even_plain_sql_changes_or_removes_an_entry(statement: str) -> None:
    audit.record(make_user(), "sign-in")
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")  # nothing but the guard may stop the statement
        with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
            cursor.execute(statement)
    assert AuditEntry.objects.count() == 1


def test_a_person_whom_the_audit_names_cannot_be_deleted() -> None:
    user = make_user()
    audit.record(user, "sign-in")
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        with pytest.raises(DatabaseError), transaction.atomic():
            cursor.execute("DELETE FROM staff_user WHERE id = %s", [user.pk])


def test_entries_are_found_by_person_action_subject_words_and_days_of_the_programme() -> None:
    lin, wang = make_user(name="Lin Mei"), make_user(name="Wang Fang")
    # 23:30 on 1 March in Shanghai, and an hour later
    with time_machine.travel(datetime(2026, 3, 1, 15, 30, tzinfo=UTC), tick=False):
        first = audit.record(lin, "member.reveal", wang, detail={"field": "phone"})
    with time_machine.travel(datetime(2026, 3, 1, 16, 30, tzinfo=UTC), tick=False):
        second = audit.record(wang, "sign-in", wang)

    def found(**search: object) -> list[AuditEntry]:
        return list(Search(**search).entries())

    assert found() == [second, first]
    assert found(person=lin.pk) == [first]
    assert found(action="sign-in") == [second]
    assert found(subject_type="staff.user", subject_id=str(wang.pk)) == [second, first]
    assert found(text="lin") == [first]
    assert found(since=date(2026, 3, 2)) == [second]
    assert found(until=date(2026, 3, 1)) == [first]
    assert found(text="100%") == []


def test_the_page_walks_back_to_the_first_entry_and_keeps_the_filters() -> None:
    user = make_user("approver")
    for number in range(120):
        audit.record(user, "test.step", label=f"step {number}")
    audit.record(user, "test.other")
    client = Client()
    client.force_login(user)
    seen: list[str] = []
    address = "?action=test.step"
    while address:
        page = client.get(f"/desk/audit/{address}").context["page"]
        seen += [entry.actor_label for entry in page.rows]
        address = page.next_query or ""
        assert not address or "action=test.step" in address
    assert seen == [f"step {number}" for number in reversed(range(120))]


@pytest.mark.parametrize(
    "query", ["since=yesterday", "person=me", "before=x", "before=99999999999999999999999", "until=0001-01-01"]
)
def test_an_address_that_makes_no_sense_still_shows_the_list(query: str) -> None:
    client = Client()
    client.force_login(make_user("approver"))
    assert client.get(f"/desk/audit/?{query}").status_code == 200


def test_the_file_holds_the_filtered_entries_and_no_formula() -> None:
    user = make_user("approver", name='=HYPERLINK("http://evil")')
    audit.record(user, "test.step", detail={"field": "phone"}, address="203.0.113.9")
    audit.record(user, "test.other")
    client = Client()
    client.force_login(user)
    text = client.get("/desk/audit/entries.csv?action=test.step").getvalue().decode()
    _head, row = text.strip().splitlines()
    assert '"\'=HYPERLINK(""http://evil"")"' in row
    assert '"field: phone","203.0.113.9"' in row


def test_a_change_of_a_person_shows_as_a_difference_with_who_made_it() -> None:
    admin = make_user(name="Lin Mei")
    user = make_user("executive", name="Wang Fang")
    client = Client()
    client.force_login(admin)
    client.post(f"/desk/people/{user.pk}/role/", {"role": "approver"})
    change = changes.newest()[0]
    assert (change.who, change.subject, change.label) == ("Lin Mei", "Wang Fang", "update")
    [difference] = change.differences
    assert (difference.field, difference.before, difference.after) == ("role", "Executive", "Approver")
    assert "Executive" in client.get("/desk/audit/changes/").content.decode()


def test_changes_of_one_moment_come_once_each_over_the_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("staff.views.audit.SIZE", 2)
    client = Client()
    client.force_login(make_user("approver", name="Own"))
    with transaction.atomic():  # all at the time of the transaction
        names = {make_user(name=f"Person {number}").name for number in range(4)}
        AdjustReason.objects.create(key="k", name="Reason")
    seen: list[str] = []
    address = "?"
    while address:
        response = client.get(f"/desk/audit/changes/{address}")
        assert ("Back to the newest" in response.text) is bool(seen)
        page = response.context["page"]
        seen += [change.subject for change in page.rows]
        address = page.next_query or ""
    assert len(seen) == len(set(seen))
    assert {*names, "Reason", "Own"} <= set(seen)


def test_a_page_of_changes_asks_as_much_for_many_as_for_few() -> None:
    user = make_user(name="Person 0")
    counts = []
    for number in (1, 9):
        for step in range(number):
            user.name = f"Person {number}.{step}"
            user.save(update_fields=["name"])
        with CaptureQueriesContext(connection) as asked:
            found = changes.newest(model="staff.user")
        counts.append(len(asked))
    assert [found[0].differences[0].before, found[0].differences[0].after] == ["Person 9.7", "Person 9.8"]
    # The changes, who they are of, what was before each, and those rows.
    assert counts == [4, 4]


def test_a_change_made_in_plain_sql_is_in_the_history_too_and_history_cannot_be_changed() -> None:
    user = make_user("executive")
    with pghistory.context(user=None), connection.cursor() as cursor:
        cursor.execute("UPDATE staff_user SET is_active = false WHERE id = %s", [user.pk])
    change = changes.newest(model="staff.user")[0]
    assert [(d.field, d.before, d.after) for d in change.differences] == [("may sign in", "yes", "no")]
    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("UPDATE staff_userevent SET role = 'administrator'")


def test_a_password_is_never_in_the_history() -> None:
    user = make_user()
    user.set_password("another-one-9")
    user.save(update_fields=["password"])
    assert [change.label for change in changes.newest(model="staff.user")] == ["insert"]
