"""The database's own guard over the ledger (DESIGN section 2, invariants 1, 2 and 4; docs/adr/0002).

The triggers only refuse; they never write points. They fire once per statement over its whole set of
rows, or once at commit over all that the transaction touched, so that posting half a million entries
costs a few set-based joins and not half a million function calls.

What must hold at commit is collected in ``loyalty_unchecked`` as arrays of ids, one row per statement.
The deferred trigger on that table takes all rows of its transaction at once, checks them and removes
them, so no row of it is ever seen by anybody else.

A function's plans are kept for a whole session, so a plan made for an empty table must still be right
for half a million rows, and the other way round. Each therefore looks its rows up by key, one by one, in
a LATERAL subquery that OFFSET 0 keeps from being turned into a join of another order.
"""

import django.db.models.deletion
from django.db import migrations, models

REFUSE = """
CREATE FUNCTION loyalty_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% of % is refused: the ledger is append-only', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END $$;

CREATE TRIGGER loyalty_entry_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON loyalty_entry
    EXECUTE FUNCTION loyalty_refuse();
CREATE TRIGGER loyalty_draw_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON loyalty_draw
    EXECUTE FUNCTION loyalty_refuse();
-- Of a lot only what remains and when it can be used may change, of an account only what the ledger adds up to.
CREATE TRIGGER loyalty_lot_kept
    BEFORE DELETE OR TRUNCATE OR UPDATE OF id, entry_id, member_id, points ON loyalty_lot
    EXECUTE FUNCTION loyalty_refuse();
CREATE TRIGGER loyalty_account_kept BEFORE DELETE OR TRUNCATE OR UPDATE OF member_id ON loyalty_account
    EXECUTE FUNCTION loyalty_refuse();
"""

AT_COMMIT = """
CREATE UNLOGGED TABLE loyalty_unchecked (
    xact xid8 NOT NULL DEFAULT pg_current_xact_id(),
    members bigint[] NOT NULL DEFAULT '{}',
    entries bigint[] NOT NULL DEFAULT '{}',
    lots bigint[] NOT NULL DEFAULT '{}'
);
CREATE INDEX loyalty_unchecked_xact ON loyalty_unchecked (xact);

CREATE FUNCTION loyalty_check() RETURNS trigger LANGUAGE plpgsql
    SET enable_seqscan = off AS $$
DECLARE
    touched_members bigint[];
    touched_entries bigint[];
    touched_lots bigint[];
    wrong record;
BEGIN
    WITH taken AS (DELETE FROM loyalty_unchecked WHERE xact = pg_current_xact_id() RETURNING *)
    SELECT (SELECT array_agg(DISTINCT id) FROM taken, unnest(members) AS id),
           (SELECT array_agg(DISTINCT id) FROM taken, unnest(entries) AS id),
           (SELECT array_agg(DISTINCT id) FROM taken, unnest(lots) AS id)
      INTO touched_members, touched_entries, touched_lots;

    SELECT touched.id, account.balance, account.version, last.balance_after, last.seq, held.points INTO wrong
      FROM unnest(touched_members) AS touched(id)
      LEFT JOIN LATERAL (
          SELECT * FROM loyalty_account WHERE member_id = touched.id OFFSET 0) account ON true
      LEFT JOIN LATERAL (
          SELECT seq, balance_after FROM loyalty_entry entry
           WHERE entry.member_id = touched.id ORDER BY seq DESC LIMIT 1) last ON true
      LEFT JOIN LATERAL (
          SELECT sum(remaining) AS points FROM loyalty_lot lot
           WHERE lot.member_id = touched.id AND lot.remaining > 0) held ON true
     WHERE account.member_id IS NULL
        OR account.balance <> coalesce(last.balance_after, 0)
        OR account.version <> coalesce(last.seq, 0)
        OR account.balance <> coalesce(held.points, 0)
     LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'account of member %: balance % (version %), last entry % (seq %), lots %',
            wrong.id, wrong.balance, wrong.version, wrong.balance_after, wrong.seq, wrong.points
            USING ERRCODE = 'check_violation', CONSTRAINT = 'loyalty_balance_is_ledger_is_lots';
    END IF;

    SELECT entry.id, entry.points, lot.points AS lot, drawn.points AS drawn INTO wrong
      FROM unnest(touched_entries) AS touched(id)
      JOIN LATERAL (SELECT id, points FROM loyalty_entry WHERE id = touched.id OFFSET 0) entry ON true
      LEFT JOIN LATERAL (SELECT points FROM loyalty_lot WHERE entry_id = touched.id OFFSET 0) lot ON true
      LEFT JOIN LATERAL (
          SELECT sum(draw.points) AS points FROM loyalty_draw draw WHERE draw.entry_id = touched.id) drawn ON true
     WHERE entry.points <> coalesce(lot.points, 0) - coalesce(drawn.points, 0)
     LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'entry % of % points: lot %, draws %', wrong.id, wrong.points, wrong.lot, wrong.drawn
            USING ERRCODE = 'check_violation', CONSTRAINT = 'loyalty_entry_is_lot_and_draws';
    END IF;

    SELECT lot.id, lot.points, lot.remaining, drawn.points AS drawn INTO wrong
      FROM unnest(touched_lots) AS touched(id)
      JOIN LATERAL (SELECT id, points, remaining FROM loyalty_lot WHERE id = touched.id OFFSET 0) lot ON true
      LEFT JOIN LATERAL (
          SELECT sum(draw.points) AS points FROM loyalty_draw draw WHERE draw.lot_id = touched.id) drawn ON true
     WHERE lot.remaining <> lot.points - coalesce(drawn.points, 0)
     LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'lot % of % points: % remaining, draws %', wrong.id, wrong.points, wrong.remaining, wrong.drawn
            USING ERRCODE = 'check_violation', CONSTRAINT = 'loyalty_lot_is_points_less_draws';
    END IF;
    RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER loyalty_checked_at_commit AFTER INSERT ON loyalty_unchecked
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION loyalty_check();
"""

