"""What people type on the pages of tiers."""

from collections.abc import Iterator
from datetime import datetime, time, timedelta
from decimal import Decimal
from typing import Any

from django import forms
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from loyalty import words
from loyalty.forms import plain
from loyalty.models import Reward
from loyalty.policies import settings_now
from loyalty.tier_models import Measure, Tier, TierBenefit, TierScheme, scheme
from loyalty.tiers import Ladder, editing

NAMES = ("name", "name_zh")


class SchemeForm(forms.Form):
    """The scheme, and of each tier its names, multiplier and thresholds; the lowest takes nothing."""

    window = forms.ChoiceField(label=gettext_lazy("What counts is what was done in"), choices=TierScheme.Window.choices)
    months = forms.IntegerField(label=gettext_lazy("Months of the window"), min_value=1, max_value=120)
    measures = forms.MultipleChoiceField(
        label=gettext_lazy("What counts"), choices=Measure.choices, widget=forms.CheckboxSelectMultiple
    )
    needs = forms.ChoiceField(
        label=gettext_lazy("Where several count, a tier needs"),
        choices=TierScheme.Needs.choices,
        widget=forms.RadioSelect,
    )
    valid_months = forms.IntegerField(
        label=gettext_lazy("A tier is valid for months"),
        min_value=0,
        max_value=120,
        help_text=gettext_lazy("0: as long as it is earned. In a window of years they begin when the year ends."),
    )
    grace_days = forms.IntegerField(label=gettext_lazy("Days of grace before it is lost"), min_value=0, max_value=365)
    downgrade = forms.ChoiceField(label=gettext_lazy("Then members fall"), choices=TierScheme.Downgrade.choices)
    warn_days = forms.IntegerField(
        label=gettext_lazy("Downgrades are announced so many days ahead"), min_value=0, max_value=365
    )
    on_refund = forms.ChoiceField(
        label=gettext_lazy("When the purchase that reached a tier is refunded"), choices=TierScheme.OnRefund.choices
    )

    def __init__(self, data: Any = None, *, tiers: list[Tier]) -> None:
        stands = scheme()
        super().__init__(data, initial={name: getattr(stands, name) for name in editing.SCHEME_FIELDS})
        self.tiers = tiers
        for tier in tiers:
            self._add(tier)

    def _add(self, tier: Tier) -> None:
        named = {"tier": words.tier_name(tier)}
        fields: dict[str, forms.Field] = {
            "name": forms.CharField(label=_("Name of %(tier)s") % named, max_length=40, initial=tier.name),
            "name_zh": forms.CharField(
                label=_("Chinese name of %(tier)s") % named, max_length=40, initial=tier.name_zh
            ),
            "multiplier": forms.DecimalField(
                label=_("Multiplier of %(tier)s") % named,
                min_value=Decimal("0.01"),
                max_digits=4,
                decimal_places=2,
                initial=tier.multiplier,
            ),
        }
        stands = {threshold.measure: threshold.value for threshold in tier.thresholds.all()}
        for measure in Measure:
            fields[measure] = forms.DecimalField(
                label=_("%(tier)s: %(measure)s") % (named | {"measure": measure.label}),
                min_value=Decimal("0.01") if measure == Measure.SPEND else Decimal(1),
                max_digits=14 if measure == Measure.SPEND else 11,
                decimal_places=2 if measure == Measure.SPEND else 0,
                initial=plain(stands[measure]) if measure in stands else None,
                required=False,
                disabled=tier is self.tiers[0],
            )
        for name, field in fields.items():
            # The table's heads name the columns for the eye; this names each field for the ear.
            field.widget.attrs["aria-label"] = str(field.label)
            self.fields[f"{name}_{tier.pk}"] = field

    def rows(self) -> Iterator[tuple[Tier, list[forms.BoundField], list[tuple[str, forms.BoundField]]]]:
        """Of each tier its names and multiplier, and its thresholds with their measure."""
        for tier in self.tiers:
            named = [self[f"{name}_{tier.pk}"] for name in (*NAMES, "multiplier")]
            yield tier, named, [(str(measure), self[f"{measure}_{tier.pk}"]) for measure in Measure]

    def clean(self) -> dict[str, Any]:
        """Nothing may be ambiguous: thresholds rise from tier to tier."""
        cleaned: dict[str, Any] = super().clean() or {}
        if not self.errors:
            try:
                self.proposed = self._ladder(cleaned)
            except editing.Ambiguous as refusal:
                for place, text in refusal.problems.items():
                    self.add_error(place if isinstance(place, str) else f"{place[1]}_{place[0]}", text)
        return cleaned

    proposed: Ladder

    def _ladder(self, cleaned: dict[str, Any]) -> Ladder:
        thresholds = {
            tier.pk: {
                measure: value
                for measure in cleaned["measures"]
                if (value := cleaned.get(f"{measure}_{tier.pk}")) is not None
            }
            for tier in self.tiers
        }
        multipliers = {tier.pk: cleaned[f"multiplier_{tier.pk}"] for tier in self.tiers}
        return editing.proposed(self.tiers, cleaned, thresholds, multipliers)

    def names(self) -> dict[int, dict[str, str]]:
        """Tier id → its names. Only after ``is_valid``."""
        return {tier.pk: {name: self.cleaned_data[f"{name}_{tier.pk}"] for name in NAMES} for tier in self.tiers}


