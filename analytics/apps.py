"""The room's application configuration."""

from django.apps import AppConfig


class AnalyticsConfig(AppConfig):
    """The analytics room."""

    name = "analytics"

    def ready(self) -> None:
        """Fill in what the room adds to conditions and earning rules; register its job."""
        from analytics import valuing

        valuing.register()
