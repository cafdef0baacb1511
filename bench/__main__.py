"""Run every suite at two sizes in databases of their own and write ``docs/benchmarks.md``.

``python -m bench [--members SMALL LARGE] [--jobs SMALL LARGE]``: members of the sample programmes on which
single requests and pages are measured, and of those on which the jobs over everybody are.
"""

import os
import platform
from argparse import ArgumentParser
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from bench.measuring import Measurement

CHECKOUT: Final = Path(__file__).resolve().parent.parent
MEMBERS: Final = (5_000, 20_000)
JOBS: Final = (100_000, 1_000_000)


def main(members: Sequence[int], jobs: Sequence[int]) -> None:
    """Measure at both sizes and write the page."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    os.environ.setdefault("LOG_LEVEL", "WARNING")
    os.environ.setdefault("API_RATE", "1000000/min")
    os.environ.setdefault("STEADFAST_DATA", str(CHECKOUT / ".data" / "bench"))
    from config import embedded

    embedded.hold()
    import django

    django.setup()
    parts = [
        "Over sample programmes of {:,} and {:,} members with twelve months of history:".format(*members),
        *table([in_a_database(over_a_sample, size) for size in members]),
        "Over programmes of {:,} and {:,} members, each with one purchase and its points:".format(*jobs),
        *table([in_a_database(over_everybody, size) for size in jobs]),
    ]
    page = report(parts)
    (CHECKOUT / "docs" / "benchmarks.md").write_text(page, encoding="utf-8")
    print(page)


def in_a_database(suites: Callable[[int], Iterable[Measurement]], size: int) -> list[Measurement]:
    """What suites measure in a fresh database."""
    from django.db import connection

    name = connection.creation.create_test_db(verbosity=0, autoclobber=True)
    try:
        found = []
        for measurement in suites(size):
            print(
                f"{size:>9,}  {measurement.name}: {measurement.ratio:.2f} × {measurement.floor_name}"
                f" ({_took(measurement.ours)})",
                flush=True,
            )
            found.append(measurement)
        return found
    finally:
        connection.creation.destroy_test_db(name, verbosity=0)


def over_a_sample(size: int) -> Iterator[Measurement]:
    """The suites on the sample programme."""
    from django.core.management import call_command

    from bench import delivery, importing, intake, ledger, pages

    call_command("seed", members=size, months=12, seed=1, verbosity=0)
    for suite in (ledger, intake, importing, delivery, pages):
        yield from suite.measure(size)


def over_everybody(size: int) -> Iterator[Measurement]:
    """The jobs, on a population of their own."""
    from bench import jobs

    yield from jobs.measure(size)


def report(parts: Sequence[str]) -> str:
    """The page."""
    lines = [
        "# Benchmarks",
        "",
        "Written by `make bench`. Each ratio is the time ours takes divided by the time that the floor beside it",
        "takes in the same run on the same machine, so 1 is the floor itself. *Took* is the time of ours at the large",
        "size, *growth* the time per row at the large size divided by that at the small one: 1 means that the cost is",
        "linear. Equal tables have the same columns, indexes, checks and foreign keys, and no triggers. So what our",
        "guards check in place of foreign keys (the member and purchase of an entry, the entry of a lot, the entry",
        "and lot of a draw) the floor does not check at all.",
        "",
        f"Measured on {datetime.now(UTC):%Y-%m-%d} with Python {platform.python_version()} on {os.cpu_count()} cores.",
        "",
    ]
    return "\n".join([*lines, *parts]).rstrip("\n") + "\n"


def table(sizes: Sequence[list[Measurement]]) -> list[str]:
    """One row per measurement, at both sizes, and how the cost per row grew between them."""
    lines = [
        "",
        "| what | floor | rows | ratio | rows | ratio | took | growth |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for one, two in zip(*sizes, strict=True):
        growth = (two.ours / two.rows) / (one.ours / one.rows)
        lines.append(
            f"| {one.name} | {one.floor_name} | {one.rows:,} | {one.ratio:.2f} | {two.rows:,} | {two.ratio:.2f}"
            f" | {_took(two.ours)} | {growth:.2f} |"
        )
    return [*lines, ""]


def _took(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1000:.2f} ms"


if __name__ == "__main__":
    parser = ArgumentParser(prog="python -m bench")
    parser.add_argument("--members", nargs=2, type=int, default=MEMBERS, metavar=("SMALL", "LARGE"))
    parser.add_argument("--jobs", nargs=2, type=int, default=JOBS, metavar=("SMALL", "LARGE"))
    chosen = parser.parse_args()
    main(chosen.members, chosen.jobs)
