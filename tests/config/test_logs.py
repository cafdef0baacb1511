"""Log lines are JSON, carry the request's id, and hold no personal data."""

import json
import logging
import sys

import pytest
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st

from config.logs import JsonFormatter, request_id, scrub


def line(message: str, *args: object, **extra: object) -> dict[str, object]:
    record = logging.makeLogRecord({"name": "x", "levelname": "INFO", "msg": message, "args": args, **extra})
    return json.loads(JsonFormatter().format(record))


def test_addresses_phone_numbers_and_quoted_rows_are_removed():
    text = "sent to mei.lin@example.com and +86 138 0013 8000\nDETAIL:  Key (email)=(a@b.cn) already exists."
    assert scrub(text) == "sent to [e-mail] and [number]\nDETAIL: [removed]"


def test_short_numbers_and_dates_stay():
    assert scrub("took 1234 ms at 2026-11-22T04:58:42 in job 981234") == (
        "took 1234 ms at 2026-11-22T04:58:42 in job 981234"
    )


@given(st.emails())
def test_no_address_passes(address: str):
    assert address not in scrub(f"could not write to {address} today")


def test_extras_and_tracebacks_are_kept_and_scrubbed():
    token = request_id.set("abc12345")
    try:
        raise ValueError("bad address: mei@example.com")
    except ValueError:
        made = line("failed for %s", "mei@example.com", exc_info=sys.exc_info(), milliseconds=12, to="mei@example.com")
    finally:
        request_id.reset(token)
    assert made["request_id"] == "abc12345"
    assert made["milliseconds"] == 12
    assert made["to"] == "[e-mail]"
    assert "ValueError: bad address: [e-mail]" in str(made["traceback"])
    assert "mei@" not in json.dumps(made)


def test_a_request_is_logged_by_route_and_answers_with_its_id(client: Client, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, "steadfast.requests")
    response = client.get("/healthz?q=mei@example.com", headers={"X-Request-ID": "till-17-000042"})
    assert response["X-Request-ID"] == "till-17-000042"
    assert [record.getMessage() for record in caplog.records] == ["GET healthz 200"]
    assert client.get("/healthz", headers={"X-Request-ID": "x\ny"})["X-Request-ID"] != "x\ny"
