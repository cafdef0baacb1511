"""Writing a draft: what to start from, the builder, and what it reads back while one types."""

from datetime import datetime
from typing import Any

from django import forms
from django.contrib import messages
from django.db import IntegrityError, transaction
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from loyalty import rules
from loyalty.models import EarningRule, RuleVersion
from loyalty.rules import builder, editing, sentences, starters
from members.conditions.facts import choices_kept
from staff.permissions import Permission, requires
from staff.requests import DeskRequest

State = RuleVersion.State
LOCAL = "%Y-%m-%dT%H:%M"


class NameForm(forms.Form):
    """What a new rule is called, and what it starts from."""

    name = forms.CharField(
        label=gettext_lazy("Name of the rule"),
        max_length=120,
        required=False,
        help_text=gettext_lazy("Customer service reads it beside each entry. Empty: as what you start from is called."),
    )

    def __init__(self, *args: Any, starter: starters.Starter, **more: Any) -> None:
        super().__init__(*args, **more)
        self.starter = starter

    def clean_name(self) -> str:
        """No two rules are called the same."""
        name = str(self.cleaned_data["name"] or self.starter.name)
        if EarningRule.objects.filter(name__iexact=name).exists():
            raise forms.ValidationError(_("There is a rule of this name."))
        return name


class TermsForm(forms.Form):
    """What stands beside the definition: from when until when, and the legal note."""

    starts_at = forms.DateTimeField(
        label=gettext_lazy("Starts"),
        required=False,
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format=LOCAL),
        input_formats=[LOCAL, "%Y-%m-%dT%H:%M:%S"],
        help_text=gettext_lazy("Empty: when it is activated. In the programme's time zone."),
    )
    ends_at = forms.DateTimeField(
        label=gettext_lazy("Ends"),
        required=False,
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format=LOCAL),
        input_formats=[LOCAL, "%Y-%m-%dT%H:%M:%S"],
        help_text=gettext_lazy("Empty: without end."),
    )
    legal_note = forms.CharField(
        label=gettext_lazy("Legal note"),
        required=False,
        max_length=5000,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text=gettext_lazy("The words that members agreed to, or where they stand. Kept with the version."),
    )

    @classmethod
    def of(cls, version: RuleVersion) -> "TermsForm":
        """What stands in the version."""
        return cls(initial={name: getattr(version, name) for name in cls.base_fields})

    def clean(self) -> dict[str, Any]:
        """It ends after it starts."""
        told: dict[str, Any] = super().clean() or {}
        starts: datetime | None = told.get("starts_at")
        ends: datetime | None = told.get("ends_at")
        if ends and ends <= (starts or timezone.now()):
            self.add_error("ends_at", _("It must end after it starts."))
        return told


@requires(Permission.PROGRAMME_EDIT)
@require_http_methods(["GET", "HEAD", "POST"])
def new(request: DeskRequest) -> HttpResponse:
    """Choose what to start from and give it a name; posted, it writes the draft."""
    chosen = starters.find(request.POST.get("starter", ""))
    form = NameForm(request.POST if request.method == "POST" else None, starter=chosen)
    if request.method == "POST" and form.is_valid():
        try:
            with transaction.atomic():
                rule = EarningRule.objects.create(name=form.cleaned_data["name"])
                version = rules.draft(rule, definition=chosen.definition, user=request.user)
        except IntegrityError:
            form.add_error("name", _("There is a rule of this name."))
        else:
            return redirect("loyalty:rule-edit", pk=version.pk)
    context = {"form": form, "starters": [(one, one is chosen) for one in starters.STARTERS]}
    return render(request, "loyalty/rules/new.html", context, status=422 if form.errors else 200)


@requires(Permission.PROGRAMME_EDIT)
@require_POST
def copy(request: DeskRequest, pk: int) -> HttpResponse:
    """Write a new draft that says what this version says; where there is a draft already, go on with that."""
    version = get_object_or_404(RuleVersion.objects.select_related("rule"), pk=pk)
    standing = RuleVersion.objects.filter(rule_id=version.rule_id, state=State.DRAFT).order_by("-version").first()
    if standing:
        messages.info(request, _("There is a draft already: this is it."))
        return redirect("loyalty:rule-edit", pk=standing.pk)
    draft = rules.draft(version.rule, definition=version.definition, legal_note=version.legal_note, user=request.user)
    return redirect("loyalty:rule-edit", pk=draft.pk)


@requires(Permission.PROGRAMME_EDIT)
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def edit(request: DeskRequest, pk: int) -> HttpResponse:
    """The builder of a draft; posted, it is saved, or shown again with what is wrong beside each field."""
    version = get_object_or_404(RuleVersion.objects.select_related("rule"), pk=pk)
    if version.state != State.DRAFT:
        return _not_a_draft(request, version)
    if request.method != "POST":
        return _page(request, version, version.definition, TermsForm.of(version))
    definition, form = editing.typed(request.POST), TermsForm(request.POST)
    if not form.is_valid() or rules.problems(definition):
        return _page(request, version, definition, form, status=422)
    try:
        rules.change(version, definition=definition, user=request.user, **form.cleaned_data)
    except rules.WrongState:
        return _not_a_draft(request, version)
    messages.success(request, _("The draft is saved."))
    return redirect("loyalty:rule", pk=version.rule_id)


@requires(Permission.PROGRAMME_EDIT)
@require_POST
def read(request: DeskRequest, pk: int) -> HttpResponse:
    """What is typed, read back as sentences, and what is wrong with each field. Nothing is saved."""
    version = get_object_or_404(RuleVersion.objects.select_related("rule"), pk=pk)
    context = _context(version, editing.typed(request.POST))
    return render(request, "loyalty/rules/_read.html", context)


@requires(Permission.PROGRAMME_EDIT)
@require_POST
def redraw(request: DeskRequest, pk: int) -> HttpResponse:
    """The builder after one of its buttons. Nothing is saved."""
    version = get_object_or_404(RuleVersion.objects.select_related("rule"), pk=pk)
    action, place = request.POST.get("action", ""), request.POST.get("place", "")
    definition = editing.after(editing.typed(request.POST), action, place)
    return render(request, "loyalty/rules/_redrawn.html", _context(version, definition))


def _not_a_draft(request: DeskRequest, version: RuleVersion) -> HttpResponse:
    messages.error(
        request,
        _("Version %(version)d is %(state)s: it is not edited any more. Copy it to a new draft.")
        % {"version": version.version, "state": version.get_state_display()},
    )
    return redirect("loyalty:rule", pk=version.rule_id)


def _page(
    request: DeskRequest, version: RuleVersion, definition: dict[str, Any], form: TermsForm, *, status: int = 200
) -> HttpResponse:
    context = _context(version, definition) | {"form": form}
    return render(request, "loyalty/rules/edit.html", context, status=status)


def _context(version: RuleVersion, definition: dict[str, Any]) -> dict[str, Any]:
    problems = rules.problems(definition)
    with choices_kept():
        return {
            "version": version,
            "problems": problems,
            "sentence": sentences.sentence(definition),
            "view": builder.view(definition, problems, version.rule_id),
            "redraw_url": reverse("loyalty:rule-redraw", args=[version.pk]),
        }
