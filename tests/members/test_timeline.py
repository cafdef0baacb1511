"""The timeline: every room's items in one order, paged by time without losing any."""

from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from hypothesis import given, settings
from hypothesis import strategies as st

from members import timeline
from members.models import Member
from members.timeline import TimelineItem
from tests.factories import make_interaction, make_member, make_purchase, make_response, make_user

START = datetime(2026, 1, 1, tzinfo=UTC)
LATER = datetime(2027, 1, 1, tzinfo=UTC)


def item(kind: str, hour: int, name: int, about: str = "", **more: int) -> TimelineItem:
    at = START + timedelta(hours=hour)
    return TimelineItem(at=at, kind=kind, label=kind, tone="idle", title=f"{kind}-{name}", about=about, **more)


@pytest.fixture
def sources(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[TimelineItem]]:
    """Two sources over lists in place of the real ones."""
    lists: dict[str, list[TimelineItem]] = {"a": [], "b": []}

    def source(kind: str) -> timeline.TimelineSource:
        def newest(_member: Member, before: datetime, limit: int) -> list[TimelineItem]:
            older = [item for item in lists[kind] if item.at < before]
            return sorted(older, key=lambda item: item.at, reverse=True)[:limit]

        return newest

    monkeypatch.setattr(timeline, "_sources", {kind: source(kind) for kind in ("b", "a")})
    monkeypatch.setattr(timeline, "_filters", {"b": (2, "B"), "a": (1, "A")})
    return lists


def test_paging_to_the_end_shows_every_item_once_newest_first(sources: dict[str, list[TimelineItem]]) -> None:
    @settings(max_examples=150, deadline=None)
    @given(st.lists(st.integers(0, 6), max_size=40), st.lists(st.integers(0, 6), max_size=40), st.integers(1, 9))
    def check(first: list[int], second: list[int], limit: int) -> None:
        sources["a"] = [item("a", hour, name) for name, hour in enumerate(first)]
        sources["b"] = [item("b", hour, name) for name, hour in enumerate(second)]
        seen: list[TimelineItem] = []
        before: datetime | None = LATER
        while before:
            page = timeline.page(Member(), before=before, limit=limit)
            seen += page.items
            before = page.older_than
        titles = [shown.title for shown in seen]
        assert sorted(titles) == sorted(shown.title for shown in [*sources["a"], *sources["b"]])
        assert [shown.at for shown in seen] == sorted((shown.at for shown in seen), reverse=True)

    check()


def test_items_about_the_same_thing_are_one_line(sources: dict[str, list[TimelineItem]]) -> None:
    sources["a"] = [item("a", 1, 1, about="purchase:1"), item("a", 1, 2, about="purchase:2")]
    sources["b"] = [item("b", 1, 1, about="purchase:1", points=5, balance=20), item("b", 1, 9, points=-3, balance=15)]
    shown = timeline.page(Member(), before=LATER).items
    assert {(line.title, line.points, line.balance) for line in shown} == {
        ("a-1", 5, 20),
        ("a-2", None, None),
        ("b-9", -3, 15),
    }


@pytest.mark.django_db
def test_the_page_shows_what_members_did_by_kind_and_leads_to_what_is_older(client: Client) -> None:
    member = make_member()
    for day in range(40):
        make_purchase(member, external_id=f"S-{day}", purchased_at=timezone.now() - timedelta(days=day, minutes=1))
    make_response(member, score=6, comment="The queue is too long.")
    make_interaction(member, kind="check-in", properties={"day": 7})
    client.force_login(make_user("customer_service"))
    address = reverse("members:member", args=[member.number])
    html = client.get(address).content.decode()
    assert "NPS 6: “The queue is too long.”" in html
    assert "Check in · app" in html
    assert "day: 7" in html
    answers = client.get(address, {"kind": "answers"}, headers={"HX-Request": "true", "HX-Target": "timeline"})
    assert "Order S-0" not in answers.content.decode()
    assert "<html" not in answers.content.decode()
    first = client.get(address, {"kind": "purchases"})
    older = first.context["older_than"]
    rest = client.get(
        address, {"kind": "purchases", "before": older}, headers={"HX-Request": "true", "HX-Target": "older"}
    ).content.decode()
    assert "Order S-39" in rest
    assert "Order S-0 " not in rest
    for rubbish in ("x", "2026-99-01T00:00Z", "2026-01-01T00:00"):
        assert client.get(address, {"before": rubbish, "kind": "none"}).status_code == 200
