"""Reading XLSX: one sheet, row by row, each cell as the text that a CSV would hold."""

import zipfile
from collections.abc import Iterator
from datetime import date, datetime
from datetime import time as clock
from pathlib import Path
from typing import Any

from django.utils.translation import gettext as _

from members.importing.encodings import Unreadable

# A workbook is a zip; one that unfolds beyond this is an attack or a mistake.
MAX_UNFOLDED_BYTES = 4 * 1024**3
# All but the sheets is read into memory at once, texts above all.
MAX_SHARED_BYTES = 64 * 1024**2
# Cells are filled up to the last column that the sheet claims to have, rows from the first.
MAX_WIDTH = 1_000
HEADER_WITHIN_ROWS = 1_000


def open_workbook(path: Path, sheet: str) -> tuple[str, list[str], list[str], int]:
    """The sheet that is read (the first if none is named), all sheets, its header, the header's row."""
    try:
        with zipfile.ZipFile(path) as archive:
            parts = archive.infolist()
    except zipfile.BadZipFile:
        raise Unreadable(_("The file looks like a workbook but cannot be opened: it is damaged.")) from None
    if sum(part.file_size for part in parts) > MAX_UNFOLDED_BYTES:
        raise Unreadable(_("The workbook unfolds to more than 4 GB. Save it as CSV."))
    if sum(part.file_size for part in parts if not _is_sheet(part.filename)) > MAX_SHARED_BYTES:
        raise Unreadable(_("The workbook holds more text than can be read. Save it as CSV."))
    book = _load(path)
    try:
        sheets = list(book.sheetnames)
        if sheet and sheet not in sheets:
            raise Unreadable(
                _("The workbook has no sheet “%(name)s”. It has: %(sheets)s.")
                % {"name": sheet, "sheets": ", ".join(sheets)}
            )
        chosen = sheet or sheets[0]
    finally:
        book.close()
    for number, row in workbook_rows(path, chosen, until=HEADER_WITHIN_ROWS):
        return chosen, sheets, row, number
    return chosen, sheets, [], 0


def _is_sheet(name: str) -> bool:
    return name.startswith("xl/worksheets/")


def workbook_rows(path: Path, sheet: str, *, until: int | None = None) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not blank, with their numbers; of the first ``until`` rows only."""
    book = _load(path)
    try:
        for number, row in enumerate(book[sheet].iter_rows(max_row=until, max_col=MAX_WIDTH, values_only=True), 1):
            cells = [_text(cell) for cell in row]
            while cells and not cells[-1]:
                cells.pop()
            if any(cells):
                yield number, cells
    finally:
        book.close()


def _load(path: Path) -> Any:
    import openpyxl

    try:
        return openpyxl.load_workbook(path, read_only=True, data_only=True, keep_links=False)
    except Exception as error:
        # openpyxl raises whatever its parsers raise on a damaged file.
        raise Unreadable(_("The workbook cannot be read: it is damaged or protected by a password.")) from error


def _text(cell: object) -> str:
    """A cell as text; a sum of decimal fractions such as 0.30000000000000004 is 0.3."""
    match cell:
        case None:
            return ""
        case bool():
            text = "yes" if cell else "no"
        case float():
            text = str(int(cell)) if cell.is_integer() else f"{cell:.15g}"
        case datetime():
            text = cell.date().isoformat() if cell.time() == clock() else cell.isoformat(sep=" ", timespec="seconds")
        case date() | clock():
            text = cell.isoformat()
        case _:
            text = str(cell)
    return text
