"""Who did what, and what was changed: two lists, searchable, the first as CSV too."""

from datetime import date
from operator import attrgetter
from typing import Any

from django import forms
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext
from django.views.decorators.http import require_safe

from staff import audit, changes
from staff.changes import Place
from staff.exports import csv_response
from staff.models import AuditEntry, User
from staff.paging import SIZE, newest_first, page_of
from staff.permissions import Permission, requires
from staff.requests import DeskRequest

CSV_ROWS_AT_ONCE = 2000


class SearchForm(forms.Form):
    """What stands in the address. A part that makes no sense is left out."""

    q = forms.CharField(required=False, strip=True, max_length=200)
    person = forms.IntegerField(required=False, min_value=1)
    action = forms.CharField(required=False, max_length=64)
    type = forms.CharField(required=False, max_length=64)
    id = forms.CharField(required=False, max_length=64)
    since = forms.DateField(
        required=False, label=gettext_lazy("From"), widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")
    )
    until = forms.DateField(
        required=False, label=gettext_lazy("To"), widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")
    )

    def search(self) -> audit.Search:
        """The search that the valid parts ask for."""
        self.is_valid()
        told: dict[str, Any] = self.cleaned_data
        since: date | None = told.get("since")
        until: date | None = told.get("until")
        return audit.Search(
            text=told.get("q", ""),
            person=told.get("person"),
            action=told.get("action", ""),
            subject_type=told.get("type", ""),
            subject_id=told.get("id", ""),
            since=since,
            until=until,
        )


@requires(Permission.AUDIT_VIEW)
@require_safe
def entries(request: DeskRequest) -> HttpResponse:
    """Every act of every person, key and job, newest first."""
    form = SearchForm(request.GET)
    page = newest_first(form.search().entries(), request.GET)
    people = User.objects.order_by("name").values_list("pk", "name")
    context = {
        "form": form,
        "page": page,
        "people": [("", _("Anybody")), *((str(pk), name) for pk, name in people)],
        "actions": [("", _("Any action")), *((action, audit.in_words(action)) for action in audit.actions())],
        "is_filtered": any(request.GET.get(name) for name in form.fields),
    }
    return render(request, "staff/audit.html", context)


@requires(Permission.AUDIT_VIEW)
@require_safe
def entries_csv(request: DeskRequest) -> HttpResponseBase:
    """The same list, whole, as a CSV file."""
    found = SearchForm(request.GET).search().entries()
    head = [
        _("time"),
        _("who"),
        _("action"),
        pgettext("of an act", "subject"),
        _("subject type"),
        _("subject id"),
        _("detail"),
        _("address"),
    ]
    return csv_response("audit", head, map(_cells, found.iterator(chunk_size=CSV_ROWS_AT_ONCE)))


@requires(Permission.AUDIT_VIEW)
@require_safe
def configuration(request: DeskRequest) -> HttpResponse:
    """What was changed in rules, tiers, rewards, campaigns and people, as differences."""
    place = Place.read(request.GET.get("after", ""))
    found = changes.newest(after=place, model=request.GET.get("model", ""), limit=SIZE + 1)
    context = {
        "page": page_of(found, request.GET, place=attrgetter("place"), size=SIZE),
        "models": [("", _("Everything")), *changes.model_choices()],
    }
    return render(request, "staff/changes.html", context)


def _cells(entry: AuditEntry) -> list[object]:
    detail = "; ".join(f"{name}: {value}" for name, value in entry.detail.items())
    subject = (entry.subject_label, entry.subject_type, entry.subject_id)
    return [entry.at, entry.actor_label, audit.in_words(entry.action), *subject, detail, entry.address]
