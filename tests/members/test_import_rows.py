"""What is made of the cells: dates in all forms, numbers, choices, members; identity; undo; the database."""

import csv
import io
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from members.importing import runs, staging
from members.importing.options import OptionError, Options
from members.importing.reading import open_source
from members.models import ImportRun, Interaction, Member, SurveyResponse
from tests.factories import make_member
from tests.members.imports import DATA, bring_in, needs_real_data, refused, silent, tried, written

pytestmark = pytest.mark.django_db

VISITS = Options(columns={"who": "member", "what": "kind", "when": "occurred_at"})


def moment_of(directory: Path, text: str, **options: Any) -> str:
    """The UTC time that a cell is read as, or why not."""
    who = Member.objects.first() or make_member()
    path = written(directory, f'who,what,when\n{who.number},visit,"{text}"\n')
    said = Options(**({"columns": VISITS.columns, "time_zone": "UTC"} | options))
    run = runs.create(kind="interactions", path=path, file_name="x.csv", options=said, user=None)
    try:
        runs.perform(run, silent)
    except runs.Refused:
        run.refresh_from_db()
        return str(run.report["errors"][0]["reason"])
    found = Interaction.objects.get(import_run=run).occurred_at
    runs.undo(run, user=None)
    return found.strftime("%Y-%m-%d %H:%M:%S.%f").removesuffix(".000000")


@pytest.mark.parametrize(
    ("text", "options", "expected"),
    [
        ("2024-02-29", {}, "2024-02-29 00:00:00"),
        ("2024-2-9 7:05", {}, "2024-02-09 07:05:00"),
        ("2018-07-27T00:00:00Z", {}, "2018-07-27 00:00:00"),
        ("2018-07-31T23:00:00Z", {}, "2018-07-31 23:00:00"),
        ("2018-07-27T08:00:00.25+08:00", {}, "2018-07-27 00:00:00.250000"),
        ("2018-07-27 08:00-0330", {}, "2018-07-27 11:30:00"),
        ("2018-07-27T08:00:00", {"time_zone": "Asia/Shanghai"}, "2018-07-27 00:00:00"),
        ("2018-07-27", {"time_zones": {"when": "America/New_York"}}, "2018-07-27 04:00:00"),
        ("20240229", {"date_formats": {"when": "YYYYMMDD"}}, "2024-02-29 00:00:00"),
        ("29.2.2024 23:59", {"date_formats": {"when": "%d.%m.%Y %H:%M"}}, "2024-02-29 23:59:00"),
        ("02/29/24 11:05 PM", {"date_formats": {"when": "%m/%d/%y %I:%M %p"}}, "2024-02-29 23:05:00"),
        ("2024年2月9日", {"date_formats": {"when": "YYYY年MM月DD日"}}, "2024-02-09 00:00:00"),
        ("9 Feb 2024", {"date_formats": {"when": "%d %b %Y"}}, "2024-02-09 00:00:00"),
        ("1709164800", {"date_formats": {"when": "UNIX"}}, "2024-02-29 00:00:00"),
        # Clocks go forward: 02:30 does not exist. They go back: the second 02:30 is taken.
        ("2024-03-31 02:30", {"time_zone": "Europe/Berlin"}, "does not exist in Europe/Berlin"),
        ("2024-10-27 02:30", {"time_zone": "Europe/Berlin"}, "2024-10-27 01:30:00"),
        # A day that has no midnight begins at one o'clock.
        ("2017-10-15", {"time_zone": "America/Sao_Paulo"}, "2017-10-15 03:00:00"),
        ("2023-02-29", {}, "is not a date or time"),
        ("2024-13-01", {}, "is not a date or time"),
        ("0000-00-00", {}, "is not a date or time"),
        ("2024-01-01 25:00", {}, "is not a date or time"),
        ("20240229", {}, "is not a date or time"),
        ("29.02.2024", {"date_formats": {"when": "YYYYMMDD"}}, "in the form YYYYMMDD"),
        ("2024-01-01T00:00:00+99:00", {}, "is not a date or time"),
        ("yesterday", {}, "is not a date or time"),
    ],
)
def test_times_are_read_as_they_are_meant(tmp_path: Path, text: str, options: dict[str, Any], expected: str) -> None:
    assert expected in moment_of(tmp_path, text, **options)


def test_a_date_format_that_cannot_be_meant_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "who,what,when\n1,2,3\n")
    options = Options(columns=VISITS.columns, date_formats={"when": "%Q"})
    with pytest.raises((runs.Refused, OptionError), match="“%Q” is not a date format"):
        tried("interactions", path, options)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({}, "No column of the file is mapped to: member (member), kind (kind), time (occurred_at)."),
        ({"a": "no_such_field"}, "“no_such_field” is no field of this kind."),
        ({"a": "kind", "b": "kind"}, "Both “a” and “b” are mapped to “kind”."),
        ({"z": "kind"}, "The file has no column “z”. It has: a, b."),
    ],
)
def test_a_map_that_does_not_fit_the_file_says_what_is_missing(
    tmp_path: Path, columns: dict[str, str], message: str
) -> None:
    sentence, _errors = refused("interactions", written(tmp_path, "a,b\n1,2\n"), Options(columns=columns))
    assert message in sentence


