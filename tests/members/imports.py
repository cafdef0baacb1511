"""Files to import, and the import of them, for the tests of this room and of those above."""

from pathlib import Path
from typing import Any

import pytest

from members.importing import runs
from members.importing.findings import Findings
from members.importing.options import Options
from members.models import ImportRun

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"

needs_real_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"the real data is not at {DATA}")

STARBUCKS_MEMBERS = Options(
    columns={"id": "external_id", "became_member_on": "joined_at"},
    translations={"age": {"118": ""}},
    date_formats={"became_member_on": "YYYYMMDD"},
)


def silent(done: int, total: int, step: str) -> None:
    """No progress."""


def new_run(kind: str, path: Path, options: Options | None = None) -> ImportRun:
    """A run that was not started yet."""
    return runs.create(kind=kind, path=path, file_name=path.name, options=options or Options(), user=None)


def bring_in(kind: str, path: Path, options: Options | None = None) -> ImportRun:
    """Import a file as the command and the page do; fails the test if it is refused."""
    run = new_run(kind, path, options)
    runs.perform(run, silent)
    run.refresh_from_db()
    return run


def written(directory: Path, text: str | bytes, name: str = "file.csv") -> Path:
    """A file with this content."""
    path = directory / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def refused(kind: str, path: Path, options: Options | None = None) -> tuple[str, list[dict[str, Any]]]:
    """Why an import was refused: the sentence and the first bad rows."""
    run = new_run(kind, path, options)
    with pytest.raises(runs.Refused) as refusal:
        runs.perform(run, silent)
    run.refresh_from_db()
    assert run.state == ImportRun.State.FAILED
    return str(refusal.value), run.report.get("errors", [])


def tried(kind: str, path: Path, options: Options | None = None) -> Findings:
    """What a dry run says."""
    return runs.check(new_run(kind, path, options), silent)
