"""What people do with members, in the words of the audit."""

from django.utils.translation import gettext_lazy as _
from django.utils.translation import gettext_noop

from staff import audit

# Keys of job results and audit entries, and names of models, are kept in English and translated when shown.
NAMES = (
    gettext_noop("Rows read"),
    gettext_noop("Rows added"),
    gettext_noop("Rows updated"),
    gettext_noop("Rows unchanged"),
    gettext_noop("Rows refused"),
    gettext_noop("Added"),
    gettext_noop("Updated"),
    gettext_noop("Refused"),
    gettext_noop("Removed"),
    gettext_noop("Restored"),
    gettext_noop("Stayed"),
    gettext_noop("Kind"),
    gettext_noop("File"),
    gettext_noop("Fields"),
    gettext_noop("Filters"),
    gettext_noop("Contacts in full"),
    gettext_noop("Channel"),
    gettext_noop("Granted"),
    gettext_noop("Reason"),
    gettext_noop("Was"),
    gettext_noop("Import"),
    gettext_noop("Import check"),
    gettext_noop("Import undo"),
    gettext_noop("import run"),
    gettext_noop("desk"),
    gettext_noop("sample"),
    gettext_noop("import"),
    gettext_noop("member"),
    gettext_noop("Segment"),
    gettext_noop("segment"),
    gettext_noop("Build segments"),
    gettext_noop("Members"),
    gettext_noop("Household"),
    gettext_noop("household"),
    gettext_noop("Before"),
    gettext_noop("After"),
    gettext_noop("household moves"),
    gettext_noop("purchases"),
    gettext_noop("refunds"),
    gettext_noop("interactions"),
    gettext_noop("survey responses"),
)


def register() -> None:
    """Tell the audit the words of this room's actions."""
    audit.describe(
        {
            "segment.create": _("made a segment"),
            "segment.change": _("changed a segment"),
            "segment.delete": _("deleted a segment"),
            "segment.list": _("set the list of a segment"),
            "segment.export": _("exported the members of a segment"),
            "household.create": _("founded a household"),
            "household.rename": _("renamed a household"),
            "household.join": _("put a member into a household"),
            "household.leave": _("took a member out of a household"),
            "member.reveal": _("revealed personal data"),
            "member.export": _("exported a list of members"),
            "member.consent": _("changed a consent"),
            "member.enrol": _("enrolled a member"),
            "member.change": _("changed a member"),
            "consent.withdraw": _("withdrew a consent"),
            "import.start": _("started an import"),
            "import.done": _("finished an import"),
            "import.refused": _("had an import refused"),
            "import.errors": _("downloaded the bad rows of an import"),
            "import.undo": _("took an import back"),
            "import.remove": _("removed an import that was not run"),
        }
    )
