"""What people do with points, in the words of the audit."""

from django.utils.translation import gettext_lazy as _
from django.utils.translation import gettext_noop

from staff import audit

# Keys of job results and audit entries, and names of models and fields, are kept in English and translated when shown.
NAMES = (
    gettext_noop("Expire points"),
    gettext_noop("Recalculate tiers"),
    gettext_noop("Verify"),
    gettext_noop("Lots"),
    gettext_noop("Points"),
    gettext_noop("Standings"),
    gettext_noop("Moves"),
    gettext_noop("Points given"),
    gettext_noop("Points taken back"),
    gettext_noop("Points given back"),
    gettext_noop("Refunds"),
    gettext_noop("Refunds applied"),
    gettext_noop("Refunds waiting"),
    gettext_noop("Refunds refused"),
    gettext_noop("Entries in the ledger"),
    gettext_noop("Tier changes"),
    gettext_noop("Lots of points expired"),
    gettext_noop("Checked"),
    gettext_noop("Broken"),
    gettext_noop("Found"),
    gettext_noop("Purchases"),
    gettext_noop("Entries"),
    gettext_noop("Before"),
    gettext_noop("After"),
    gettext_noop("Name"),
    gettext_noop("Name zh"),
    gettext_noop("Threshold"),
    gettext_noop("Multiplier"),
    gettext_noop("Member"),
    gettext_noop("Comment"),
    gettext_noop("From"),
    gettext_noop("To"),
    gettext_noop("Undo batch"),
    gettext_noop("Entries taken back"),
    gettext_noop("Points taken back"),
    gettext_noop("Members"),
    gettext_noop("adjust reason"),
    gettext_noop("programme settings"),
    gettext_noop("reward"),
    gettext_noop("refund"),
    gettext_noop("Purchase"),
    gettext_noop("Amount"),
    gettext_noop("redemption"),
    gettext_noop("rule version"),
    gettext_noop("tier"),
    gettext_noop("key"),
    gettext_noop("rank"),
    gettext_noop("rule"),
    gettext_noop("version"),
    gettext_noop("state"),
    gettext_noop("created by"),
    gettext_noop("created at"),
    gettext_noop("active from"),
    gettext_noop("retired at"),
)


def register() -> None:
    """Tell the audit the words of this room's actions."""
    audit.describe(
        {
            "settings.change": _("changed the programme's settings"),
            "points.transfer": _("moved points to another member"),
            "points.undo-batch": _("took a whole batch of points back"),
            "points.adjust": _("gave or took points"),
            "points.reverse": _("took an entry back"),
            "programme.start": _("started the programme"),
            "redemption.reserve": _("reserved a reward"),
            "redemption.confirmed": _("confirmed a redemption"),
            "redemption.fulfilled": _("handed a reward over"),
            "redemption.cancel": _("cancelled a redemption"),
            "refund.record": _("refunded a purchase"),
            "reward.create": _("added a reward"),
            "reward.change": _("changed a reward"),
            "rule.activate": _("activated an earning rule"),
            "rule.draft": _("wrote an earning rule"),
            "tier.change": _("changed a tier"),
        }
    )
