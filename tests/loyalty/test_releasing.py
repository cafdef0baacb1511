"""Points that a rule holds are released by machines and at the desk, each once and on the record."""

import json
import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from loyalty import adjustments, ledger, limits, programme, rules
from loyalty.intake import release_awards
from loyalty.models import EarningRule, Entry, Lot, ProgrammeSettings
from members.models import Member, Purchase
from staff import approvals
from staff.models import Approval, AuditEntry, User
from staff.permissions import Role
from tests.factories import make_member, make_purchase, make_user
from tests.loyalty.concurrency import at_once
from tests.over_http import Till

pytestmark = pytest.mark.django_db

RELEASED = {"released": 1, "approval": None}
DID = {"kind": "referral", "occurred_at": "2026-05-30T18:20:00+08:00", "external_id": "E-1"}


@pytest.fixture
def friend() -> Member:
    return make_member()


@pytest.fixture
def member(friend: Member) -> Member:
    """Who brought a friend: 200 points for one and 300 for the other, held until they are released."""
    programme.ensure_defaults()
    definition = {
        "event": "interaction",
        "when": {"all": [{"fact": "interaction.kind", "op": "in", "value": ["referral"]}]},
        "effects": [{"type": "fixed", "points": 200, "also": {"member_property": "friend", "points": 300}}],
        "pending": {"until": "released"},
    }
    version = rules.draft(EarningRule.objects.create(name="Held"), definition=definition, user=None)
    rules.submit(version, user=None)
    rules.approve(version, user=None)
    rules.activate(version, user=None, since_ever=True)
    member = make_member()
    did = DID | {"member": member.number, "properties": {"friend": friend.number}}
    assert Till().post("interactions", did).status_code == 201
    return member


def usable(member: Member) -> int:
    return ledger.available(member.pk, timezone.now())


def test_a_machine_releases_what_an_interaction_earned_for_both(member: Member, friend: Member) -> None:
    till = Till()
    assert (usable(member), usable(friend)) == (0, 0)
    assert till.post("interactions/E-1/release", {}).json() == {"released": 2, "points": 500, "approval": None}
    assert till.post("interactions/E-1/release", {}).json() == {"released": 0, "points": 0, "approval": None}
    assert (usable(member), usable(friend)) == (200, 300)
    assert till.post("interactions/E-2/release", {}).json()["code"] == "unknown-interaction"
    told = AuditEntry.objects.get(action="points.release")
    assert (told.subject_id, told.detail["points"]) == (str(member.pk), 500)


def test_a_machine_releases_what_a_survey_answer_earned(member: Member) -> None:
    definition = {"event": "survey", "effects": [{"type": "fixed", "points": 20}], "pending": {"until": "released"}}
    version = rules.draft(EarningRule.objects.create(name="Survey"), definition=definition, user=None)
    rules.submit(version, user=None)
    rules.approve(version, user=None)
    rules.activate(version, user=None, since_ever=True)
    till = Till()
    answer = {"member": member.number, "score": 9, "answered_at": "2026-05-30T18:20:00+08:00"}
    key = till.post("survey-responses", answer).json()["key"]
    till.post("survey-responses", answer | {"external_id": "A-2"})
    assert usable(member) == 0
    for path in (key, "A-2"):
        assert till.post(f"survey-responses/{path}/release", {}).json() == RELEASED | {"points": 20}
        assert till.post(f"survey-responses/{path}/release", {}).json() == {
            "released": 0,
            "points": 0,
            "approval": None,
        }
    assert usable(member) == 40
    anonymous = till.post("survey-responses", answer | {"member": None, "external_id": "A-3"}).json()["key"]
    assert till.post(f"survey-responses/{anonymous}/release", {}).json() == {
        "released": 0,
        "points": 0,
        "approval": None,
    }
    assert till.post("survey-responses/A-4/release", {}).json()["code"] == "unknown-survey-response"


def test_the_desk_chooses_what_is_released(member: Member, client: Client) -> None:
    agent = make_user(Role.CUSTOMER_SERVICE)
    client.force_login(agent)
    url = reverse("loyalty:member-release", args=[member.number])
    assert url in client.get(reverse("loyalty:member-lots", args=[member.number])).content.decode()
    page = client.get(url).content.decode()
    [entry] = re.findall(r'name="entry" value="(\d+)"', page)
    assert "Choose what is released." in client.post(url, {}).content.decode()
    assert usable(member) == 0
    done = client.post(url, {"entry": entry})
    assert json.loads(done.headers["HX-Trigger"])["toast"]["text"] == "200 points can be used now."
    assert usable(member) == 200
    assert "This was released already." in client.post(url, {"entry": entry}).content.decode()
    assert AuditEntry.objects.get(action="points.release").actor == agent


def test_the_desk_releases_nothing_of_another_member(member: Member, friend: Member, client: Client) -> None:
    client.force_login(make_user(Role.CUSTOMER_SERVICE))
    theirs = Lot.objects.get(member=friend).entry_id
    client.post(reverse("loyalty:member-release", args=[member.number]), {"entry": theirs})
    assert usable(friend) == 0


