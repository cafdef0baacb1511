"""Each row of a file is counted once, whatever is wrong with it, and what lies in the future is refused."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import time_machine
from django.test import Client
from django.urls import reverse

from loyalty import programme
from loyalty.models import Entry
from members.importing.options import Options
from members.models import ImportRun, Member
from tests.factories import make_member, make_user
from tests.members.imports import new_run, refused, tried, written

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 22, 6, 0, tzinfo=UTC)

# kind, header, rows, and what becomes of them: added, updated, unchanged, refused.
TROUBLES = [
    ("purchases", "receipt,member,date,amount", ["R1,no,2026-01-01,1", "R1,no,2026-01-01,1"], (0, 0, 0, 2)),
    ("purchases", "receipt,member,date,amount", ["R1,m1,2026-01-01,1", "R1,m1,2026-01-01,1"], (1, 0, 1, 0)),
    ("purchases", "receipt,member,date,amount", ["R1,m1,2026-01-01,1", "R1,m1,2026-01-01,2"], (1, 0, 0, 1)),
    ("purchases", "receipt,member,date,amount", ["R1,m1,soon,1", "R1,m1,soon,2", "R1,m1,soon,1"], (0, 0, 0, 3)),
    ("purchases", "receipt,member,date,amount", ["R1,m1,2027-12-01,1", "R1,m1,2027-12-01,1"], (0, 0, 0, 2)),
    ("purchases", "receipt,member,date,amount", ["R1,m1", "R1,m1", "R2,m1,2026-01-01,1,2"], (0, 0, 0, 3)),
    # Known only after the repeats were put aside: a currency that nobody can convert.
    ("purchases", "receipt,member,date,amount,currency", ["R1,m1,2026-01-01,1,XYZ"] * 3, (0, 0, 0, 3)),
    ("purchases", "member,date,amount", ["no,2026-01-01,1", "no,2026-01-01,1", "m1,2026-01-01,1"], (1, 0, 0, 2)),
    ("interactions", "member,kind,date", ["m1,visit,2026-01-01", "m1,,x", "no,visit,2026-01-01"], (1, 0, 0, 2)),
    ("members", "number,name", ["A,x", "A,x", "A,y", ",z", "m1,Xiaoyu", "m1,Mei"], (1, 0, 2, 3)),
    ("members", "id,number,name", ["1,A,x", "2,A,x", ",A,x", "1,A,x"], (1, 0, 1, 2)),
    ("members", "number,name", ["m1,Mei", "m1,Mei", "B,x"], (1, 1, 1, 0)),
]


@pytest.mark.parametrize(("kind", "header", "rows", "expected"), TROUBLES)
def test_every_row_is_counted_once(
    tmp_path: Path, kind: str, header: str, rows: list[str], expected: tuple[int, int, int, int]
) -> None:
    programme.ensure_defaults()
    make_member(number="m1", given_name="Xiaoyu")
    found = tried(kind, written(tmp_path, "\n".join([header, *rows]) + "\n"), Options(keep_good_rows=True))
    assert (found.added, found.updated, found.unchanged, found.refused) == expected
    assert found.rows == len(rows) == sum(expected)


@pytest.mark.parametrize(
    ("kind", "text", "column"),
    [
        ("purchases", "member,date,amount\nm1,{},100", "date"),
        ("interactions", "member,kind,date\nm1,visit,{}", "date"),
        ("survey-responses", "member,score,date\nm1,9,{}", "date"),
        ("campaign-history", "campaign,member,event,date\nspring,m1,opened,{}", "date"),
        ("members", "number,joined\nnew,{}", "joined"),
    ],
)
def test_what_has_not_happened_yet_does_not_come_in(tmp_path: Path, kind: str, text: str, column: str) -> None:
    programme.ensure_defaults()
    make_member(number="m1")
    with time_machine.travel(NOW, tick=False):
        _sentence, errors = refused(kind, written(tmp_path, text.format("2027-12-01") + "\n"))
        assert [(error["column"], error["value"], error["reason"]) for error in errors] == [
            (column, "2027-12-01", "lies in the future")
        ]
        # A zone that was not said or a clock that is fast is no trouble.
        near = (NOW + timedelta(hours=23)).isoformat()
        assert tried(kind, written(tmp_path, text.format(near) + "\n")).added == 1
    assert not Entry.objects.exists()


@pytest.mark.parametrize(
    "column", ["Member No", "Member No.", "Member number", "Card No", "Card number", "No.", "会员号", "卡号"]
)
def test_a_members_number_is_recognised_by_its_usual_names(tmp_path: Path, column: str) -> None:
    found = tried("members", written(tmp_path, f"{column},First name\nA1,Mei\nA1,Lin\n"))
    assert found.columns[column] == "number"
    assert found.warnings == []
    # And a number that stands twice is reported under the file's own name of it.
    assert [(error["row"], error["column"]) for error in found.errors] == [(3, column)]


def test_a_file_in_which_nothing_tells_who_is_who_is_warned_of_before_the_check(tmp_path: Path, client: Client) -> None:
    path = written(tmp_path, "Loyalty ref,First name\nA1,Mei\n")
    words = "No column of the file tells who is who"
    assert words in tried("members", path).warnings[0]
    assert tried("interactions", written(tmp_path, "member,kind,date\n", "i.csv")).warnings == []
    client.force_login(make_user())
    run = new_run("members", written(tmp_path, "Loyalty ref,First name\nA1,Mei\n"))
    assert words in client.get(reverse("members:import_columns", args=[run.pk])).content.decode()
    ImportRun.objects.filter(pk=run.pk).delete()
    assert not Member.objects.exists()
