"""Events that somebody makes up to try rules out with: a purchase, an interaction, a survey answer."""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, ClassVar, Final

from django import forms
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from loyalty.rules.events import INTERACTION, PURCHASE, SURVEY, BasketLine, Event, EventKind
from members.models import Member

ROWS = 4
LARGEST = Decimal("99999999.99")
LOCAL = "%Y-%m-%dT%H:%M"


def _describe(form: forms.Form) -> None:
    """Each field is described by its place for problems, into which the page writes while one types."""
    for name, field in form.fields.items():
        field.widget.attrs["aria-describedby"] = f"{form[name].auto_id}_error"


class RowForm(forms.Form):
    """One row of a table: its fields are named by the head of their column."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        for field in self.fields.values():
            field.widget.attrs["aria-label"] = str(field.label)


class LineForm(RowForm):
    """One line of a made-up basket."""

    product = forms.CharField(label=gettext_lazy("Product"), max_length=200, required=False)
    category = forms.CharField(label=gettext_lazy("Category"), max_length=64, required=False)
    brand = forms.CharField(label=gettext_lazy("Brand"), max_length=64, required=False)
    quantity = forms.DecimalField(
        label=gettext_lazy("Quantity"), min_value=Decimal("0.001"), max_value=LARGEST, required=False
    )
    amount = forms.DecimalField(label=gettext_lazy("Amount"), min_value=Decimal(0), max_value=LARGEST, required=False)


class PropertyForm(RowForm):
    """One property of a made-up interaction."""

    name = forms.CharField(label=gettext_lazy("Name"), max_length=64, required=False)
    value = forms.CharField(label=gettext_lazy("Value"), max_length=200, required=False)

    def clean(self) -> dict[str, Any]:
        """A value has a name."""
        told = super().clean() or {}
        if told.get("value") and not told.get("name"):
            self.add_error("name", _("Give the property a name."))
        return told


class MadeUpForm(forms.Form):
    """A made-up event of the kind ``of``.

    ``mark`` is the field that tells that the form was sent; ``rows`` are the rows of its table, if it has one.
    """

    of: ClassVar[EventKind]
    mark: ClassVar[str]
    row_form: ClassVar[type[RowForm] | None] = None
    row_prefix: ClassVar[str] = ""

    at = forms.DateTimeField(
        label=gettext_lazy("Time"),
        required=False,
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format=LOCAL),
        input_formats=[LOCAL, "%Y-%m-%dT%H:%M:%S"],
    )

    def __init__(self, data: Mapping[str, Any], first_rows: Sequence[Mapping[str, Any]] = ()) -> None:
        """``first_rows`` is what stands in the first rows before anything was sent."""
        sent = data if self.mark in data else None
        super().__init__(sent, initial={"at": timezone.now()})
        _describe(self)
        filled = [*first_rows, *[{}] * ROWS][:ROWS] if self.row_form else []
        self.rows = [
            self.row_form(sent, prefix=f"{self.row_prefix}{number}", initial=row)  # type: ignore[misc]
            for number, row in enumerate(filled, 1)
        ]
        for form in self.rows:
            _describe(form)

    def is_valid(self) -> bool:
        """With all of its rows."""
        return all([super().is_valid(), *(row.is_valid() for row in self.rows)])

    def event(self, member: Member | None) -> Event | None:
        """The event; None where nothing was typed that is worth anything. Only after ``is_valid``."""
        said = self.said()
        if said is None:
            return None
        member_id, at = member.pk if member else None, self.cleaned_data["at"] or timezone.now()
        return Event(kind=self.of, member_id=member_id, occurred_at=at, **said)

    def said(self) -> dict[str, Any] | None:
        """What it says besides the member and the time; None where it says nothing."""
        raise NotImplementedError


class BasketForm(MadeUpForm):
    """A made-up purchase; the amounts of its lines, where it has any, make its own."""

    of, mark, row_form, row_prefix = PURCHASE, "amount", LineForm, "line"
    field_order = ("amount", "at")

    amount = forms.DecimalField(
        label=gettext_lazy("Amount"), min_value=Decimal(0), max_value=LARGEST, decimal_places=2, required=False
    )
    channel = forms.CharField(label=gettext_lazy("Channel"), max_length=32, required=False)
    store = forms.CharField(label=gettext_lazy("Store"), max_length=64, required=False)

    def said(self) -> dict[str, Any] | None:
        """See there."""
        told, lines = self.cleaned_data, list(self._lines())
        amount = sum((line.value for line in lines), Decimal(0)) if lines else told["amount"]
        if amount is None:
            return None
        return {"value": amount, "channel": told["channel"], "store": told["store"], "lines": lines}

    def _lines(self) -> Iterator[BasketLine]:
        for number, form in enumerate(self.rows, 1):
            told = form.cleaned_data
            if told["amount"] is not None:
                yield BasketLine(
                    line_no=number,
                    value=told["amount"],
                    quantity=told["quantity"] or Decimal(1),
                    product=told["product"],
                    category=told["category"],
                    brand=told["brand"],
                )


class DeedForm(MadeUpForm):
    """A made-up interaction: a check-in, a review, a referral, or any other kind."""

    of, mark, row_form, row_prefix = INTERACTION, "kind", PropertyForm, "property"
    field_order = ("kind", "at")

    kind = forms.CharField(
        label=gettext_lazy("Kind"),
        max_length=64,
        required=False,
        widget=forms.TextInput(attrs={"list": "simulate-kinds", "autocomplete": "off"}),
    )
    channel = forms.CharField(label=gettext_lazy("Channel"), max_length=32, required=False)

    def said(self) -> dict[str, Any] | None:
        """See there."""
        told = self.cleaned_data
        if not told["kind"]:
            return None
        rows = (row.cleaned_data for row in self.rows)
        properties = {row["name"]: row["value"] for row in rows if row["name"] and row["value"]}
        return {"interaction": told["kind"], "channel": told["channel"], "properties": properties}


class AnswerForm(MadeUpForm):
    """A made-up survey answer."""

    of, mark = SURVEY, "survey"
    field_order = ("survey", "at")

    survey = forms.CharField(
        label=gettext_lazy("Survey"),
        max_length=64,
        required=False,
        widget=forms.TextInput(attrs={"list": "simulate-kinds", "autocomplete": "off"}),
    )
    score = forms.IntegerField(label=gettext_lazy("Score"), min_value=0, max_value=10, required=False)
    has_comment = forms.BooleanField(label=gettext_lazy("With a comment"), required=False)

    def said(self) -> dict[str, Any] | None:
        """See there."""
        told = self.cleaned_data
        if not told["survey"]:
            return None
        return {"survey": told["survey"], "score": told["score"], "has_comment": told["has_comment"]}


FORMS: Final[Mapping[EventKind, type[MadeUpForm]]] = {form.of: form for form in (BasketForm, DeedForm, AnswerForm)}
