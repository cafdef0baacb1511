"""Every operation of the API with every scope: one opens it, no other does."""

from typing import Any

import pytest
from django.db import connection
from django.test import Client

from staff import api_keys
from staff.permissions import Scope

# Operation to the one scope that opens it, written out a second time.
S = Scope
OPERATIONS = {
    ("get", "kpis/"): S.KPIS_READ,
    ("get", "kpis/{key}/"): S.KPIS_READ,
    ("get", "members/"): S.MEMBERS_READ,
    ("post", "members/"): S.MEMBERS_WRITE,
    ("get", "members/{number}/"): S.MEMBERS_READ,
    ("patch", "members/{number}/"): S.MEMBERS_WRITE,
    ("get", "members/{number}/points/"): S.POINTS_READ,
    ("get", "members/{number}/points/lots/"): S.POINTS_READ,
    ("get", "members/{number}/points/entries/"): S.POINTS_READ,
    ("post", "members/{number}/points/adjustments/"): S.POINTS_ADJUST,
    ("post", "members/{number}/points/transfers/"): S.POINTS_TRANSFER,
    ("get", "members/{number}/tier/"): S.TIERS_READ,
    ("get", "tiers/"): S.TIERS_READ,
    ("get", "segments/"): S.SEGMENTS_READ,
    ("get", "purchases/"): S.PURCHASES_READ,
    ("post", "purchases/"): S.PURCHASES_WRITE,
    ("get", "purchases/{key}/"): S.PURCHASES_READ,
    ("post", "purchases/batch/"): S.PURCHASES_WRITE,
    ("post", "purchases/{key}/release/"): S.PURCHASES_WRITE,
    ("post", "refunds/"): S.REFUNDS_WRITE,
    ("post", "refunds/batch/"): S.REFUNDS_WRITE,
    ("post", "interactions/"): S.INTERACTIONS_WRITE,
    ("post", "interactions/batch/"): S.INTERACTIONS_WRITE,
    ("post", "interactions/{key}/release/"): S.INTERACTIONS_WRITE,
    ("post", "survey-responses/"): S.INTERACTIONS_WRITE,
    ("post", "survey-responses/{key}/release/"): S.INTERACTIONS_WRITE,
    ("post", "quotes/"): S.QUOTES_READ,
    ("get", "rewards/"): S.REWARDS_READ,
    ("post", "redemptions/"): S.REWARDS_REDEEM,
    ("get", "redemptions/{id}/"): S.REWARDS_READ,
    ("post", "redemptions/{id}/confirm/"): S.REWARDS_REDEEM,
    ("post", "redemptions/{id}/cancel/"): S.REWARDS_REDEEM,
}


@pytest.mark.django_db
def test_every_operation_of_the_description_stands_in_the_table() -> None:
    paths: dict[str, Any] = Client().get("/api/v1/schema/?format=json").json()["paths"]
    described = {
        (method, path.removeprefix("/api/v1/"))
        for path, operations in paths.items()
        for method in operations
        if method != "parameters"
    }
    assert described == set(OPERATIONS)


@pytest.mark.django_db
def test_each_operation_opens_to_its_scope_and_to_no_other() -> None:
    clients = {}
    for scope in Scope:
        _key, text = api_keys.create(name=scope, scopes=[scope], user=None)
        clients[scope] = Client(headers={"Authorization": f"Bearer {text}", "Idempotency-Key": "one"})
    for (method, path), needed in OPERATIONS.items():
        address = "/api/v1/" + path.format(number="none", key="none", id="0")
        for scope, client in clients.items():
            # Nothing of what is sent can be done: the answer says whether it was let in, and costs no fixture.
            answer = getattr(client, method)(address, data={"no": "such"}, content_type="application/json")
            if scope == needed:
                assert answer.status_code in {200, 400, 404}, (method, path, scope, answer.status_code)
            else:
                assert answer.status_code in {403, 405}, (method, path, scope, answer.status_code)


@pytest.mark.django_db
def test_a_key_without_the_scope_asks_the_database_only_who_it_is() -> None:
    _key, text = api_keys.create(name="Till", scopes=[Scope.KPIS_READ], user=None)
    client = Client(headers={"Authorization": f"Bearer {text}", "Idempotency-Key": "one"})
    client.get("/api/v1/kpis/")
    with connection.execute_wrapper(_only_keys):
        assert client.post("/api/v1/purchases/", {}, content_type="application/json").status_code == 403


def _only_keys(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
    assert "staff_apikey" in sql
    return execute(sql, params, many, context)
