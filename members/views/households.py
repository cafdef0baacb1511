"""Households and companies: the list, one with its members, founding. Joining and leaving is of ``loyalty``."""

from django import forms
from django.contrib import messages
from django.db.models import Count
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from members import households
from members.models import Household, Member
from members.views.find import STATUS_TONES
from staff.paging import newest_first
from staff.permissions import Permission, requires
from staff.requests import DeskRequest


class HouseholdForm(forms.ModelForm):  # type: ignore[type-arg]
    """What it is called, and what it is."""

    class Meta:
        model = Household
        fields = ("name", "kind")
        widgets = {"kind": forms.RadioSelect}

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self.fields["kind"].choices = Household.Kind.choices  # type: ignore[attr-defined]


@requires(Permission.MEMBERS_VIEW)
@require_safe
def household_list(request: DeskRequest) -> HttpResponse:
    """The newest first; search and filter are in the address."""
    found = Household.objects.all()
    text = request.GET.get("q", "")[:120].replace("\0", "").strip()
    kind = request.GET.get("kind", "")
    if text:
        found = found.filter(name__icontains=text)
    if kind in Household.Kind.values:
        found = found.filter(kind=kind)
    page = newest_first(found, request.GET)
    sizes = dict(Member.objects.filter(household__in=page.rows).values_list("household").annotate(number=Count("pk")))
    context = {
        "page": page,
        "rows": [(row, sizes.get(row.pk, 0)) for row in page.rows],
        "kinds": [("", _("Any kind")), *Household.Kind.choices],
        "is_filtered": bool(text or kind),
        "may_edit": request.user.may(Permission.MEMBERS_EDIT),
    }
    return render(request, "members/households.html", context)


@requires(Permission.MEMBERS_EDIT)
@require_http_methods(["GET", "HEAD", "POST"])
def create(request: DeskRequest) -> HttpResponse:
    """A form for a new one; its members are added on its page."""
    form = HouseholdForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        told = form.cleaned_data
        made = households.create(name=told["name"], kind=told["kind"], user=request.user)
        messages.success(request, _("“%(name)s” is founded. Now add its members.") % {"name": made})
        return redirect(made)
    return render(request, "members/household_new.html", {"form": form}, status=422 if form.errors else 200)


@requires(Permission.MEMBERS_VIEW)
@require_safe
@never_cache
def household(request: DeskRequest, pk: int) -> HttpResponse:
    """Who is in it, and what they hold together."""
    found = get_object_or_404(Household.objects.select_related("created_by"), pk=pk)
    return _page(request, found, HouseholdForm(instance=found))


@requires(Permission.MEMBERS_EDIT)
@require_POST
def rename(request: DeskRequest, pk: int) -> HttpResponse:
    """Another name or kind."""
    found = get_object_or_404(Household, pk=pk)
    form = HouseholdForm(request.POST, instance=found)
    if not form.is_valid():
        return _page(request, get_object_or_404(Household, pk=pk), form, status=422)
    told = form.cleaned_data
    households.rename(found, name=told["name"], kind=told["kind"], user=request.user)
    messages.success(request, _("Saved."))
    return redirect(found)


def _page(request: DeskRequest, found: Household, form: HouseholdForm, *, status: int = 200) -> HttpResponse:
    members = found.members.order_by("family_name", "given_name", "pk")
    context = {
        "household": found,
        "rows": [(member, STATUS_TONES[Member.Status(member.status)]) for member in members],
        "form": form,
        "may_edit": request.user.may(Permission.MEMBERS_EDIT),
    }
    return render(request, "members/household.html", context, status=status)
