"""The pages of earning rules: nobody acts alone, nothing that is active is edited, nothing typed is lost."""

import re
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from loyalty import programme, rules
from loyalty.intake import record_purchase
from loyalty.models import EarningRule, RuleVersion
from loyalty.rules import review, starters
from loyalty.views import rule_steps
from staff import figures
from staff.models import Approval, AuditEntry, User
from staff.permissions import Role
from tests.factories import make_member, make_user
from tests.loyalty.rule_forms import a_draft, page, posted, signed_in

pytestmark = pytest.mark.django_db

State = RuleVersion.State
HOSTILE = "<script>alert('points')</script>"


@pytest.fixture
def author() -> User:
    return make_user(Role.MARKETING_MANAGER)


@pytest.fixture
def desk(author: User) -> Client:
    return signed_in(author)


@pytest.fixture
def approver() -> Client:
    return signed_in(make_user(Role.APPROVER))


def do(client: Client, step: str, version: RuleVersion, **data: str) -> str:
    """Post a step and return the page that follows."""
    response = client.post(reverse(f"loyalty:rule-{step}", args=[version.pk]), data, follow=True)
    version.refresh_from_db()
    return str(response.content.decode())


def test_a_rule_goes_from_a_starter_to_active_by_two_people(desk: Client, approver: Client) -> None:
    response = desk.post(reverse("loyalty:rule-new"), {"starter": "check-in", "name": ""}, follow=True)
    version = RuleVersion.objects.get()
    assert "10 points; at most 10 points per member and day." in response.content.decode()
    assert version.rule.name == "10 points for a check-in"
    do(desk, "submit", version, comment="as agreed in May")
    assert Approval.objects.get().comment == "as agreed in May"
    assert "waits for a second person" in page(approver, "loyalty:rules")
    do(approver, "approve", version)
    assert Approval.objects.get().state == "approved"
    do(desk, "activate", version)
    assert version.state == State.ACTIVE
    steps = page(desk, "loyalty:rule", version.rule_id)
    assert all(
        f"{step} by {who.name}" in steps
        for step, who in (("written", version.created_by), ("approved", version.approved_by))
        if who
    )


def test_four_eyes_cannot_be_passed_by_an_address() -> None:
    alone = make_user(Role.ADMINISTRATOR)
    client, version = signed_in(alone), a_draft(alone)
    for step in ("approve", "activate", "retire"):
        assert "needs a second person" in do(client, step, version) or version.state == State.DRAFT
    do(client, "submit", version)
    for step, data in (("approve", {}), ("activate", {}), ("refuse", {"reason": "no"})):
        do(client, step, version, **data)
        assert version.state == State.IN_REVIEW
    assert "needs a second person" in do(client, "approve", version)


def test_who_wrote_it_does_not_approve_what_another_submitted(author: User, desk: Client) -> None:
    administrator = make_user(Role.ADMINISTRATOR)
    version = a_draft(administrator)
    do(desk, "submit", version)
    assert "Somebody else has to approve it" in do(signed_in(administrator), "approve", version)
    assert (version.state, Approval.objects.get().state) == (State.IN_REVIEW, "requested")


def test_the_approvals_page_decides_the_same_request(author: User, desk: Client, approver: Client) -> None:
    version = a_draft(author)
    do(desk, "submit", version)
    request = Approval.objects.get()
    shown = page(approver, "staff:approval", request.pk)
    assert "the points of all other rules times 2" in shown
    approver.post(reverse("staff:approval_approve", args=[request.pk]))
    version.refresh_from_db()
    assert version.state == State.APPROVED


def test_a_refusal_needs_a_reason_and_makes_a_draft_again(author: User, desk: Client, approver: Client) -> None:
    version = a_draft(author)
    do(desk, "submit", version)
    assert "Say why it is refused" in do(approver, "refuse", version, reason="  ")
    do(approver, "refuse", version, reason="Too generous")
    assert (version.state, Approval.objects.get().reason) == (State.DRAFT, "Too generous")
    assert AuditEntry.objects.filter(action="rule.send-back").exists()


def test_a_request_taken_back_is_a_draft_again(author: User, desk: Client) -> None:
    version = a_draft(author)
    do(desk, "submit", version)
    do(desk, "take-back", version)
    assert (version.state, Approval.objects.get().state) == (State.DRAFT, "withdrawn")


