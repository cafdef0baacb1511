"""What each role may do: the one place where it is declared.

A view states the permission it needs with :func:`requires`; a view that states none is refused by
``staff.middleware.DenyByDefaultMiddleware``. ``tests/staff/test_permissions.py`` holds the table of
every URL and role against this file.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import TypeVar

from django.db import models
from django.utils.translation import gettext_lazy as _


class Role(models.TextChoices):
    """Who somebody is at the desk."""

    ADMINISTRATOR = "administrator", _("Administrator")
    MARKETING_MANAGER = "marketing_manager", _("Marketing manager")
    CUSTOMER_SERVICE = "customer_service", _("Customer service")
    EXECUTIVE = "executive", _("Executive")
    APPROVER = "approver", _("Approver")


class Permission(StrEnum):
    """One thing that can be done at the desk."""

    DESK_USE = "desk.use"
    MEMBERS_VIEW = "members.view"
    MEMBERS_REVEAL = "members.reveal"
    MEMBERS_EDIT = "members.edit"
    MEMBERS_IMPORT = "members.import"
    SEGMENTS_EDIT = "segments.edit"
    POINTS_REDEEM = "points.redeem"
    POINTS_ADJUST = "points.adjust"
    POINTS_REVERSE = "points.reverse"
    POINTS_TRANSFER = "points.transfer"
    POINTS_UNDO_BATCH = "points.undo_batch"
    APPROVALS_VIEW = "approvals.view"
    APPROVALS_DECIDE = "approvals.decide"
    TIERS_GRANT = "tiers.grant"
    PROGRAMME_VIEW = "programme.view"
    PROGRAMME_EDIT = "programme.edit"
    CAMPAIGNS_VIEW = "campaigns.view"
    CAMPAIGNS_EDIT = "campaigns.edit"
    CAMPAIGNS_LAUNCH = "campaigns.launch"
    ANALYTICS_VIEW = "analytics.view"
    JOBS_VIEW = "jobs.view"
    AUDIT_VIEW = "audit.view"
    HEALTH_VIEW = "health.view"
    PEOPLE_EDIT = "people.edit"
    API_KEYS_EDIT = "api_keys.edit"


P = Permission

ROLE_PERMISSIONS: dict[str, frozenset[Permission]] = {
    Role.ADMINISTRATOR: frozenset(Permission),
    Role.MARKETING_MANAGER: frozenset(
        {
            P.DESK_USE,
            P.MEMBERS_VIEW,
            P.MEMBERS_IMPORT,
            P.SEGMENTS_EDIT,
            P.PROGRAMME_VIEW,
            P.PROGRAMME_EDIT,
            P.TIERS_GRANT,
            P.CAMPAIGNS_VIEW,
            P.CAMPAIGNS_EDIT,
            P.CAMPAIGNS_LAUNCH,
            P.ANALYTICS_VIEW,
            P.JOBS_VIEW,
            P.POINTS_UNDO_BATCH,
            P.APPROVALS_VIEW,
        }
    ),
    Role.CUSTOMER_SERVICE: frozenset(
        {
            P.DESK_USE,
            P.MEMBERS_VIEW,
            P.MEMBERS_REVEAL,
            P.MEMBERS_EDIT,
            P.POINTS_REDEEM,
            P.POINTS_ADJUST,
            P.POINTS_REVERSE,
            P.POINTS_TRANSFER,
            P.PROGRAMME_VIEW,
            P.APPROVALS_VIEW,
        }
    ),
    Role.EXECUTIVE: frozenset({P.DESK_USE, P.PROGRAMME_VIEW, P.CAMPAIGNS_VIEW, P.ANALYTICS_VIEW}),
    Role.APPROVER: frozenset(
        {
            P.DESK_USE,
            P.MEMBERS_VIEW,
            P.PROGRAMME_VIEW,
            P.CAMPAIGNS_VIEW,
            P.ANALYTICS_VIEW,
            P.AUDIT_VIEW,
            P.APPROVALS_VIEW,
            P.APPROVALS_DECIDE,
        }
    ),
}


class Scope(models.TextChoices):
    """One thing that a machine may do with its API key."""

    MEMBERS_READ = "members.read", _("read members")
    MEMBERS_CONTACTS = "members.contacts", _("read phone numbers, e-mail addresses and birthdays too")
    MEMBERS_WRITE = "members.write", _("enrol and change members")
    SEGMENTS_READ = "segments.read", _("read segments")
    PURCHASES_READ = "purchases.read", _("read purchases")
    PURCHASES_WRITE = "purchases.write", _("record purchases")
    REFUNDS_WRITE = "refunds.write", _("record refunds")
    INTERACTIONS_WRITE = "interactions.write", _("record interactions and survey answers")
    POINTS_READ = "points.read", _("read points and why they are there")
    POINTS_ADJUST = "points.adjust", _("give and take points")
    POINTS_TRANSFER = "points.transfer", _("move points from one member to another")
    TIERS_READ = "tiers.read", _("read tiers and who stands in them")
    QUOTES_READ = "quotes.read", _("ask what a basket would earn")
    REWARDS_READ = "rewards.read", _("read rewards and redemptions")
    REWARDS_REDEEM = "rewards.redeem", _("reserve, confirm and cancel redemptions")
    KPIS_READ = "kpis.read", _("read KPIs")


# What a person who is signed in at the desk may do through the API with their role.
SCOPE_PERMISSIONS: dict[str, Permission] = {
    Scope.MEMBERS_READ: P.MEMBERS_VIEW,
    Scope.MEMBERS_CONTACTS: P.MEMBERS_REVEAL,
    Scope.MEMBERS_WRITE: P.MEMBERS_EDIT,
    Scope.SEGMENTS_READ: P.MEMBERS_VIEW,
    Scope.PURCHASES_READ: P.MEMBERS_VIEW,
    Scope.PURCHASES_WRITE: P.MEMBERS_IMPORT,
    Scope.REFUNDS_WRITE: P.MEMBERS_IMPORT,
    Scope.INTERACTIONS_WRITE: P.MEMBERS_IMPORT,
    Scope.POINTS_READ: P.MEMBERS_VIEW,
    Scope.POINTS_ADJUST: P.POINTS_ADJUST,
    Scope.POINTS_TRANSFER: P.POINTS_TRANSFER,
    Scope.TIERS_READ: P.MEMBERS_VIEW,
    Scope.QUOTES_READ: P.MEMBERS_VIEW,
    Scope.REWARDS_READ: P.MEMBERS_VIEW,
    Scope.REWARDS_REDEEM: P.POINTS_REDEEM,
    Scope.KPIS_READ: P.ANALYTICS_VIEW,
}

View = TypeVar("View", bound=Callable[..., object])


def requires(permission: Permission) -> Callable[[View], View]:
    """Declare the permission that a view needs. The middleware enforces it."""

    def mark(view: View) -> View:
        view.required_permission = permission  # type: ignore[attr-defined]
        return view

    return mark


def public(view: View) -> View:
    """Declare that a view needs no sign-in (sign-in itself, health checks, signed links)."""
    view.required_permission = None  # type: ignore[attr-defined]
    return view


# What a permission lets somebody do, for the page that refuses.
PERMISSION_WORDS = {
    P.DESK_USE: _("use the desk"),
    P.MEMBERS_VIEW: _("see members"),
    P.MEMBERS_REVEAL: _("see phone numbers and e-mail addresses in full"),
    P.MEMBERS_EDIT: _("change members and what they agreed to"),
    P.MEMBERS_IMPORT: _("import members and what they did"),
    P.SEGMENTS_EDIT: _("make and change segments"),
    P.POINTS_REDEEM: _("redeem points for a member"),
    P.POINTS_ADJUST: _("give a member points and take them"),
    P.POINTS_REVERSE: _("take an entry of a member's points back"),
    P.POINTS_TRANSFER: _("move points from one member to another"),
    P.POINTS_UNDO_BATCH: _("take a whole batch of points back"),
    P.APPROVALS_VIEW: _("see what waits for a second person"),
    P.APPROVALS_DECIDE: _("decide what others ask for"),
    P.TIERS_GRANT: _("give members a tier by hand"),
    P.PROGRAMME_VIEW: _("see the programme"),
    P.PROGRAMME_EDIT: _("change the programme"),
    P.CAMPAIGNS_VIEW: _("see campaigns"),
    P.CAMPAIGNS_EDIT: _("edit campaigns"),
    P.CAMPAIGNS_LAUNCH: _("launch campaigns"),
    P.ANALYTICS_VIEW: _("see the figures"),
    P.JOBS_VIEW: _("see jobs"),
    P.AUDIT_VIEW: _("read the audit"),
    P.HEALTH_VIEW: _("see the health of the system"),
    P.PEOPLE_EDIT: _("manage people and roles"),
    P.API_KEYS_EDIT: _("manage API keys"),
}