def test_rows_without_a_key_count_as_often_as_they_stand_there_and_come_in_once(tmp_path: Path) -> None:
    one, two = make_member(external_id="m1"), make_member(external_id="m2")
    lines = ["m1,visit,2024-01-01", "m1,visit,2024-01-01", f"{two.number},visit,2024-01-01"]
    path = written(tmp_path, "who,what,when\n" + "\n".join(lines) + "\n")
    run = bring_in("interactions", path, VISITS)
    assert run.rows_added == 3
    assert Interaction.objects.filter(member=one).count() == 2

    # The same rows in another order, another form and another encoding are the same rows.
    again = "when;who;what\n" + "".join(f"{d} 00:00;{w};{k}\n" for w, k, d in (line.split(",") for line in lines[::-1]))
    repeat = bring_in("interactions", written(tmp_path, again.encode("utf-8-sig")), VISITS)
    assert (repeat.rows_added, repeat.rows_unchanged) == (0, 3)

    more = bring_in("interactions", written(tmp_path, path.read_text() + again.split("\n")[0] * 0), VISITS)
    assert more.rows_unchanged == 3
    runs.undo(run, user=None)
    assert not Interaction.objects.exists()


def test_the_same_key_twice_is_one_row_and_with_other_content_an_error(tmp_path: Path) -> None:
    header = "response_id,score,content\n"
    run = bring_in("survey-responses", written(tmp_path, header + "R1,9,fine\nR1,9,fine\nR2,3,bad\n"))
    assert (run.rows_added, run.rows_unchanged) == (2, 1)
    sentence, errors = refused("survey-responses", written(tmp_path, header + "R3,1,x\nR3,2,x\nR2,4,bad\n"))
    assert sentence.startswith("2 of 3 rows")
    assert [(error["row"], error["reason"]) for error in errors] == [
        (3, "stands in an earlier row with other content"),
        (4, "this answer is already there with other content"),
    ]


def test_bad_survey_answers_are_named(tmp_path: Path) -> None:
    make_member(external_id="m1")
    _sentence, errors = refused(
        "survey-responses",
        written(
            tmp_path,
            "id,member,score,date\nR1,m1,11,\nR2,nobody,9,\nR3,,-1,\nR4,,8.5,\nR5,,ten,\nR6,,,1970-01-01\nR7,m1,10.0,\n",
        ),
    )
    assert [(error["row"], error["column"], error["reason"]) for error in errors] == [
        (2, "score", "is outside of 0 to 10"),
        (3, "member", "no member has this outside id or number"),
        (4, "score", "is outside of 0 to 10"),
        (5, "score", "is not a whole number"),
        (6, "score", "is not a number"),
    ]


@needs_real_data
def test_the_real_answers_come_in(tmp_path: Path) -> None:
    options = Options(translations={"date": {"1970-01-01": ""}})
    run = bring_in("survey-responses", DATA / "seat_reviews" / "responses.csv", options)
    assert run.rows_added == 1_258
    scored = SurveyResponse.objects.filter(score__isnull=False)
    promoters, detractors = scored.filter(score__gte=9).count(), scored.filter(score__lte=6).count()
    assert (scored.count(), promoters, detractors) == (1_257, 151, 865)
    assert round(100 * (promoters - detractors) / scored.count(), 2) == -56.80
    assert SurveyResponse.objects.filter(answered_at=None).count() == 26
    assert SurveyResponse.objects.get(external_id="R00001").properties["cabin_flown"] == "Economy"
    assert bring_in("survey-responses", DATA / "seat_reviews" / "responses.csv", options).rows_unchanged == 1_258


def test_a_failure_while_writing_leaves_nothing_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from members.importing.interactions import InteractionKind

    member = make_member()
    real = InteractionKind.apply

    def breaks(self: InteractionKind, cursor: Any, run_id: int) -> Any:
        real(self, cursor, run_id)
        raise RuntimeError("the disk is full")

    path = written(tmp_path, f"who,what,when\n{member.number},visit,2024-01-01\n")
    run = runs.create(kind="interactions", path=path, file_name="x.csv", options=VISITS, user=None)
    with monkeypatch.context() as patch:
        patch.setattr(InteractionKind, "apply", breaks)
        with pytest.raises(RuntimeError):
            runs.perform(run, silent)
    run.refresh_from_db()
    assert (run.state, Interaction.objects.count()) == (ImportRun.State.FAILED, 0)
    runs.perform(run, silent)
    assert Interaction.objects.count() == 1


cells = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)


@given(rows=st.lists(st.tuples(cells, cells), min_size=1, max_size=20))
@example(rows=[("\\.", "\\N"), ("a\n\\.\nb", "\r"), ("\t", "\\"), ("\u2028", "\\\n")])
@hypothesis_settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_stands_in_a_cell_reaches_the_database_as_it_is(tmp_path: Path, rows: list[tuple[str, str]]) -> None:
    stream = io.StringIO(newline="")
    csv.writer(stream).writerows([["key", "a", "b"], *((f"k{n}", *row) for n, row in enumerate(rows))])
    source = open_source(written(tmp_path, stream.getvalue()), Options(encoding="utf-8", delimiter=","))
    with connection.cursor() as cursor:
        assert staging.load(cursor, source, lambda _position: None) == len(rows)
        cursor.execute("SELECT COALESCE(c2, ''), COALESCE(c3, '') FROM import_raw ORDER BY row_no")
        assert cursor.fetchall() == rows
        staging.drop(cursor)


def test_members_are_found_by_outside_id_and_by_number(tmp_path: Path) -> None:
    member = make_member(number="M-1", external_id="x-1")
    path = written(tmp_path, "who,what,when\nM-1,visit,2024-01-01\nx-1,visit,2024-01-02\nx-2,a,2024-01-02\n")
    _sentence, errors = refused("interactions", path, VISITS)
    assert [error["row"] for error in errors] == [4]
    assert Interaction.objects.count() == 0
    bring_in("interactions", path, Options(columns=VISITS.columns, keep_good_rows=True))
    assert set(Interaction.objects.values_list("member_id", flat=True)) == {member.pk}
    assert Interaction.objects.order_by("occurred_at").first().occurred_at < datetime(2024, 1, 1, tzinfo=UTC)  # type: ignore[union-attr]