ACCOUNT = """
CREATE FUNCTION loyalty_account_opened() RETURNS trigger LANGUAGE plpgsql
    SET enable_seqscan = off AS $$
DECLARE
    found_members bigint;
BEGIN
    IF EXISTS (SELECT FROM new_rows WHERE balance <> 0 OR version <> 0) THEN
        RAISE EXCEPTION 'an account opens empty' USING ERRCODE = 'check_violation';
    END IF;
    -- The lock keeps the members from being removed before this transaction ends, as a foreign key would.
    SELECT count(*) INTO found_members
      FROM new_rows, LATERAL (
          SELECT FROM members_member WHERE id = new_rows.member_id OFFSET 0 FOR KEY SHARE) member;
    IF found_members <> (SELECT count(*) FROM new_rows) THEN
        RAISE EXCEPTION 'an account needs a member' USING ERRCODE = 'foreign_key_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER loyalty_account_opened AFTER INSERT ON loyalty_account
    REFERENCING NEW TABLE AS new_rows EXECUTE FUNCTION loyalty_account_opened();

CREATE FUNCTION loyalty_account_moved() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO loyalty_unchecked (members) SELECT array_agg(member_id) FROM new_rows HAVING count(*) > 0;
    RETURN NULL;
END $$;
CREATE TRIGGER loyalty_account_moved AFTER UPDATE ON loyalty_account
    REFERENCING NEW TABLE AS new_rows EXECUTE FUNCTION loyalty_account_moved();
"""

