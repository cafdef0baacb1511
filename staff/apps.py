"""The room's application configuration."""

from django.apps import AppConfig


class StaffConfig(AppConfig):
    """The staff room."""

    name = "staff"

    def ready(self) -> None:
        """Let the right to decide be asked for."""
        from staff import people

        people.register()
