"""The guards of 0002 and 0004, which know now of debt, clawbacks, transfers, and lots that are held or slide.

Their functions are replaced; the triggers that call them stand, but for what may change of a lot.
"""

from importlib import import_module

from django.db import migrations

FIRST = import_module("loyalty.migrations.0002_guard_the_ledger")
CLOSED = import_module("loyalty.migrations.0004_close_ways_round_the_guards")

AT_COMMIT = """
CREATE OR REPLACE FUNCTION loyalty_check() RETURNS trigger LANGUAGE plpgsql
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

    SELECT touched.id, account.balance, account.debt, account.version, last.balance_after, last.debt_after, last.seq,
           held.points
      INTO wrong
      FROM unnest(touched_members) AS touched(id)
      LEFT JOIN LATERAL (
          SELECT * FROM loyalty_account WHERE member_id = touched.id OFFSET 0) account ON true
      LEFT JOIN LATERAL (
          SELECT seq, balance_after, debt_after FROM loyalty_entry entry
           WHERE entry.member_id = touched.id ORDER BY seq DESC LIMIT 1) last ON true
      LEFT JOIN LATERAL (
          SELECT sum(remaining) AS points FROM loyalty_lot lot
           WHERE lot.member_id = touched.id AND lot.remaining > 0) held ON true
     WHERE account.member_id IS NULL
        OR account.balance <> coalesce(last.balance_after, 0)
        OR account.debt <> coalesce(last.debt_after, 0)
        OR account.version <> coalesce(last.seq, 0)
        OR account.balance <> coalesce(held.points, 0) - account.debt
        OR (account.debt > 0 AND held.points > 0)
     LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'account of member %: balance % (version %), debt %, last entry % (seq %, debt %), lots %',
            wrong.id, wrong.balance, wrong.version, wrong.debt, wrong.balance_after, wrong.seq, wrong.debt_after,
            wrong.points
            USING ERRCODE = 'check_violation', CONSTRAINT = 'loyalty_balance_is_ledger_is_lots';
    END IF;

    SELECT entry.id, entry.points, entry.debt, lot.points AS lot, drawn.points AS drawn, received.points AS received
      INTO wrong
      FROM unnest(touched_entries) AS touched(id)
      JOIN LATERAL (
          SELECT id, kind, points, debt FROM loyalty_entry WHERE id = touched.id OFFSET 0) entry ON true
      LEFT JOIN LATERAL (SELECT points FROM loyalty_lot WHERE entry_id = touched.id OFFSET 0) lot ON true
      LEFT JOIN LATERAL (
          SELECT sum(draw.points) AS points FROM loyalty_draw draw WHERE draw.entry_id = touched.id) drawn ON true
      LEFT JOIN LATERAL (
          SELECT sum(part.points) AS points FROM loyalty_entry part
           WHERE entry.kind = 'transfer' AND entry.points < 0 AND part.award_id = entry.id) received ON true
     WHERE entry.points <> coalesce(lot.points, 0) - coalesce(drawn.points, 0) - entry.debt
        OR (entry.kind = 'transfer' AND entry.points < 0 AND coalesce(received.points, 0) <> -entry.points)
     LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'entry % of % points: lot %, draws %, debt %, arrived elsewhere %',
            wrong.id, wrong.points, wrong.lot, wrong.drawn, wrong.debt, wrong.received
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
"""

