"""The room's application configuration."""

from django.apps import AppConfig


class MembersConfig(AppConfig):
    """The members room."""

    name = "members"

    def ready(self) -> None:
        """Fill in the room's own facts, timeline sources and import kinds; loyalty brings interactions, which earn."""
        from members import acts, facts, history
        from members.importing import background, kinds  # noqa: F401 (background registers its jobs)
        from members.importing.people import MemberKind
        from members.importing.survey_responses import SurveyResponseKind

        acts.register()
        facts.register()
        history.register()
        kinds.register(MemberKind())
        kinds.register(SurveyResponseKind())
