"""``manage.py create_api_key NAME --scope SCOPE ...``: make a key for a machine and print it once."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from staff import api_keys
from staff.permissions import Scope


class Command(BaseCommand):
    """Make an API key."""

    help = "Make an API key and print it. It is shown this once and cannot be had again."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """A name, and at least one scope."""
        parser.add_argument("name", help="which machine will use it")
        parser.add_argument(
            "--scope", action="append", required=True, dest="scopes", metavar="SCOPE", help=", ".join(Scope.values)
        )
        parser.add_argument("--per-minute", type=int, metavar="N", help="requests per minute; without it API_RATE")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print the key alone, so that a script can take it."""
        try:
            _key, text = api_keys.create(
                name=options["name"], scopes=options["scopes"], user=None, requests_per_minute=options["per_minute"]
            )
        except api_keys.UnknownScope as error:
            raise CommandError(str(error)) from error
        self.stdout.write(text)