def test_a_retired_version_says_when_it_ended_not_when_it_was_to_end(author: User) -> None:
    now = timezone.now()
    version = rules.draft(EarningRule.objects.create(name="Weekend"), definition=rules.usual(), user=author)
    version.starts_at, version.ends_at = now - timedelta(days=9), now + timedelta(days=90)
    assert figures.moment(version.ends_at) in rule_steps.row(version, author, now).applies
    version.state, version.retired_at = State.RETIRED, now - timedelta(days=2)
    applies = rule_steps.row(version, author, now).applies
    assert applies == f"from {figures.moment(version.starts_at)} until {figures.moment(version.retired_at)}"
    version.ends_at = None
    assert rule_steps.row(version, author, now).applies == applies


def test_an_approved_version_that_starts_later_is_scheduled(author: User, desk: Client) -> None:
    version = a_draft(author)
    RuleVersion.objects.filter(pk=version.pk).update(starts_at=timezone.now() + timedelta(days=3))
    version.refresh_from_db()
    review.submit(version, user=author)
    review.approve(version, user=make_user(Role.APPROVER))
    shown = page(desk, "loyalty:rule", version.rule_id)
    assert "scheduled" in shown
    assert "starts by itself" in shown
    assert "starts by itself" in do(desk, "activate", version)
    assert version.state == State.APPROVED


@pytest.mark.parametrize("state", ["in_review", "active", "retired"])
def test_what_is_no_draft_is_not_edited_by_post(state: str, author: User, desk: Client) -> None:
    version = a_draft(author)
    rules.submit(version, user=None)
    if state != "in_review":
        rules.approve(version, user=None)
        rules.activate(version, user=None)
    if state == "retired":
        rules.retire(version, user=None)
    before = version.definition
    other = starters.find("per-unit").definition
    response = desk.post(reverse("loyalty:rule-edit", args=[version.pk]), posted(other), follow=True)
    version.refresh_from_db()
    assert (version.definition, version.state) == (before, state)
    assert "it is not edited any more" in response.content.decode()


def test_changing_an_active_version_writes_a_draft_beside_it(author: User, desk: Client) -> None:
    programme.ensure_defaults()
    active = RuleVersion.objects.get()
    for _ in range(2):  # a second click goes on with the same draft
        desk.post(reverse("loyalty:rule-copy", args=[active.pk]))
    draft = RuleVersion.objects.get(state=State.DRAFT)
    doubled = active.definition | {"effects": [{"type": "per_amount", "points": "2", "per": "1"}]}
    terms = {"legal_note": "§ 4", "starts_at": "2031-01-01T08:00", "ends_at": "2031-02-01T00:00"}
    assert desk.post(reverse("loyalty:rule-edit", args=[draft.pk]), posted(doubled) | terms).status_code == 302
    active.refresh_from_db()
    assert active.state == State.ACTIVE
    changed = page(desk, "loyalty:rule", active.rule_id)
    for words in ("1 point per ¥1", "2 points per ¥1", "§ 4", "1 Jan 2031 08:00"):
        assert words in changed
    same = page(desk, "loyalty:rule", active.rule_id, **{"from": "1", "to": "1"})
    assert "These two say the same" in same


def test_a_half_filled_builder_keeps_what_was_typed(author: User, desk: Client) -> None:
    version = a_draft(author, key="per-unit")
    half = starters.find("per-unit").definition | {
        "effects": [{"type": "per_amount", "points": "two", "per": ""}],
        "caps": [{"per": "day", "of": "member", "points": "lots"}],
        "when": {"all": [{"fact": "purchase.store", "op": "in", "value": []}]},
    }
    response = desk.post(
        reverse("loyalty:rule-edit", args=[version.pk]),
        posted(half) | {"legal_note": "to be checked", "ends_at": "2001-01-01T00:00"},
    )
    shown = response.content.decode()
    assert response.status_code == 422
    for kept in ('value="two"', 'value="lots"', "to be checked", "2001-01-01T00:00", "purchase.store"):
        assert kept in shown
    for place, problem in (
        ("effects-1-points", "value must be a number"),
        ("effects-1-per", "fill in a number"),
        ("caps-1-most", "value must be a number"),
    ):
        assert re.search(rf'id="problem-{place}">{problem}', shown), place
    assert "choose at least one" in shown
    assert "It must end after it starts." in shown
    version.refresh_from_db()
    assert version.definition == starters.find("per-unit").definition


def test_what_is_typed_is_read_back_and_nothing_is_saved(author: User, desk: Client) -> None:
    version = a_draft(author, key="per-unit")
    typed = posted(starters.find("check-in").definition)
    answer = desk.post(reverse("loyalty:rule-read", args=[version.pk]), typed).content.decode()
    assert "the interaction is check-in" in answer
    version.refresh_from_db()
    assert version.definition["event"] == "purchase"


