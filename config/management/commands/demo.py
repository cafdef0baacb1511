"""``manage.py demo``: a whole installation on this machine, with a sample programme."""

import os
import signal
import time
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import CommandParser, call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, connections, transaction

from config import accounts, assets, demo, processes
from config.seed import programme
from members.models import Member

MONTHS = 36


class Command(BaseCommand):
    """Build, migrate, load the sample programme if there is none, and run everything until Ctrl-C."""

    help = "Run the desk with everything it needs on this machine, with a sample programme."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Port and size."""
        parser.add_argument("--port", type=int, default=int(os.environ.get("PORT") or 8000))
        parser.add_argument("--members", type=int, default=8_000, help="size of the sample programme")
        parser.add_argument("--stop-with-parent", action="store_true", help="end when the calling process ends")

    def handle(self, *args: Any, **options: Any) -> None:
        """Prepare and run; every trouble is one line."""
        started = time.monotonic()
        if options["stop_with_parent"]:
            processes.die_with_parent(signal.SIGTERM)
        port = options["port"]
        try:
            with demo.only_one(port):
                self.prepare(options["members"])
                demo.run(port, self.say, lambda: self.welcome(port, time.monotonic() - started))
        except (demo.Trouble, assets.BuildFailed) as trouble:
            raise CommandError(str(trouble)) from None
        except DatabaseError as error:
            raise CommandError(f"PostgreSQL: {str(error).splitlines()[0]}") from error
        except OSError as error:
            raise CommandError(f"{error.strerror}: {error.filename}") from error

    def say(self, line: str) -> None:
        """Print one line at once."""
        self.stdout.write(line)
        self.stdout.flush()

    def prepare(self, members: int) -> None:
        """Style sheet and messages, tables, accounts, sample programme."""
        assets.build()
        call_command("migrate", verbosity=0, interactive=False)
        accounts.make_demo_accounts()
        if members and not Member.objects.exists():
            self.say(f"Building the sample programme with {members:,} members (only this once).")
            # All of it or nothing: a start that was interrupted must not leave half a programme behind.
            with transaction.atomic():
                programme.build(members=members, months=MONTHS, seed=1)
            programme.conclude()
        # The children connect for themselves.
        connections.close_all()

    def welcome(self, port: int, seconds: float) -> None:
        """Tell where the desk is and who may sign in."""
        rows = [(role.label, email) for role, (email, _name) in accounts.ACCOUNTS.items()]
        people = "\n".join(f"  {label!s:20} {email}" for label, email in rows)
        here = Path.cwd()
        shown = settings.DATA.relative_to(here) if settings.DATA.is_relative_to(here) else settings.DATA
        self.say(
            f"\nSteadfast is ready after {seconds:.1f} s:  http://127.0.0.1:{port}/\n\n"
            f"{people}\n  {'password':20} {accounts.PASSWORD}\n\n"
            f"Mails are kept in {shown / 'mail'}, logs in {shown / 'logs'}. Stop with Ctrl-C.\n"
        )
