"""The words for what is wrong with a row: one code, one sentence."""

from django.utils.translation import gettext_lazy as _

from members.importing.kinds import ImportKind, Text

REASONS: dict[str, Text] = {
    "ragged": _("the row has another number of cells than the header (%(value)s)"),
    "nul": _("the cell holds a NUL character"),
    "empty": _("must not be empty"),
    "too_long": _("is longer than %(max_length)s characters"),
    "not_a_date": _("is not a date in the form %(format)s"),
    "not_a_time": _("is not a date or time in the form %(format)s"),
    "skipped_hour": _("does not exist in %(zone)s: clocks were put forward. Is it the right time zone?"),
    "in_the_future": _("lies in the future"),
    "not_an_email": _("is not an e-mail address"),
    "not_a_phone": _("is not a phone number"),
    "not_yes_no": _("is neither yes nor no"),
    "not_a_choice": _("is none of %(choices)s"),
    "not_a_number": _("is not a number"),
    "not_whole": _("is not a whole number"),
    "too_many_decimals": _("has more than two decimals"),
    "negative": _("is negative"),
    "out_of_range": _("is outside of %(minimum)s to %(maximum)s"),
    "unknown_member": _("no member has this outside id or number"),
    "doubled_key": _("stands in an earlier row with other content"),
    "differs": _("is already there with other content"),
}


def words(kind: ImportKind, code: str, field: str, value: str, *, form: str = "", zone: str = "") -> str:
    """The reason in the reader's language. An unknown code is shown as it is."""
    text = kind.reasons.get(code) or REASONS.get(code)
    if text is None:
        return code
    column = next((column for column in kind.columns if column.name == field), None)
    return str(text) % {
        "value": value,
        "max_length": column.max_length if column else "",
        "format": form or "ISO 8601 (2026-11-22)",
        "zone": zone,
        "choices": ", ".join(sorted(set(column.choices.values()))) if column else "",
        "minimum": column.minimum if column and column.minimum is not None else "-10^12",
        "maximum": column.maximum if column and column.maximum is not None else "10^12",
    }
