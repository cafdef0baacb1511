"""The ledger page: its figures add up, agree with verify, and open the very entries that they count."""

import re
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import unquote

import pytest
import time_machine
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from loyalty import ledger, liability
from loyalty.ledger import sealing
from loyalty.models import Account, Entry, Lot, Policy
from members.models import Member
from staff.permissions import Role
from tests.factories import make_member, make_user

NOW = datetime(2026, 6, 15, 4, 0, tzinfo=UTC)

pytestmark = pytest.mark.django_db


def at(month: int, day: int = 10) -> datetime:
    return datetime(2026, month, day, 4, tzinfo=UTC)


@pytest.fixture
def members() -> list[Member]:
    """Three members: points issued, redeemed, expired, adjusted, taken back into debt, transferred, pending, held."""
    ann, bo, cy = (make_member() for _ in range(3))
    with time_machine.travel(NOW, tick=False):
        big = award(ann, 1_000, at(1), expires_at=at(7))
        award(bo, 300, at(2), expires_at=at(4))
        award(cy, 40, at(2), expires_at=NOW + timedelta(days=3))
        spend(ann, 900, at(3))
        spend(bo, 50, at(3))
        ledger.expire_due(at(4, 11))
        award(bo, 77, at(5), kind=Entry.Kind.ADJUST)
        ledger.transfer(from_member=bo.pk, to_member=cy.pk, points=7, key="t", occurred_at=at(5, 12), explanation={})
        ledger.claw_back(
            big, points=500, qualifying=500, key="c", policy=Policy.DEBT, occurred_at=at(6, 2), explanation={}
        )
        award(cy, 11, at(6, 3), activates_at=NOW + timedelta(days=9))
        award(cy, 13, at(6, 3), held=True)
    return [ann, bo, cy]


def award(member: Member, points: int, when: datetime, **more: Any) -> Entry:
    return ledger.award(
        member_id=member.pk, points=points, key=f"{member.pk}:{when}:{points}", occurred_at=when, explanation={}, **more
    )


def spend(member: Member, points: int, when: datetime) -> Entry:
    return ledger.spend(
        member_id=member.pk, points=points, key=f"s:{when}:{member.pk}", occurred_at=when, explanation={}
    )


def test_every_month_goes_on_where_the_one_before_ended_and_adds_up(members: list[Member]) -> None:
    owed = liability.liability(NOW)
    balance = 0
    for movement in owed.movements:
        assert movement.opening == balance
        balance += sum(movement.columns.values()) + movement.debt
        assert movement.closing == balance
    assert balance == owed.totals.outstanding
    assert [(str(row.month)[:7], row.columns["issued"], row.columns["expired"]) for row in owed.movements] == [
        ("2026-01", 1_000, 0),
        ("2026-02", 340, 0),
        ("2026-03", 0, 0),
        ("2026-04", 0, -250),
        ("2026-05", 0, 0),
        ("2026-06", 24, 0),
    ]
    assert {movement.columns["transferred"] for movement in owed.movements} == {0}
    june = owed.movements[-1]
    assert (june.columns["reversed"], june.debt) == (-500, 400)


def test_every_kind_of_entry_has_its_column() -> None:
    columns = [kind for kinds in liability.COLUMNS.values() for kind in kinds]
    assert sorted(columns) == sorted(Entry.Kind.values)


def test_the_totals_are_those_of_accounts_and_lots(members: list[Member]) -> None:
    totals = liability.liability(NOW).totals
    assert totals.outstanding == sum(Lot.objects.values_list("remaining", flat=True))
    assert totals.debt == sum(Account.objects.values_list("debt", flat=True)) == 400
    assert totals.balances == sum(Account.objects.values_list("balance", flat=True))
    assert totals.agrees
    assert (totals.pending, totals.held, totals.overdue) == (11, 13, 0)
    assert totals.usable == sum(ledger.available(member.pk, NOW) for member in members)
    assert totals.members == 2


