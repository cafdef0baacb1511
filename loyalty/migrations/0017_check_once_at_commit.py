"""The check at commit does its work once in a transaction, and is planned once in a session.

Every row of ``loyalty_unchecked`` calls it, and the first call takes them all: the others have nothing to check, and
planned three queries for it each time. What was not touched is not asked for either. 0006 had it planned anew each
time, because it took the wrong index of the lots while they were few; that index cannot serve it any more, and of
every table that it reads one index alone can, whatever the table held when the session began.
"""

from importlib import import_module

from django.db import migrations

BEFORE = import_module("loyalty.migrations.0008_guard_the_deeper_ledger").AT_COMMIT
CHECKS = {
    "touched_members": "    SELECT touched.id, account.balance, account.debt,",
    "touched_entries": "    SELECT entry.id, entry.points, entry.debt,",
    "touched_lots": "    SELECT lot.id, lot.points, lot.remaining,",
}


def only_what_was_touched(source: str) -> str:
    """The function with each of its three checks made only where something was touched."""
    starts = [source.index(text) for text in CHECKS.values()]
    end = source.index("    RETURN NULL;\nEND $$;")
    checks = (
        f"    IF {touched} IS NOT NULL THEN\n{source[start:stop].rstrip()}\n    END IF;\n\n"
        for touched, start, stop in zip(CHECKS, starts, [*starts[1:], end], strict=True)
    )
    return source[: starts[0]] + "".join(checks) + source[end:]


PLAN = "ALTER FUNCTION loyalty_check() SET plan_cache_mode = {};"
PINNED = import_module("loyalty.migrations.0004_close_ways_round_the_guards").PINNED


class Migration(migrations.Migration):
    dependencies = [("loyalty", "0016_limit_transfers_by_day")]

    operations = [
        migrations.RunSQL(
            only_what_was_touched(BEFORE) + PINNED + PLAN.format("force_generic_plan"),
            BEFORE + PINNED + PLAN.format("force_custom_plan"),
        ),
    ]