ENTRY = """
CREATE FUNCTION loyalty_entry_posted() RETURNS trigger LANGUAGE plpgsql
    SET enable_seqscan = off AS $$
DECLARE
    wrong record;
BEGIN
    SELECT entry.member_id, entry.seq INTO wrong
      FROM new_rows entry
      LEFT JOIN LATERAL (
          SELECT id, balance_after FROM loyalty_entry
           WHERE member_id = entry.member_id AND seq = entry.seq - 1 OFFSET 0) previous ON true
     WHERE entry.balance_after <> entry.points + coalesce(previous.balance_after, 0)
        OR (previous.id IS NULL) <> (entry.seq = 1)
     LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'entry % of member % does not follow the one before it', wrong.seq, wrong.member_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'loyalty_entry_chain';
    END IF;

    SELECT entry.member_id, entry.seq INTO wrong
      FROM new_rows entry
      LEFT JOIN LATERAL (SELECT * FROM loyalty_entry WHERE id = entry.reverses_id OFFSET 0) reversed ON true
     WHERE entry.reverses_id IS NOT NULL
       AND (reversed.member_id IS DISTINCT FROM entry.member_id OR reversed.points <> -entry.points
            OR reversed.kind = 'reverse')
     LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'entry % of member % reverses an entry that it does not match', wrong.seq, wrong.member_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'loyalty_entry_reverses_equal';
    END IF;

    -- The lock keeps the purchase from being removed before this transaction ends, as a foreign key would.
    SELECT entry.member_id, entry.seq INTO wrong
      FROM new_rows entry LEFT JOIN LATERAL (
          SELECT member_id FROM members_purchase WHERE id = entry.purchase_id OFFSET 0 FOR KEY SHARE) purchase ON true
     WHERE entry.purchase_id IS NOT NULL AND purchase.member_id IS DISTINCT FROM entry.member_id
     LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'entry % of member % names a purchase that is not theirs', wrong.seq, wrong.member_id
            USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'loyalty_entry_purchase_of_member';
    END IF;

    INSERT INTO loyalty_unchecked (members, entries)
    SELECT array_agg(DISTINCT member_id), array_agg(id) FROM new_rows HAVING count(*) > 0;
    RETURN NULL;
END $$;
CREATE TRIGGER loyalty_entry_posted AFTER INSERT ON loyalty_entry
    REFERENCING NEW TABLE AS new_rows EXECUTE FUNCTION loyalty_entry_posted();
"""

LOT_AND_DRAW = """
CREATE FUNCTION loyalty_lot_made() RETURNS trigger LANGUAGE plpgsql
    SET enable_seqscan = off AS $$
DECLARE
    wrong record;
BEGIN
    SELECT lot.id, lot.entry_id INTO wrong
      FROM new_rows lot LEFT JOIN LATERAL (SELECT * FROM loyalty_entry WHERE id = lot.entry_id OFFSET 0) entry ON true
     WHERE entry.id IS NULL OR entry.member_id <> lot.member_id OR entry.points <> lot.points
        OR entry.kind = 'reverse' OR lot.remaining <> lot.points
     LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'lot % is not what entry % brought', wrong.id, wrong.entry_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'loyalty_lot_is_its_entry';
    END IF;
    INSERT INTO loyalty_unchecked (members) SELECT array_agg(DISTINCT member_id) FROM new_rows HAVING count(*) > 0;
    RETURN NULL;
END $$;
CREATE TRIGGER loyalty_lot_made AFTER INSERT ON loyalty_lot
    REFERENCING NEW TABLE AS new_rows EXECUTE FUNCTION loyalty_lot_made();

CREATE FUNCTION loyalty_lot_moved() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO loyalty_unchecked (members, lots)
    SELECT array_agg(DISTINCT member_id), array_agg(id) FROM new_rows HAVING count(*) > 0;
    RETURN NULL;
END $$;
CREATE TRIGGER loyalty_lot_moved AFTER UPDATE ON loyalty_lot
    REFERENCING NEW TABLE AS new_rows EXECUTE FUNCTION loyalty_lot_moved();

CREATE FUNCTION loyalty_draw_made() RETURNS trigger LANGUAGE plpgsql
    SET enable_seqscan = off AS $$
DECLARE
    wrong record;
BEGIN
    SELECT draw.id INTO wrong
      FROM new_rows draw
      LEFT JOIN LATERAL (SELECT member_id FROM loyalty_entry WHERE id = draw.entry_id OFFSET 0) entry ON true
      LEFT JOIN LATERAL (SELECT member_id FROM loyalty_lot WHERE id = draw.lot_id OFFSET 0) lot ON true
     WHERE entry.member_id IS NULL OR entry.member_id IS DISTINCT FROM lot.member_id
     LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'draw % needs an entry and a lot of the same member', wrong.id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'loyalty_draw_of_member';
    END IF;
    INSERT INTO loyalty_unchecked (entries, lots)
    SELECT array_agg(DISTINCT entry_id), array_agg(DISTINCT lot_id) FROM new_rows HAVING count(*) > 0;
    RETURN NULL;
END $$;
CREATE TRIGGER loyalty_draw_made AFTER INSERT ON loyalty_draw
    REFERENCING NEW TABLE AS new_rows EXECUTE FUNCTION loyalty_draw_made();
"""

