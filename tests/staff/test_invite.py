"""The first administrator of a new desk."""

import re
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from staff.models import User
from tests.factories import make_user

pytestmark = pytest.mark.django_db


def test_the_printed_link_lets_the_first_administrator_choose_a_password() -> None:
    out = StringIO()
    call_command("invite", "Boss@Example.com", "Ada Brandt", stdout=out)
    client = Client()
    form = client.get(re.sub(r"^https?://[^/]+", "", out.getvalue().strip()), follow=True)
    assert form.status_code == 200
    address = form.redirect_chain[-1][0]
    client.post(address, {"password1": "a-long-enough-secret", "password2": "a-long-enough-secret"})
    user = User.objects.get(email="boss@example.com")
    assert user.role == "administrator"
    assert user.check_password("a-long-enough-secret")


def test_who_is_invited_and_lost_the_link_gets_another_at_the_terminal_and_nobody_else_does() -> None:
    call_command("invite", "boss@example.com", "Ada Brandt", stdout=StringIO())
    out = StringIO()
    call_command("invite", "--again", "Boss@example.com", stdout=out)
    assert "/accounts/password/reset/key/" in out.getvalue()
    make_user(email="here@example.com")
    for address in ("here@example.com", "nobody@example.com"):
        with pytest.raises(CommandError, match="has not come yet"):
            call_command("invite", "--again", address, stdout=StringIO())
    with pytest.raises(CommandError, match="their name"):
        call_command("invite", "new@example.com", stdout=StringIO())


def test_inviting_somebody_twice_says_so() -> None:
    call_command("invite", "boss@example.com", "Ada Brandt", stdout=StringIO())
    with pytest.raises(CommandError, match="already here"):
        call_command("invite", "boss@example.com", "Ada Brandt", stdout=StringIO())
