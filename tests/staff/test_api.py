"""The ground of the REST API: keys, scopes, rates, and errors as problem documents."""

import json
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
import time_machine
from django.core.management import CommandError, call_command
from django.test import Client
from rest_framework.throttling import SimpleRateThrottle

from staff import api_keys
from staff.models import ApiKey, AuditEntry
from staff.permissions import Scope
from tests.factories import make_member, make_user

pytestmark = pytest.mark.django_db


def caller(*scopes: str) -> Client:
    _key, text = api_keys.create(name="Till", scopes=scopes or [Scope.MEMBERS_READ], user=None)
    return Client(headers={"Authorization": f"Bearer {text}"})


def problem(response: Any) -> dict[str, Any]:
    assert response["Content-Type"] == "application/problem+json"
    body = json.loads(response.content)
    assert body["status"] == response.status_code
    assert {"type", "title", "detail", "code"} <= set(body)
    return body


def test_a_member_is_read_with_a_key_and_without_the_ways_to_reach_them() -> None:
    member = make_member(given_name="Xiaoyu")
    response = caller().get(f"/api/v1/members/{member.number}")
    assert response.status_code == 200
    body = response.json()
    assert (body["number"], body["given_name"]) == (member.number, "Xiaoyu")
    assert member.email not in response.content.decode()
    assert member.phone not in response.content.decode()


@pytest.mark.parametrize("path", ["kpis", "kpis/nps", "members/{number}", "schema"])
def test_an_address_is_answered_with_a_slash_at_its_end_and_without(path: str) -> None:
    client = caller(*Scope.values)
    address = "/api/v1/" + path.format(number=make_member().number)
    assert [client.get(address).status_code, client.get(f"{address}/").status_code] == [200, 200]


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer x", "Bearer sf_", "Bearer sf_0123456789ab_wrong", "Basic dXNlcjpwYXNz", "Bearer sf_\x00_a"],
)
def test_without_a_good_key_nothing_is_read(header: str) -> None:
    number = make_member().number
    response = Client(headers={"Authorization": header} if header else {}).get(f"/api/v1/members/{number}")
    assert response.status_code == 401
    assert response["WWW-Authenticate"].startswith("Bearer")
    problem(response)


def test_a_revoked_key_is_refused_from_the_next_request_on() -> None:
    number = make_member().number
    key, text = api_keys.create(name="Till", scopes=[Scope.MEMBERS_READ], user=None)
    client = Client(headers={"Authorization": f"Bearer {text}"})
    assert client.get(f"/api/v1/members/{number}").status_code == 200
    admin = Client()
    admin.force_login(make_user())
    admin.post(f"/desk/api-keys/{key.pk}/revoke/")
    assert problem(client.get(f"/api/v1/members/{number}"))["code"] == "unknown-key"


def test_a_key_does_only_what_its_scopes_name() -> None:
    number = make_member().number
    body = problem(caller(Scope.KPIS_READ).get(f"/api/v1/members/{number}"))
    assert (body["status"], body["code"]) == (403, "missing-scope")
    assert "members.read" in body["detail"]


def test_somebody_at_the_desk_reads_what_their_role_may() -> None:
    number = make_member().number
    for role, status in (("customer_service", 200), ("executive", 403)):
        client = Client()
        client.force_login(make_user(role, password=None))
        assert client.get(f"/api/v1/members/{number}").status_code == status


@pytest.mark.parametrize(
    ("method", "address", "status", "code"),
    [
        ("get", "/api/v1/members/none", 404, "unknown-member"),
        ("get", "/api/v1/members/%00", 404, "not_found"),
        ("get", "/api/v1/no/such/thing", 404, "not_found"),
        ("post", "/api/v1/no/such/thing", 404, "not_found"),
        ("delete", "/api/v1/", 405, "method_not_allowed"),
    ],
)
def test_every_error_is_a_problem_document(method: str, address: str, status: int, code: str) -> None:
    body = problem(getattr(caller(), method)(address))
    assert (body["status"], body["code"]) == (status, code)


def test_a_method_that_is_not_there_is_told_only_to_who_may_use_another() -> None:
    number = make_member().number
    refused = caller(Scope.MEMBERS_READ).delete(f"/api/v1/members/{number}")
    assert problem(refused)["status"] == 405
    assert "DELETE" not in refused["Allow"]
    assert problem(caller(Scope.KPIS_READ).delete(f"/api/v1/members/{number}"))["status"] == 403


def test_a_key_with_a_rate_of_its_own_is_held_to_that() -> None:
    number = make_member().number
    _key, text = api_keys.create(name="Till", scopes=[Scope.MEMBERS_READ], user=None, requests_per_minute=2)
    slow = Client(headers={"Authorization": f"Bearer {text}"})
    with time_machine.travel(datetime(2026, 3, 1, 12, 0, tzinfo=UTC), tick=False):
        assert [slow.get(f"/api/v1/members/{number}").status_code for _ in range(3)] == [200, 200, 429]


def test_too_many_requests_are_told_when_to_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SimpleRateThrottle, "THROTTLE_RATES", {"key": "3/min"})
    number = make_member().number
    busy, calm = caller(), caller()
    with time_machine.travel(datetime(2026, 3, 1, 12, 0, tzinfo=UTC), tick=False):
        assert [busy.get(f"/api/v1/members/{number}").status_code for _ in range(3)] == [200] * 3
        refused = busy.get(f"/api/v1/members/{number}")
        assert problem(refused)["status"] == 429
        assert 0 < int(refused["Retry-After"]) <= 61
        assert calm.get(f"/api/v1/members/{number}").status_code == 200


def test_the_last_use_of_a_key_is_written_once_a_minute() -> None:
    number = make_member().number
    client = caller()
    start = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
    used = []
    for seconds in (0, 30, 61):
        with time_machine.travel(start + timedelta(seconds=seconds), tick=False):
            client.get(f"/api/v1/members/{number}")
            used.append((ApiKey.objects.get().last_used_at - start).total_seconds())
    assert used == [0, 0, 61]


def test_only_the_hash_of_a_key_is_kept() -> None:
    _key, text = api_keys.create(name="Till", scopes=[Scope.MEMBERS_READ], user=None)
    secret = text.rsplit("_", 1)[1]
    assert secret not in str(ApiKey.objects.values().get())
    assert secret not in str(list(AuditEntry.objects.values()))


def test_the_command_prints_a_key_that_works_and_refuses_unknown_scopes() -> None:
    out = StringIO()
    call_command("create_api_key", "Till", "--scope", "members.read", stdout=out)
    found = api_keys.find(out.getvalue().strip())
    assert found is not None
    assert found.scopes == ["members.read"]
    with pytest.raises(CommandError, match="points\\.steal"):
        call_command("create_api_key", "Till", "--scope", "points.steal")
    assert ApiKey.objects.count() == 1


def test_a_key_is_shown_once_on_the_page_that_makes_it() -> None:
    admin = Client()
    admin.force_login(make_user())
    page = admin.post("/desk/api-keys/new/", {"name": "Tills, Shanghai", "scopes": ["members.read"]})
    text = page.context["text"]
    assert text in page.content.decode()
    assert "no-store" in page["Cache-Control"]
    assert text not in admin.get("/desk/api-keys/").content.decode()
    assert api_keys.find(text) is not None


def test_the_description_names_the_paths_and_how_to_sign_in() -> None:
    schema = Client().get("/api/v1/schema/?format=json").json()
    assert "/api/v1/members/{number}/" in schema["paths"]
    assert "ApiKey" in schema["components"]["securitySchemes"]
