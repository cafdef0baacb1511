"""``manage.py build_assets``: style sheet, scripts and message catalogues."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from config import assets


class Command(BaseCommand):
    """Build what the desk is served from."""

    help = "Compile the style sheet and the message catalogues, and bring in the scripts of packages."
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        """Build, and name what was written."""
        try:
            for path in assets.build():
                self.stdout.write(f"built {path.relative_to(assets.CHECKOUT)}")
        except assets.BuildFailed as trouble:
            raise CommandError(str(trouble)) from None
