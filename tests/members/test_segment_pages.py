"""The pages of segments: made, found, read, exported, refused."""

import json
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from campaigns import drafts
from members import segments
from members.models import Member, Segment, SegmentMember
from staff.models import AuditEntry, Job
from tests.factories import make_member, make_segment, make_user

pytestmark = pytest.mark.django_db

WOMEN = {"all": [{"fact": "member.gender", "op": "in", "value": ["F"]}]}


@pytest.fixture
def manager(client: Client) -> Client:
    client.force_login(make_user("marketing_manager"))
    return client


def conditions(tree: Any, name: str = "Women") -> dict[str, str]:
    return {"name": name, "rhythm": "hourly", "conditions": json.dumps(tree)}


def test_saving_conditions_makes_a_segment_and_starts_its_build(manager: Client) -> None:
    response = manager.post(reverse("members:segment-new"), conditions(WOMEN))
    segment = Segment.objects.get()
    assert response.headers["Location"] == segment.get_absolute_url()
    assert (segment.name, segment.rhythm, segment.conditions) == ("Women", "hourly", WOMEN)
    assert segment.job == Job.objects.get(kind="build-segments")


@pytest.mark.parametrize(
    "tree", [{"all": []}, {"all": [{"fact": "member.gender", "op": "in", "value": []}]}, "rubbish"]
)
def test_what_asks_for_nothing_or_is_not_finished_is_refused_and_kept_on_the_page(manager: Client, tree: Any) -> None:
    response = manager.post(reverse("members:segment-new"), conditions(tree))
    assert response.status_code == 422
    assert not Segment.objects.exists()
    assert 'value="Women"' in response.content.decode()


def test_a_name_is_given_once_and_a_circle_is_named(manager: Client) -> None:
    first = make_segment("First")
    inside = {"all": [{"fact": "member.segment", "op": "in", "value": [str(first.pk)]}]}
    second = make_segment("Second", conditions=inside)
    assert manager.post(reverse("members:segment-new"), conditions(WOMEN, "First")).status_code == 422
    circle = {"all": [{"fact": "member.segment", "op": "in", "value": [str(second.pk)]}]}
    response = manager.post(reverse("members:segment-edit", args=[first.pk]), conditions(circle, "First"))
    assert response.status_code == 422
    assert "First → Second → First" in response.content.decode()


def test_a_list_names_the_rows_of_unknown_numbers_and_keeps_what_was_typed(manager: Client) -> None:
    make_member(number="M-1")
    url = reverse("members:segment-new") + "?kind=static"
    response = manager.post(url, {"name": "Guests", "numbers": "M-1\nM-404\n"})
    assert response.status_code == 422
    html = response.content.decode()
    assert "Nobody has this number: row 2 “M-404”" in html
    assert "M-1\nM-404" in html
    manager.post(url, {"name": "Guests", "numbers": "M-1\nM-404\n", "leave_out": "on"})
    assert Segment.objects.get().size == 1


def test_a_file_replaces_the_list_and_an_empty_form_keeps_it(manager: Client) -> None:
    before, after = make_member(number="M-1"), make_member(number="M-2")
    segment = make_segment("Guests", members=[before])
    url = reverse("members:segment-edit", args=[segment.pk])
    manager.post(url, {"name": "Guests of May"})
    segment.refresh_from_db()
    assert (segment.name, segment.size) == ("Guests of May", 1)
    file = SimpleUploadedFile("list.csv", "number\nM-2\n".encode("utf-8-sig"))
    manager.post(url, {"name": "Guests of May", "file": file})
    assert SegmentMember.objects.get(left_at=None).member == after
    binary = SimpleUploadedFile("list.csv", b"\0\1\2")
    assert manager.post(url, {"name": "Guests of May", "file": binary}).status_code == 422