# A clawback and the reversal of an award are told apart by rows of this very statement too: both are seen here.
ENTRY = """
CREATE OR REPLACE FUNCTION loyalty_entry_posted() RETURNS trigger LANGUAGE plpgsql
    SET enable_seqscan = off AS $$
DECLARE
    wrong record;
BEGIN
    SELECT entry.member_id, entry.seq INTO wrong
      FROM new_rows entry
      LEFT JOIN LATERAL (
          SELECT id, balance_after, debt_after FROM loyalty_entry
           WHERE member_id = entry.member_id AND seq = entry.seq - 1 OFFSET 0) previous ON true
     WHERE entry.balance_after <> entry.points + coalesce(previous.balance_after, 0)
        OR entry.debt_after <> entry.debt + coalesce(previous.debt_after, 0)
        OR (previous.id IS NULL) <> (entry.seq = 1)
     LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'entry % of member % does not follow the one before it', wrong.seq, wrong.member_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'loyalty_entry_chain';
    END IF;

    IF EXISTS (SELECT FROM new_rows WHERE reverses_id IS NOT NULL) THEN
        SELECT entry.member_id, entry.seq INTO wrong
          FROM new_rows entry
          LEFT JOIN LATERAL (SELECT * FROM loyalty_entry WHERE id = entry.reverses_id OFFSET 0) reversed ON true
         WHERE entry.reverses_id IS NOT NULL
           AND (reversed.member_id IS DISTINCT FROM entry.member_id OR reversed.points <> -entry.points
                OR reversed.qualifying <> -entry.qualifying OR reversed.kind IN ('reverse', 'transfer'))
         LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION 'entry % of member % reverses an entry that it does not match', wrong.seq, wrong.member_id
                USING ERRCODE = 'check_violation', CONSTRAINT = 'loyalty_entry_reverses_equal';
        END IF;

        SELECT entry.member_id, entry.seq INTO wrong
          FROM new_rows entry
          JOIN LATERAL (
              SELECT FROM loyalty_entry part
               WHERE part.award_id = entry.reverses_id AND part.kind = 'clawback'
                 AND (SELECT id FROM loyalty_entry reversal WHERE reversal.reverses_id = part.id) IS NULL
               LIMIT 1) standing ON true
         WHERE entry.reverses_id IS NOT NULL
         LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION 'entry % of member % reverses an award of which a part stands as taken back',
                wrong.seq, wrong.member_id
                USING ERRCODE = 'check_violation', CONSTRAINT = 'loyalty_entry_taken_back_once';
        END IF;
    END IF;

    IF EXISTS (SELECT FROM new_rows WHERE award_id IS NOT NULL) THEN
        SELECT entry.member_id, entry.seq INTO wrong
          FROM new_rows entry
          LEFT JOIN LATERAL (SELECT * FROM loyalty_entry WHERE id = entry.award_id OFFSET 0) award ON true
          LEFT JOIN LATERAL (
              SELECT sum(part.points) AS points, sum(part.qualifying) AS qualifying FROM loyalty_entry part
               WHERE part.award_id = entry.award_id AND part.kind = 'clawback'
                 AND (SELECT id FROM loyalty_entry reversal WHERE reversal.reverses_id = part.id) IS NULL
              ) taken ON true
         WHERE entry.kind = 'clawback'
           AND (award.member_id IS DISTINCT FROM entry.member_id OR award.kind NOT IN ('earn', 'adjust')
                OR award.points + taken.points < 0 OR award.qualifying + taken.qualifying < 0
                OR (SELECT id FROM loyalty_entry reversal WHERE reversal.reverses_id = award.id) IS NOT NULL)
         LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION 'entry % of member % takes back more than its award gave', wrong.seq, wrong.member_id
                USING ERRCODE = 'check_violation', CONSTRAINT = 'loyalty_entry_clawback_within_award';
        END IF;

        SELECT entry.member_id, entry.seq INTO wrong
          FROM new_rows entry
          LEFT JOIN LATERAL (SELECT * FROM loyalty_entry WHERE id = entry.award_id OFFSET 0) given ON true
         WHERE entry.kind = 'transfer' AND entry.award_id IS NOT NULL
           AND (given.kind IS DISTINCT FROM 'transfer' OR given.points >= 0 OR given.member_id = entry.member_id)
         LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION 'entry % of member % receives what nobody else gave', wrong.seq, wrong.member_id
                USING ERRCODE = 'check_violation', CONSTRAINT = 'loyalty_entry_transfer_has_giver';
        END IF;
        INSERT INTO loyalty_unchecked (entries)
        SELECT array_agg(DISTINCT award_id) FROM new_rows WHERE kind = 'transfer' HAVING count(award_id) > 0;
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
"""

ACCOUNT = """
CREATE OR REPLACE FUNCTION loyalty_account_opened() RETURNS trigger LANGUAGE plpgsql
    SET enable_seqscan = off AS $$
DECLARE
    found_members bigint;
BEGIN
    IF EXISTS (SELECT FROM new_rows WHERE balance <> 0 OR version <> 0 OR debt <> 0) THEN
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
"""

