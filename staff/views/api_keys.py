"""The keys of machines."""

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from staff import api_keys
from staff.models import ApiKey
from staff.permissions import Permission, Scope, requires
from staff.requests import DeskRequest


class KeyForm(forms.Form):
    """A new key."""

    name = forms.CharField(
        label=gettext_lazy("Name"),
        max_length=120,
        help_text=gettext_lazy("Which machine will use it: “Tills, Shanghai”."),
    )
    scopes = forms.MultipleChoiceField(
        label=pgettext_lazy("what a key may do", "May"), choices=Scope.choices, widget=forms.CheckboxSelectMultiple
    )
    requests_per_minute = forms.IntegerField(
        label=gettext_lazy("Requests per minute"),
        required=False,
        min_value=1,
        max_value=1_000_000,
        help_text=gettext_lazy("Empty: as many as are allowed to every key."),
    )


@requires(Permission.API_KEYS_EDIT)
@require_safe
def key_list(request: DeskRequest) -> HttpResponse:
    """All keys, those in force first."""
    keys = ApiKey.objects.select_related("created_by").order_by("revoked_at", "-pk")
    labels = dict(Scope.choices)
    rows = [(key, ", ".join(str(labels.get(scope, scope)) for scope in key.scopes)) for key in keys]
    rows.sort(key=lambda row: row[0].revoked_at is not None)
    return render(request, "staff/api_keys.html", {"rows": rows})


@requires(Permission.API_KEYS_EDIT)
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def create(request: DeskRequest) -> HttpResponse:
    """Make a key. Its text is on the answer and nowhere else, so there is no redirect."""
    form = KeyForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        told = form.cleaned_data
        key, text = api_keys.create(**told, user=request.user)
        return render(request, "staff/api_key_created.html", {"key": key, "text": text})
    return render(request, "staff/api_key_new.html", {"form": form}, status=422 if form.errors else 200)


@requires(Permission.API_KEYS_EDIT)
@require_POST
def revoke(request: DeskRequest, pk: int) -> HttpResponse:
    """End a key at once."""
    key = get_object_or_404(ApiKey, pk=pk)
    if api_keys.revoke(key, user=request.user):
        messages.success(request, _("The key “%(name)s” no longer works.") % {"name": key.name})
    return redirect("staff:api_keys")
