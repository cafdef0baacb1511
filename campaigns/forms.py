"""The forms of the editor's steps."""

import zoneinfo
from datetime import datetime
from typing import Any

from django import forms
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from campaigns import schedule
from campaigns.models import Campaign

LOCAL = "%Y-%m-%dT%H:%M"
NOW, AT = "now", "at"


class GoalForm(forms.Form):
    """What it is called and when it has worked."""

    name = forms.CharField(label=gettext_lazy("Name"), max_length=120)
    goal_days = forms.IntegerField(
        label=gettext_lazy("Days to buy"),
        min_value=1,
        max_value=365,
        help_text=gettext_lazy("A member counts as won who buys within so many days after the run has begun."),
    )


class VariantForm(forms.Form):
    """One wording. It is saved as it is, also half finished; what is wrong in it is said under it."""

    use_required_attribute = False

    subject = forms.CharField(label=gettext_lazy("Subject"), max_length=200, strip=False)
    body = forms.CharField(
        label=gettext_lazy("Text"),
        strip=False,
        max_length=64_000,
        widget=forms.Textarea(attrs={"rows": 11, "spellcheck": "true"}),
    )


class ScheduleForm(forms.Form):
    """When, to how many, and what if it is late."""

    when = forms.ChoiceField(
        label=gettext_lazy("Send"),
        choices=[(NOW, gettext_lazy("as soon as it is launched")), (AT, gettext_lazy("at a time"))],
        widget=forms.RadioSelect,
    )
    # No DateTimeField: that reads the time in the desk's own zone, where it may not exist.
    at = forms.CharField(
        label=gettext_lazy("Day and time"),
        required=False,
        help_text=gettext_lazy("Only for “at a time”; by the clock of the time zone below."),
        widget=forms.TextInput(attrs={"type": "datetime-local"}),
    )
    time_zone = forms.ChoiceField(label=gettext_lazy("Time zone"))
    late_policy = forms.ChoiceField(
        label=gettext_lazy("If it is late"),
        choices=Campaign.LatePolicy.choices,
        help_text=gettext_lazy("When the desk was down at that time and comes back more than half an hour later."),
    )
    holdout_percent = forms.IntegerField(
        label=gettext_lazy("Holdout, %"),
        min_value=0,
        max_value=90,
        help_text=gettext_lazy("This share gets nothing; against it the campaign's effect is measured."),
    )
    share = forms.IntegerField(
        # The % is itself, xgettext:no-python-format
        label=gettext_lazy("Variant A, % of the rest"),
        min_value=1,
        max_value=99,
        required=False,
    )

    def __init__(self, *args: Any, has_two: bool, **more: Any) -> None:
        super().__init__(*args, **more)
        self.fields["time_zone"].choices = [(name, name) for name in _zones()]  # type: ignore[attr-defined]
        if not has_two:
            del self.fields["share"]
        self.note = ""

    @classmethod
    def initial_of(cls, campaign: Campaign) -> dict[str, Any]:
        """What stands in the campaign, as the form shows it."""
        zone = zoneinfo.ZoneInfo(campaign.time_zone)
        variants = list(campaign.variants.all())
        weights = sum(variant.share for variant in variants) or 1
        return {
            "when": AT if campaign.scheduled_at else NOW,
            "at": campaign.scheduled_at.astimezone(zone).strftime(LOCAL) if campaign.scheduled_at else "",
            "time_zone": campaign.time_zone,
            "late_policy": campaign.late_policy,
            "holdout_percent": campaign.holdout_percent,
            "share": round(100 * variants[0].share / weights) if variants else 50,
        }

    def clean_at(self) -> datetime | None:
        """The time by the wall clock, without a zone."""
        text = self.cleaned_data["at"]
        if not text:
            return None
        try:
            return datetime.strptime(text[:16], LOCAL)  # noqa: DTZ007 (the zone is a field of its own)
        except ValueError as error:
            raise forms.ValidationError(_("“%(text)s” is no day and time.") % {"text": text}) from error

    def clean(self) -> dict[str, Any]:
        """The chosen time as a moment, ``scheduled_at`` (None: as soon as it is launched)."""
        told = super().clean() or {}
        told["scheduled_at"] = None
        if told.get("when") != AT or "at" in self.errors or "time_zone" not in told:
            return told
        local: datetime | None = told.get("at")
        if local is None:
            self.add_error("at", _("Say when."))
            return told
        try:
            chosen = schedule.moment_of(local, told["time_zone"])
        except schedule.NoSuchTime as error:
            self.add_error("at", str(error))
            return told
        if chosen.moment <= timezone.now():
            self.add_error("at", _("This time is in the past."))
        told["scheduled_at"], self.note = chosen.moment, chosen.note
        return told


def _zones() -> list[str]:
    """The zones with a city, as people know them, and UTC."""
    cities = (name for name in zoneinfo.available_timezones() if "/" in name and not name.startswith("Etc/"))
    return [*sorted(cities), "UTC"]
