"""The OpenAPI document is exact: schemathesis, which reads it and tries everything, finds nothing."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import cache
from pytest_django.live_server_helper import LiveServer
from rest_framework.throttling import SimpleRateThrottle

from loyalty import programme
from loyalty.intake import record_purchase
from loyalty.models import Reward
from staff import api_keys
from staff.permissions import Scope
from tests.factories import make_consent, make_member

CONFIG = Path(__file__).with_name("schemathesis.toml")
SECONDS = 40


@pytest.mark.django_db(transaction=True)
def test_schemathesis_finds_nothing_against_a_running_server(
    live_server: LiveServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(SimpleRateThrottle, "THROTTLE_RATES", {"key": "1000000/min"})
    cache.clear()
    fill_the_shop()
    _key, text = api_keys.create(name="Schemathesis", scopes=Scope.values, user=None)
    command: list[Any] = [Path(sys.executable).with_name("schemathesis"), "--config-file", CONFIG, "run"]
    command += [f"{live_server.url}/api/v1/schema/?format=json", "--header", f"Authorization: Bearer {text}"]
    command += ["--seed", "20261123", "--max-time", str(SECONDS), "--no-color", "--output-truncate", "false"]
    outcome = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stdout[-20_000:] + outcome.stderr[-2_000:]
    # However little was tried in that time, something was of every operation.
    assert re.search(r"Selected: (\d+)/\1\n +Tested: \1\n", outcome.stdout), outcome.stdout[-2_000:]


def fill_the_shop() -> None:
    """One of each thing that the examples of the document name."""
    from datetime import UTC, datetime
    from decimal import Decimal

    programme.ensure_defaults()
    member = make_member(number="M00482113", external_id="CRM-77a9")
    make_consent(member)
    record_purchase(
        member_id=member.pk,
        key="R-1001",
        receipt="R-1001",
        purchased_at=datetime(2026, 3, 1, tzinfo=UTC),
        amount=Decimal("250.00"),
    )
    Reward.objects.create(name="Coffee", points=10)
