"""One member: profile, timeline, contact data on request, consents."""

from datetime import datetime
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from members import consents, masking, profile, segments, timeline
from members.models import Consent, Member
from members.views.find import STATUS_TONES
from staff import audit, figures
from staff.permissions import Permission, requires
from staff.requests import DeskRequest

# From here on, decimals of an amount no longer tell anything at a glance.
LARGE = 10_000


class ConsentForm(forms.Form):
    """What the member said about a channel, and how we know."""

    channel = forms.ChoiceField(choices=Consent.Channel.choices, widget=forms.HiddenInput)
    granted = forms.TypedChoiceField(
        label=gettext_lazy("The member"),
        choices=[
            ("yes", gettext_lazy("agrees to be written to")),
            ("no", gettext_lazy("does not want to be written to")),
        ],
        coerce=lambda value: value == "yes",
        widget=forms.RadioSelect,
    )
    reason = forms.CharField(
        label=gettext_lazy("Reason"),
        max_length=200,
        help_text=gettext_lazy("How we know: “asked on the phone, 22 November”. It stays in the audit."),
    )


@requires(Permission.MEMBERS_VIEW)
@require_safe
@never_cache
def member(request: DeskRequest, number: str) -> HttpResponse:
    """The page; for htmx, the timeline alone (another kind, or what is older)."""
    who = get_object_or_404(Member.objects.select_related("household").prefetch_related("consents"), number=number)
    if request.htmx.target == "older":
        return render(request, "members/_timeline_rows.html", _timeline(request, who))
    if request.htmx.target == "timeline":
        return render(request, "members/_timeline.html", _timeline(request, who))
    return render(request, "members/member.html", _page(request, who))


@requires(Permission.MEMBERS_REVEAL)
@require_POST
@never_cache
def reveal(request: DeskRequest, number: str) -> HttpResponse:
    """Phone and e-mail in full, in this answer only. Written to the audit first."""
    who = get_object_or_404(Member.objects.select_related("household").prefetch_related("consents"), number=number)
    address = request.META.get("REMOTE_ADDR")
    audit.record(request.user, "member.reveal", who, detail={"fields": ["phone", "email"]}, address=address)
    if request.htmx:
        return render(request, "members/_who.html", _who(request, who, is_revealed=True))
    return render(request, "members/member.html", _page(request, who, is_revealed=True))


@requires(Permission.MEMBERS_EDIT)
@require_POST
def consent(request: DeskRequest, number: str) -> HttpResponse:
    """Record what the member said about one channel, with its reason."""
    who = get_object_or_404(Member.objects.select_related("household").prefetch_related("consents"), number=number)
    form = ConsentForm(request.POST)
    if not form.is_valid():
        context = _page(request, who) | {"refused": form}
        return render(request, "members/member.html", context, status=422)
    told = form.cleaned_data
    channel = Consent.Channel(told["channel"])
    changed = consents.change(
        member=who, channel=channel, granted=told["granted"], reason=told["reason"], user=request.user
    )
    if changed:
        words = _("%(channel)s: agreed.") if told["granted"] else _("%(channel)s: not agreed.")
        messages.success(request, words % {"channel": channel.label})
    else:
        messages.info(request, _("Nothing changed: that is what the member had said before."))
    return redirect("members:member", number=who.number)


def _page(request: DeskRequest, who: Member, *, is_revealed: bool = False) -> dict[str, Any]:
    year = profile.last_year(who)
    return {
        "member": who,
        "tone": STATUS_TONES[Member.Status(who.status)],
        "year": year,
        "year_spend": figures.money(year.spend, places=0 if year.spend >= LARGE else None),
        "may_redeem": request.user.may(Permission.POINTS_REDEEM),
        "may_adjust": request.user.may(Permission.POINTS_ADJUST),
        "may_transfer": request.user.may(Permission.POINTS_TRANSFER),
        "may_edit": request.user.may(Permission.MEMBERS_EDIT),
        "consent_forms": _consent_forms(request, who),
        **_who(request, who, is_revealed=is_revealed),
        **_timeline(request, who),
    }


def _who(request: DeskRequest, who: Member, *, is_revealed: bool) -> dict[str, Any]:
    return {
        "member": who,
        "phone": masking.grouped(who.phone) if is_revealed else masking.phone(who.phone),
        "email": who.email if is_revealed else masking.email(who.email),
        "is_revealed": is_revealed,
        "may_reveal": request.user.may(Permission.MEMBERS_REVEAL) and bool(who.phone or who.email),
        "may_edit": request.user.may(Permission.MEMBERS_EDIT),
        "agreements": profile.agreements(who),
        "segments": segments.names_of(who.pk),
        "language": dict(settings.LANGUAGES).get(who.language, who.language),
        "attributes": [(_as_label(name), value) for name, value in sorted(who.attributes.items())],
    }


def _as_label(name: str) -> str:
    words = name.replace("_", " ")
    return words[:1].upper() + words[1:]


def _consent_forms(request: DeskRequest, who: Member) -> list[tuple[profile.Agreement, ConsentForm]]:
    if not request.user.may(Permission.MEMBERS_EDIT):
        return []
    return [
        (
            agreement,
            ConsentForm(
                auto_id=f"consent-{agreement.channel}-%s",
                initial={
                    "channel": agreement.channel,
                    "granted": "no" if agreement.consent and agreement.consent.granted else "yes",
                },
            ),
        )
        for agreement in profile.agreements(who)
    ]


def _timeline(request: DeskRequest, who: Member) -> dict[str, Any]:
    kinds = timeline.kinds()
    kind = request.GET.get("kind", "")
    kind = kind if kind in dict(kinds) else ""
    page = timeline.page(who, before=_moment(request.GET.get("before", "")), kind=kind or None)
    choices = [("", _("Everything")), *kinds]
    return {
        "member": who,
        "kind": kind,
        "kinds": [(value, label, value == kind) for value, label in choices],
        "items": [(item, [act for act in item.acts if request.user.may(act.permission)]) for item in page.items],
        "older_than": page.older_than.isoformat() if page.older_than else "",
        "is_older": "before" in request.GET,
    }


def _moment(text: str) -> datetime:
    """Where the page of the timeline begins; now, unless the address says a moment."""
    try:
        moment = parse_datetime(text)
    except ValueError:
        moment = None
    return moment if moment and timezone.is_aware(moment) else timezone.now()
