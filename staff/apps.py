"""The room's application configuration."""

from django.apps import AppConfig


class StaffConfig(AppConfig):
    """The staff room."""

    name = "staff"
