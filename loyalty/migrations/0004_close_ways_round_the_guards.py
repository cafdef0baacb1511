"""What could still go round the guards of 0002 with plain SQL, and no longer can.

- ``loyalty_unchecked`` is emptied by the check at commit alone: whoever emptied it before had nothing checked.
- The guards name the tables of their own schema: a temporary table called ``loyalty_unchecked`` hid the real
  one from them, and what was to be checked went there.
- A draw goes against its entry. One draw of +5 and one of -5 under an old entry left every sum as it was and
  moved points from a lot that expires to one that does not.
- Purchases are not truncated away from under the entries that name them.
"""

from django.db import migrations

UNCHECKED = """
CREATE FUNCTION loyalty_unchecked_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% of % is refused: only the check at commit empties it', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END $$;
-- The check itself is a trigger, so what it deletes is deleted at a depth of one.
CREATE TRIGGER loyalty_unchecked_kept BEFORE UPDATE OR DELETE ON loyalty_unchecked
    WHEN (pg_trigger_depth() < 1) EXECUTE FUNCTION loyalty_unchecked_kept();
CREATE TRIGGER loyalty_unchecked_not_truncated BEFORE TRUNCATE ON loyalty_unchecked
    EXECUTE FUNCTION loyalty_unchecked_kept();
"""

DRAWS = """
CREATE FUNCTION loyalty_draw_against_entry() RETURNS trigger LANGUAGE plpgsql
    SET enable_seqscan = off AS $$
DECLARE
    wrong record;
BEGIN
    SELECT draw.id, draw.entry_id INTO wrong
      FROM new_rows draw
      JOIN LATERAL (SELECT points FROM loyalty_entry WHERE id = draw.entry_id OFFSET 0) entry ON true
     WHERE sign(entry.points) = sign(draw.points)
     LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'draw % goes the same way as its entry %', wrong.id, wrong.entry_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'loyalty_draw_against_entry';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER loyalty_draw_against_entry AFTER INSERT ON loyalty_draw
    REFERENCING NEW TABLE AS new_rows EXECUTE FUNCTION loyalty_draw_against_entry();
"""

PURCHASES = """
CREATE TRIGGER loyalty_purchase_not_truncated BEFORE TRUNCATE ON members_purchase
    EXECUTE FUNCTION loyalty_refuse();
"""

PIN = """
DO $$
DECLARE
    guard regprocedure;
BEGIN
    FOR guard IN
        SELECT oid::regprocedure FROM pg_proc
         WHERE pronamespace = current_schema()::regnamespace AND prorettype = 'trigger'::regtype
           AND proname LIKE 'loyalty\\_%'
    LOOP
        {action}
    END LOOP;
END $$;
"""
# Temporary tables are looked for first unless pg_temp is named last.
PINNED = PIN.replace(
    "{action}", "EXECUTE format('ALTER FUNCTION %s SET search_path = %I, pg_temp', guard, current_schema());"
)
UNPINNED = PIN.replace("{action}", "EXECUTE format('ALTER FUNCTION %s RESET search_path', guard);")

OPEN_AGAIN = """
DROP TRIGGER loyalty_purchase_not_truncated ON members_purchase;
DROP TRIGGER loyalty_draw_against_entry ON loyalty_draw;
DROP TRIGGER loyalty_unchecked_not_truncated ON loyalty_unchecked;
DROP TRIGGER loyalty_unchecked_kept ON loyalty_unchecked;
DROP FUNCTION loyalty_draw_against_entry, loyalty_unchecked_kept;
"""


class Migration(migrations.Migration):
    dependencies = [("loyalty", "0003_track_configuration"), ("members", "0001_initial")]

    operations = [
        migrations.RunSQL(UNCHECKED + DRAWS + PURCHASES, OPEN_AGAIN),
        migrations.RunSQL(PINNED, UNPINNED),
    ]
