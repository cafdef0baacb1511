"""The same request any number of times: one effect, one answer."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
import time_machine
from django.db import connection, transaction
from django.test import Client
from pytest_django.live_server_helper import LiveServer

from members import enrolment
from members.models import Member
from staff import api_keys, idempotency
from staff.models import AuditEntry, IdempotentRequest
from staff.permissions import Scope
from staff.tasks import forget_requests
from tests.factories import make_user
from tests.over_http import all_at_once, post

pytestmark = pytest.mark.django_db


def bearer(*scopes: str) -> str:
    return f"Bearer {api_keys.create(name='Shop', scopes=scopes or [Scope.MEMBERS_WRITE], user=None)[1]}"


def client(*scopes: str) -> Client:
    return Client(headers={"Authorization": bearer(*scopes)})


def enrol(client: Client, key: str | None = "one", **fields: Any) -> Any:
    headers = {} if key is None else {"Idempotency-Key": key}
    return client.post("/api/v1/members/", {"given_name": "Xiaoyu"} | fields, "application/json", headers=headers)


def test_a_post_that_does_not_name_itself_is_refused() -> None:
    refused = enrol(client(), key=None)
    assert (refused.status_code, refused.json()["code"]) == (400, "idempotency-key-missing")
    assert not Member.objects.exists()


@pytest.mark.parametrize("key", ["x" * 101, "two words", "schlüssel"])
def test_a_key_that_cannot_be_one_is_refused(key: str) -> None:
    refused = enrol(client(), key=key.encode().decode("latin-1"))
    assert (refused.status_code, refused.json()["code"]) == (400, "idempotency-key-invalid")


def test_the_same_request_twice_gets_the_first_answer_and_happens_once() -> None:
    shop = client()
    first = enrol(shop)
    again = enrol(shop)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.content == again.content
    assert first["Location"] == again["Location"]
    assert first.headers.get("Idempotent-Replay") is None
    assert again["Idempotent-Replay"] == "true"
    assert Member.objects.count() == 1
    assert AuditEntry.objects.filter(action="member.enrol").count() == 1


def test_blanks_and_the_order_of_fields_make_no_other_request() -> None:
    shop = client()
    headers = {"Idempotency-Key": "one"}
    bodies = ['{"given_name":"A","family_name":"B"}', ' { "family_name": "B",\n "given_name": "A" } ']
    answers = [shop.post("/api/v1/members/", body, "application/json", headers=headers) for body in bodies]
    assert answers[0].content == answers[1].content
    assert Member.objects.count() == 1


def test_a_key_with_other_input_or_another_address_is_refused() -> None:
    shop = client(Scope.MEMBERS_WRITE, Scope.INTERACTIONS_WRITE)
    enrol(shop)
    other = enrol(shop, given_name="Lin")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency-key-reused")
    elsewhere = shop.post("/api/v1/survey-responses/", {}, "application/json", headers={"Idempotency-Key": "one"})
    assert (elsewhere.status_code, elsewhere.json()["code"]) == (422, "idempotency-key-reused")
    assert Member.objects.count() == 1


def test_two_callers_may_use_the_same_key() -> None:
    enrol(client())
    assert enrol(client()).status_code == 201
    desk = Client()
    desk.force_login(make_user())
    assert enrol(desk).status_code == 201
    assert Member.objects.count() == 3


def test_what_was_refused_is_not_kept_and_may_be_sent_again_put_right() -> None:
    shop = client()
    enrol(shop, key="first", external_id="CRM-1")
    assert enrol(shop, key="second", gender="X").status_code == 400
    assert enrol(shop, key="second", external_id="CRM-1").status_code == 409
    assert list(IdempotentRequest.objects.values_list("key", flat=True)) == ["first"]
    assert enrol(shop, key="second", external_id="CRM-2").status_code == 201


def test_a_request_that_dies_on_its_way_leaves_no_answer_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    shop = client()
    with monkeypatch.context() as patch:

        def crash(*args: Any, **kwargs: Any) -> None:
            raise RuntimeError("the power went")

        patch.setattr(enrolment.audit, "record", crash)
        assert enrol(shop).status_code == 500
    assert not Member.objects.exists()
    assert not IdempotentRequest.objects.exists()
    assert enrol(shop).status_code == 201
    assert Member.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_the_same_request_twenty_times_at_once_happens_once(live_server: LiveServer) -> None:
    authorization = bearer()
    address = f"{live_server.url}/api/v1/members/"
    send = partial(post, address, authorization, {"given_name": "Xiaoyu"}, key="one")
    found = all_at_once(*[send] * 20)
    assert Counter(answer.status for answer in found) == {201: 20}
    assert len({answer.body for answer in found}) == 1
    assert Counter(answer.headers.get("Idempotent-Replay") for answer in found) == {None: 1, "true": 19}
    assert Member.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_who_waits_too_long_for_the_first_is_told_to_come_back(
    live_server: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idempotency, "LONGEST_WAIT", "50ms")
    authorization = bearer()
    caller = f"key:{api_keys.find(authorization.removeprefix('Bearer ')).pk}"
    with transaction.atomic():
        IdempotentRequest.objects.create(caller=caller, key="one", input_hash=b"", status=0, body="")
        refused = post(f"{live_server.url}/api/v1/members/", authorization, {}, key="one")
        assert (refused.status, refused.json()["code"]) == (409, "still-in-progress")
        transaction.set_rollback(True)
    assert post(f"{live_server.url}/api/v1/members/", authorization, {}, key="one").status == 201


def test_answers_are_forgotten_after_their_days() -> None:
    start = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
    shop = client()
    with time_machine.travel(start, tick=False):
        enrol(shop, key="old")
        IdempotentRequest.objects.update(created_at=start)
    with time_machine.travel(start + timedelta(days=6), tick=False):
        enrol(shop, key="new")
        IdempotentRequest.objects.filter(key="new").update(created_at=start + timedelta(days=6))
    with time_machine.travel(start + timedelta(days=7, minutes=1), tick=False):
        forget_requests()
    assert list(IdempotentRequest.objects.values_list("key", flat=True)) == ["new"]


def test_a_repeated_request_costs_no_more_than_reading_its_answer(django_assert_num_queries: Any) -> None:
    shop = client()
    enrol(shop)
    connection.ensure_connection()
    # the key, the transaction's savepoint and its end, the claim, the answer
    with django_assert_num_queries(5):
        enrol(shop)
