"""The room's application configuration."""

from django.apps import AppConfig
from django.contrib.staticfiles.apps import StaticFilesConfig
from django.db.backends.signals import connection_created


class ConfigConfig(AppConfig):
    """The config room."""

    name = "config"

    def ready(self) -> None:
        """Make our Celery application the current one, for ``shared_task`` in the rooms; register our job."""
        from config import timestamps, verification  # noqa: F401 (registers its handler)
        from config.celery import app

        app.set_default()
        connection_created.connect(timestamps.read_fast)


class StaticFiles(StaticFilesConfig):
    """Django's static files, without the sources that the style sheet is compiled from."""

    ignore_patterns = [*StaticFilesConfig.ignore_patterns, "css/*"]
