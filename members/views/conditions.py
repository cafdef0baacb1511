"""The condition builder: drawn anew for each change, and its counts."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_POST

from members.conditions import builder, editing, scopes
from staff.permissions import Permission, requires


@requires(Permission.DESK_USE)
@require_POST
def redraw(request: HttpRequest) -> HttpResponse:
    """The builder with the posted tree, after what its button asks for (``action`` at ``place``)."""
    name, tree = _posted(request)
    about = scopes.find(scope := request.POST.get("scope", "members"))
    place = request.POST.get("place", "")
    match request.POST.get("action", ""):
        case "add-line":
            tree = editing.added(tree, place, editing.new_line(about))
        case "add-group":
            tree = editing.added(tree, place, editing.new_group(request.POST.get("kind", "all"), about))
        case "remove":
            tree = editing.removed(tree, place)
    tree = editing.repaired(tree, about)
    context = builder.widget(name, tree, may_count=_may_count(request), scope=scope)
    context["focus"] = builder.focus_after(request.POST.get("action", ""), place, context["root"])
    response = render(request, "members/conditions/builder.html", context)
    response["HX-Trigger-After-Settle"] = "conditions:changed"
    return response


@requires(Permission.MEMBERS_VIEW)
@require_POST
def count(request: HttpRequest) -> HttpResponse:
    """How many members each line and group of the posted tree holds for."""
    name, tree = _posted(request)
    return render(request, "members/conditions/counts.html", {"name": name, "counts": builder.count_views(tree)})


def _posted(request: HttpRequest) -> tuple[str, dict[str, Any]]:
    name = request.POST.get("builder", "audience")[:64]
    return name, editing.load(request.POST.get(name, ""))


def _may_count(request: HttpRequest) -> bool:
    return request.user.is_authenticated and request.user.may(Permission.MEMBERS_VIEW)
