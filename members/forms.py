"""The forms of segments: conditions, or a list of numbers."""

from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from members import conditions, segments
from members.conditions import editing
from members.models import Segment
from staff import figures

# So many unknown numbers are named.
NAMED = 20
LARGEST_FILE = 5 * 1024 * 1024


class SegmentForm(forms.ModelForm):  # type: ignore[type-arg]
    """What every segment has: a name that no other has."""

    class Meta:
        model = Segment
        fields: tuple[str, ...] = ("name",)
        labels = {"name": gettext_lazy("Name")}


class ConditionsForm(SegmentForm):
    """A dynamic segment. The conditions stand in the builder, not in a field of their own."""

    class Meta(SegmentForm.Meta):
        fields = ("name", "rhythm")
        labels = {"name": gettext_lazy("Name"), "rhythm": gettext_lazy("Built anew")}
        widgets = {"rhythm": forms.RadioSelect}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["rhythm"].choices = Segment.Rhythm.choices  # type: ignore[attr-defined]
        self.tree = editing.load(self.data["conditions"]) if "conditions" in self.data else self.instance.conditions
        self.problem = ""

    def clean(self) -> dict[str, Any]:
        """The conditions must be finished, and ask for something."""
        cleaned = super().clean() or {}
        try:
            conditions.validate(self.tree)
        except conditions.ConditionError as error:
            self.problem = str(error)
        else:
            if not editing.children_of(self.tree):
                self.problem = _("Add a condition: without one, every member would be in it.")
        if self.problem:
            self.add_error(None, self.problem)
        self.instance.conditions = self.tree
        return cleaned


class ListForm(SegmentForm):
    """A fixed list: numbers pasted, or a file of them; a new list takes the place of the one before."""

    numbers = forms.CharField(
        label=gettext_lazy("Member numbers"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 10, "spellcheck": "false"}),
        help_text=gettext_lazy("One in each row; of a row with several cells the first is read."),
    )
    file = forms.FileField(
        label=gettext_lazy("Or a file of them"),
        required=False,
        widget=forms.FileInput(attrs={"accept": ".csv,.txt"}),
    )
    leave_out = forms.BooleanField(label=gettext_lazy("Leave out numbers that nobody has"), required=False)

    field_order = ("name", "numbers", "file", "leave_out")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        most = {"most": figures.number(segments.MOST_NUMBERS)}
        self.fields["file"].help_text = _("CSV or text, at most %(most)s numbers.") % most

    def clean(self) -> dict[str, Any]:
        """Look the numbers up; those that nobody has are named by their row."""
        cleaned = super().clean() or {}
        if self.errors:
            return cleaned
        field = "file" if cleaned.get("file") else "numbers"
        numbers = segments.read_numbers(self._text(cleaned))
        if self.errors:
            return cleaned
        if not numbers and not self.instance.pk:
            self.add_error(field, _("Give at least one member number."))
        elif len(numbers) > segments.MOST_NUMBERS:
            most = {"most": figures.number(segments.MOST_NUMBERS), "given": figures.number(len(numbers))}
            self.add_error(field, _("At most %(most)s numbers; these are %(given)s.") % most)
        elif numbers:
            found = segments.look_up(numbers)
            cleaned["members"] = found.members
            if found.unknown and not cleaned.get("leave_out"):
                self.add_error(field, unknown_in_words(found.unknown))
            elif not found.members:
                self.add_error(field, _("None of these numbers belongs to a member."))
        return cleaned

    def _text(self, cleaned: dict[str, Any]) -> str:
        upload = cleaned.get("file")
        if not upload:
            return str(cleaned.get("numbers", ""))
        if upload.size > LARGEST_FILE:
            self.add_error("file", _("The file is too large for a list of numbers."))
            return ""
        read = upload.read()
        try:
            text = read.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = read.decode("gb18030", errors="replace")
        if "\0" in text:
            self.add_error("file", _("This is not a text file. Save the list as CSV or text."))
            return ""
        return str(text)


def unknown_in_words(unknown: list[tuple[int, str]]) -> str:
    """Which numbers nobody has, by row."""
    said = ngettext("Nobody has this number:", "Nobody has these %(count)s numbers:", len(unknown))
    rows = [_("row %(row)d “%(number)s”") % {"row": row, "number": number[:40]} for row, number in unknown[:NAMED]]
    if len(unknown) > NAMED:
        rows.append(_("and %(more)s more") % {"more": figures.number(len(unknown) - NAMED)})
    return " ".join([said % {"count": figures.number(len(unknown))}, ", ".join(rows)])