def test_the_list_is_searched_filtered_and_sorted_with_few_queries(
    manager: Client, django_assert_max_num_queries: Any
) -> None:
    make_segment("List", members=[make_member()])
    for number in range(6):
        make_segment(f"Active {number}")
    with django_assert_max_num_queries(8):
        html = manager.get(reverse("members:segments"), {"sort": "-size"}).content.decode()
    assert "Members who are active." in html
    html = manager.get(reverse("members:segments"), {"kind": "static", "q": "li"}).content.decode()
    assert "List" in html
    assert "Active 1" not in html


def test_the_page_shows_size_uses_and_members_with_few_queries(
    manager: Client, django_assert_max_num_queries: Any
) -> None:
    stays = [make_member() for _number in range(60)]
    gone = make_member(given_name="Gone")
    segment = make_segment("Guests", members=[*stays, gone])
    segments.fill(segment, [member.pk for member in stays])
    user = make_segment("Others", conditions={"fact": "member.segment", "op": "not_in", "value": [str(segment.pk)]})
    with django_assert_max_num_queries(14):
        html = manager.get(segment.get_absolute_url()).content.decode()
    assert user.get_absolute_url() in html
    assert f"?before={sorted(member.pk for member in stays)[10]}" in html
    assert stays[0].number not in html
    assert "Back to the newest" not in html
    second = manager.get(segment.get_absolute_url(), {"before": stays[10].pk}).content.decode()
    assert "Back to the newest" in second
    assert stays[0].number in second
    assert "0 came and 1 left with the last build" in html
    html = manager.get(segment.get_absolute_url(), {"show": "left"}).content.decode()
    assert gone.number in html
    html = manager.get(segment.get_absolute_url(), {"q": stays[0].number}).content.decode()
    assert stays[0].number in html


def test_what_uses_it_is_a_link_only_for_who_may_open_it(manager: Client) -> None:
    segment = make_segment("Guests", members=[])
    tree = {"fact": "member.segment", "op": "in", "value": [str(segment.pk)]}
    outer = make_segment("Others", conditions=tree)
    campaign = drafts.create(name="Autumn", goal_days=14, user=None)
    drafts.save(campaign.pk, revision=campaign.revision, audience=tree)
    url = reverse("campaigns:campaign", args=[campaign.pk])
    assert f'href="{url}"' in manager.get(segment.get_absolute_url()).text
    manager.force_login(make_user("customer_service"))
    assert manager.get(url).status_code == 403
    page = manager.get(segment.get_absolute_url()).text
    assert "Autumn" in page
    assert f'href="{url}"' not in page
    assert f'href="{outer.get_absolute_url()}"' in page


def test_deleting_says_what_uses_it(manager: Client) -> None:
    segment = make_segment("Guests", members=[])
    outer = make_segment("Others", conditions={"fact": "member.segment", "op": "in", "value": [str(segment.pk)]})
    url = reverse("members:segment-delete", args=[segment.pk])
    assert "it is used by Segment “Others”" in manager.post(url, follow=True).content.decode()
    manager.post(reverse("members:segment-delete", args=[outer.pk]))
    manager.post(url)
    assert not Segment.objects.exists()


def test_the_export_is_the_list_and_is_in_the_audit(manager: Client) -> None:
    members = [make_member() for _number in range(3)]
    segment = make_segment("Guests", members=members)
    response = manager.get(reverse("members:segment-export", args=[segment.pk]))
    lines = b"".join(response.streaming_content).decode("utf-8-sig").splitlines()
    assert len(segments.read_numbers("\n".join(lines))) == 3
    assert AuditEntry.objects.get(action="segment.export").detail == {"members": 3}


def test_a_members_page_names_their_segments(manager: Client) -> None:
    member: Member = make_member()
    make_segment("Guests", members=[member])
    assert ">Guests</a>" in manager.get(reverse("members:member", args=[member.number])).content.decode()


def test_machines_read_the_segments(client: Client) -> None:
    segment = make_segment("Active")
    client.force_login(make_user("marketing_manager"))
    row = client.get("/api/v1/segments/").json()["results"][0]
    assert (row["id"], row["name"], row["members"]) == (segment.pk, "Active", 0)
    assert row["sentence"] == "Members who are active."
