"""The programme's settings: a second person decides every change, and nobody is locked out."""

from datetime import timedelta

import pytest
import time_machine
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from loyalty import policies
from loyalty.models import AdjustReason, ProgrammeSettings
from loyalty.policies import settings_now
from staff import approvals, people
from staff.models import Approval, AuditEntry, User
from tests.factories import make_user

pytestmark = pytest.mark.django_db

FORM = {
    "clawback_policy": "take",
    "grace_days": "7",
    "adjust_daily_limit": "800",
    "adjust_approval_above": "100",
    "adjust_expires_after_months": "",
    "transfer_approval_above": "50",
    "transfer_daily_limit": "400",
    "giver_daily_limit": "200",
    "household_approval_above": "300",
    "point_value": "0.02",
}


def client_of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def as_they_stand() -> dict[str, object]:
    return ProgrammeSettings.objects.values().get()


def test_another_person_decides_a_change_and_sees_what_it_changes() -> None:
    manager, approver = make_user("marketing_manager", name="Mei"), make_user("approver", name="Tom")
    address, before = reverse("loyalty:settings"), as_they_stand()
    for _ in range(2):  # the second time it is the same request
        assert client_of(manager).post(address, FORM).status_code == 302
    assert as_they_stand() == before
    asked = Approval.objects.get()
    assert asked.get_absolute_url() in client_of(manager).get(address).content.decode()
    page = client_of(approver).get(asked.get_absolute_url()).content.decode()
    for line in ("5,000 → 800", "24 → –", "0.0100 → 0.0200", "let later earnings pay for them → take what is there"):
        assert line in page
    with pytest.raises(approvals.OwnRequest):
        approvals.approve(asked, user=manager)
    assert client_of(approver).post(reverse("staff:approval_approve", args=[asked.pk])).status_code == 302
    told = settings_now()
    assert (told.clawback_policy, told.adjust_daily_limit, told.adjust_expires_after_months) == ("take", 800, None)
    assert "5,000 → 800" in client_of(manager).get(address).content.decode()
    entry = AuditEntry.objects.get(action="settings.change")
    assert (entry.actor, entry.detail["asked_by"]) == (approver, "Mei")
    assert entry.detail["after"]["point_value"] == "0.0200"


def test_who_may_decide_asks_another_too() -> None:
    first, second = make_user("administrator"), make_user("administrator")
    asked = policies.change({"grace_days": 7}, user=first)
    assert isinstance(asked, Approval)
    with pytest.raises(approvals.OwnRequest):
        approvals.approve(asked, user=first)
    approvals.approve(asked, user=second)
    assert settings_now().grace_days == 7


def test_where_nobody_else_can_approve_a_change_counts_at_once_and_the_page_says_so() -> None:
    only = make_user("administrator")
    make_user("approver", is_active=False)
    make_user("marketing_manager")
    address = reverse("loyalty:settings")
    assert "Nobody else here may approve yet" in client_of(only).get(address).content.decode()
    client_of(only).post(address, FORM)
    assert settings_now().adjust_daily_limit == 800
    assert AuditEntry.objects.get(action="settings.change").detail["asked_by"] == ""
    make_user("approver")
    assert "Nobody else here may approve yet" not in client_of(only).get(address).content.decode()
    assert isinstance(policies.change({"grace_days": 9}, user=only), Approval)


def test_a_change_is_not_carried_out_over_one_that_was_made_in_between() -> None:
    manager, approver = make_user("marketing_manager"), make_user("approver")
    early = policies.change({"grace_days": 7, "giver_daily_limit": 9}, user=manager)
    late = policies.change({"grace_days": 60}, user=manager)
    assert isinstance(early, Approval)
    assert isinstance(late, Approval)
    approvals.approve(late, user=approver)
    page = client_of(approver).get(early.get_absolute_url()).content.decode()
    assert "Changed since it was asked for: Days to spend returned points" in page
    with pytest.raises(approvals.CannotBeDone):
        approvals.approve(early, user=approver)
    assert (settings_now().grace_days, settings_now().giver_daily_limit) == (60, 10_000)


def test_what_changes_nothing_is_not_asked_for() -> None:
    manager = make_user("marketing_manager")
    make_user("approver")
    assert policies.change({"grace_days": 30}, user=manager) == settings_now()
    assert not Approval.objects.exists()
    wrong = client_of(manager).post(reverse("loyalty:settings"), FORM | {"grace_days": "-1"})
    assert wrong.status_code == 422


def test_looking_at_the_settings_writes_nothing() -> None:
    client = client_of(make_user("marketing_manager"))
    with CaptureQueriesContext(
        connection,
    ) as asked:
        assert client.get(reverse("loyalty:settings")).status_code == 200
    assert not [query for query in asked.captured_queries if query["sql"].startswith(("INSERT", "UPDATE"))]