def redrawn(desk: Client, version: RuleVersion, definition: dict[str, Any], **data: str) -> str:
    response = desk.post(reverse("loyalty:rule-redraw", args=[version.pk]), posted(definition) | data)
    assert response.status_code == 200
    return str(response.content.decode())


def test_buttons_of_the_builder_add_and_remove_parts(author: User, desk: Client) -> None:
    version, rule = a_draft(author), starters.find("per-unit").definition
    two = redrawn(desk, version, rule, action="add-effect")
    assert 'name="effects-3-type"' in two
    assert 'name="effects-2-type"' not in redrawn(desk, version, rule, action="remove-effect", place="2")
    assert 'name="caps-1-most"' in redrawn(desk, version, rule, action="add-cap")
    assert 'name="effects-1-lines"' in redrawn(desk, version, rule, action="add-lines", place="1")
    ladder = redrawn(desk, version, rule, **{"effects-2-type": "ladder"})
    assert 'name="effects-2-steps-2-from"' in ladder
    for nonsense in ("", "0", "99", "x-y", "1-2-3"):
        assert 'name="effects-1-points"' in redrawn(desk, version, rule, action="remove-step", place=nonsense)


def test_hostile_names_are_shown_as_text(author: User, desk: Client, approver: Client) -> None:
    version = a_draft(author, name=HOSTILE)
    hostile = starters.find("member-day").definition | {
        "when": {"all": [{"fact": "purchase.store", "op": "in", "value": [HOSTILE]}]},
        "stacking": {"mode": "best", "group": HOSTILE, "priority": 0},
    }
    rules.change(version, definition=hostile, user=author, legal_note=HOSTILE)
    other = a_draft(author, name="Other")
    shown = [
        page(desk, "loyalty:rules"),
        page(desk, "loyalty:rule", version.rule_id),
        page(desk, "loyalty:rule-edit", version.pk),
        page(desk, "loyalty:rule-edit", other.pk),
        desk.post(reverse("loyalty:rule-read", args=[version.pk]), posted(hostile)).content.decode(),
        desk.post(reverse("loyalty:rule-new"), {"name": HOSTILE}).content.decode(),
        do(desk, "submit", version),
        page(approver, "staff:approval", Approval.objects.get().pk),
    ]
    assert [number for number, text in enumerate(shown) if HOSTILE in text] == []
    assert "&lt;script&gt;" in shown[0]


def test_the_list_is_filtered_by_its_address_and_says_what_each_rule_gave(author: User, desk: Client) -> None:
    assert "No earning rules yet" in page(desk, "loyalty:rules")
    programme.ensure_defaults()
    a_draft(author, name="Member day")
    member = make_member()
    record_purchase(member_id=member.pk, key="k", purchased_at=timezone.now(), amount=Decimal(1_234))
    shown = page(desk, "loyalty:rules")
    assert "1,234" in shown
    assert "1,234 points given" in page(desk, "loyalty:rule", EarningRule.objects.get(name=programme.RULE).pk)
    assert "1 point per ¥1" in shown
    drafts = page(desk, "loyalty:rules", state="draft")
    assert "Member day" in drafts
    assert programme.RULE not in drafts
    assert "No rule fits" in page(desk, "loyalty:rules", event="interaction")
    assert "Member day" not in page(desk, "loyalty:rules", q="points for")


def test_the_pages_ask_the_database_as_often_for_many_rules(author: User, desk: Client) -> None:
    programme.ensure_defaults()
    in_store = {"all": [{"fact": "purchase.store", "op": "in", "value": ["A"]}]}
    definition = starters.find("member-day").definition | {"when": in_store}
    for number in range(3):
        rules.draft(EarningRule.objects.create(name=f"Rule {number}"), definition=definition, user=author)
    rule = EarningRule.objects.get(name="Rule 0")
    urls = [reverse("loyalty:rules"), reverse("loyalty:rule", args=[rule.pk])]
    counts = [_queries(desk, url) for url in urls]
    for number in range(3, 12):
        rules.draft(EarningRule.objects.create(name=f"Rule {number}"), definition=definition, user=author)
        rules.draft(rule, definition=definition | {"qualifying": "none"}, user=author)
    assert [_queries(desk, url) for url in urls] == counts
    assert max(counts) < 15


def _queries(client: Client, url: str) -> int:
    with CaptureQueriesContext(connection) as captured:
        client.get(url)
    return len(captured)
