"""``manage.py invite EMAIL NAME``: the way in for the first administrator of a new desk, and without a mail server."""

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from staff import people
from staff.models import User
from staff.permissions import Role


class Command(BaseCommand):
    """Invite somebody and print the link where they choose their password."""

    help = "Add a person and print the link by which they set a password. It works once."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Who, and in which role."""
        parser.add_argument("email", help="their e-mail address")
        parser.add_argument("name", nargs="?", default="", help="their name")
        parser.add_argument("--role", choices=Role.values, default=Role.ADMINISTRATOR.value)
        parser.add_argument("--again", action="store_true", help="a new link for somebody who is invited already")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print the link alone, so that a script can take it."""
        user = _invited(options["email"]) if options["again"] else _new(options)
        self.stdout.write(settings.PUBLIC_URL + people.invitation_path(user))


def _new(options: dict[str, Any]) -> User:
    if not options["name"]:
        raise CommandError("Say their name too: manage.py invite EMAIL NAME")
    try:
        return people.invite(email=options["email"], name=options["name"], role=options["role"], language="en", by=None)
    except people.PeopleError as error:
        raise CommandError(str(error)) from error


def _invited(email: str) -> User:
    user = User.objects.filter(email=email.strip().lower(), is_active=True).first()
    if user is None or user.has_come:
        raise CommandError("Nobody with this e-mail address is invited and has not come yet.")
    return user
