"""What the guards read, so that posting to everybody costs little beside writing the rows. They refuse what they did.

- New entries are gone through twice and not five times: whether any reverses something, is a part of something or
  names a purchase is counted together with what is noted for the commit. The entry before each is found by the index
  of member and number; by that of member and time it was looked for among all entries of the member.
- Both checks of a draw read its entry once, in one function.
- Looked up one by one, rows are never gathered in a bitmap first, which costs more than the row; and sums stay whole
  numbers of the size of what they are compared with.
"""

from importlib import import_module
from textwrap import indent

from django.db import migrations

FIRST = import_module("loyalty.migrations.0002_guard_the_ledger")
CLOSED = import_module("loyalty.migrations.0004_close_ways_round_the_guards")
DEEPER = import_module("loyalty.migrations.0008_guard_the_deeper_ledger")
RETURNING = import_module("loyalty.migrations.0014_return_points_spent_on_purchases")
ONCE = import_module("loyalty.migrations.0017_check_once_at_commit")


def changed(source: str, *changes: tuple[str, str]) -> str:
    """The source with each of these passages, which stand in it once, replaced."""
    for before, after in changes:
        if source.count(before) != 1:
            raise ValueError(before)
        source = source.replace(before, after)
    return source


ENTRY_BEFORE = RETURNING.ENTRY
_START = ENTRY_BEFORE.index("    -- The lock keeps the purchase from")
_END = ENTRY_BEFORE.index("\n    INSERT INTO loyalty_unchecked (members, entries)")
PURCHASES = ENTRY_BEFORE[_START:_END]
ENTRY = changed(
    ENTRY_BEFORE,
    (
        "    wrong record;\nBEGIN\n",
        """    wrong record;
    posted record;
BEGIN
    SELECT array_agg(DISTINCT member_id) AS members, array_agg(id) AS entries,
           count(reverses_id) AS reversals, count(award_id) AS parts, count(purchase_id) AS purchases
      INTO posted FROM new_rows;
    IF posted.entries IS NULL THEN
        RETURN NULL;
    END IF;

""",
    ),
    (
        "SELECT id, balance_after, debt_after FROM loyalty_entry",
        "SELECT seq, balance_after, debt_after FROM loyalty_entry",
    ),
    ("AND seq = entry.seq - 1 OFFSET 0) previous", "AND seq < entry.seq ORDER BY seq DESC LIMIT 1) previous"),
    ("(previous.id IS NULL) <> (entry.seq = 1)", "entry.seq <> 1 + coalesce(previous.seq, 0)"),
    ("IF EXISTS (SELECT FROM new_rows WHERE reverses_id IS NOT NULL) THEN", "IF posted.reversals > 0 THEN"),
    ("IF EXISTS (SELECT FROM new_rows WHERE award_id IS NOT NULL) THEN", "IF posted.parts > 0 THEN"),
    (PURCHASES, "    IF posted.purchases > 0 THEN\n" + indent(PURCHASES, "    ") + "    END IF;\n"),
    (
        """    INSERT INTO loyalty_unchecked (members, entries)
    SELECT array_agg(DISTINCT member_id), array_agg(id) FROM new_rows HAVING count(*) > 0;
""",
        """    INSERT INTO loyalty_unchecked (members, entries) VALUES (posted.members, posted.entries);
""",
    ),
)

LOT_BEFORE = DEEPER.as_before(RETURNING.LOT_AND_DRAW.replace("CREATE OR REPLACE", "CREATE"), "loyalty_lot_made")
LOT = changed(
    LOT_BEFORE,
    (
        "SELECT * FROM loyalty_entry WHERE id = lot.entry_id OFFSET 0",
        "\n          SELECT id, member_id, points, kind FROM loyalty_entry WHERE id = lot.entry_id OFFSET 0",
    ),
)

DRAW_BEFORE = DEEPER.as_before(FIRST.LOT_AND_DRAW, "loyalty_draw_made")
DRAW = """
CREATE OR REPLACE FUNCTION loyalty_draw_made() RETURNS trigger LANGUAGE plpgsql
    SET enable_seqscan = off AS $$
DECLARE
    wrong record;
BEGIN
    SELECT draw.id, draw.entry_id, entry.member_id IS NULL OR entry.member_id IS DISTINCT FROM lot.member_id AS is_strange
      INTO wrong
      FROM new_rows draw
      LEFT JOIN LATERAL (
          SELECT member_id, points, debt, kind FROM loyalty_entry WHERE id = draw.entry_id OFFSET 0) entry ON true
      LEFT JOIN LATERAL (
          SELECT member_id, entry_id FROM loyalty_lot WHERE id = draw.lot_id OFFSET 0) lot ON true
     WHERE entry.member_id IS NULL OR entry.member_id IS DISTINCT FROM lot.member_id OR entry.points = 0
        OR (sign(entry.points) = sign(draw.points)
            AND NOT (entry.points > 0 AND entry.kind <> 'reverse' AND draw.points = -entry.debt
                     AND lot.entry_id = draw.entry_id))
     LIMIT 1;
    IF FOUND AND wrong.is_strange THEN
        RAISE EXCEPTION 'draw % needs an entry and a lot of the same member', wrong.id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'loyalty_draw_of_member';
    ELSIF FOUND THEN
        RAISE EXCEPTION 'draw % goes the same way as its entry %', wrong.id, wrong.entry_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'loyalty_draw_against_entry';
    END IF;
    INSERT INTO loyalty_unchecked (entries, lots)
    SELECT array_agg(DISTINCT entry_id), array_agg(DISTINCT lot_id) FROM new_rows HAVING count(*) > 0;
    RETURN NULL;
END $$;
"""
ONE_CHECK = """
DROP TRIGGER loyalty_draw_against_entry ON loyalty_draw;
DROP FUNCTION loyalty_draw_against_entry;
"""
AGAINST_BEFORE = (
    DEEPER.as_before(RETURNING.LOT_AND_DRAW.replace("CREATE OR REPLACE", "CREATE"), "loyalty_draw_against_entry")
    + """
CREATE TRIGGER loyalty_draw_against_entry AFTER INSERT ON loyalty_draw
    REFERENCING NEW TABLE AS new_rows EXECUTE FUNCTION loyalty_draw_against_entry();
"""
)

CHECK_BEFORE = ONCE.only_what_was_touched(ONCE.BEFORE)
CHECK = (
    CHECK_BEFORE.replace("sum(remaining) AS", "sum(remaining)::bigint AS")
    .replace("sum(draw.points) AS", "sum(draw.points)::bigint AS")
    .replace("sum(part.points) AS", "sum(part.points)::bigint AS")
    .replace("SELECT * FROM loyalty_account", "SELECT member_id, balance, debt, version FROM loyalty_account")
)

LEAN = CLOSED.PINNED + ONCE.PLAN.format("force_generic_plan")
NO_BITMAP = "ALTER FUNCTION loyalty_check() SET enable_bitmapscan = off;"


class Migration(migrations.Migration):
    dependencies = [("loyalty", "0027_count_joins_of_a_day")]

    operations = [
        migrations.RunSQL(
            ENTRY + LOT + DRAW + ONE_CHECK + CHECK + NO_BITMAP + LEAN,
            ENTRY_BEFORE + LOT_BEFORE + DRAW_BEFORE + AGAINST_BEFORE + CHECK_BEFORE + LEAN,
        ),
    ]
