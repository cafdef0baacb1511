"""What a file may look like: encodings, delimiters, quotes, workbooks, rubbish."""

import csv
import io
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import openpyxl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from members.importing import reading
from members.importing.encodings import Unreadable
from members.importing.options import OptionError, Options
from members.importing.reading import Source, open_source
from tests.members.imports import written

CHINESE = "会员号,姓名,城市\nA1,王小雨,西安\nA2,李雷,上海\n"


def rows_of(source: Source) -> list[list[str]]:
    return [row for batch in source.batches() for row in batch.rows]


def look(directory: Path, content: str | bytes, options: Options | None = None, name: str = "file.csv") -> Source:
    return open_source(written(directory, content, name), options or Options())


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        (CHINESE.encode(), "utf-8"),
        (CHINESE.encode("utf-8-sig"), "utf-8-sig"),
        (CHINESE.encode("gb18030"), "gb18030"),
        (CHINESE.encode("utf-16"), "utf-16"),
        # Chinese only far behind the sample that a guess would look at.
        (CHINESE.replace("A1,", "A0,Li,Wuhan\n" * 200_000 + "A1,").encode("gb18030"), "gb18030"),
    ],
)  # fmt: skip
def test_the_encoding_is_found_out(tmp_path: Path, content: bytes, encoding: str) -> None:
    source = look(tmp_path, content)
    assert source.encoding == encoding
    assert source.header == ["会员号", "姓名", "城市"]
    assert ["A1", "王小雨", "西安"] in rows_of(source)