# What a reversal gives back, and no old lot can take, is a lot of its own. An award that pays off debt draws that
# much from its own lot, and nothing else draws the way its entry goes.
LOT_AND_DRAW = """
CREATE OR REPLACE FUNCTION loyalty_lot_made() RETURNS trigger LANGUAGE plpgsql
    SET enable_seqscan = off AS $$
DECLARE
    wrong record;
BEGIN
    SELECT lot.id, lot.entry_id INTO wrong
      FROM new_rows lot LEFT JOIN LATERAL (SELECT * FROM loyalty_entry WHERE id = lot.entry_id OFFSET 0) entry ON true
     WHERE entry.id IS NULL OR entry.member_id <> lot.member_id OR lot.remaining <> lot.points
        OR lot.points > entry.points OR (lot.points <> entry.points AND entry.kind <> 'reverse')
     LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'lot % is not what entry % brought', wrong.id, wrong.entry_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'loyalty_lot_is_its_entry';
    END IF;
    INSERT INTO loyalty_unchecked (members) SELECT array_agg(DISTINCT member_id) FROM new_rows HAVING count(*) > 0;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION loyalty_draw_against_entry() RETURNS trigger LANGUAGE plpgsql
    SET enable_seqscan = off AS $$
DECLARE
    wrong record;
BEGIN
    SELECT draw.id, draw.entry_id INTO wrong
      FROM new_rows draw
      JOIN LATERAL (SELECT points, debt, kind FROM loyalty_entry WHERE id = draw.entry_id OFFSET 0) entry ON true
     WHERE entry.points = 0
        OR (sign(entry.points) = sign(draw.points)
            AND NOT (entry.points > 0 AND entry.kind <> 'reverse' AND draw.points = -entry.debt
                     AND (SELECT lot.entry_id FROM loyalty_lot lot WHERE lot.id = draw.lot_id) = draw.entry_id))
     LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'draw % goes the same way as its entry %', wrong.id, wrong.entry_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'loyalty_draw_against_entry';
    END IF;
    RETURN NULL;
END $$;
"""

# Held points are released once, and what lapses when a member is idle may lapse later. Which of the two a change is
# stands in the condition, so that moving many lots calls no function for each.
LOTS = """
DROP TRIGGER loyalty_lot_kept ON loyalty_lot;
CREATE TRIGGER loyalty_lot_kept
    BEFORE DELETE OR TRUNCATE OR UPDATE OF id, entry_id, member_id, points, idle_months ON loyalty_lot
    EXECUTE FUNCTION loyalty_refuse();
CREATE TRIGGER loyalty_lot_rescheduled BEFORE UPDATE OF activates_at, expires_at ON loyalty_lot
    FOR EACH ROW
    WHEN ((NEW.activates_at IS DISTINCT FROM OLD.activates_at AND OLD.activates_at IS NOT NULL)
          OR (NEW.expires_at IS DISTINCT FROM OLD.expires_at
              AND (OLD.idle_months IS NULL OR NEW.expires_at IS NULL OR NEW.expires_at < OLD.expires_at)))
    EXECUTE FUNCTION loyalty_refuse();
"""
LOTS_BEFORE = """
DROP TRIGGER loyalty_lot_rescheduled ON loyalty_lot;
DROP TRIGGER loyalty_lot_kept ON loyalty_lot;
CREATE TRIGGER loyalty_lot_kept
    BEFORE DELETE OR TRUNCATE OR UPDATE OF id, entry_id, member_id, points, activates_at, expires_at ON loyalty_lot
    EXECUTE FUNCTION loyalty_refuse();
"""

# A function that is replaced forgets how it was pinned (0004) and planned (0006).
PINNED = CLOSED.PINNED + "ALTER FUNCTION loyalty_check() SET plan_cache_mode = force_custom_plan;"


def as_before(source: str, name: str) -> str:
    """The function of that name as an earlier migration made it."""
    start = source.index(f"CREATE FUNCTION {name}(")
    end = source.index("END $$;", start) + len("END $$;")
    return source[start:end].replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION", 1) + "\n"


GUARDS_BEFORE = (
    as_before(FIRST.AT_COMMIT, "loyalty_check")
    + as_before(FIRST.ENTRY, "loyalty_entry_posted")
    + as_before(FIRST.ACCOUNT, "loyalty_account_opened")
    + as_before(FIRST.LOT_AND_DRAW, "loyalty_lot_made")
    + as_before(CLOSED.DRAWS, "loyalty_draw_against_entry")
)


class Migration(migrations.Migration):
    dependencies = [("loyalty", "0007_deepen_the_ledger")]

    operations = [
        migrations.RunSQL(
            AT_COMMIT + ENTRY + ACCOUNT + LOT_AND_DRAW + LOTS + PINNED,
            LOTS_BEFORE + GUARDS_BEFORE + PINNED,
        ),
    ]
