"""``manage.py import``: what it prints, and its exit codes."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from django.core.management import CommandError, call_command

from members.models import ImportRun, Interaction, Member
from staff.models import Job
from tests.factories import make_member
from tests.members.imports import written

pytestmark = pytest.mark.django_db


def run(*arguments: object) -> tuple[int, str, str]:
    """Exit code, output and errors of one call."""
    out, err = StringIO(), StringIO()
    try:
        call_command("import", *map(str, arguments), stdout=out, stderr=err)
    except SystemExit as end:
        return int(end.code or 0), out.getvalue(), err.getvalue()
    except CommandError as error:
        return error.returncode, out.getvalue(), str(error)
    return 0, out.getvalue(), err.getvalue()


def test_a_file_comes_in_twice_and_goes_out(tmp_path: Path) -> None:
    path = written(
        tmp_path, "Kunde;Beitritt;Alter;Stadt\nk1;29.02.2024;118;Köln\nk2;01.03.2024;40;Bonn\n".encode("cp1252")
    )
    said = [
        "members",
        path,
        "--map",
        "Kunde=external_id",
        "--map",
        "Beitritt=joined_at",
        "--map",
        "Alter=attributes.age",
    ]
    said += ["--date-format", "Beitritt=%d.%m.%Y", "--translate", "Alter:118=", "--time-zone", "Europe/Berlin"]
    said += ["--set", "language=en", "--encoding", "cp1252"]
    code, out, _err = run(*said, "--dry-run")
    assert (code, Member.objects.count()) == (0, 0)
    assert "2 rows read: 2 added, 0 updated, 0 unchanged, 0 refused." in out
    assert "nothing was written" in out

    assert run(*said)[0] == 0
    member = Member.objects.get(external_id="k1")
    assert member.attributes == {"Stadt": "Köln"}
    assert (member.language, member.joined_at.isoformat()) == ("en", "2024-02-28T23:00:00+00:00")
    code, out, _err = run(*said, "--json")
    answer = json.loads(out)
    assert (code, answer["rows_added"], answer["rows_unchanged"], answer["state"]) == (0, 0, 2, "done")

    first = ImportRun.objects.filter(state="done").earliest("id")
    code, out, _err = run("--undo", first.pk)
    assert (code, Member.objects.count()) == (0, 0)
    assert "Removed: 2" in out
    code, _out, err = run("--undo", first.pk)
    assert (code, err) == (1, "Only an import that is done can be taken back.\n")
    assert set(Job.objects.values_list("kind", flat=True)) == {"import-check", "import", "import-undo"}


def test_bad_rows_end_with_one_and_with_three_when_the_good_ones_are_kept(tmp_path: Path) -> None:
    make_member(external_id="m1")
    path = written(tmp_path, "person,event,time\nm1,visit,2024-01-01\nm2,visit,2024-01-01\nm1,visit,soon\n")
    code, _out, err = run("interactions", path)
    assert (code, Interaction.objects.count()) == (1, 0)
    assert "row 3, person: 'm2' no member has this outside id or number" in err
    assert "row 4, time: 'soon' is not a date or time in the form ISO 8601 (2026-11-22)" in err
    assert "2 of 3 rows are not right. Nothing was written." in err
    error_file = Path(ImportRun.objects.latest("id").error_path)
    assert len(error_file.read_text("utf-8-sig").splitlines()) == 3
    code, out, _err = run("interactions", path, "--keep-good-rows")
    assert (code, Interaction.objects.count()) == (3, 1)
    assert "1 added, 0 updated, 0 unchanged, 2 refused" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["wizards", "FILE"], "There is no kind “wizards”. There are: members, "),
        (["members", "nowhere.csv"], "There is no file nowhere.csv."),
        (["members"], "KIND and FILE are needed"),
        (["members", "FILE", "--map", "id"], "an equals sign is missing"),
        (["members", "FILE", "--translate", "id=3"], "it must be COLUMN:FROM=TO"),
        (["members", "FILE", "--time-zone", "Mars/Base"], "“Mars/Base” is not a time zone."),
        (["--undo", "99999"], "There is no import 99999."),
    ],
)
def test_wrong_use_ends_with_two_and_says_what_is_wrong(tmp_path: Path, arguments: list[str], message: str) -> None:
    path = written(tmp_path, "id\n1\n")
    code, _out, err = run(*(str(path) if word == "FILE" else word for word in arguments))
    assert code == 2
    assert message in err
    assert not ImportRun.objects.exists()


def test_an_unreadable_file_ends_with_one(tmp_path: Path) -> None:
    code, _out, err = run("members", written(tmp_path, bytes(range(256)) * 9))
    assert code == 1
    assert "the file holds binary data" in err
    assert ImportRun.objects.get().state == "failed"


def test_a_workbook_and_chinese_headers_need_no_options(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    sheet: Any = book.active
    for row in (["会员号", "姓", "名", "手机号", "性别", "短信订阅"], ["A1", "王", "小雨", 13800138000, "女", "是"]):
        sheet.append(row)
    book.save(tmp_path / "会员.xlsx")
    assert run("members", tmp_path / "会员.xlsx")[0] == 0
    member = Member.objects.get(number="A1")
    assert (member.display_name, member.phone, member.gender) == ("王小雨", "+8613800138000", "F")
    assert member.consents.get().channel == "sms"