def holding(member: Member, points: int) -> int:
    """The entry of points that this member cannot use before they are released."""
    now, key = timezone.now(), f"held{Entry.objects.count()}"
    held = ledger.award(member_id=member.pk, points=points, key=key, occurred_at=now, explanation={}, held=True)
    return held.pk


def limited(**limits: int) -> None:
    ProgrammeSettings.objects.update(**limits)


def client_of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def test_above_the_limit_the_desk_asks_a_second_person_to_release() -> None:
    limited(adjust_approval_above=100)
    member, agent, approver = make_member(), make_user(Role.CUSTOMER_SERVICE), make_user(Role.APPROVER)
    entries = [str(holding(member, points)) for points in (60, 41)]
    url, desk = reverse("loyalty:member-release", args=[member.number]), client_of(agent)
    assert "above 100 at once a second person decides" in desk.get(url).content.decode()
    for _ in range(2):
        done = desk.post(url, {"entry": entries})
        assert json.loads(done.headers["HX-Trigger"])["toast"]["text"] == "Asked for: a second person decides."
    asked = Approval.objects.get()
    assert usable(member) == 0
    page = client_of(approver).get(asked.get_absolute_url()).content.decode()
    assert f"Release 101 held points of {member.number}" in page
    with pytest.raises(approvals.OwnRequest):
        approvals.approve(asked, user=agent)
    approvals.approve(asked, user=approver)
    assert usable(member) == 101
    told = AuditEntry.objects.get(action="points.release")
    assert (told.actor, told.detail["asked_by"]) == (approver, str(agent))


def test_what_was_released_in_between_is_not_released_by_the_approval() -> None:
    limited(adjust_approval_above=100)
    member, approver = make_member(), make_user(Role.APPROVER)
    entry = holding(member, 101)
    asked = release_awards(member, [entry], user=make_user(Role.CUSTOMER_SERVICE))
    assert isinstance(asked, Approval)
    ledger.release([entry], at=timezone.now())
    assert "This was released already." in client_of(approver).get(asked.get_absolute_url()).content.decode()
    with pytest.raises(approvals.CannotBeDone):
        approvals.approve(asked, user=approver)


def test_many_small_releases_and_adjustments_share_one_day() -> None:
    limited(adjust_approval_above=100, adjust_daily_limit=200)
    member, agent = make_member(), make_user(Role.CUSTOMER_SERVICE)
    release_awards(member, [holding(member, 90)], user=agent)
    goodwill = adjustments.Adjustment(member_id=member.pk, points=90, reason="goodwill", comment="")
    adjustments.adjust(goodwill, key="k", user=agent)
    url = reverse("loyalty:member-release", args=[member.number])
    refused = client_of(agent).post(url, {"entry": holding(member, 21)}).content.decode()
    assert "You may still give and take 20 of 200 points today." in refused
    assert usable(member) == 180


def test_a_key_releases_without_a_limit_and_a_person_by_the_api_within_theirs() -> None:
    limited(adjust_approval_above=100, adjust_daily_limit=150)
    by_key, by_person, again = (make_purchase() for _ in range(3))
    for purchase in (by_key, by_person, again):
        now, member = timezone.now(), purchase.member_id
        key = f"earn{purchase.pk}"
        told = {"key": key, "occurred_at": now, "explanation": {}, "purchase": purchase, "held": True}
        ledger.award(member_id=member, points=500 if purchase == by_key else 90, **told)
    assert Till().post(f"purchases/{by_key.key}/release", {}).json() == RELEASED | {"points": 500}
    desk = client_of(make_user())

    def released(purchase: Purchase) -> Any:
        address = f"/api/v1/purchases/{purchase.key}/release/"
        return desk.post(address, {}, "application/json", headers={"Idempotency-Key": purchase.key})

    assert released(by_person).json() == RELEASED | {"points": 90}
    refused = released(again)
    assert (refused.status_code, refused.json()["code"]) == (422, "day-limit")
    limited(adjust_approval_above=50)
    asked = released(again)
    assert (asked.status_code, asked.json()["approval"]) == (202, Approval.objects.get().pk)
    assert usable(again.member) == 0


@pytest.mark.django_db(transaction=True)
def test_releases_at_once_do_not_pass_the_days_limit() -> None:
    limited(adjust_approval_above=100, adjust_daily_limit=500)
    agent = make_user(Role.CUSTOMER_SERVICE)
    held = [(member, holding(member, 90)) for member in (make_member() for _ in range(12))]
    outcomes = at_once(*(lambda one=one: release_awards(one[0], [one[1]], user=agent) for one in held))
    assert outcomes == {"done": 5, "DayLimitReached": 7}
    assert sum(usable(member) for member, _entry in held) == 450
    assert limits.left(limits.Limit.ADJUST, limits.counted_as(agent)) == 50
