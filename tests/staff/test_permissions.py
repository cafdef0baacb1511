"""One table of every URL and role (``permission_table.py``), walked over the URLs that exist."""

from collections.abc import Iterator
from functools import cache
from urllib.parse import urlencode

import pytest
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.http import HttpResponse
from django.test import Client, RequestFactory
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from staff import api_keys
from staff.middleware import DenyByDefaultMiddleware
from staff.models import User
from staff.permissions import ROLE_PERMISSIONS, SCOPE_PERMISSIONS, Permission, Role, Scope
from tests.factories import make_user
from tests.staff.permission_table import TABLE, Row

# What each role may do, written out a second time: whoever changes staff/permissions.py must mean it.
# a: administrator, m: marketing manager, c: customer service, e: executive, p: approver
EXPECTED = {
    Permission.DESK_USE: "amcep",
    Permission.MEMBERS_VIEW: "amcp",
    Permission.MEMBERS_REVEAL: "ac",
    Permission.MEMBERS_EDIT: "ac",
    Permission.MEMBERS_IMPORT: "am",
    Permission.SEGMENTS_EDIT: "am",
    Permission.POINTS_REDEEM: "ac",
    Permission.POINTS_ADJUST: "ac",
    Permission.TIERS_GRANT: "am",
    Permission.POINTS_REVERSE: "ac",
    Permission.POINTS_TRANSFER: "ac",
    Permission.POINTS_UNDO_BATCH: "am",
    Permission.APPROVALS_VIEW: "amcp",
    Permission.APPROVALS_DECIDE: "ap",
    Permission.PROGRAMME_VIEW: "amcep",
    Permission.PROGRAMME_EDIT: "am",
    Permission.CAMPAIGNS_VIEW: "amep",
    Permission.CAMPAIGNS_EDIT: "am",
    Permission.CAMPAIGNS_LAUNCH: "am",
    Permission.ANALYTICS_VIEW: "amep",
    Permission.JOBS_VIEW: "am",
    Permission.AUDIT_VIEW: "ap",
    Permission.HEALTH_VIEW: "a",
    Permission.PEOPLE_EDIT: "a",
    Permission.API_KEYS_EDIT: "a",
}
LETTERS = dict(zip("amcep", Role.values, strict=True))


def urls(patterns: list[URLPattern | URLResolver], namespace: str = "") -> Iterator[str]:
    """The full names of all URLs; a URL without a name appears as its route."""
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            inner = f"{namespace}{pattern.namespace}:" if pattern.namespace else namespace
            yield from urls(pattern.url_patterns, inner)
        else:
            yield f"{namespace}{pattern.name or pattern.pattern}"


ALL_URLS = sorted(set(urls(get_resolver().url_patterns)))


def roles_that_may(needs: Permission | Scope | None) -> set[str]:
    if needs is None:
        return set(Role.values)
    permission = SCOPE_PERMISSIONS[needs] if isinstance(needs, Scope) else needs
    return {LETTERS[letter] for letter in EXPECTED[permission]}


def test_each_role_may_do_what_is_written_here() -> None:
    may = {
        permission: {role for role in Role.values if permission in ROLE_PERMISSIONS[role]} for permission in Permission
    }
    assert may == {permission: {LETTERS[letter] for letter in letters} for permission, letters in EXPECTED.items()}


def test_every_url_stands_in_the_table_and_every_row_has_its_url() -> None:
    assert sorted(TABLE) == ALL_URLS


@pytest.mark.django_db
@pytest.mark.parametrize("name", sorted(TABLE))
def test_each_role_gets_what_the_table_says(name: str) -> None:
    row = TABLE[name]
    address = reverse(name, kwargs=row.kwargs()) + (f"?{row.query}" if row.query else "")
    clients = {role: Client() for role in Role.values}
    for role, client in clients.items():
        client.force_login(make_colleague(role))
    outside = Client()
    may = roles_that_may(row.needs)
    before = everything()
    refused = {role: client for role, client in clients.items() if role not in may}
    for client in [*refused.values(), *([outside] if row.needs else [])]:
        for response in (client.get(address), client.post(address, row.data)):
            assert_refused(response, row, is_outside=client is outside)
    assert everything() == before, "somebody who may not changed something"
    if row.needs is None and not name.startswith(("account_", "mfa_")):
        assert outside.get(address).status_code == row.status
    for role in sorted(may):
        response = clients[role].get(address)
        assert response.status_code == row.status, f"{role} gets {response.status_code}"
        if response.status_code == 302:
            assert reverse("account_login") not in response.url


@pytest.mark.django_db
@pytest.mark.parametrize("name", sorted(name for name, row in TABLE.items() if isinstance(row.needs, Scope)))
def test_an_api_key_opens_only_what_its_scopes_name(name: str) -> None:
    row = TABLE[name]
    assert isinstance(row.needs, Scope)
    address = reverse(name, kwargs=row.kwargs()) + (f"?{row.query}" if row.query else "")
    others = [scope for scope in Scope if scope != row.needs]
    _key, right = api_keys.create(name="Right", scopes=[row.needs], user=None)
    _key, wrong = api_keys.create(name="Wrong", scopes=others, user=None)
    assert Client(headers={"Authorization": f"Bearer {right}"}).get(address).status_code == row.status
    assert Client(headers={"Authorization": f"Bearer {wrong}"}).get(address).status_code == 403


def test_a_view_that_declares_nothing_is_refused(rf: RequestFactory) -> None:
    def forgotten(request: object) -> HttpResponse:
        return HttpResponse("secret")

    middleware = DenyByDefaultMiddleware(forgotten)
    request = rf.get("/")
    request.user = AnonymousUser()
    refused = middleware.process_view(request, forgotten, (), {})
    assert refused is not None
    assert refused.status_code == 302
    request.user = User(email="a@example.com", role=Role.ADMINISTRATOR)
    with pytest.raises(PermissionDenied):
        middleware.process_view(request, forgotten, (), {})


@cache
def password_hash() -> str:
    """Hashed once: Argon2 is slow on purpose."""
    return make_password("correct-horse-battery")


def make_colleague(role: str) -> User:
    user = make_user(role, password=None)
    user.password = password_hash()
    user.save(update_fields=["password"])
    return user


@pytest.mark.django_db
def test_a_partial_of_a_page_whose_session_ended_sends_the_whole_page_to_sign_in() -> None:
    headers = {"HX-Request": "true", "HX-Current-URL": "http://testserver/desk/jobs/?state=running"}
    response = Client().get(reverse("staff:jobs"), headers=headers)
    assert response.status_code == 401
    back = urlencode({"next": "/desk/jobs/?state=running"})
    assert response["HX-Redirect"] == f"{reverse('account_login')}?{back}"


def assert_refused(response: HttpResponse, row: Row, *, is_outside: bool) -> None:
    """To sign-in for pages, 401 for the API; 403 for those who are known."""
    if not is_outside:
        assert response.status_code == 403
    elif isinstance(row.needs, Scope):
        assert response.status_code == 401
    else:
        assert response.status_code == 302
        assert response.url.startswith(reverse("account_login"))


def everything() -> dict[str, str]:
    """A fingerprint of each table, but for sessions."""
    tables = [name for name in connection.introspection.table_names() if name != "django_session"]
    with connection.cursor() as cursor:
        parts = [
            f"SELECT '{name}', md5(string_agg(t::text, '|' ORDER BY t::text)) FROM {connection.ops.quote_name(name)} t"
            for name in tables
        ]
        cursor.execute(" UNION ALL ".join(parts))
        return dict(cursor.fetchall())
