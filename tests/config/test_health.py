"""The addresses that machines ask for, and the page for people."""

import time
from datetime import timedelta

import pytest
import time_machine
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.utils import timezone

from config import health, tasks
from staff.permissions import Role
from tests.conftest import Worker, wait_until
from tests.factories import make_user


def test_alive_needs_no_database(client: Client):
    response = client.get("/healthz")
    assert response.json() == {"status": "alive"}


@pytest.mark.django_db
def test_ready_says_what_is_missing(client: Client):
    response = client.get("/readyz")
    assert response.status_code == 503
    assert response.json()["checks"] == {"database": True, "broker": True, "migrations": True, "beat": False}


@pytest.mark.django_db
def test_ready_once_beat_was_heard_and_no_longer_when_it_is_silent(client: Client):
    tasks.heartbeat()
    assert client.get("/readyz").status_code == 200
    with time_machine.travel(timezone.now() + timedelta(seconds=health.HEARTBEAT_FRESH_SECONDS + 5)):
        assert client.get("/readyz").json()["checks"]["beat"] is False


@pytest.mark.django_db
def test_a_migration_that_is_not_applied_is_counted(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(health, "_migrated", False)
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'sessions'")
    check = health.check_migrations()
    assert not check.ok
    assert check.detail == "1 migration is not applied."


@pytest.mark.django_db
def test_a_lost_broker_is_told_and_breaks_nothing(client: Client, settings):
    settings.CELERY_BROKER_URL = "redis://127.0.0.1:1/0"
    assert client.get("/readyz").json()["checks"]["broker"] is False


@pytest.mark.django_db(transaction=True)
def test_a_heartbeat_goes_through_the_queue_and_a_worker(worker: Worker):
    tasks.heartbeat.delay()
    wait_until(lambda: cache.get(health.HEARTBEAT_KEY))
    assert abs(cache.get(health.HEARTBEAT_KEY) - time.time()) < 60


@pytest.mark.django_db
def test_metrics_count_requests_by_route_and_jobs_by_state(client: Client):
    client.get("/healthz")
    text = client.get("/metrics").text
    assert 'steadfast_requests_total{method="GET",route="healthz",status="200"}' in text
    assert 'steadfast_jobs{state="queued"} 0.0' in text
    assert "steadfast_queue_length 0.0" in text
    assert 'steadfast_messages{state="planned"} 0.0' in text


@pytest.mark.django_db
def test_metrics_are_shown_only_to_the_bearer_of_the_token(client: Client, settings):
    settings.METRICS_TOKEN = "a-token"
    assert client.get("/metrics").status_code == 403
    assert client.get("/metrics", headers={"Authorization": "Bearer wrong"}).status_code == 403
    assert client.get("/metrics", headers={"Authorization": "Bearer a-token"}).status_code == 200


@pytest.mark.django_db
def test_the_page_tells_an_administrator_how_things_are(client: Client):
    client.force_login(make_user(Role.ADMINISTRATOR))
    page = client.get("/desk/health/")
    assert page.status_code == 200
    assert "No heartbeat yet: start beat and a worker." in page.text


@pytest.mark.django_db
def test_a_policy_violation_is_logged_without_the_query(client: Client, caplog: pytest.LogCaptureFixture):
    body = {"csp-report": {"document-uri": "https://desk/members/?q=wang", "blocked-uri": "inline", "line-number": 3}}
    response = client.post("/csp-report", body, content_type="application/json")
    assert response.status_code == 204
    [record] = caplog.records
    assert record.document_uri == "https://desk/members/"
    assert client.post("/csp-report", "nonsense", content_type="application/json").status_code == 400
    large = {"csp-report": {"blocked-uri": "x" * 10_000}}
    assert client.post("/csp-report", large, content_type="application/json").status_code == 413
