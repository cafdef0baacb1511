"""What people do with campaigns, in the words of the audit."""

from django.utils.translation import gettext_lazy as _
from django.utils.translation import gettext_noop

from staff import audit

# Keys of audit entries, and names of models and fields, are kept in English and translated when shown.
NAMES = (
    gettext_noop("Campaigns"),
    gettext_noop("Messages"),
    gettext_noop("Matched"),
    gettext_noop("Held out"),
    gettext_noop("Scheduled at"),
    gettext_noop("schedule"),
    gettext_noop("unsubscribe link"),
    gettext_noop("campaign"),
    gettext_noop("variant"),
    gettext_noop("imported"),
    gettext_noop("audience"),
    gettext_noop("revision"),
    gettext_noop("experiment"),
    gettext_noop("external id"),
    gettext_noop("updated at"),
    gettext_noop("messages"),
    gettext_noop("campaign events"),
)


def register() -> None:
    """Tell the audit the words of this room's actions."""
    audit.describe(
        {
            "campaign.launch": _("launched a campaign"),
            "campaign.start": _("started a run"),
            "campaign.pause": _("paused a campaign"),
            "campaign.resume": _("resumed a campaign"),
            "campaign.cancel": _("cancelled a campaign"),
            "campaign.start-late": _("started a late run"),
            "campaign.unschedule": _("took a campaign off the schedule"),
            "campaign.late-asks": _("asks what to do with a late run"),
            "campaign.not-started": _("could not start a run"),
            "campaign.resend-unknown": _("sent messages again whose fate was unknown"),
        }
    )
