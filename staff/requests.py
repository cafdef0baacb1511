"""The request that a view of the desk gets, for type checking."""

from django.http import HttpRequest
from django_htmx.middleware import HtmxDetails

from staff.models import User


class DeskRequest(HttpRequest):
    """A request behind ``requires``: somebody is signed in."""

    user: User
    htmx: HtmxDetails
