"""A new programme, before and after it is started."""

from pathlib import Path

import pytest
from django.test import Client
from django.urls import reverse

from loyalty import programme, rules
from loyalty.models import EarningRule, Entry, RuleVersion, Tier
from members.importing import runs
from members.importing.runs import Refused
from members.models import Purchase
from staff.models import AuditEntry
from staff.permissions import Role
from tests.factories import make_member, make_user
from tests.members.imports import bring_in, new_run, silent, written

pytestmark = pytest.mark.django_db

ROW = "receipt,member,time,amount\nR1,till-1,2026-01-05T10:00:00Z,20.00\n"


def start() -> None:
    client = Client()
    client.force_login(make_user(Role.MARKETING_MANAGER))
    assert "Start the programme" in client.get(reverse("loyalty:tiers")).content.decode()
    client.post(reverse("loyalty:programme-start"))
    assert "Start the programme" not in client.get(reverse("loyalty:tiers")).content.decode()


def test_purchases_are_refused_until_the_programme_is_started_and_then_earn(tmp_path: Path) -> None:
    member = make_member(external_id="till-1")
    path = written(tmp_path, ROW)
    with pytest.raises(Refused, match="no tiers yet"):
        bring_in("purchases", path)
    assert not Purchase.objects.exists()
    start()
    bring_in("purchases", path)
    assert Entry.objects.get(member=member).points == 20


def test_a_file_is_not_read_for_a_programme_that_is_not_started(tmp_path: Path) -> None:
    run = new_run("purchases", written(tmp_path, "this is,,no\ntable"))
    for try_it in (runs.check, runs.perform):
        with pytest.raises(Refused, match="no tiers yet"):
            try_it(run, silent)


def test_starting_twice_changes_nothing() -> None:
    start()
    client = Client()
    client.force_login(make_user(Role.MARKETING_MANAGER))
    page = client.post(reverse("loyalty:programme-start"), follow=True).content.decode()
    assert "The programme had started already." in page
    assert (Tier.objects.count(), RuleVersion.objects.count()) == (4, 1)
    assert AuditEntry.objects.filter(action="programme.start").count() == 1


def test_nobody_makes_a_rule_active_alone_by_starting_again() -> None:
    start()
    manager = make_user(Role.MARKETING_MANAGER)
    rules.retire(RuleVersion.objects.get(), user=manager)
    with pytest.raises(programme.StartedAlready):
        programme.start(user=manager)
    programme.ensure_defaults()
    assert not RuleVersion.objects.filter(state=RuleVersion.State.ACTIVE).exists()


def test_rules_that_were_written_before_the_start_stay_as_they_are() -> None:
    manager = make_user(Role.MARKETING_MANAGER)
    rules.draft(EarningRule.objects.create(name="Ours"), definition=rules.usual(), user=manager)
    client = Client()
    client.force_login(manager)
    page = client.post(reverse("loyalty:programme-start"), follow=True).content.decode()
    assert "The earning rules stay as they are." in page
    assert (Tier.objects.count(), RuleVersion.objects.get().state) == (4, RuleVersion.State.DRAFT)
