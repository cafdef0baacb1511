"""What the first rows of a file become under some options, by the very SQL of the import."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django.db import connection, transaction
from django.utils.translation import gettext as _

from members.importing import staging
from members.importing.findings import Wording
from members.importing.kinds import ImportKind, Type
from members.importing.options import Options
from members.importing.reading import Source
from staff import figures

ROWS = 20
SHOWN = 3


@dataclass(frozen=True)
class Sample:
    """One cell, what it is read as, and why it cannot be, if so."""

    text: str
    value: str = ""
    reason: str = ""


def samples(kind: ImportKind, source: Source, options: Options) -> Mapping[str, Sequence[Sample]]:
    """The first different values of each column of the file, and what becomes of them. Writes nothing."""
    plan = staging.sketch(kind, source, options)
    with transaction.atomic(), connection.cursor() as cursor:
        staging.load(cursor, source, lambda _position: None, limit=ROWS)
        staging.type_rows(cursor, plan)
        cursor.execute("SELECT * FROM import_raw ORDER BY row_no")
        raw = cursor.fetchall()
        cursor.execute("SELECT row_no, field, reason, COALESCE(value, '') FROM import_errors")
        errors = {(row_no, field): (reason, value) for row_no, field, reason, value in cursor.fetchall()}
        cursor.execute("SELECT * FROM import_rows ORDER BY row_no")
        names = [column.name for column in cursor.description or ()]
        typed = {row[0]: dict(zip(names, row, strict=True)) for row in cursor.fetchall()}
        staging.drop(cursor)
    wording = Wording(plan)
    fields = {field.source: field.column for field in plan.fields if field.source}
    found: dict[str, list[Sample]] = {}
    for place, name in enumerate(source.header, 1):
        column = fields.get(name)
        seen: dict[str, Sample] = {}
        for row in raw:
            text = (row[place] or "").strip()
            error = errors.get((row[0], column.name)) if column else None
            if text in seen or (not text and error is None):
                continue
            if column is None:
                seen[text] = Sample(text)
            elif error is not None:
                seen[text] = Sample(text, reason=wording.reason(column.name, *error))
            else:
                value = typed[row[0]][column.sql_name]
                seen[text] = Sample(text, _("a member") if column.type is Type.MEMBER else _shown(value))
        # What cannot be read is shown first.
        found[name] = sorted(seen.values(), key=lambda sample: not sample.reason)[:SHOWN]
    return found


def _shown(value: Any) -> str:
    match value:
        case None:
            return _("empty")
        case bool():
            return _("yes") if value else _("no")
        case datetime():
            return figures.when(value)
        case date():
            return figures.day(value)
        case Decimal():
            return figures.number(value, 2)
        case _:
            return str(value)
