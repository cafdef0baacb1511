"""Reading a file row by row, however large it is: what it is, its header, its rows in batches.

Rows are numbered as a spreadsheet numbers them: the header is row 1, blank rows count. What makes the
whole file unreadable raises :class:`Unreadable`; what is wrong with one row is a :class:`BadRow`.
"""

import codecs
import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from django.utils.translation import gettext as _

from members.importing.encodings import Unreadable, detect_encoding, line_of_bad_byte
from members.importing.options import Options

BATCH_ROWS = 2_000
SAMPLE_CHARS = 64 * 1024
MAX_CELL_CHARS = 1024 * 1024
MAX_LINE_CHARS = 4 * 1024 * 1024
MAX_COLUMNS = 400
DELIMITERS = ",;\t|"

csv.field_size_limit(MAX_CELL_CHARS)


@dataclass(frozen=True)
class BadRow:
    """One row that cannot be taken as it stands. ``reason`` is a code of ``reasons.py``."""

    row_no: int
    column: str
    reason: str
    value: str


@dataclass
class Batch:
    """Some rows of the file, each with its number, and how far into the file they reach (bytes)."""

    rows: list[list[str]] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    bad: list[BadRow] = field(default_factory=list)
    position: int = 0


@dataclass(frozen=True)
class Source:
    """A file that was looked at: how it is to be read and which columns it has."""

    path: Path
    format: str
    encoding: str
    delimiter: str
    header: Sequence[str]
    header_row: int
    size: int
    sheet: str = ""
    sheets: Sequence[str] = ()

    def batches(self) -> Iterator[Batch]:
        """The rows below the header, in batches that fit in memory."""
        if self.format == "xlsx":
            from members.importing.workbooks import workbook_rows

            return _batches(self, workbook_rows(self.path, self.sheet))
        return _csv_batches(self)

    def sample(self, rows: int = 20) -> list[list[str]]:
        """The first rows, to be shown."""
        for batch in self.batches():
            return batch.rows[:rows]
        return []


def open_source(path: Path, options: Options) -> Source:
    """Look at a file: format, encoding, delimiter and header. Raises :class:`Unreadable`."""
    size = path.stat().st_size
    if size == 0:
        raise Unreadable(_("The file is empty."))
    with path.open("rb") as stream:
        magic = stream.read(8)
    if magic.startswith(b"PK\x03\x04"):
        from members.importing.workbooks import open_workbook

        sheet, sheets, header, header_row = open_workbook(path, options.sheet)
        return Source(path, "xlsx", "", "", _checked_header(header), header_row, size, sheet, sheets)
    encoding = options.encoding or detect_encoding(path)
    try:
        codecs.lookup(encoding)
        with path.open(encoding=encoding, newline="") as text:
            sample = text.read(SAMPLE_CHARS)
            delimiter = options.delimiter or sniff_delimiter(sample)
            text.seek(0)
            header_row, header = next(_csv_rows(text, delimiter), (0, []))
    except UnicodeError:
        raise _undecodable(path, encoding) from None
    except (LookupError, ValueError):  # Python also knows codecs that make no text, such as rot13 and zip
        raise Unreadable(_("“%(name)s” is not an encoding.") % {"name": encoding[:80]}) from None
    return Source(path, "csv", encoding, delimiter, _checked_header(header), header_row, size)


def sniff_delimiter(sample: str) -> str:
    """The delimiter that cuts the first lines into the most columns, the same number in most lines."""
    lines = sample.splitlines(keepends=True)[:200]
    if len(sample) >= SAMPLE_CHARS and len(lines) > 1:
        lines.pop()
    best, best_score = ",", 0.0
    for delimiter in DELIMITERS:
        try:
            widths = [len(row) for row in csv.reader(lines, delimiter=delimiter) if row]
        except csv.Error:
            continue
        width = widths[0] if widths else 0
        score = width * sum(w == width for w in widths) / len(widths) if width > 1 else 0.0
        if score > best_score:
            best, best_score = delimiter, score
    return best


