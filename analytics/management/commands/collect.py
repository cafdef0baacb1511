"""``manage.py collect``: bring the figures of the KPI pages up to date."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from analytics import collect


class Command(BaseCommand):
    """Collects what is new; ``--rebuild`` starts anew from the raw rows."""

    help = "Collect what is new into the figures of the KPI pages."

    def add_arguments(self, parser: CommandParser) -> None:
        """One switch."""
        parser.add_argument("--rebuild", action="store_true", help="forget all figures and collect everything again")

    def handle(self, *args: Any, **options: Any) -> None:
        """Collect, telling how far it is."""

        def echo(done: int, total: int) -> None:
            self.stdout.write(f"{done:,} of {total:,} members")

        collected = collect.collect(rebuild=options["rebuild"], echo=echo)
        if collected.busy:
            self.stdout.write("Another collection is running.")
        else:
            self.stdout.write(f"Collected {collected.members:,} members.")