REMOVED = """
CREATE FUNCTION loyalty_purchase_removed() RETURNS trigger LANGUAGE plpgsql
    SET enable_seqscan = off AS $$
BEGIN
    IF EXISTS (
        SELECT FROM old_rows, LATERAL (
            SELECT FROM loyalty_entry entry
             WHERE entry.purchase_id = old_rows.id AND entry.reverses_id IS NULL
               AND (SELECT id FROM loyalty_entry reversal WHERE reversal.reverses_id = entry.id) IS NULL
            OFFSET 0) standing) THEN
        RAISE EXCEPTION 'a purchase that gave points cannot be removed before they are taken back'
            USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'loyalty_purchase_holds_points';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER loyalty_purchase_removed AFTER DELETE ON members_purchase
    REFERENCING OLD TABLE AS old_rows EXECUTE FUNCTION loyalty_purchase_removed();

CREATE FUNCTION loyalty_member_removed() RETURNS trigger LANGUAGE plpgsql
    SET enable_seqscan = off AS $$
BEGIN
    IF EXISTS (
        SELECT FROM old_rows, LATERAL (
            SELECT FROM loyalty_entry entry
             WHERE entry.member_id = old_rows.id AND entry.reverses_id IS NULL
               AND (SELECT id FROM loyalty_entry reversal WHERE reversal.reverses_id = entry.id) IS NULL
            OFFSET 0) standing) THEN
        RAISE EXCEPTION 'a member who got points cannot be removed before they are taken back'
            USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'loyalty_member_holds_points';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER loyalty_member_removed AFTER DELETE ON members_member
    REFERENCING OLD TABLE AS old_rows EXECUTE FUNCTION loyalty_member_removed();
"""

TIERS_GO_WITH_THE_MEMBER = """
DO $$
DECLARE
    name text;
    target regclass;
BEGIN
    FOREACH target IN ARRAY ARRAY['loyalty_tierstanding', 'loyalty_tierchange']::regclass[] LOOP
        SELECT conname INTO STRICT name FROM pg_constraint
         WHERE conrelid = target AND contype = 'f' AND confrelid = 'members_member'::regclass;
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', target, name);
        EXECUTE format('ALTER TABLE %s ADD CONSTRAINT %I FOREIGN KEY (member_id) REFERENCES members_member (id)'
                       ' ON DELETE {action} DEFERRABLE INITIALLY DEFERRED', target, name);
    END LOOP;
END $$;
"""