def test_a_reason_that_cannot_be_saved_keeps_what_was_typed_in_its_dialog() -> None:
    reason = AdjustReason.objects.get(key="goodwill")
    data = {f"reason-{reason.pk}-name": "", f"reason-{reason.pk}-name_zh": "善意"}
    client = client_of(make_user("marketing_manager"))
    answer = client.post(reverse("loyalty:adjust-reason", args=[reason.pk]), data)
    assert answer.status_code == 422
    assert answer.text.count("data-dialog-open") == 1
    dialog = answer.text.split("data-dialog-open")[1].split("</dialog>")[0]
    assert "This field is required." in dialog
    assert 'value="善意"' in dialog
    reason.refresh_from_db()
    assert reason.name == "Goodwill"
    assert "data-dialog-open" not in client.get(reverse("loyalty:settings")).text


def test_a_reason_is_renamed_and_put_out_of_use() -> None:
    reason = AdjustReason.objects.get(key="goodwill")
    data = {f"reason-{reason.pk}-name": "Kindness", f"reason-{reason.pk}-name_zh": ""}
    client_of(make_user("marketing_manager")).post(reverse("loyalty:adjust-reason", args=[reason.pk]), data)
    reason.refresh_from_db()
    assert (reason.name, reason.active) == ("Kindness", False)
    assert AuditEntry.objects.filter(action="settings.change").exists()


def test_another_person_decides_a_change_of_a_reason_too() -> None:
    manager, approver = make_user("marketing_manager", name="Mei"), make_user("approver")
    reason = AdjustReason.objects.get(key="goodwill")
    address = reverse("loyalty:adjust-reason", args=[reason.pk])
    names = {f"reason-{reason.pk}-name": "Goodwill", f"reason-{reason.pk}-name_zh": "善意补偿"}
    counts = names | {f"reason-{reason.pk}-qualifies": "on", f"reason-{reason.pk}-active": "on"}
    for _ in range(2):
        client_of(manager).post(address, counts)
    asked = Approval.objects.get()
    reason.refresh_from_db()
    assert not reason.qualifies
    assert "Reason “Goodwill”: Counts for tiers" in client_of(manager).get(reverse("loyalty:settings")).content.decode()
    assert "no → yes" in client_of(approver).get(asked.get_absolute_url()).content.decode()
    approvals.approve(asked, user=approver)
    reason.refresh_from_db()
    assert reason.qualifies
    entry = AuditEntry.objects.get(action="settings.change")
    assert (entry.actor, entry.detail["asked_by"], entry.detail["after"]) == (approver, "Mei", {"qualifies": True})


def test_a_reason_is_not_changed_over_a_change_made_in_between() -> None:
    manager, approver = make_user("marketing_manager"), make_user("approver")
    reason = AdjustReason.objects.get(key="goodwill")
    early = policies.change_reason(reason, {"active": False, "name": "Kindness"}, user=manager)
    late = policies.change_reason(reason, {"name": "Grace"}, user=manager)
    assert isinstance(early, Approval)
    assert isinstance(late, Approval)
    approvals.approve(late, user=approver)
    with pytest.raises(approvals.CannotBeDone, match="Name"):
        approvals.approve(early, user=approver)


def test_who_shuts_the_last_approver_out_changes_nothing_alone_for_two_weeks() -> None:
    administrator, approver = make_user("administrator"), make_user("approver")
    people.deactivate(approver, by=administrator)
    address = reverse("loyalty:settings")
    assert "for two weeks nobody changes these alone" in client_of(administrator).get(address).content.decode()
    asked = policies.change({"adjust_daily_limit": 1_000_000}, user=administrator)
    assert isinstance(asked, Approval)
    page = client_of(administrator).get(asked.get_absolute_url()).content.decode()
    assert "Nobody else is here who may decide this." in page
    with time_machine.travel(timezone.now() + timedelta(days=13)):
        assert policies.change({"adjust_daily_limit": 1_000_000}, user=administrator) == asked
    with time_machine.travel(timezone.now() + timedelta(days=15)):
        assert policies.change({"adjust_daily_limit": 1_000_000}, user=administrator) == settings_now()
    assert settings_now().adjust_daily_limit == 1_000_000


@pytest.mark.parametrize("role", ["executive", "customer_service"])
def test_nor_who_takes_the_right_away_by_another_role(role: str) -> None:
    administrator, approver = make_user("administrator"), make_user("approver")
    people.change_role(approver, role, by=administrator)
    assert isinstance(policies.change({"grace_days": 7}, user=administrator), Approval)


def test_who_was_invited_to_approve_and_never_came_decides_nothing() -> None:
    administrator = make_user("administrator")
    make_user("approver", password=None)
    policies.change({"grace_days": 7}, user=administrator)
    assert settings_now().grace_days == 7
