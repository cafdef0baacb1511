"""The forms of the import pages."""

from collections.abc import Mapping
from typing import Any

from django import forms
from django.conf import settings
from django.template.defaultfilters import filesizeformat
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from members.importing import dates, kinds
from members.importing.kinds import ImportKind, Type
from members.importing.mapping import check_map
from members.importing.options import ATTRIBUTE, OptionError, Options
from members.importing.reading import Source
from members.importing.uploads import TOO_LARGE

KEEP = "+"
ENCODINGS = [
    ("", gettext_lazy("find out")),
    ("utf-8-sig", "UTF-8"),
    ("gb18030", "GB18030 (GBK, GB2312)"),
    ("big5", "Big5"),
    ("utf-16", "UTF-16"),
    ("cp1252", "Windows-1252"),
]
DELIMITERS = [
    ("", gettext_lazy("find out")),
    (",", gettext_lazy("comma")),
    (";", gettext_lazy("semicolon")),
    ("\t", gettext_lazy("tab")),
    ("|", gettext_lazy("bar")),
]


class UploadForm(forms.Form):
    """A file, and what its rows are."""

    kind = forms.ChoiceField(label=gettext_lazy("What the rows are"))
    file = forms.FileField(
        label=gettext_lazy("File"), widget=forms.ClearableFileInput(attrs={"accept": ".csv,.tsv,.txt,.xlsx"})
    )

    def __init__(self, *args: Any, meta: Mapping[str, Any] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._meta = meta or {}
        kind = self.fields["kind"]
        assert isinstance(kind, forms.ChoiceField)  # noqa: S101 - for mypy
        kind.choices = [(found.key, found.label) for found in kinds.all_kinds()]
        limit = filesizeformat(settings.IMPORT_MAX_BYTES)
        self.fields["file"].help_text = (
            _("CSV with any delimiter, or XLSX; up to %(limit)s. The first row holds the names of the columns.")
            % {"limit": limit}
        )  # fmt: skip

    def clean(self) -> dict[str, Any]:
        """Say why a file that was stopped is missing."""
        cleaned = super().clean() or {}
        if self._meta.get(TOO_LARGE):
            self.errors.pop("file", None)
            limit = filesizeformat(settings.IMPORT_MAX_BYTES)
            self.add_error("file", _("The file is larger than %(limit)s.") % {"limit": limit})
        return cleaned


class ReadingForm(forms.Form):
    """How the file is read, where what was found out is wrong."""

    encoding = forms.ChoiceField(label=gettext_lazy("Encoding"), choices=ENCODINGS, required=False)
    delimiter = forms.ChoiceField(label=gettext_lazy("Delimiter"), choices=DELIMITERS, required=False)
    sheet = forms.ChoiceField(label=gettext_lazy("Sheet"), required=False)

    def __init__(self, *args: Any, sheets: list[str] | None = None, is_workbook: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in ("encoding", "delimiter") if is_workbook else ("sheet",):
            del self.fields[name]
        if is_workbook:
            sheet = self.fields["sheet"]
            assert isinstance(sheet, forms.ChoiceField)  # noqa: S101 - for mypy
            sheet.choices = [(name, name) for name in sheets or []]


class ColumnForm(forms.Form):
    """One column of the file: what it becomes and how its values are read."""

    target = forms.ChoiceField(label=gettext_lazy("becomes"), required=False)
    date_format = forms.CharField(label=gettext_lazy("Date format"), required=False, max_length=60)
    time_zone = forms.CharField(label=gettext_lazy("Time zone"), required=False, max_length=64)
    translations = forms.CharField(
        label=gettext_lazy("Read as another value"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 2, "placeholder": "118 ="}),
        help_text=gettext_lazy("One per line: what stands there = what it means. Nothing after = means empty."),
    )

    def __init__(self, *args: Any, kind: ImportKind, name: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.name = name
        self._kind = kind
        choices: list[tuple[str, Any]] = [("", _("leave out"))]
        if kind.keeps_rest:
            choices.append((KEEP, _("keep as “%(name)s”") % {"name": name}))
        choices += [(column.name, column.label) for column in kind.columns]
        target = self.fields["target"]
        assert isinstance(target, forms.ChoiceField)  # noqa: S101 - for mypy
        target.choices = choices
        for field in self.fields.values():
            field.widget.attrs["aria-label"] = f"{name}: {field.label}"
        self.fields["date_format"].widget.attrs |= {"list": "date-formats", "placeholder": dates.ISO}
        self.fields["time_zone"].widget.attrs |= {"list": "time-zones", "placeholder": settings.TIME_ZONE}

    @property
    def is_time(self) -> bool:
        """Whether the column becomes a date or a time, so that its format matters."""
        target = self["target"].value()
        return any(column.name == target and column.type in {Type.TIME, Type.DATE} for column in self._kind.columns)

    def clean_date_format(self) -> str:
        """Refuse a format that cannot be meant."""
        try:
            return dates.compile_format(self.cleaned_data["date_format"]).name.replace(dates.ISO, "")
        except OptionError as error:
            raise forms.ValidationError(str(error)) from error

    def clean_translations(self) -> dict[str, str]:
        """Lines of ``from = to``."""
        pairs = {}
        for line in self.cleaned_data["translations"].splitlines():
            if not line.strip():
                continue
            old, sign, new = line.partition("=")
            if not sign:
                raise forms.ValidationError(_("“%(line)s” has no =.") % {"line": line})
            pairs[old.strip()] = new.strip()
        return pairs


class RestForm(forms.Form):
    """What holds for the whole file, and values for fields that it has no column for."""

    time_zone = forms.CharField(
        label=gettext_lazy("Time zone"),
        required=False,
        widget=forms.TextInput(attrs={"list": "time-zones"}),
        help_text=gettext_lazy("Of times that name none themselves."),
    )
    decimal = forms.ChoiceField(
        label=gettext_lazy("Decimal sign"), choices=[(".", "1,234.50"), (",", "1.234,50")], required=False
    )
    keep_good_rows = forms.BooleanField(
        label=gettext_lazy("Keep the good rows"),
        required=False,
        help_text=gettext_lazy("Otherwise one bad row means that nothing is written."),
    )

    def __init__(self, *args: Any, kind: ImportKind, taken: set[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["time_zone"].widget.attrs["placeholder"] = settings.TIME_ZONE
        self._names = [
            column.name for column in kind.columns if column.name not in taken and column.type is not Type.MEMBER
        ]
        for column in kind.columns:
            if column.name in self._names:
                self.fields[f"set-{column.name}"] = forms.CharField(
                    label=str(column.label),
                    required=False,
                    max_length=200,
                    widget=forms.TextInput(attrs={"placeholder": column.default}),
                )

    def whole_file(self) -> list[forms.BoundField]:
        """The fields that hold for the whole file."""
        return [self[name] for name in ("time_zone", "decimal", "keep_good_rows")]

    @property
    def has_constants(self) -> bool:
        """Whether one of them is filled in."""
        return any(field.value() for field in self.constants())

    def constants(self) -> list[forms.BoundField]:
        """The fields for which the file has no column."""
        return [self[f"set-{name}"] for name in self._names]


class MapForms:
    """All forms of the columns step together, and the options that they make."""

    def __init__(self, kind: ImportKind, source: Source, options: Options, data: Any = None) -> None:
        self._kind, self._source, self._given = kind, source, options
        self.errors: list[str] = []
        self.columns = [
            ColumnForm(data, prefix=f"c{place}", kind=kind, name=name, initial=self._initial(name))
            for place, name in enumerate(source.header, 1)
        ]
        taken = {str(form["target"].value()) for form in self.columns}
        self.rest = RestForm(data, kind=kind, taken=taken, initial=self._initial_rest())

    def _initial(self, name: str) -> dict[str, str]:
        options = self._given
        target = options.columns.get(name)
        if target is None:
            target = KEEP if self._kind.keeps_rest and options.keep_rest else ""
        return {
            "target": KEEP if target.startswith(ATTRIBUTE) else target,
            "date_format": options.date_formats.get(name, ""),
            "time_zone": options.time_zones.get(name, ""),
            "translations": "\n".join(f"{old} = {new}" for old, new in options.translations.get(name, {}).items()),
        }

    def _initial_rest(self) -> dict[str, Any]:
        options = self._given
        return {
            "time_zone": options.time_zone,
            "decimal": options.decimal,
            "keep_good_rows": options.keep_good_rows,
            **{f"set-{name}": value for name, value in options.constants.items()},
        }

    def is_valid(self) -> bool:
        """Whether the forms make sense, each and together; fills ``errors``."""
        # Each form is asked, so that each shows what is wrong with it.
        wrong = [form for form in (*self.columns, self.rest) if not form.is_valid()]
        if wrong:
            return False
        try:
            check_map(self._kind, self._source.header, self.options())
        except OptionError as error:
            self.errors = [str(error)]
        return not self.errors

    def options(self) -> Options:
        """The options that the forms say, as far as they are valid."""
        said = {form.name: getattr(form, "cleaned_data", {}) for form in self.columns}
        rest = getattr(self.rest, "cleaned_data", {})
        columns = {
            name: f"{ATTRIBUTE}{name}" if form.get("target") == KEEP else form.get("target", "")
            for name, form in said.items()
        }
        given = self._given
        return Options(
            encoding=given.encoding,
            delimiter=given.delimiter,
            sheet=given.sheet,
            decimal=rest.get("decimal") or ".",
            columns=columns,
            translations={name: form["translations"] for name, form in said.items() if form.get("translations")},
            date_formats={name: form["date_format"] for name, form in said.items() if form.get("date_format")},
            time_zones={name: form["time_zone"] for name, form in said.items() if form.get("time_zone")},
            time_zone=rest.get("time_zone", ""),
            constants={
                name.removeprefix("set-"): value for name, value in rest.items() if name.startswith("set-") and value
            },
            keep_good_rows=rest.get("keep_good_rows", False),
        )
