"""Points that a rule holds are released by machines and at the desk, each once and on the record."""

import json
import re

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from loyalty import ledger, programme, rules
from loyalty.models import EarningRule, Lot
from members.models import Member
from staff.models import AuditEntry
from staff.permissions import Role
from tests.factories import make_member, make_user
from tests.over_http import Till

pytestmark = pytest.mark.django_db

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
    assert till.post("interactions/E-1/release", {}).json() == {"released": 2, "points": 500}
    assert till.post("interactions/E-1/release", {}).json() == {"released": 0, "points": 0}
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
        assert till.post(f"survey-responses/{path}/release", {}).json() == {"released": 1, "points": 20}
        assert till.post(f"survey-responses/{path}/release", {}).json() == {"released": 0, "points": 0}
    assert usable(member) == 40
    anonymous = till.post("survey-responses", answer | {"member": None, "external_id": "A-3"}).json()["key"]
    assert till.post(f"survey-responses/{anonymous}/release", {}).json() == {"released": 0, "points": 0}
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
