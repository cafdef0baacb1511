"""Why a message was not sent or a run not started, as codes in the rows and in words for people."""

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

NO_CONSENT = "no-consent"
NO_ADDRESS = "no-address"
NOT_ACTIVE = "not-active"
WEEKLY_CAP = "weekly-cap"
CANCELLED = "cancelled"
WORKER_DIED = "worker-died"
CONNECTION_LOST = "connection-lost"
LATE = "late"
AUDIENCE_UNREADABLE = "audience-unreadable"

WORDS: dict[str, str | Promise] = {
    NO_CONSENT: _("no longer agrees to e-mail"),
    NO_ADDRESS: _("has no e-mail address any more"),
    NOT_ACTIVE: _("is no longer an active member"),
    WEEKLY_CAP: _("has had the most messages allowed in 7 days"),
    CANCELLED: _("the run was cancelled"),
    WORKER_DIED: _("the worker died while it was being sent"),
    CONNECTION_LOST: _("the mail server hung up before it answered"),
    LATE: _("It was later than the campaign allows."),
    AUDIENCE_UNREADABLE: _("The audience uses a condition that no longer exists."),
}


def in_words(reason: str) -> str:
    """The words for a code; what a mail server said stands as it is."""
    return str(WORDS.get(reason, reason))
