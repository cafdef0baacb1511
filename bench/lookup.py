"""How long it takes to find a member, at a size.

    nice python bench/lookup.py [--members 1000000]

Fills a scratch database beside the configured one, measures, and drops it. The floor is the same server
answering ``SELECT`` of one member by primary key, so the result is a ratio and not a machine.
"""

import argparse
import os
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

FILL = """
    INSERT INTO members_member (number, external_id, given_name, family_name, email, phone, gender, birth_date,
        joined_at, status, language, time_zone, attributes, created_at, updated_at)
    SELECT 'M-' || lpad(i::text, 8, '0'), md5(i::text), given, family,
        lower(given) || i || '@example.com', '+861' || lpad(((i * 7919::bigint) %% 10000000000)::text, 10, '3'),
        CASE i %% 2 WHEN 0 THEN 'F' ELSE 'M' END, date '1960-01-01' + i %% 16000,
        now() - make_interval(mins => i), 'active', 'zh-hans', '', '{}', now(), now()
    FROM (
        SELECT i,
            (ARRAY['Xiaoyu','Mei','Wei','Jun','Hao','Ling','Anna','Paul','Sofia','小雨','伟','芳'])[1 + i %% 12]
                || CASE WHEN i %% 3 = 0 THEN '' ELSE chr(97 + i / 7 %% 26) || chr(97 + i / 11 %% 26) END AS given,
            (ARRAY['Wang','Li','Zhang','Chen','Meyer','Smith','王','李','张'])[1 + i / 12 %% 9] AS family
        FROM generate_series(1, %s) i
    ) people
"""


@contextmanager
def scratch_database() -> Iterator[None]:
    """A migrated database of our own for as long as it takes."""
    import django

    django.setup()
    from config import embedded

    if "DATABASE_URL" not in os.environ:
        embedded.hold()
    from django.core.management import call_command
    from django.db import connection

    name = "steadfast_bench_lookup"
    creation: Any = connection.creation
    with creation._nodb_cursor() as cursor:
        cursor.execute(f"DROP DATABASE IF EXISTS {name}")
        cursor.execute(f"CREATE DATABASE {name}")
    connection.close()
    connection.settings_dict["NAME"] = name
    try:
        call_command("migrate", verbosity=0)
        yield
    finally:
        connection.close()
        with creation._nodb_cursor() as cursor:
            cursor.execute(f"DROP DATABASE {name}")


def timed(act: Callable[[], object], times: int) -> list[float]:
    """Milliseconds of each call."""
    found = []
    for _ in range(times):
        start = time.perf_counter()
        act()
        found.append((time.perf_counter() - start) * 1000)
    return found


def timed_each(act: Callable[[str], object], texts: list[str]) -> list[float]:
    """Milliseconds of one call for each text."""
    found = []
    for text in texts:
        start = time.perf_counter()
        act(text)
        found.append((time.perf_counter() - start) * 1000)
    return found


def main() -> None:
    """Fill, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--members", type=int, default=1_000_000)
    parser.add_argument("--times", type=int, default=200)
    size = parser.parse_args()
    with scratch_database():
        fill(size.members)
        measure(size.members, size.times)


def fill(members: int) -> None:
    """Synthetic members, in one statement."""
    from django.db import connection

    start = time.perf_counter()
    with connection.cursor() as cursor:
        cursor.execute(FILL, [members])
        cursor.execute("VACUUM ANALYZE members_member")
        cursor.execute(
            "SELECT pg_size_pretty(pg_relation_size(oid)), pg_size_pretty(pg_indexes_size(oid)) FROM pg_class"
            " WHERE relname = 'members_member'"
        )
        table, indexes = cursor.fetchone()
    print(f"{members:,} members in {time.perf_counter() - start:.0f} s; table {table}, indexes {indexes}")


def measure(members: int, times: int) -> None:
    """Each way of asking, for other members each time, against the floor."""
    from members import lookup
    from members.models import Member

    chance = random.Random(1)  # noqa: S311

    def somebody() -> Member:
        return Member.objects.get(number=f"M-{chance.randrange(1, members + 1):08d}")

    people = [somebody() for _ in range(times)]
    ways: dict[str, Callable[[Member], str]] = {
        "number": lambda m: m.number,
        "number begins": lambda m: m.number[:6],
        "outside id": lambda m: str(m.external_id),
        "e-mail": lambda m: m.email,
        "e-mail begins": lambda m: m.email[:9],
        "phone": lambda m: m.phone[3:],
        "phone begins": lambda m: m.phone[3:8],
        "last four digits": lambda m: m.phone[-4:],
        "full name": lambda m: m.display_name,
        "name begins": lambda m: m.display_name[:3],
        "one letter": lambda m: m.display_name[:1],
        "nobody": lambda m: m.number + "x",
    }
    floor = statistics.median(timed(lambda: Member.objects.get(pk=people[0].pk), times))
    print(f"{'':18}{'median ms':>10}{'95% ms':>10}{'worst ms':>10}{'× floor':>10}")
    print(f"{'by primary key':18}{floor:>10.2f}")
    for way, text in ways.items():
        found = sorted(timed_each(lookup.find, [text(person) for person in people]))
        median, late, worst = statistics.median(found), found[int(len(found) * 0.95)], found[-1]
        print(f"{way:18}{median:>10.2f}{late:>10.2f}{worst:>10.2f}{median / floor:>10.1f}")


if __name__ == "__main__":
    main()
