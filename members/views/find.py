"""Find a member: search as one types, the list of all, suggestions for the top bar, and the list as CSV."""

from datetime import date
from typing import Any

from django import forms
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from members import listing, lookup, masking
from members.models import Member
from staff import audit
from staff.exports import csv_response
from staff.permissions import Permission, requires
from staff.requests import DeskRequest

FOUND_AT_ONCE = 50
SUGGESTED = 8
SHORTEST_SUGGESTION = 2

STATUS_TONES = {Member.Status.ACTIVE: "good", Member.Status.BLOCKED: "bad", Member.Status.CLOSED: "idle"}


class FilterForm(forms.Form):
    """What stands in the address. A part that makes no sense is left out."""

    status = forms.ChoiceField(required=False, choices=Member.Status.choices)
    gender = forms.ChoiceField(required=False, choices=[*Member.Gender.choices, ("unknown", "")])
    joined_from = forms.DateField(required=False)
    joined_to = forms.DateField(required=False)

    def filters(self) -> listing.Filters:
        """The filters that the valid parts ask for."""
        self.is_valid()
        told: dict[str, Any] = self.cleaned_data
        joined_from: date | None = told.get("joined_from")
        joined_to: date | None = told.get("joined_to")
        return listing.Filters(
            status=told.get("status", ""),
            gender=told.get("gender", ""),
            joined_from=joined_from,
            joined_to=joined_to,
        )


@requires(Permission.MEMBERS_VIEW)
@require_safe
def find(request: DeskRequest) -> HttpResponse:
    """The page: what was searched for, or everybody. One match that was sent off (Enter) opens at once."""
    text = request.GET.get("q", "").strip()
    context = _found(request, text) if text else _listed(request)
    if text and not request.htmx and len(context["rows"]) == 1:
        return redirect("members:member", number=context["rows"][0][0].number)
    context |= {
        "text": text,
        "statuses": [("", _("Any status")), *Member.Status.choices],
        "genders": [("", _("Any gender")), *Member.Gender.choices, ("unknown", _("unknown"))],
    }
    template = "members/_found.html" if request.htmx.target == "found" else "members/find.html"
    return render(request, template, context)


@requires(Permission.MEMBERS_VIEW)
@require_safe
def suggest(request: DeskRequest) -> HttpResponse:
    """The first few members for the search in the top bar."""
    text = request.GET.get("q", "").strip()
    contacts = lookup.contacts_for(request.user)
    members = lookup.find(text, SUGGESTED, contacts=contacts) if len(text) >= SHORTEST_SUGGESTION else []
    return render(request, "members/_suggestions.html", {"text": text, "members": [_masked(m) for m in members]})


@requires(Permission.MEMBERS_VIEW)
@require_safe
def pick(request: DeskRequest) -> HttpResponse:
    """The first few members for a form that asks for one: a choice named ``member`` with their numbers."""
    text = request.GET.get("q", "").strip()
    contacts = lookup.contacts_for(request.user)
    found = lookup.find(text, SUGGESTED, contacts=contacts) if len(text) >= SHORTEST_SUGGESTION else []
    rows = [_masked(member) for member in found if member.number != request.GET.get("not")]
    return render(request, "members/_pick.html", {"text": text, "rows": rows})


@requires(Permission.MEMBERS_VIEW)
@require_safe
def export(request: DeskRequest) -> HttpResponseBase:
    """The list under its filters as CSV; phone and e-mail in full only for those who may reveal them. Audited."""
    filters = FilterForm(request.GET).filters()
    in_full = request.user.may(Permission.MEMBERS_REVEAL)
    asked = {name: value for name, value in request.GET.items() if name in FilterForm.base_fields and value}
    audit.record(request.user, "member.export", detail={"filters": asked, "contacts_in_full": in_full})
    return csv_response(
        "members",
        ["number", "outside_id", "given_name", "family_name", "gender", "status", "joined_at", "phone", "email"],
        (
            [
                m.number,
                m.external_id,
                m.given_name,
                m.family_name,
                m.gender,
                m.status,
                m.joined_at,
                *_contacts(m, in_full),
            ]
            for m in listing.in_chunks(filters, sort=request.GET.get("sort", listing.NEWEST))
        ),
    )


def _contacts(member: Member, in_full: bool) -> tuple[str, str]:
    if in_full:
        return member.phone, member.email
    return masking.phone(member.phone), masking.email(member.email)


def _found(request: DeskRequest, text: str) -> dict[str, Any]:
    members = lookup.find(text, FOUND_AT_ONCE, contacts=lookup.contacts_for(request.user))
    return {"rows": _rows(members), "is_cut": len(members) == FOUND_AT_ONCE}


def _listed(request: DeskRequest) -> dict[str, Any]:
    filters = FilterForm(request.GET).filters()
    page = listing.page(
        filters,
        sort=request.GET.get("sort", listing.NEWEST),
        after=request.GET.get("after", ""),
        before=request.GET.get("before", ""),
    )
    count, is_exact = filters.count()
    return {
        "rows": _rows(page.rows),
        "page": page,
        "count": count,
        "is_exact": is_exact,
        "is_filtered": bool(filters),
    }


def _rows(members: list[Member]) -> list[tuple[Member, dict[str, Any]]]:
    active = listing.activity(members)
    return [(member, _masked(member) | {"activity": active[member.pk]}) for member in members]


def _masked(member: Member) -> dict[str, Any]:
    return {
        "member": member,
        "phone": masking.phone(member.phone),
        "email": masking.email(member.email),
        "tone": STATUS_TONES[Member.Status(member.status)],
    }
