"""What people type on the pages of this room."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from django import forms
from django.core.validators import MaxValueValidator, MinValueValidator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from loyalty.intake.returning import Line, RefundLineInput, Standing
from loyalty.models import Reward

# What the columns hold.
LARGEST_INTEGER = 2**31 - 1
LARGEST_COST = Decimal("9999999999.99")


def plain(amount: Decimal) -> str:
    """Without decimals where they are zeros."""
    return f"{amount:.0f}" if amount == amount.to_integral_value() else f"{amount:.2f}"


def quantity(left: Decimal) -> str:
    """How many of a line: 3, or 0.25."""
    return f"{left:.3f}".rstrip("0").rstrip(".")


class RewardForm(forms.ModelForm):  # type: ignore[type-arg]
    """A reward of the catalogue. Stock is added to or taken from, never overwritten: it is sold meanwhile."""

    unlimited = forms.BooleanField(label=gettext_lazy("without end"), required=False)
    stock_change = forms.IntegerField(
        label=gettext_lazy("Stock"),
        required=False,
        min_value=-LARGEST_INTEGER,
        max_value=LARGEST_INTEGER,
        help_text=gettext_lazy("How many there are."),
    )

    class Meta:
        model = Reward
        fields = ("name", "name_zh", "points", "cost", "active")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        points, cost = self.fields["points"], self.fields["cost"]
        points.min_value = 1  # type: ignore[attr-defined]
        points.validators.append(MaxValueValidator(LARGEST_INTEGER))
        cost.min_value = 0  # type: ignore[attr-defined]
        cost.validators += [MinValueValidator(Decimal(0)), MaxValueValidator(LARGEST_COST)]
        if self.instance.pk:
            self.fields["unlimited"].initial = self.instance.stock is None
            change = self.fields["stock_change"]
            change.label = _("Add to the stock")
            change.help_text = _("%(stock)s are left. A negative number takes some away.") % {
                "stock": self.instance.stock if self.instance.stock is not None else "∞"
            }

    def clean_points(self) -> int:
        """At least one."""
        points: int = self.cleaned_data["points"]
        if points < 1:
            raise forms.ValidationError(_("A reward costs at least 1 point."))
        return points

    def clean(self) -> dict[str, Any]:
        """Stock is a number or without end."""
        cleaned: dict[str, Any] = super().clean() or {}
        change, left = cleaned.get("stock_change"), self.instance.stock or 0
        if not cleaned.get("unlimited") and change is not None and left + change < 0:
            self.add_error("stock_change", _("Only %(left)d are left.") % {"left": left})
        if change is not None and left + change > LARGEST_INTEGER:
            self.add_error("stock_change", _("More than %(most)d cannot be counted.") % {"most": LARGEST_INTEGER})
        if not self.instance.pk and not cleaned.get("unlimited") and change is None:
            self.add_error("stock_change", _("Say how many there are, or that it is without end."))
        return cleaned


class RefundForm(forms.Form):
    """What to give back of a purchase: all that is left, an amount, or so many of its lines."""

    WAYS = (("rest", ""), ("amount", ""), ("lines", ""))

    key = forms.CharField(max_length=64, widget=forms.HiddenInput)
    way = forms.ChoiceField(choices=WAYS, initial="rest")
    amount = forms.DecimalField(
        label=gettext_lazy("Amount"), required=False, min_value=Decimal("0.01"), max_digits=14, decimal_places=2
    )
    reason = forms.CharField(
        label=gettext_lazy("Reason"),
        max_length=200,
        required=False,
        help_text=gettext_lazy("Shown on the timeline: “cup was broken”."),
    )

    def __init__(self, *args: Any, standing: Standing, names: Mapping[int, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.standing = standing
        self.names = names
        self.fields["amount"].widget.attrs |= {"aria-label": _("Amount"), "class": "input"}
        for line in standing.lines:
            self.fields[f"quantity_{line.line_no}"] = forms.DecimalField(
                label=names.get(line.line_no, str(line.line_no)),
                required=False,
                min_value=Decimal(0),
                max_value=line.quantity_left,
                max_digits=12,
                decimal_places=3,
                disabled=not line.quantity_left,
                error_messages={"max_value": _("Only %(left)s are left.") % {"left": quantity(line.quantity_left)}},
            )
            self.fields[f"quantity_{line.line_no}"].widget.attrs |= {
                "aria-label": _("How many of %(line)s") % {"line": names.get(line.line_no, str(line.line_no))},
                "class": "input",
            }

    def rows(self) -> list[tuple[str, str, Line, forms.BoundField]]:
        """The lines with their names, how many of each are left, and their fields."""
        return [
            (self.names.get(line.line_no, ""), quantity(line.quantity_left), line, field)
            for line in self.standing.lines
            for field in [self[f"quantity_{line.line_no}"]]
        ]

    def clean(self) -> dict[str, Any]:
        """One of the three ways, filled in."""
        told = super().clean() or {}
        if told.get("way") == "amount" and not told.get("amount") and "amount" not in self.errors:
            self.add_error("amount", _("How much?"))
        if told.get("way") == "lines" and not self.errors and not self.asked()["lines"]:
            self.add_error(None, _("Say how many of at least one line."))
        return told

    def asked(self) -> dict[str, Any]:
        """The arguments of a refund."""
        told = self.cleaned_data
        by_lines = told["way"] == "lines"
        return {
            "amount": told["amount"] if told["way"] == "amount" else None,
            "lines": [
                RefundLineInput(line_no=line.line_no, quantity=quantity)
                for line in self.standing.lines
                if by_lines and (quantity := told.get(f"quantity_{line.line_no}"))
            ],
        }
