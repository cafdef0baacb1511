"""Beat's memory of what it sent when: a file under ``STEADFAST_DATA``, so that a missed night is made up for."""

from pathlib import Path

from celery.beat import PersistentScheduler


class Scheduler(PersistentScheduler):
    """Celery's own, for an installation where nobody has made the directory of the file yet."""

    def setup_schedule(self) -> None:
        """Make the directory, then open the file."""
        Path(self.schedule_filename).parent.mkdir(parents=True, exist_ok=True)  # type: ignore[attr-defined]
        super().setup_schedule()
