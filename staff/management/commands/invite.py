"""``manage.py invite EMAIL NAME``: the way in for the first administrator of a new desk."""

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from staff import people
from staff.permissions import Role


class Command(BaseCommand):
    """Invite somebody and print the link where they choose their password."""

    help = "Add a person and print the link by which they set a password. It works once."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Who, and in which role."""
        parser.add_argument("email", help="their e-mail address")
        parser.add_argument("name", help="their name")
        parser.add_argument("--role", choices=Role.values, default=Role.ADMINISTRATOR.value)

    def handle(self, *args: Any, **options: Any) -> None:
        """Print the link alone, so that a script can take it."""
        try:
            user = people.invite(
                email=options["email"], name=options["name"], role=options["role"], language="en", by=None
            )
        except people.PeopleError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(settings.PUBLIC_URL + people.invitation_path(user))