def test_sealing_moves_no_figure(members: list[Member]) -> None:
    before = liability.liability(NOW)
    with connection.cursor() as cursor:
        sealing.seal_up_to(cursor, Entry.objects.order_by("id")[5].pk)
    assert liability.liability(NOW) == before


def test_the_forecast_holds_every_month_and_what_expires_in_it(members: list[Member]) -> None:
    forecast = {row.month: row.points for row in liability.liability(NOW).expiries}
    assert len(forecast) == liability.FORECAST_MONTHS
    assert {month: points for month, points in forecast.items() if points} == {date(2026, 6, 1): 40}


@pytest.fixture
def desk() -> Client:
    client = Client()
    client.force_login(make_user(Role.MARKETING_MANAGER))
    return client


@time_machine.travel(NOW, tick=False)
def test_each_figure_opens_the_entries_that_it_adds_up(members: list[Member], desk: Client) -> None:
    page = desk.get(reverse("loyalty:ledger")).content.decode()
    links = re.findall(r'href="([^"]*/entries/[^"]*)">([^<]*)</a>', page)
    assert len(links) == 8
    for url, figure in links:
        opened = desk.get(url.replace("&amp;", "&"))
        assert opened.status_code == 200
        assert f"{figure} points" in opened.content.decode()
        rows = b"".join(desk.get(unquote(opened.context["csv_url"])).streaming_content).decode().splitlines()[1:]
        number = "debt" if "column=debt" in url else "points"
        place = {"points": 4, "debt": 5}[number]
        total = sum(int(row.split(",")[place].strip('"')) for row in rows)
        assert f"{total:+,}".replace("-", "\u2212") == figure


@time_machine.travel(NOW, tick=False)
def test_the_page_asks_no_more_of_many_members(members: list[Member], desk: Client) -> None:
    def queries() -> int:
        with CaptureQueriesContext(
            connection,
        ) as asked:
            assert desk.get(reverse("loyalty:ledger")).status_code == 200
        return len(asked)

    queries()
    few = queries()
    for member in [make_member() for _ in range(5)]:
        award(member, 10, at(5), expires_at=NOW + timedelta(days=2))
    assert queries() == few


@time_machine.travel(NOW, tick=False)
def test_the_list_of_whose_points_expire_counts_them_and_pages(
    members: list[Member], desk: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("loyalty.views.ledger.SIZE", 2)
    more = [make_member() for _ in range(3)]
    for points, member in enumerate(more, 100):
        award(member, points, at(5), expires_at=NOW + timedelta(days=6))
    award(more[0], 500, at(5), expires_at=NOW + timedelta(days=60))
    first = desk.get(reverse("loyalty:ledger-expiring"), {"days": 7})
    text = first.content.decode()
    assert "4 members lose 343 points" in text
    assert [row.points for row in first.context["page"].rows] == [102, 101]
    second = desk.get(reverse("loyalty:ledger-expiring") + first.context["page"].next_query)
    assert [row.points for row in second.context["page"].rows] == [100, 40]
    month = desk.get(reverse("loyalty:ledger-expiring"), {"month": "2026-08"})
    assert [(row.member_id, row.points) for row in month.context["page"].rows] == [(more[0].pk, 500)]
    file = b"".join(desk.get(reverse("loyalty:ledger-expiring-csv"), {"days": 7}).streaming_content).decode()
    assert len(file.splitlines()) == 5


@pytest.mark.parametrize("query", ["month=2026-13&column=issued", "month=&column=issued", "month=2026-01&column=x"])
def test_an_address_that_makes_no_sense_is_not_found(desk: Client, query: str) -> None:
    assert desk.get(f"{reverse('loyalty:ledger-entries')}?{query}").status_code == 404


def test_an_empty_programme_says_so(desk: Client) -> None:
    page = desk.get(reverse("loyalty:ledger")).content.decode()
    assert "No points are outstanding" in page
    assert timezone.get_default_timezone_name() in page
