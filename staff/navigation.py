"""The side bar: what stands in it, in which order, and who sees what.

A link shows once its address exists and the person's role may open it, so a room appears in the
navigation by having its URL.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from django.urls import NoReverseMatch, reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from staff.models import User
from staff.permissions import Permission


@dataclass(frozen=True)
class Item:
    """One link: its words, its lucide icon, the name of its URL and the permission it needs."""

    label: str | Promise
    icon: str
    url_name: str
    permission: Permission = Permission.DESK_USE


@dataclass(frozen=True)
class Group:
    """Links under one heading; the first group has none."""

    label: str | Promise
    items: tuple[Item, ...]


@dataclass(frozen=True)
class Link:
    """An item as one person sees it on one page."""

    label: str | Promise
    icon: str
    url: str
    is_current: bool


NAVIGATION = (
    Group("", (Item(_("Home"), "house", "home"),)),
    Group(
        _("Members"),
        (
            Item(_("Find"), "search", "members:find", Permission.MEMBERS_VIEW),
            Item(_("Households"), "users", "members:households", Permission.MEMBERS_VIEW),
            Item(_("Segments"), "chart-pie", "members:segments", Permission.MEMBERS_VIEW),
            Item(_("Imports"), "upload", "members:imports", Permission.MEMBERS_IMPORT),
            Item(_("Cases"), "inbox", "members:cases", Permission.MEMBERS_VIEW),
        ),
    ),
    Group(
        _("Programme"),
        (
            Item(_("Tiers"), "layers", "loyalty:tiers", Permission.PROGRAMME_VIEW),
            Item(_("Earning rules"), "circle-plus", "loyalty:rules", Permission.PROGRAMME_VIEW),
            Item(_("Rewards"), "gift", "loyalty:rewards", Permission.PROGRAMME_VIEW),
            Item(_("Redemptions"), "ticket-check", "loyalty:redemptions", Permission.PROGRAMME_VIEW),
            Item(_("Refunds"), "undo-2", "loyalty:refunds", Permission.MEMBERS_VIEW),
            Item(_("Approvals"), "check-check", "staff:approvals", Permission.APPROVALS_VIEW),
            Item(_("Ledger"), "book-open-text", "loyalty:ledger", Permission.PROGRAMME_VIEW),
            Item(_("Undo a batch"), "undo-2", "loyalty:batches", Permission.POINTS_UNDO_BATCH),
            Item(_("Settings"), "settings-2", "loyalty:settings", Permission.PROGRAMME_EDIT),
        ),
    ),
    Group(
        _("Campaigns"),
        (
            Item(_("Calendar"), "calendar-days", "campaigns:calendar", Permission.CAMPAIGNS_VIEW),
            Item(_("All campaigns"), "send", "campaigns:list", Permission.CAMPAIGNS_VIEW),
        ),
    ),
    Group(
        _("Analytics"),
        (
            Item(_("Overview"), "layout-dashboard", "analytics:overview", Permission.ANALYTICS_VIEW),
            Item(_("Retention"), "grid-3x3", "analytics:retention", Permission.ANALYTICS_VIEW),
            Item(_("Redemption"), "ticket-percent", "analytics:redemption", Permission.ANALYTICS_VIEW),
            Item(_("NPS"), "smile", "analytics:nps", Permission.ANALYTICS_VIEW),
            Item(_("A/B results"), "flask-conical", "analytics:ab", Permission.ANALYTICS_VIEW),
            Item(_("Value & churn"), "trending-up-down", "analytics:value", Permission.ANALYTICS_VIEW),
            Item(_("Reports"), "file-chart-column", "analytics:reports", Permission.ANALYTICS_VIEW),
            Item(_("Metrics"), "book-a", "analytics:metrics", Permission.ANALYTICS_VIEW),
        ),
    ),
    Group(
        _("Desk"),
        (
            Item(_("Jobs"), "list-checks", "staff:jobs", Permission.JOBS_VIEW),
            Item(_("Audit"), "history", "staff:audit", Permission.AUDIT_VIEW),
            Item(_("People"), "users-round", "staff:people", Permission.PEOPLE_EDIT),
            Item(_("API keys"), "key-round", "staff:api_keys", Permission.API_KEYS_EDIT),
            Item(_("Health"), "heart-pulse", "health", Permission.HEALTH_VIEW),
        ),
    ),
)


def address(url_name: str, *args: object) -> str | None:
    """The address of a URL that may not exist (yet), else None."""
    try:
        return reverse(url_name, args=args)
    except NoReverseMatch:
        return None


def side_bar(user: User, path: str) -> list[tuple[str | Promise, list[Link]]]:
    """The groups and links that this person sees while on the page at ``path``."""
    groups = [(group.label, list(_visible(group.items, user))) for group in NAVIGATION]
    current = _current([url for _label, items in groups for _item, url in items], path)
    return [
        (label, [Link(item.label, item.icon, url, url == current) for item, url in items])
        for label, items in groups
        if items
    ]


def _visible(items: Iterable[Item], user: User) -> Iterable[tuple[Item, str]]:
    for item in items:
        url = address(item.url_name) if user.may(item.permission) else None
        if url is not None:
            yield item, url


def _current(urls: list[str], path: str) -> str | None:
    """The link whose address is the longest beginning of the page's; home only for itself."""
    return max((url for url in urls if path == url or (url != "/" and path.startswith(url))), key=len, default=None)
