"""The room's application configuration."""

from django.apps import AppConfig


class MembersConfig(AppConfig):
    """The members room."""

    name = "members"

    def ready(self) -> None:
        """Fill in the room's own facts, timeline sources and import kinds; loyalty brings what earns."""
        from members import acts, facts, history, segments
        from members.conditions import uses
        from members.importing import background, kinds, taking_back  # noqa: F401 (background registers its jobs)
        from members.importing.people import MemberKind

        acts.register()
        facts.register()
        history.register()
        uses.register(segments.keep)
        taking_back.register()
        kinds.register(MemberKind())
