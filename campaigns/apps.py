"""The room's application configuration."""

from django.apps import AppConfig


class CampaignsConfig(AppConfig):
    """The campaigns room."""

    name = "campaigns"

    def ready(self) -> None:
        """Fill in what the room adds to members: an import kind, facts, a source of the timeline."""
        from campaigns import acts, drafts, facts, timeline
        from campaigns.history import CampaignHistoryKind
        from members.conditions import uses
        from members.importing import kinds

        kinds.register(CampaignHistoryKind())
        acts.register()
        facts.register()
        timeline.register()
        uses.register(drafts.keep)
