"""Template tags of members: the condition builder, and parts of a page that other rooms bring."""

from typing import Any

from django import template
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse

from members.conditions import builder, editing
from staff.permissions import Permission

register = template.Library()


@register.inclusion_tag("members/conditions/builder.html", takes_context=True)
def condition_builder(context: dict[str, Any], name: str, tree: Any, scope: str = "members") -> dict[str, Any]:
    """The widget for a tree; inside a form it is the field ``name`` with the tree as JSON."""
    request: HttpRequest = context["request"]
    may_count = request.user.is_authenticated and request.user.may(Permission.MEMBERS_VIEW)
    whole = editing.load(tree) if isinstance(tree, str) else editing.whole(tree)
    return builder.widget(name, whole, may_count=may_count, scope=scope)


@register.inclusion_tag("members/room_partial.html")
def room_partial(url_name: str, *args: Any, refresh: str = "", cells: int = 0, bare: bool = False) -> dict[str, Any]:
    """A part of the page that a higher room fills by ``hx-get``; nothing where the room has no such URL.

    ``refresh="points-changed"`` names the event upon which it is fetched again. Until it is there a
    grey card stands in its place, ``cells`` of them in a strip of figures, none where it is ``bare``.
    """
    return {
        "url": room_url(url_name, *args),
        "refresh": refresh,
        "cells": range(0 if bare else cells or 1),
        "is_strip": cells > 0,
    }


@register.simple_tag
def room_url(url_name: str, *args: Any) -> str:
    """The address of a higher room's URL, or nothing where there is none."""
    try:
        return reverse(url_name, args=args)
    except NoReverseMatch:
        return ""
