"""The find page, its list and its export, and the suggestions of the top bar."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from members import listing
from members.listing import Filters
from members.models import Member
from staff.models import AuditEntry
from tests.factories import make_member, make_purchase, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def desk(client: Client) -> Client:
    client.force_login(make_user("customer_service"))
    return client


def text(response: Any) -> str:
    assert response.status_code == 200
    return str(response.content.decode())


def test_the_list_shows_contacts_masked_and_what_each_bought(desk: Client) -> None:
    member = make_member(phone="+8613800004471", email="w.xiaoyu@example.com")
    make_purchase(member, amount="1286.00")
    make_purchase(member, amount="500", purchased_at=timezone.now() - timedelta(days=400))
    html = text(desk.get(reverse("members:find")))
    assert "+86 138 •••• 4471" in html
    assert "w•••@example.com" in html
    assert "13800004471" not in html
    assert "w.xiaoyu" not in html.replace('placeholder="Wang Xiaoyu, 138 0000 4471, w.xiaoyu@example.com', "")
    assert "¥1,286.00" in html
    assert "1 purchase<" in html


def test_the_list_needs_the_same_few_queries_however_long_it_is(desk: Client, django_assert_num_queries: Any) -> None:
    for _ in range(30):
        make_purchase()
    with django_assert_num_queries(5):  # session, user, page, count, purchases
        desk.get(reverse("members:find"))


def test_one_match_that_is_sent_off_opens_at_once_but_not_while_typing(desk: Client) -> None:
    member = make_member(given_name="Mei", family_name="Lin")
    address = reverse("members:find")
    assert desk.get(address, {"q": "lin mei"}).url == reverse("members:member", args=[member.number])
    html = text(desk.get(address, {"q": "lin mei"}, headers={"HX-Request": "true", "HX-Target": "found"}))
    assert "Mei Lin" in html
    assert "<html" not in html


def test_nobody_found_and_nobody_there_say_what_to_do(desk: Client) -> None:
    assert "No members yet" in text(desk.get(reverse("members:find")))
    assert "Nobody found for “&lt;b&gt;”" in text(desk.get(reverse("members:find"), {"q": "<b>"}))
    make_member()
    assert "No member fits these filters" in text(desk.get(reverse("members:find"), {"status": "closed"}))


def test_suggestions_lead_to_members(desk: Client) -> None:
    member = make_member(given_name="小雨", family_name="王", number="M/1 x")
    html = text(desk.get(reverse("members:suggest"), {"q": "王小"}))
    assert f'href="{reverse("members:member", args=[member.number])}"' in html
    assert "王小雨" in html
    assert text(desk.get(reverse("members:suggest"), {"q": "王"})).strip() == text(
        desk.get(reverse("members:suggest"), {"q": "李"})
    ).strip().replace("李", "王")


def test_who_sees_contacts_masked_does_not_narrow_them_down_by_typing_on(desk: Client) -> None:
    member = make_member(phone="+8613800004471", email="w.xiaoyu@example.com")
    masked = Client()
    masked.force_login(make_user("marketing_manager"))
    page = reverse("members:member", args=[member.number])
    for address in (reverse("members:suggest"), reverse("members:find")):
        headers = {"HX-Request": "true", "HX-Target": "found"}
        for part in ("138000", "w.xiao", "w.xiaoyu@exam"):
            assert page in text(desk.get(address, {"q": part}, headers=headers))
            assert page not in text(masked.get(address, {"q": part}, headers=headers))
        for whole in ("13800004471", "4471", "w.xiaoyu@example.com"):
            assert page in text(masked.get(address, {"q": whole}, headers=headers))


@pytest.mark.parametrize("sort", ["joined", "-joined", "name", "-name", "number", "-number", "rubbish"])
def test_pages_forth_and_back_hold_every_member_once_in_order(sort: str) -> None:
    same_time = datetime(2026, 1, 1, tzinfo=UTC)
    for number in range(23):
        family = ["Wang", "li", "Zhang Li", "王", "Meyer"][number % 5]
        make_member(
            joined_at=same_time + timedelta(days=number // 4), family_name=family, number=f"N{number % 7}-{number}"
        )
    pages = [listing.page(Filters(), sort=sort, size=5)]
    while pages[-1].after:
        pages.append(listing.page(Filters(), sort=sort, after=pages[-1].after, size=5))
    seen = [member.pk for page in pages for member in page.rows]
    assert len(seen) == len(set(seen)) == 23
    assert pages[0].before is None
    back = pages[-1]
    for expected in reversed(pages[:-1]):
        assert back.before is not None
        back = listing.page(Filters(), sort=sort, before=back.before, size=5)
        assert [m.pk for m in back.rows] == [m.pk for m in expected.rows]
    assert back.before is None
    assert [m.pk for m in listing.in_chunks(Filters(), sort=sort, size=4)] == seen
    if sort == "-number":
        numbers = [m.number for page in pages for m in page.rows]
        assert numbers == sorted(numbers, reverse=True)


@pytest.mark.parametrize(
    "cursor", ["x", "~", "9~", "9~2026", "99999999999999999999~2026-01-01T00:00Z", "9~2026-13-01T00:00Z"]
)
def test_a_cursor_that_makes_no_sense_is_passed_over(cursor: str, desk: Client) -> None:
    make_member()
    for sort in ("joined", "name", "number"):
        assert desk.get(reverse("members:find"), {"after": cursor, "sort": sort}).status_code == 200


@pytest.mark.parametrize("sort", ["-joined", "name", "number"])
def test_a_page_far_down_the_list_is_read_from_an_index(sort: str) -> None:
    make_member()
    cursor = {"-joined": "9~2026-01-01T00:00:00+00:00", "name": "9~wang", "number": "M-5"}[sort]
    with connection.cursor() as explaining:
        explaining.execute("SET LOCAL enable_seqscan = off")
        explaining.execute("SET LOCAL enable_sort = off")
        explaining.execute("SET LOCAL enable_bitmapscan = off")
    start = listing._cursor_values(sort.lstrip("-"), cursor)
    query = listing._ordered(Member.objects.all(), sort.lstrip("-"), descending=sort.startswith("-"), start=start)
    plan = query[:51].explain()
    assert "Index Cond" in plan
    assert "Sort" not in plan


def test_filters_count_days_in_the_programmes_zone() -> None:
    make_member(joined_at=datetime(2026, 3, 1, 15, 59, tzinfo=UTC))
    late = make_member(joined_at=datetime(2026, 3, 1, 16, 0, tzinfo=UTC), gender="")  # 2 March, 00:00 in Shanghai
    second = datetime(2026, 3, 2, tzinfo=UTC).date()
    assert list(Filters(joined_from=second, joined_to=second).members()) == [late]
    assert list(Filters(gender="unknown").members()) == [late]
    assert Filters().count() == (2, True)


@pytest.mark.parametrize(
    ("role", "phone"), [("marketing_manager", "+86 138 •••• 4471"), ("customer_service", "+8613800004471")]
)
def test_the_export_holds_the_filtered_members_with_contacts_only_for_those_who_may(
    client: Client, role: str, phone: str
) -> None:
    make_member(phone="+8613800004471", number="M-1", status="blocked")
    make_member(number="M-2")
    client.force_login(make_user(role))
    response = client.get(reverse("members:export"), {"status": "blocked"})
    lines = b"".join(response.streaming_content).decode().splitlines()
    assert len(lines) == 2
    assert '"M-1"' in lines[1]
    assert phone in lines[1]
    entry = AuditEntry.objects.get(action="member.export")
    assert entry.detail == {"filters": {"status": "blocked"}, "contacts_in_full": role == "customer_service"}