class BenefitForm(forms.ModelForm):  # type: ignore[type-arg]
    """Something that a tier gives."""

    class Meta:
        model = TierBenefit
        fields = ("tier", "kind", "text", "text_zh", "yearly_value", "reward", "points", "when_passed")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["tier"].label_from_instance = words.tier_name  # type: ignore[attr-defined]
        self.fields["yearly_value"].required = False
        self.fields["yearly_value"].min_value = 0  # type: ignore[attr-defined]
        self.fields["yearly_value"].help_text = _(
            "Empty where it costs nothing. Previews reckon with it; of a gift that is handed out, with what its reward "
            "and its points cost."
        )
        self.fields["reward"].label_from_instance = words.reward_name  # type: ignore[attr-defined]
        self.fields["reward"].queryset = Reward.objects.order_by("name")  # type: ignore[attr-defined]
        self.fields["reward"].help_text = _(
            "Only for a gift: whoever earns the tier from now on gets it for no points, while it is in stock."
        )
        self.fields["points"] = forms.IntegerField(
            label=_("Points that are given"),
            min_value=1,
            max_value=settings_now().adjust_approval_above,
            required=False,
            help_text=_("Only for a gift, also beside a reward. At most what one person may give by hand."),
        )

        self.fields["when_passed"].label = _("Also for those who jump over the tier")
        self.fields["when_passed"].help_text = _(
            "Only for a gift: whoever rises past the tier in one move gets it too, besides that of the tier reached."
        )

    def clean_points(self) -> int:
        """None are 0."""
        return self.cleaned_data["points"] or 0

    def clean(self) -> dict[str, Any]:
        """Only a gift is handed out."""
        cleaned: dict[str, Any] = super().clean() or {}
        if cleaned.get("kind") not in (None, "", TierBenefit.Kind.GIFT):
            for name in ("reward", "points"):
                if cleaned.get(name):
                    self.add_error(name, _("Only a gift on reaching the tier is handed out."))
        return cleaned


class GrantForm(forms.Form):
    """A tier given by hand, until the end of a day."""

    tier = forms.ModelChoiceField(label=gettext_lazy("Tier"), queryset=Tier.objects.none(), empty_label=None)
    until = forms.DateField(
        label=gettext_lazy("Until the end of"), widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")
    )
    reason = forms.CharField(
        label=gettext_lazy("Reason"),
        max_length=200,
        help_text=gettext_lazy("It stays in the member's history and in the audit."),
    )

    def __init__(self, *args: Any, above: Tier, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        tier = self.fields["tier"]
        tier.queryset = Tier.objects.filter(rank__gt=above.rank)  # type: ignore[attr-defined]
        tier.label_from_instance = words.tier_name  # type: ignore[attr-defined]

    def clean_until(self) -> datetime:
        """The moment at which the day ends in the programme's zone, at most five years ahead."""
        day = self.cleaned_data["until"]
        today = timezone.localdate(timezone=timezone.get_default_timezone())
        if day < today:
            raise forms.ValidationError(_("This day is over."))
        if day > today + timedelta(days=5 * 366):
            raise forms.ValidationError(_("At most five years ahead."))
        return datetime.combine(day + timedelta(days=1), time.min, timezone.get_default_timezone())
