"""How a job looks in the terminal of a management command."""

from typing import TextIO

from django.utils.translation import gettext as _

from staff.models import Job

BAR = 24


class ProgressLine:
    """Draws a job's progress as one line that overwrites itself, or as a line per step in a log file.

    ``jobs.run_inline(job, echo=ProgressLine(self.stderr))``
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._live = stream.isatty()
        self._said: tuple[str, int | None] | None = None

    def __call__(self, job: Job) -> None:
        """Show how far the job is."""
        if self._live:
            self._stream.write(f"\r\x1b[K{line(job)}" + ("\n" if job.is_over else ""))
        else:
            percent = job.percent
            said = (job.step + job.state, None if percent is None else percent // 10)
            if said == self._said:
                return
            self._said = said
            self._stream.write(line(job) + "\n")
        self._stream.flush()


def line(job: Job) -> str:
    """One line of plain text, e.g. ``Copying rows  [######      ]  51%  1,020 of 2,000  0:00:12 left``."""
    parts = [str(job.get_state_display()) if job.is_over else job.step or job.title]
    if job.percent is not None:
        filled = BAR * job.percent // 100
        parts.append(f"[{'#' * filled}{' ' * (BAR - filled)}] {job.percent:3d}%")
    if job.total is not None:
        parts.append(_("%(done)s of %(total)s") % {"done": f"{job.done:,}", "total": f"{job.total:,}"})
    elif job.done:
        parts.append(f"{job.done:,}")
    if job.time_left is not None:
        parts.append(_("%(time)s left") % {"time": str(job.time_left).split(".")[0]})
    return "  ".join(parts)
