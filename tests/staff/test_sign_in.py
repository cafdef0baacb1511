"""Who gets in at the door, who does not, and what is recorded of it. All by real requests."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import (
    TOTP,
    format_hotp_value,
    generate_totp_secret,
    hotp_value,
    yield_hotp_counters_from_time,
)
from allauth.mfa.utils import decrypt
from django.core import mail
from django.core.cache import cache
from django.test import Client
from django.urls import reverse

from staff.models import AuditEntry, User
from tests.factories import PASSWORD, make_user

pytestmark = pytest.mark.django_db

LOGIN = "/accounts/login/"


def sign_in(client: Client, email: str, password: str = PASSWORD, **headers: str) -> Any:
    return client.post(LOGIN, {"login": email, "password": password}, headers=headers)


def is_signed_in(client: Client) -> bool:
    return client.get("/").status_code == 200


def acts(**filters: Any) -> list[str]:
    return list(AuditEntry.objects.filter(**filters).order_by("pk").values_list("action", flat=True))


def one_time_code(secret: str) -> str:
    counters = list(yield_hotp_counters_from_time())
    now = counters[len(counters) // 2]
    return str(format_hotp_value(hotp_value(secret, now)))


def test_the_right_password_opens_the_desk_and_leads_back_to_the_page_that_was_asked_for() -> None:
    user = make_user(email="lin@example.com")
    client = Client()
    asked = client.get("/desk/jobs/?state=failed")
    assert asked.url == f"{LOGIN}?next=/desk/jobs/%3Fstate%3Dfailed"
    response = client.post(asked.url, {"login": "LIN@example.com", "password": PASSWORD, "next": "/desk/jobs/"})
    assert response.url == "/desk/jobs/"
    assert is_signed_in(client)
    assert acts(actor=user) == ["sign-in"]
    assert client.session.get_expiry_age() <= 12 * 60 * 60


def test_a_wrong_password_and_an_unknown_address_are_told_the_same() -> None:
    make_user(email="lin@example.com")
    wrong = sign_in(Client(), "lin@example.com", "not-it")
    unknown = sign_in(Client(), "nobody@example.com", "not-it")
    assert errors(wrong) == errors(unknown) == ["This e-mail address and password do not belong together."]
    assert acts(actor=None) == ["sign-in.failed", "sign-in.failed"]


def errors(response: Any) -> list[str]:
    return [str(error) for field in response.context["form"].errors.values() for error in field]


def test_after_five_failures_even_the_right_password_waits_and_other_people_do_not() -> None:
    make_user(email="lin@example.com")
    make_user(email="wang@example.com")
    client = Client()
    for _attempt in range(5):
        sign_in(client, "lin@example.com", "not-it")
    response = sign_in(client, "lin@example.com")
    assert errors(response) == ["Too many failed attempts. Wait five minutes and try again."]
    assert not is_signed_in(client)
    assert acts() == ["sign-in.failed"] * 5
    sign_in(client, "wang@example.com")
    assert is_signed_in(client)


def test_one_address_on_the_network_cannot_try_many_people() -> None:
    client = Client(REMOTE_ADDR="203.0.113.9")
    for number in range(20):
        sign_in(client, f"person{number}@example.com", "not-it")
    assert errors(sign_in(client, "another@example.com", "not-it")) == [
        "Too many failed attempts. Wait five minutes and try again."
    ]
    assert "belong together" in errors(sign_in(Client(REMOTE_ADDR="203.0.113.10"), "x@example.com", "not-it"))[0]


def test_a_caller_cannot_pretend_another_address_by_a_header() -> None:
    for number in range(20):
        sign_in(Client(), f"person{number}@example.com", "no", **{"X-Forwarded-For": f"198.51.100.{number}"})
    response = sign_in(Client(), "x@example.com", "no", **{"X-Forwarded-For": "198.51.100.200"})
    assert "Too many" in errors(response)[0]


def test_somebody_shut_out_cannot_sign_in_and_is_signed_out_where_they_are() -> None:
    user = make_user()
    inside = Client()
    sign_in(inside, user.email)
    assert is_signed_in(inside)
    User.objects.filter(pk=user.pk).update(is_active=False)
    assert not is_signed_in(inside)
    outside = Client()
    sign_in(outside, user.email)
    assert not is_signed_in(outside)


def test_sign_out_is_by_post_and_is_recorded() -> None:
    user = make_user()
    client = Client()
    sign_in(client, user.email)
    client.get("/accounts/logout/")
    assert is_signed_in(client)
    client.post("/accounts/logout/")
    assert not is_signed_in(client)
    assert acts(actor=user) == ["sign-in", "sign-out"]


@pytest.mark.parametrize("address", ["signup/", "email/", "confirm-email/", "3rdparty/", "password/reset/code/"])
def test_what_the_desk_does_not_use_of_allauth_is_not_there(address: str) -> None:
    assert Client().get(f"/accounts/{address}").status_code == 404


def test_a_forgotten_password_is_set_by_a_link_that_works_once() -> None:
    user = make_user(email="lin@example.com")
    client = Client()
    asked = client.post("/accounts/password/reset/", {"email": "lin@example.com"})
    assert asked.url == reverse("account_reset_password_done")
    [letter] = mail.outbox
    assert letter.to == ["lin@example.com"]
    link = re.search(r"http://testserver(\S+)", letter.body).group(1)
    form = client.get(link, follow=True)
    new = {"password1": "a-much-better-one-7", "password2": "a-much-better-one-7"}
    client.post(form.request["PATH_INFO"], new)
    assert acts(actor=user) == ["password.changed"]
    sign_in(client, user.email, "a-much-better-one-7")
    assert is_signed_in(client)
    again = Client().get(link, follow=True)
    assert again.context["token_fail"]


def test_asking_for_the_password_of_nobody_looks_the_same_and_writes_to_nobody() -> None:
    response = Client().post("/accounts/password/reset/", {"email": "nobody@example.com"})
    assert response.url == reverse("account_reset_password_done")
    assert mail.outbox == []


def test_a_mail_server_that_is_away_neither_breaks_the_page_nor_tells_who_is_here(settings: Any) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1
    user = make_user()
    for email in (user.email, "nobody@example.com"):
        response = Client().post("/accounts/password/reset/", {"email": email})
        assert response.url == reverse("account_reset_password_done")


def test_a_changed_password_ends_the_other_sessions() -> None:
    user = make_user()
    here, there = Client(), Client()
    sign_in(here, user.email)
    sign_in(there, user.email)
    new = {"oldpassword": PASSWORD, "password1": "a-much-better-one-7", "password2": "a-much-better-one-7"}
    assert here.post("/accounts/password/change/", new).url == "/"
    assert is_signed_in(here)
    assert not is_signed_in(there)


@pytest.mark.django_db(transaction=True)
def test_with_a_second_step_the_password_alone_is_not_enough() -> None:
    user = make_user()
    client = Client()
    sign_in(client, user.email)
    assert client.get("/accounts/2fa/totp/activate/").url.startswith("/accounts/reauthenticate/")
    client.post("/accounts/reauthenticate/", {"password": PASSWORD})
    secret = client.get("/accounts/2fa/totp/activate/").context["form"].secret
    with time_machine.travel(datetime.now(UTC), tick=False):
        activated = client.post("/accounts/2fa/totp/activate/", {"code": one_time_code(secret)})
    assert activated.status_code == 302
    assert secret not in str(list(Authenticator.objects.values_list("data", flat=True))), "kept in clear"
    codes = client.get("/accounts/2fa/recovery-codes/").context["unused_codes"]
    assert len(codes) == 10
    assert "second-factor.added" in acts(actor=user)

    other = Client()
    assert sign_in(other, user.email).url.startswith("/accounts/2fa/authenticate/")
    assert not is_signed_in(other)
    other.post("/accounts/2fa/authenticate/", {"code": "000000"})
    assert not is_signed_in(other)
    assert "second-factor.failed" in acts(actor=user)
    other.post("/accounts/2fa/authenticate/", {"code": codes[0]})
    assert is_signed_in(other)

    third = Client()
    sign_in(third, user.email)
    third.post("/accounts/2fa/authenticate/", {"code": codes[0]})
    assert not is_signed_in(third), "a recovery code works once"


def test_a_one_time_code_that_was_used_never_counts_again() -> None:
    start = datetime(2026, 6, 1, 4, 0, 1, tzinfo=UTC)
    totp = TOTP.activate(make_user(), generate_totp_secret())
    with time_machine.travel(start, tick=False) as clock:
        code = one_time_code(decrypt(totp.instance.data["secret"]))
        assert totp.validate_code(code)
        for seconds in (0, 1, 28, 29, 30, 31, 45, 59, 60, 89, 90, 120):
            clock.move_to(start + timedelta(seconds=seconds))
            if seconds > 30:
                cache.clear()  # the mark of a used code lasts 30 s by Valkey's clock, which does not stand still
            assert not totp.validate_code(code), f"counted again after {seconds} s"