def _checked_header(header: Sequence[str]) -> list[str]:
    """The column names, trimmed. Raises where they cannot serve as names."""
    names = [name.strip() for name in header]
    while names and not names[-1]:
        names.pop()
    if not names:
        raise Unreadable(_("The file has no header: its first row must hold the names of the columns."))
    if len(names) > MAX_COLUMNS:
        raise Unreadable(
            _("The file has %(count)d columns; %(limit)d can be read.") % {"count": len(names), "limit": MAX_COLUMNS}
        )
    for place, name in enumerate(names, 1):
        if not name:
            raise Unreadable(_("Row 1: column %(place)d has no name.") % {"place": place})
        if names.index(name) != place - 1:
            raise Unreadable(_("Row 1: the column name “%(name)s” stands twice.") % {"name": name[:80]})
    return names


class _Lines:
    """The lines of a text, none of them endless; remembers whether the end was reached."""

    def __init__(self, text: TextIO) -> None:
        self._text = text
        self.line = 0
        self.at_end = False

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = self._text.readline(MAX_LINE_CHARS)
        if not line:
            self.at_end = True
            raise StopIteration
        self.line += 1
        if len(line) == MAX_LINE_CHARS and not line.endswith(("\n", "\r")):
            raise Unreadable(_("Line %(line)d does not end: this is not a table in text form.") % {"line": self.line})
        return line


def _csv_rows(text: TextIO, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not blank, with their numbers. Raises where a quote is left open."""
    lines = _Lines(text)
    number = 0
    reader = csv.reader(lines, delimiter=delimiter)
    while True:
        number += 1
        line = lines.line + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error:
            raise Unreadable(
                _("Row %(row)d (line %(line)d): a cell is longer than %(limit)d characters. Is a quote left open?")
                % {"row": number, "line": line, "limit": MAX_CELL_CHARS}
            ) from None
        if lines.at_end:
            raise Unreadable(
                _("Row %(row)d (line %(line)d): a quote is opened and never closed.") % {"row": number, "line": line}
            )
        if row and (len(row) > 1 or row[0].strip()):
            yield number, row


def _csv_batches(source: Source) -> Iterator[Batch]:
    with source.path.open("rb") as raw:
        text = io.TextIOWrapper(raw, encoding=source.encoding, newline="")
        try:
            for batch in _batches(source, _csv_rows(text, source.delimiter)):
                batch.position = raw.tell()
                yield batch
        except UnicodeError:
            raise _undecodable(source.path, source.encoding) from None


def _batches(source: Source, rows: Iterator[tuple[int, list[str]]]) -> Iterator[Batch]:
    """Cut rows into batches, and put aside those that do not fit the header."""
    width = len(source.header)
    batch = Batch()
    for number, row in rows:
        if number <= source.header_row:
            continue
        if len(row) != width:
            while len(row) > width and not row[-1]:
                row.pop()
            # A workbook stores no empty cells at the end of a row.
            if len(row) != width and not (source.format == "xlsx" and len(row) < width):
                batch.bad.append(BadRow(number, "", "ragged", f"{len(row)}/{width}"))
                del row[width:]
            row.extend([""] * (width - len(row)))
        batch.rows.append(row)
        batch.numbers.append(number)
        if len(batch.rows) >= BATCH_ROWS:
            _refuse_nul(batch, source.header)
            yield batch
            batch = Batch()
    if batch.rows:
        _refuse_nul(batch, source.header)
        yield batch


def _refuse_nul(batch: Batch, header: Sequence[str]) -> None:
    """PostgreSQL's text holds no NUL: such a cell is refused and emptied."""
    for number, row in zip(batch.numbers, batch.rows, strict=True):
        if "\0" in "".join(row):
            for place, cell in enumerate(row):
                if "\0" in cell:
                    batch.bad.append(BadRow(number, header[place], "nul", cell.replace("\0", "␀")[:200]))
                    row[place] = ""


def _undecodable(path: Path, encoding: str) -> Unreadable:
    line = line_of_bad_byte(path, encoding)
    return Unreadable(
        _("Line %(line)d holds a byte that is not %(encoding)s. Choose the encoding of the file.")
        % {"line": line, "encoding": encoding.upper()}
    )
