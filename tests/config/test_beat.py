"""Beat on a machine where nothing was started before."""

from pathlib import Path

from config.beat import Scheduler
from config.celery import app


def test_beat_starts_where_nobody_has_made_its_directory(tmp_path: Path) -> None:
    file = tmp_path / "not" / "there" / "beat-schedule"
    scheduler = Scheduler(app, schedule_filename=str(file))
    assert {"expire-points", "campaigns-tick"} <= set(scheduler.schedule)
    scheduler.close()
    assert list(file.parent.iterdir())
    assert app.conf.beat_scheduler == f"{Scheduler.__module__}.{Scheduler.__qualname__}"