VERSIONS = """
CREATE FUNCTION loyalty_rule_version_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.state = 'draft' THEN
        RETURN coalesce(NEW, OLD);
    END IF;
    IF TG_OP = 'DELETE'
       OR NEW.state = 'draft' OR (OLD.state = 'retired' AND NEW.state <> 'retired')
       OR (NEW.rule_id, NEW.version, NEW.points, NEW.per_amount, NEW.rounding, NEW.active_from)
          IS DISTINCT FROM (OLD.rule_id, OLD.version, OLD.points, OLD.per_amount, OLD.rounding, OLD.active_from)
       OR NEW.expires_after_months IS DISTINCT FROM OLD.expires_after_months THEN
        RAISE EXCEPTION 'version % of a rule was active and is not changed any more', OLD.version
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER loyalty_rule_version_kept BEFORE UPDATE OR DELETE ON loyalty_ruleversion
    FOR EACH ROW EXECUTE FUNCTION loyalty_rule_version_kept();
"""

REMOVE_GUARDS = """
DROP TRIGGER loyalty_rule_version_kept ON loyalty_ruleversion;
DROP TRIGGER loyalty_member_removed ON members_member;
DROP TRIGGER loyalty_purchase_removed ON members_purchase;
DROP TRIGGER loyalty_draw_made ON loyalty_draw;
DROP TRIGGER loyalty_lot_moved ON loyalty_lot;
DROP TRIGGER loyalty_lot_made ON loyalty_lot;
DROP TRIGGER loyalty_entry_posted ON loyalty_entry;
DROP TRIGGER loyalty_account_moved ON loyalty_account;
DROP TRIGGER loyalty_account_opened ON loyalty_account;
DROP TRIGGER loyalty_account_kept ON loyalty_account;
DROP TRIGGER loyalty_lot_kept ON loyalty_lot;
DROP TRIGGER loyalty_draw_append_only ON loyalty_draw;
DROP TRIGGER loyalty_entry_append_only ON loyalty_entry;
DROP TABLE loyalty_unchecked;
DROP FUNCTION loyalty_rule_version_kept, loyalty_member_removed, loyalty_purchase_removed, loyalty_draw_made,
    loyalty_lot_moved, loyalty_lot_made, loyalty_entry_posted, loyalty_account_moved, loyalty_account_opened,
    loyalty_check, loyalty_refuse;
"""


class Migration(migrations.Migration):
    dependencies = [("loyalty", "0001_initial"), ("members", "0001_initial")]

    operations = [
        migrations.AlterField(
            model_name="account",
            name="member",
            field=models.OneToOneField(
                db_constraint=False,
                on_delete=django.db.models.deletion.PROTECT,
                primary_key=True,
                related_name="account",
                serialize=False,
                to="members.member",
            ),
        ),
        migrations.AlterField(
            model_name="entry",
            name="member",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="entries",
                to="members.member",
            ),
        ),
        migrations.AlterField(
            model_name="entry",
            name="purchase",
            field=models.ForeignKey(
                db_constraint=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="entries",
                to="members.purchase",
            ),
        ),
        migrations.AlterField(
            model_name="lot",
            name="member",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="lots",
                to="members.member",
            ),
        ),
        migrations.AlterField(
            model_name="entry",
            name="reverses",
            field=models.OneToOneField(
                db_constraint=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="reversed_by",
                to="loyalty.entry",
            ),
        ),
        migrations.AlterField(
            model_name="lot",
            name="entry",
            field=models.OneToOneField(
                db_constraint=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="lot",
                to="loyalty.entry",
            ),
        ),
        migrations.AlterField(
            model_name="draw",
            name="entry",
            field=models.ForeignKey(
                db_constraint=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="draws",
                to="loyalty.entry",
            ),
        ),
        migrations.AlterField(
            model_name="draw",
            name="lot",
            field=models.ForeignKey(
                db_constraint=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="draws",
                to="loyalty.lot",
            ),
        ),
        migrations.RunSQL(
            TIERS_GO_WITH_THE_MEMBER.replace("{action}", "CASCADE"),
            TIERS_GO_WITH_THE_MEMBER.replace("{action}", "NO ACTION"),
        ),
        migrations.RunSQL(REFUSE + AT_COMMIT + ACCOUNT + ENTRY + LOT_AND_DRAW + REMOVED + VERSIONS, REMOVE_GUARDS),
    ]
