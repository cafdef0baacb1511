"""Requests that no page sends: answered in the look, never with an error of ours."""

import pytest
from django.test import Client

from tests.factories import make_member, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def desk(client: Client) -> Client:
    client.force_login(make_user())
    return client


@pytest.mark.parametrize(
    "address",
    ["/members/?q=%00", "/members/?after=%00", "/members/suggest/?q=a%00b", "/programme/redemptions/?q=%00", "/?%00=1"],
)
def test_a_nul_in_the_query_is_not_understood(desk: Client, address: str) -> None:
    response = desk.get(address)
    assert response.status_code == 400
    assert "This request was not understood" in response.content.decode()


def test_a_nul_in_a_form_is_not_understood_and_in_an_address_leads_nowhere(desk: Client) -> None:
    make_member(number="M-1")
    assert desk.post("/members/conditions/", {"builder": "a\0b"}).status_code == 400
    assert desk.get("/members/M-1%00/").status_code == 404
    assert desk.get("/programme/members/M-1%00/redeem/").status_code == 404


@pytest.mark.parametrize("reward", ["²", "9" * 40, "x"])
def test_a_reward_that_is_no_number_is_passed_over(desk: Client, reward: str) -> None:
    assert desk.get("/programme/redemptions/", {"reward": reward}).status_code == 200


@pytest.mark.parametrize("day", ["9999-12-31", "0001-01-01", "9999-12", "0001-01"])
@pytest.mark.parametrize("name", ["from", "to"])
def test_months_beyond_the_calendar_are_refused_in_words(desk: Client, name: str, day: str) -> None:
    page = desk.get("/analytics/overview/", {name: day})
    assert page.status_code == 400
    assert day in page.content.decode()
    answer = desk.get("/api/v1/kpis/active-members", {name: day})
    assert answer.status_code == 400
    assert answer["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("day", ["9999-12-31", "0001-01-01"])
@pytest.mark.parametrize("name", ["since", "until"])
@pytest.mark.parametrize("address", ["/desk/audit/", "/desk/audit/entries.csv"])
def test_the_audit_is_searched_to_the_ends_of_the_calendar(desk: Client, address: str, name: str, day: str) -> None:
    response = desk.get(address, {name: day})
    assert response.status_code == 200
    assert list(response) if response.streaming else response.content


@pytest.mark.parametrize(
    "moment", ["2026-05-01T00:00:00+23:00", "2026-05-01T00:00:00-23:59", "0001-01-01T00:00:00+15:00"]
)
@pytest.mark.parametrize("name", ["before", "after"])
@pytest.mark.parametrize("address", ["/desk/audit/changes/", "/programme/redemptions/"])
def test_a_place_in_time_with_any_offset_is_a_place(desk: Client, address: str, name: str, moment: str) -> None:
    for place in (f"{moment}_1", f"{moment}_loyalty.tier_1"):
        assert desk.get(address, {name: place}).status_code == 200


def test_the_api_refuses_a_nul_as_a_problem(desk: Client) -> None:
    answer = desk.get("/api/v1/kpis/active-members?tier=%00")
    assert (answer.status_code, answer["Content-Type"]) == (400, "application/problem+json")


@pytest.mark.parametrize("field", ["stock_change", "points", "cost"])
def test_a_reward_holds_no_number_that_its_column_cannot(desk: Client, field: str) -> None:
    posted = {"name": "Cup", "points": "5", "cost": "1", "stock_change": "3", "active": "on", field: "99999999999"}
    response = desk.post("/programme/rewards/new/", posted)
    assert response.status_code in (200, 422)
    assert response.context["form"].errors.keys() == {field}


def test_who_is_not_signed_in_is_sent_there_whatever_page_htmx_says_it_is_on(client: Client) -> None:
    response = client.get("/members/suggest/", headers={"HX-Request": "true", "HX-Current-URL": "http://["})
    assert response.status_code == 401
    assert response["HX-Redirect"].startswith("/accounts/login/")


@pytest.mark.parametrize(
    ("tree", "place"),
    [
        ('{"all": []}', "9" * 5000),
        ('{"all": []}', ".".join("9" * 2000)),
        ('{"all": [{"fact": "member.spend", "days": 365, "op": "gte", "value": "1e999999999"}]}', "1"),
        ('{"all": [{"fact": "member.spend", "days": 365, "op": "gte", "value": "1e-999999999"}]}', "1"),
        ('{"all": [{"fact": "member.spend", "days": {"a": 1}, "op": {"b": 2}, "value": [[1]]}]}', "1"),
        ('{"all": [{"fact": ["member.status"], "op": ["in"], "value": {"x": []}}]}', "1"),
        ('{"all": [{"fact": "member.status", "op": "in", "value": [{"x": []}]}]}', "1"),
    ],
)
@pytest.mark.parametrize("action", ["", "add-line", "remove"])
def test_the_builder_draws_whatever_it_is_sent(desk: Client, tree: str, place: str, action: str) -> None:
    posted = {"builder": "audience", "audience": tree, "place": place, "action": action}
    assert desk.post("/members/conditions/", posted).status_code == 200
    assert desk.post("/members/conditions/count/", posted).status_code == 200
