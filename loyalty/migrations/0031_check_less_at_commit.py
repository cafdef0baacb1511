"""The check at commit reads less. It refuses what it did.

- Arrays of the same ids, noted by the entries, the accounts and the lots of one posting, are gone through once.
- Only an entry that gives points can have a lot (``loyalty_lot_is_its_entry``), so no other's is looked for.
- An entry whose lot, written by the same statement, is all that it brought is not noted: neither can change, and
  whatever is drawn under it notes it. Before, it was looked up at the commit with its lot and its draws.
"""

from importlib import import_module

from django.db import migrations

FEWER = import_module("loyalty.migrations.0025_check_many_rows_in_fewer_readings")
TAKEN = import_module("loyalty.migrations.0030_check_what_is_taken_from_the_notes")

CHECK = FEWER.changed(
    TAKEN.CHECK,
    ("FROM taken, unnest(members)", "FROM (SELECT DISTINCT members FROM taken) noted, unnest(members)"),
    ("FROM taken, unnest(entries)", "FROM (SELECT DISTINCT entries FROM taken) noted, unnest(entries)"),
    ("FROM taken, unnest(lots)", "FROM (SELECT DISTINCT lots FROM taken) noted, unnest(lots)"),
    (
        "(SELECT points FROM loyalty_lot WHERE entry_id = touched.id OFFSET 0)",
        "(\n          SELECT points FROM loyalty_lot WHERE entry.points > 0 AND entry_id = touched.id OFFSET 0)",
    ),
)

ENTRY = FEWER.changed(
    FEWER.ENTRY,
    (
        """array_agg(id) AS entries,
""",
        """count(*) AS entries,
           array_agg(id) FILTER (
               WHERE points <= 0 OR debt <> 0
                  OR points IS DISTINCT FROM (SELECT lot.points FROM loyalty_lot lot WHERE lot.entry_id = new_rows.id)
           ) AS unsettled,
""",
    ),
    ("IF posted.entries IS NULL THEN", "IF posted.entries = 0 THEN"),
    ("VALUES (posted.members, posted.entries)", "VALUES (posted.members, coalesce(posted.unsettled, '{}'))"),
)


class Migration(migrations.Migration):
    dependencies = [("loyalty", "0030_check_what_is_taken_from_the_notes")]

    operations = [
        migrations.RunSQL(CHECK + ENTRY + TAKEN.SETTINGS, TAKEN.CHECK + FEWER.ENTRY + TAKEN.SETTINGS),
    ]
