"""What needs a person, by what their role lets them do about it."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from allauth.mfa.utils import is_mfa_enabled
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from analytics import attention
from analytics.attention import Need
from campaigns.models import Campaign
from loyalty import catalogue, expiring
from loyalty.models import Redemption, Reward
from loyalty.tiers import ahead
from loyalty.words import reward_name
from staff import approvals, figures
from staff.models import Job, User
from staff.navigation import address
from staff.permissions import Permission, Role

RECENTLY = timedelta(days=7)
WAITED = timedelta(days=1)
EXPIRING_DAYS = 7
MOST_OF_EACH = 3


def of(user: User, *, now: datetime) -> list[Need]:
    """Everything that needs this person, broken things first."""
    found = list(_failed_jobs(user, now))
    if user.may(Permission.ANALYTICS_VIEW):
        found += attention.what_needs_you()
    found += [*_waiting_approvals(user), *_paused_campaigns(user)]
    found += [*_waiting_redemptions(user, now), *_downgrades(user, now), *_low_stock(user)]
    found += [*_expiring_points(user, now), *_weak_sign_in(user)]
    urgency = {"bad": 0, "look": 1, "accent": 2, "good": 3, "idle": 4}
    return sorted(found, key=lambda need: urgency.get(need.tone, 9))


def _failed_jobs(user: User, now: datetime) -> Iterator[Need]:
    """Everybody's for an administrator, one's own otherwise."""
    if not user.may(Permission.JOBS_VIEW):
        return
    failed = Job.objects.filter(state=Job.State.FAILED, finished_at__gte=now - RECENTLY)
    if user.role != Role.ADMINISTRATOR:
        failed = failed.filter(created_by=user)
    for job in failed.order_by("-pk")[:MOST_OF_EACH]:
        text = _("“%(job)s” failed: %(error)s") % {"job": job.title, "error": job.error}
        yield Need(_("job"), "bad", text, job.get_absolute_url(), _("See the job"))


def _waiting_approvals(user: User) -> Iterator[Need]:
    """What this person can decide, and nobody else's decisions."""
    if not user.may(Permission.APPROVALS_DECIDE):
        return
    waiting = approvals.waiting_for(user).count()
    if waiting:
        text = ngettext(
            "%(count)d request waits for a second person.", "%(count)d requests wait for a second person.", waiting
        ) % {"count": waiting}
        url = address("staff:approvals")
        yield Need(_("approval"), "accent", text, f"{url}?whose=to-decide" if url else "", _("Decide"))


def _paused_campaigns(user: User) -> Iterator[Need]:
    if not user.may(Permission.CAMPAIGNS_LAUNCH):
        return
    for campaign in Campaign.objects.filter(state=Campaign.State.PAUSED).order_by("-pk")[:MOST_OF_EACH]:
        text = _("“%(campaign)s” is paused and waits for a decision.") % {"campaign": campaign.name}
        yield Need(_("campaign"), "look", text, address("campaigns:campaign", campaign.pk) or "", _("Decide"))


def _waiting_redemptions(user: User, now: datetime) -> Iterator[Need]:
    if not user.may(Permission.POINTS_REDEEM):
        return
    waiting = Redemption.objects.filter(state=Redemption.State.RESERVED, redeemed_at__lt=now - WAITED).count()
    if waiting:
        text = ngettext(
            "%(count)d reward has been reserved for more than a day.",
            "%(count)d rewards have been reserved for more than a day.",
            waiting,
        ) % {"count": waiting}
        url = address("loyalty:redemptions")
        yield Need(_("redemption"), "look", text, f"{url}?state=reserved" if url else "", _("Confirm or cancel"))


def _downgrades(user: User, now: datetime) -> Iterator[Need]:
    """Whoever plans campaigns can still reach those who are about to fall."""
    if not user.may(Permission.PROGRAMME_EDIT):
        return
    members = sum(one.members for one in ahead.falling(now))
    if members:
        text = ngettext(
            "%(count)s member is about to lose their tier.", "%(count)s members are about to lose their tier.", members
        ) % {"count": figures.number(members)}
        yield Need(_("tier"), "look", text, address("loyalty:tiers-downgrades") or "", _("See who"))


def _low_stock(user: User) -> Iterator[Need]:
    if not user.may(Permission.PROGRAMME_EDIT):
        return
    scarce = Reward.objects.filter(active=True, stock__lte=catalogue.LOW_STOCK)
    for reward in scarce.order_by("stock", "pk")[:MOST_OF_EACH]:
        if reward.stock:
            text = ngettext("%(count)d “%(reward)s” is left.", "%(count)d “%(reward)s” are left.", reward.stock)
            text = text % {"count": reward.stock, "reward": reward_name(reward)}
        else:
            text = _("“%(reward)s” is out of stock and still offered.") % {"reward": reward_name(reward)}
        yield Need(_("reward"), "look", text, address("loyalty:rewards") or "", _("See the rewards"))


def _expiring_points(user: User, now: datetime) -> Iterator[Need]:
    """For whoever can write to these members before it is too late."""
    if not user.may(Permission.CAMPAIGNS_EDIT):
        return
    members, points = expiring.within_days(now, EXPIRING_DAYS).count()
    if members:
        text = ngettext(
            "%(count)s member loses %(points)s points within %(days)d days unless they spend them.",
            "%(count)s members lose %(points)s points within %(days)d days unless they spend them.",
            members,
        ) % {"count": figures.number(members), "points": figures.number(points), "days": EXPIRING_DAYS}
        url = address("loyalty:ledger-expiring")
        yield Need(_("expiry"), "idle", text, f"{url}?days={EXPIRING_DAYS}" if url else "", _("See who"))


def _weak_sign_in(user: User) -> Iterator[Need]:
    """Whoever can let others in should not depend on one password."""
    if user.role == Role.ADMINISTRATOR and not is_mfa_enabled(user):
        text = _("Anyone who learns your password can sign in as an administrator.")
        yield Need(_("security"), "idle", text, address("mfa_index") or "", _("Set up a second step"))
