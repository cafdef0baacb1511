"""Run every suite at two sizes in a database of its own and write ``docs/benchmarks.md``.

``python -m bench [SMALL LARGE]``: members in the sample programme, 5,000 and 20,000 unless told otherwise.
"""

import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path

from bench.measuring import Measurement

CHECKOUT = Path(__file__).resolve().parent.parent
SIZES = (5_000, 20_000)


def main(sizes: tuple[int, int]) -> None:
    """Measure at both sizes and write the page."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    os.environ.setdefault("LOG_LEVEL", "WARNING")
    os.environ.setdefault("API_RATE", "1000000/min")
    os.environ.setdefault("STEADFAST_DATA", str(CHECKOUT / ".data" / "bench"))
    from config import embedded

    embedded.hold()
    import django

    django.setup()
    small, large = (measure(size) for size in sizes)
    page = report(sizes, small, large)
    (CHECKOUT / "docs" / "benchmarks.md").write_text(page, encoding="utf-8")
    print(page)


def measure(size: int) -> list[Measurement]:
    """All suites over a fresh sample programme of so many members."""
    from django.core.management import call_command
    from django.db import connection

    from bench import delivery, importing, ledger, pages, programme

    name = connection.creation.create_test_db(verbosity=0, autoclobber=True)
    try:
        call_command("seed", members=size, months=12, seed=1, verbosity=0)
        found = []
        for suite in (ledger, programme, importing, delivery, pages):
            for measurement in suite.measure(size):
                print(f"{size:>9,}  {measurement.name}: {measurement.ratio:.2f} × {measurement.floor_name}")
                found.append(measurement)
        return found
    finally:
        connection.creation.destroy_test_db(name, verbosity=0)


def report(sizes: tuple[int, int], small: list[Measurement], large: list[Measurement]) -> str:
    """The page: one row per measurement, at both sizes, and how the cost per row grew between them."""
    lines = [
        "# Benchmarks",
        "",
        "Written by `make bench`. Each figure is the time ours takes divided by the time that the floor beside it",
        "takes in the same run on the same machine, so 1 is the floor itself. *Growth* is the time per row at the",
        "large size divided by that at the small one: 1 means that the cost is linear.",
        "",
        f"Measured on {datetime.now(UTC):%Y-%m-%d} with Python {platform.python_version()} on {os.cpu_count()} cores,",
        f"over sample programmes of {sizes[0]:,} and {sizes[1]:,} members with twelve months of history.",
        "",
        "| what | floor | rows | ratio | rows | ratio | growth |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for one, two in zip(small, large, strict=True):
        growth = (two.ours / two.rows) / (one.ours / one.rows)
        lines.append(
            f"| {one.name} | {one.floor_name} | {one.rows:,} | {one.ratio:.2f} | {two.rows:,} | {two.ratio:.2f}"
            f" | {growth:.2f} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    chosen = tuple(int(text.replace(",", "")) for text in sys.argv[1:3])
    main((chosen[0], chosen[1]) if len(chosen) == 2 else SIZES)
