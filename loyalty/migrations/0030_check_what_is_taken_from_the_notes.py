"""Whoever takes a note away has what it names checked there and then; so nobody need be kept from it.

The check at commit alone emptied ``loyalty_unchecked``, and was known by the depth of triggers. But a trigger on
somebody's own temporary table is as deep: it took the notes away, and a wrong balance was committed. Now the check
hangs on the taking itself. It reads the notes that a statement deletes and refuses what does not hold; the trigger
at commit only deletes those that are left. What changes after that is noted again by the change itself.
"""

from importlib import import_module

from django.db import migrations

FEWER = import_module("loyalty.migrations.0025_check_many_rows_in_fewer_readings")

KEPT = """
DROP TRIGGER loyalty_unchecked_kept ON loyalty_unchecked;
CREATE TRIGGER loyalty_unchecked_kept BEFORE UPDATE ON loyalty_unchecked
    EXECUTE FUNCTION loyalty_unchecked_kept();
CREATE OR REPLACE FUNCTION loyalty_unchecked_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% of % is refused: what is to be checked stands as it was noted', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END $$;
"""
KEPT_BEFORE = """
DROP TRIGGER loyalty_unchecked_kept ON loyalty_unchecked;
CREATE TRIGGER loyalty_unchecked_kept BEFORE UPDATE OR DELETE ON loyalty_unchecked
    WHEN (pg_trigger_depth() < 1) EXECUTE FUNCTION loyalty_unchecked_kept();
CREATE OR REPLACE FUNCTION loyalty_unchecked_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% of % is refused: only the check at commit empties it', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END $$;
"""

# Every note calls it at commit, and the first call takes them all.
AT_COMMIT = """
CREATE FUNCTION loyalty_take_notes() RETURNS trigger LANGUAGE plpgsql
    SET enable_seqscan = off AS $$
BEGIN
    IF EXISTS (SELECT FROM loyalty_unchecked WHERE xact = pg_current_xact_id()) THEN
        DELETE FROM loyalty_unchecked WHERE xact = pg_current_xact_id();
    END IF;
    RETURN NULL;
END $$;
DROP TRIGGER loyalty_checked_at_commit ON loyalty_unchecked;
CREATE CONSTRAINT TRIGGER loyalty_checked_at_commit AFTER INSERT ON loyalty_unchecked
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION loyalty_take_notes();
CREATE TRIGGER loyalty_checked_when_taken AFTER DELETE ON loyalty_unchecked
    REFERENCING OLD TABLE AS taken EXECUTE FUNCTION loyalty_check();
"""
AT_COMMIT_BEFORE = """
DROP TRIGGER loyalty_checked_when_taken ON loyalty_unchecked;
DROP TRIGGER loyalty_checked_at_commit ON loyalty_unchecked;
CREATE CONSTRAINT TRIGGER loyalty_checked_at_commit AFTER INSERT ON loyalty_unchecked
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION loyalty_check();
DROP FUNCTION loyalty_take_notes;
"""

CHECK = FEWER.changed(
    FEWER.CHECK,
    ("    WITH taken AS (DELETE FROM loyalty_unchecked WHERE xact = pg_current_xact_id() RETURNING *)\n", ""),
)

SETTINGS = FEWER.NO_BITMAP + FEWER.LEAN


class Migration(migrations.Migration):
    dependencies = [("loyalty", "0025_check_many_rows_in_fewer_readings")]

    operations = [
        migrations.RunSQL(
            KEPT + CHECK + AT_COMMIT + SETTINGS,
            KEPT_BEFORE + AT_COMMIT_BEFORE + FEWER.CHECK + SETTINGS,
        ),
    ]
