"""Requests over real connections, alone or many at the same moment."""

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any, TypeVar
from urllib.parse import urlsplit

from django.test import Client

from staff import api_keys
from staff.permissions import Scope

T = TypeVar("T")


def bearer(*scopes: str) -> str:
    return f"Bearer {api_keys.create(name='Till', scopes=scopes or Scope.values, user=None)[1]}"


class Till:
    """A machine that numbers its requests."""

    def __init__(self, *scopes: str) -> None:
        self.client = Client(headers={"Authorization": bearer(*scopes)})
        self.sent = 0

    def post(self, path: str, body: Any, key: str = "") -> Any:
        self.sent += 1
        headers = {"Idempotency-Key": key or f"request-{self.sent}"}
        return self.client.post(f"/api/v1/{path}/", body, "application/json", headers=headers)

    def get(self, path: str, **query: Any) -> Any:
        return self.client.get(f"/api/v1/{path}", query)


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    body: bytes
    headers: dict[str, str]

    def json(self) -> Any:
        return json.loads(self.body)


def post(address: str, authorization: str, body: Any, *, key: str) -> Answer:
    """One POST to the API over a connection of its own."""
    parts = urlsplit(address)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=120)
    headers = {"Authorization": authorization, "Idempotency-Key": key, "Content-Type": "application/json"}
    try:
        connection.request("POST", parts.path, json.dumps(body), headers)
        answer = connection.getresponse()
        return Answer(answer.status, answer.read(), dict(answer.getheaders()))
    finally:
        connection.close()


def all_at_once(*acts: Callable[[], T]) -> list[T]:
    """Run each in a thread of its own, all let go together, and return what came of them."""
    gate = threading.Barrier(len(acts))
    found: list[T] = []

    def run(act: Callable[[], T]) -> None:
        gate.wait()
        found.append(act())

    threads = [threading.Thread(target=run, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found
