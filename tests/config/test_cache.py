"""Losing the cache costs speed and nothing else."""

import pytest
from django.core.cache import cache
from django.test import Client

from config import embedded
from staff import api_keys
from tests.factories import PASSWORD, make_member, make_user


@pytest.fixture
def lost_cache(settings: object) -> None:
    """The cache's server is gone: nobody listens at its address."""
    [port] = embedded.free_ports(1)
    settings.CACHES = {"default": {"BACKEND": "config.cache.LosableCache", "LOCATION": f"redis://127.0.0.1:{port}/0"}}


def test_people_sign_in_and_machines_read_while_the_cache_is_away(
    lost_cache: None, db: None, caplog: pytest.LogCaptureFixture
) -> None:
    client = Client()
    client.post("/accounts/login/", {"login": make_user().email, "password": PASSWORD})
    assert client.get("/").status_code == 200
    _key, text = api_keys.create(name="Till", scopes=["members.read"], user=None)
    response = Client(headers={"Authorization": f"Bearer {text}"}).get(f"/api/v1/members/{make_member().number}")
    assert response.status_code == 200
    assert "the cache does not answer" in caplog.text


def test_a_lost_cache_forgets_and_says_so_in_its_answers(lost_cache: None) -> None:
    cache.set("a", 1)
    assert cache.get("a", "gone") == "gone"
    assert cache.get_many(["a"]) == {}
    assert cache.add("a", 1) is True
