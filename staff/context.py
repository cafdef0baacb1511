"""What every page of the desk needs."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest

from staff.models import User
from staff.navigation import address, side_bar
from staff.permissions import Permission
from staff.preferences import theme_of


def desk(request: HttpRequest) -> dict[str, Any]:
    """The navigation for the person's role, and the time zone that times are shown in."""
    context: dict[str, Any] = {
        "theme": theme_of(request),
        "programme_time_zone": settings.TIME_ZONE,
        "is_production": settings.PRODUCTION,
    }
    user = getattr(request, "user", None)
    if isinstance(user, User) and user.is_authenticated:
        may_find = user.may(Permission.MEMBERS_VIEW)
        context |= {
            "side_bar": side_bar(user, request.path),
            "find_url": address("members:find") if may_find else None,
            "suggest_url": address("members:suggest") if may_find else None,
            "health_pill_url": address("health_pill"),
            "health_url": address("health") if user.may(Permission.HEALTH_VIEW) else None,
            "security_url": address("mfa_index"),
            "sign_out_url": address("account_logout"),
            "password_url": address("account_change_password"),
        }
    return context
