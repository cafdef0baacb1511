"""``manage.py seal``: seal the ledger now, and print the last block."""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from loyalty.ledger import sealing


class Command(BaseCommand):
    """Seal what is committed; entries of transactions still under way are left for the next time."""

    help = "Seal the ledger's new entries into hashed blocks and print the last one, to be noted somewhere else."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Text or JSON."""
        parser.add_argument("--json", action="store_true", help="print the last block as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        """Seal, and say what there is."""
        sealed = sealing.seal()
        state = sealing.state(timezone.now())
        last = state.last
        if options["json"]:
            self.stdout.write(json.dumps({"sealed": sealed, "last": last.as_json() if last else None}, indent=2))
            return
        self.stdout.write(f"{sealed} entries sealed, {state.waiting} not yet.")
        if last:
            self.stdout.write(f"Block {last.number}, up to entry {last.last_entry}: {last.hash}")
