"""Build the sample programme."""

import os
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from config.seed import programme
from loyalty.ledger import sealing


class Command(BaseCommand):
    """``manage.py seed``: members who buy, earn, redeem, drift away and answer, and campaigns with a real lift."""

    help = "Build the sample programme in an empty one. The same seed on the same day builds the same."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Size, length and seed."""
        parser.add_argument("--members", type=int, default=10_000, help="how many members (default: 10,000)")
        parser.add_argument("--months", type=int, default=24, help="months of history (default: 24)")
        parser.add_argument("--seed", type=int, default=1, help="another number, another programme (default: 1)")
        parser.add_argument(
            "--processes", type=int, default=os.cpu_count() or 1, help="how many work at once (default: one per core)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Build, collect the figures, and say what there is."""
        if min(options["members"], options["months"], options["processes"]) < 1:
            raise CommandError("--members, --months and --processes must be at least 1.")

        tenths = 0

        def say(share: float) -> None:
            nonlocal tenths
            if options["verbosity"] and int(share * 10) > tenths:
                tenths = int(share * 10)
                self.stdout.write(f"  {tenths * 10}%")
                self.stdout.flush()

        try:
            programme.build(
                members=options["members"],
                months=options["months"],
                seed=options["seed"],
                processes=options["processes"],
                say=say,
            )
        except programme.NotEmpty:
            raise CommandError("There are members already. The sample programme needs an empty one.") from None
        programme.conclude()
        sealing.seal()
