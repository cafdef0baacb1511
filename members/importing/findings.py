"""What an import found: counts, the first bad rows in words, and the file of all bad rows."""

import csv
import re
import secrets
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from django.db.backends.utils import CursorWrapper
from psycopg import sql

from members.importing import reasons
from members.importing.composed import execute
from members.importing.mapping import warnings
from members.importing.staging import Plan

FIRST_ERRORS = 50
ERROR_FILE_BATCH = 2_000


@dataclass
class Findings:
    """The counts of one import or dry run. ``errors`` holds the first bad rows, ``kinds_of_error`` all by reason."""

    rows: int
    refused: int = 0
    added: int = 0
    updated: int = 0
    unchanged: int = 0
    refusal: str = ""
    seconds: float = 0.0
    encoding: str = ""
    delimiter: str = ""
    columns: dict[str, str] = field(default_factory=dict)
    kept_beside: list[str] = field(default_factory=list)
    errors: list[dict[str, Any]] = field(default_factory=list)
    kinds_of_error: list[dict[str, Any]] = field(default_factory=list)
    notes: dict[str, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    error_path: str = ""

    def to_json(self) -> dict[str, Any]:
        """The findings as they are kept on the run, without where the error file lies."""
        data = asdict(self)
        del data["error_path"]
        return data


class Wording:
    """The words for an error of one run: which column of the file, and why."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        labels = {column.name: str(column.label) for column in plan.kind.columns}
        self._names = labels | {item.column.name: item.source for item in plan.fields if item.source}

    def column(self, name: str) -> str:
        """The column as the file calls it, or the field where the file has no such column."""
        return self._names.get(name, name)

    def reason(self, name: str, code: str, value: str) -> str:
        """Why, in the reader's language."""
        source = self.column(name)
        options = self._plan.options
        form = options.date_formats.get(source, "")
        return reasons.words(self._plan.kind, code, name, value, form=form, zone=options.zone_of(source))


def collect(cursor: CursorWrapper, plan: Plan, rows: int) -> Findings:
    """Count what ``import_errors`` holds and put the first of it in words."""
    wording = Wording(plan)
    findings = Findings(
        rows=rows,
        encoding=plan.source.encoding,
        delimiter=plan.source.delimiter,
        columns={item.source: item.column.name for item in plan.fields if item.source},
        kept_beside=[name for name, _place, _source in plan.extras],
        warnings=warnings(plan.kind, plan.options),
    )
    cursor.execute("SELECT count(DISTINCT row_no) FROM import_errors")
    findings.refused = (cursor.fetchone() or (0,))[0]
    if not findings.refused:
        return findings
    cursor.execute(
        "SELECT row_no, field, reason, COALESCE(value, '') FROM import_errors ORDER BY row_no, field LIMIT %s",
        [FIRST_ERRORS],
    )
    findings.errors = [
        {"row": row_no, "column": wording.column(name), "reason": wording.reason(name, code, value), "value": value}
        for row_no, name, code, value in cursor.fetchall()
    ]
    cursor.execute(
        "SELECT field, reason, count(*), min(value) FROM import_errors GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2 LIMIT 50"
    )
    findings.kinds_of_error = [
        {"column": wording.column(name), "reason": wording.reason(name, code, value or ""), "rows": count}
        for name, code, count, value in cursor.fetchall()
    ]
    return findings


_FORMULA = re.compile(r"^\s*[=+\-@\t\r＝＋－＠]")
_NUMBER = re.compile(r"^[+-]?[\d., ]+$")


def harmless(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula: such a text gets an apostrophe before it."""
    return f"'{cell}" if _FORMULA.match(cell) and not _NUMBER.match(cell) else cell


def write_error_file(cursor: CursorWrapper, plan: Plan, findings: Findings, directory: Path) -> str:
    """Write every bad row with its reason and its original cells as CSV; returns the path or an empty text."""
    if not findings.refused:
        return ""
    wording = Wording(plan)
    path = directory / f"{secrets.token_hex(16)}.errors.csv"
    cells = sql.SQL(", ").join(sql.Identifier(f"c{place}") for place in range(1, len(plan.source.header) + 1))
    query = sql.SQL(
        "SELECT e.row_no, e.field, e.reason, COALESCE(e.value, ''), {cells} FROM import_errors AS e "
        "JOIN import_raw USING (row_no) ORDER BY e.row_no, e.field"
    ).format(cells=cells)
    with path.open("w", encoding="utf-8-sig", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["row", "column", "reason", "value", *map(harmless, plan.source.header)])
        # A cursor of the server, so that a million bad rows do not fill the memory.
        execute(cursor, sql.SQL("DECLARE import_bad NO SCROLL CURSOR FOR {}").format(query))
        while True:
            cursor.execute("FETCH FORWARD %s FROM import_bad", [ERROR_FILE_BATCH])
            batch = cursor.fetchall()
            if not batch:
                break
            for row_no, name, code, value, *row in batch:
                reason = wording.reason(name, code, value)
                texts = [wording.column(name), reason, value, *(cell or "" for cell in row)]
                writer.writerow([row_no, *map(harmless, texts)])
        cursor.execute("CLOSE import_bad")
    return str(path)