def test_western_accents_are_not_taken_for_chinese(tmp_path: Path) -> None:
    source = look(tmp_path, "id;name\n1;Renée Müller, Besançon\n2;José Nuñez, Málaga\n3;Åsa Öberg\n".encode("cp1252"))
    assert rows_of(source)[0] == ["1", "Renée Müller, Besançon"]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found_out(tmp_path: Path, delimiter: str) -> None:
    text = "\n".join(delimiter.join(row) for row in (["id", "text", "n"], ["1", "a, b; c", "2"], ["2", "d", "3"]))
    text = text.replace("a, b; c", '"a, b; c"')
    assert rows_of(look(tmp_path, text))[0] == ["1", "a, b; c", "2"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "The file is empty."),
        (b"\n\n\n", "has no header"),
        (b"id,name,id\n1,2,3\n", "Row 1: the column name “id” stands twice."),
        (b"id,,name\n1,2,3\n", "Row 1: column 2 has no name."),
        (b"id,name\n1,a\n2,\"b\n3,c\n", "Row 3 (line 3): a quote is opened and never closed."),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(range(256)) * 50, "binary data"),
        (bytes(range(1, 256)) * 999, "binary data"),
        (b"PK\x03\x04" + b"no workbook" * 50, "damaged"),
        (b"id,name\n1," + b"x" * (5 * 1024 * 1024), "Line 2 does not end"),
        (b"id,name\n1,\"" + b"x\n" * (1024 * 1024) + b"\"\n", "Row 2 (line 2): a cell is longer than"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_says_where_and_why(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(Unreadable) as refusal:
        rows_of(look(tmp_path, content))
    assert message in str(refusal.value)


def test_a_wrong_encoding_names_the_line(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match="Line 2 holds a byte that is not UTF-8"):
        rows_of(
            look(tmp_path, CHINESE.replace("会员号,姓名,城市", "a,b,c").encode("gb18030"), Options(encoding="utf-8"))
        )
    with pytest.raises(Unreadable, match="is not an encoding"):
        look(tmp_path, b"a,b\n", Options(encoding="klingon"))
    with pytest.raises(OptionError):
        Options(delimiter="ab")


def test_bad_rows_keep_their_numbers_as_a_spreadsheet_shows_them(tmp_path: Path) -> None:
    content = b'\nid,name\n1,"two\nlines"\n\n2\n3,c,extra\n4,d,,\n5,e\0\n'
    source = look(tmp_path, content, Options(encoding="utf-8"))
    [batch] = source.batches()
    assert batch.numbers == [3, 5, 6, 7, 8]
    assert batch.rows[0] == ["1", "two\nlines"]
    assert [(bad.row_no, bad.reason) for bad in batch.bad] == [(5, "ragged"), (6, "ragged"), (8, "nul")]


def test_a_workbook_reads_like_the_same_csv(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.append(["id", "joined", "amount", "vip", "note"])
    sheet.append([1.0, datetime(2024, 2, 29, tzinfo=UTC).replace(tzinfo=None), 0.1 + 0.2, True, None])
    sheet.append([2, datetime(2024, 2, 29, 9, 30, tzinfo=UTC).replace(tzinfo=None), 12, False, "你好"])
    book.create_sheet("other").append(["x"])
    book.save(tmp_path / "book.xlsx")
    source = open_source(tmp_path / "book.xlsx", Options())
    assert (source.sheet, source.sheets) == ("Sheet", ["Sheet", "other"])
    assert rows_of(source) == [
        ["1", "2024-02-29", "0.3", "yes", ""],
        ["2", "2024-02-29 09:30:00", "12", "no", "你好"],
    ]
    assert open_source(tmp_path / "book.xlsx", Options(sheet="other")).header == ["x"]
    with pytest.raises(Unreadable, match="no sheet “third”"):
        open_source(tmp_path / "book.xlsx", Options(sheet="third"))


cells = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)


@given(
    rows=st.lists(st.lists(cells, min_size=3, max_size=3), min_size=1, max_size=30), delimiter=st.sampled_from(",;\t|")
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_a_csv_holds_comes_through_as_it_is(tmp_path: Path, rows: list[list[str]], delimiter: str) -> None:
    rows = [[f"k{number}", *row] for number, row in enumerate(rows)]
    stream = io.StringIO(newline="")
    csv.writer(stream, delimiter=delimiter).writerows([["key", "a", "b", "c"], *rows])
    path = tmp_path / "odd.csv"
    path.write_bytes(stream.getvalue().encode())
    source = open_source(path, Options(delimiter=delimiter, encoding="utf-8"))
    assert rows_of(source) == rows


def test_a_large_file_is_read_in_batches_of_bounded_size(tmp_path: Path) -> None:
    source = look(tmp_path, "id,text\n" + "".join(f"{n},row {n}\n" for n in range(10_000)))
    sizes = [len(batch.rows) for batch in source.batches()]
    assert sum(sizes) == 10_000
    assert max(sizes) <= reading.BATCH_ROWS


@pytest.mark.parametrize("encoding", ["rot13", "zip", "undefined-9", "a\0b"])
def test_a_codec_that_makes_no_text_is_no_encoding(tmp_path: Path, encoding: str) -> None:
    with pytest.raises(Unreadable, match="is not an encoding"):
        look(tmp_path, "number\n1\n", Options(encoding=encoding))


def workbook(path: Path, *, sheet: bytes | None = None, texts: bytes | None = None) -> Path:
    """A workbook of which one part is replaced by hand."""
    book = openpyxl.Workbook()
    book.active.append(["number"])
    book.active.append(["1"])
    plain = path / "plain.xlsx"
    book.save(plain)
    changed = {
        name: part for name, part in (("xl/worksheets/sheet1.xml", sheet), ("xl/sharedStrings.xml", texts)) if part
    }
    target = path / "changed.xlsx"
    with zipfile.ZipFile(plain) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        for name in {*old.namelist(), *changed}:
            new.writestr(name, changed[name] if name in changed else old.read(name))
    return target


def test_a_small_workbook_that_unfolds_to_endless_text_is_refused_at_once(tmp_path: Path) -> None:
    texts = b"<sst>" + b"<si><t>aaaaaaaaaa</t></si>" * 2_800_000 + b"</sst>"
    path = workbook(tmp_path, texts=texts)
    assert path.stat().st_size < 1_000_000
    with pytest.raises(Unreadable, match="more text than can be read"):
        open_source(path, Options())


def test_a_workbook_that_claims_endless_empty_cells_is_read_at_once(tmp_path: Path) -> None:
    head = (
        b'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><dimension ref="A1:XFD1048576"/>'
    )
    row = b'<sheetData><row r="%d"><c r="A%d" t="inlineStr"><is><t>number</t></is></c></row></sheetData></worksheet>'
    with pytest.raises(Unreadable, match="no header"):
        open_source(workbook(tmp_path, sheet=head + row % (1_000_000, 1_000_000)), Options())
    source = open_source(workbook(tmp_path, sheet=head + row % (3, 3)), Options())
    assert (source.header_row, list(source.header)) == (3, ["number"])
