"""CSV files that a spreadsheet opens without running anything."""

import csv
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from staff.exports import cell, csv_lines, csv_response


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+1+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "\n=1", '=HYPERLINK("http://x")', "＝1+1"],
)
def test_what_a_spreadsheet_would_run_is_shown_as_text(text: str) -> None:
    assert cell(text) == f"'{text}"


@pytest.mark.parametrize("text", ["-5", "+8613812345678", "-12.50", "12", "Wang Xiaoyu", "王小雨", ""])
def test_numbers_and_plain_text_stay_as_they_are(text: str) -> None:
    assert cell(text) == text


def test_values_are_written_for_people_in_the_time_of_the_programme() -> None:
    assert cell(datetime(2026, 11, 22, 16, 30, tzinfo=UTC)) == "2026-11-23T00:30:00+08:00"
    assert [cell(value) for value in (None, True, Decimal("-3.50"), 0)] == ["", "yes", "-3.50", "0"]


@given(st.lists(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=2, max_size=2), max_size=5))
def test_every_text_comes_back_from_the_file_and_none_begins_a_formula(rows: list[list[str]]) -> None:
    lines = "".join(csv_lines(["a", "b"], rows))
    assert lines.startswith("\ufeff")
    read = list(csv.reader(StringIO(lines.removeprefix("\ufeff"), newline="")))
    assert [[text.removeprefix("'") for text in row] for row in read[1:]] == [
        [text.removeprefix("'") for text in row] for row in rows
    ]
    assert not any(text[:1] in "=@\t\r\n＝＠" and text for row in read for text in row)


def test_the_rows_are_read_only_as_they_are_sent() -> None:
    taken: list[int] = []

    def rows() -> Iterator[list[int]]:
        for number in range(1_000_000):
            taken.append(number)
            yield [number]

    response = csv_response("audit", ["n"], rows())
    parts = iter(response)
    assert [next(parts), next(parts)] == ['\ufeff"n"\r\n'.encode(), b'"0"\r\n']
    assert len(taken) <= 2
    assert response["Content-Disposition"].startswith('attachment; filename="audit-')
