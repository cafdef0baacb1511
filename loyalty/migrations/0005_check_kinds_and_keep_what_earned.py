"""What a plain SQL statement could still say that the programme never says.

- An entry of an unknown kind, or one that earns by taking and redeems by giving; a redemption in an unknown state.
- A lot that expires later than its entry promised: of a lot only ``remaining`` moves.
- A purchase whose value, day or member changed after it earned: its points would no longer be explained.
"""

from django.db import migrations, models
from django.db.models import Q

LOTS = """
DROP TRIGGER loyalty_lot_kept ON loyalty_lot;
CREATE TRIGGER loyalty_lot_kept
    BEFORE DELETE OR TRUNCATE OR UPDATE OF id, entry_id, member_id, points, activates_at, expires_at ON loyalty_lot
    EXECUTE FUNCTION loyalty_refuse();
"""
LOTS_BEFORE = """
DROP TRIGGER loyalty_lot_kept ON loyalty_lot;
CREATE TRIGGER loyalty_lot_kept
    BEFORE DELETE OR TRUNCATE OR UPDATE OF id, entry_id, member_id, points ON loyalty_lot
    EXECUTE FUNCTION loyalty_refuse();
"""

# By row, because a trigger that sees whole sets of rows cannot be limited to columns, and every other change of
# a purchase shall cost nothing. Temporary tables are looked for last (0004).
PURCHASES = """
CREATE FUNCTION loyalty_purchase_kept() RETURNS trigger LANGUAGE plpgsql
    SET enable_seqscan = off AS $$
BEGIN
    IF EXISTS (
        SELECT FROM loyalty_entry entry
         WHERE entry.purchase_id = OLD.id AND entry.reverses_id IS NULL
           AND (SELECT id FROM loyalty_entry reversal WHERE reversal.reverses_id = entry.id) IS NULL) THEN
        RAISE EXCEPTION 'purchase % gave points and cannot be changed before they are taken back', OLD.id
            USING ERRCODE = 'restrict_violation', CONSTRAINT = 'loyalty_purchase_explains_points';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER loyalty_purchase_kept BEFORE UPDATE OF id, member_id, value, purchased_at ON members_purchase
    FOR EACH ROW
    WHEN ((OLD.id, OLD.member_id, OLD.value, OLD.purchased_at)
          IS DISTINCT FROM (NEW.id, NEW.member_id, NEW.value, NEW.purchased_at))
    EXECUTE FUNCTION loyalty_purchase_kept();
DO $$ BEGIN
    EXECUTE format('ALTER FUNCTION loyalty_purchase_kept() SET search_path = %I, pg_temp', current_schema());
END $$;
"""
PURCHASES_BEFORE = """
DROP TRIGGER loyalty_purchase_kept ON members_purchase;
DROP FUNCTION loyalty_purchase_kept;
"""


class Migration(migrations.Migration):
    dependencies = [("loyalty", "0004_close_ways_round_the_guards"), ("members", "0001_initial")]

    operations = [
        migrations.AddConstraint(
            model_name="entry",
            constraint=models.CheckConstraint(
                condition=Q(kind="earn", points__gt=0)
                | Q(kind__in=["redeem", "expire"], points__lt=0)
                | Q(kind__in=["adjust", "reverse"]),
                name="loyalty_entry_sign_of_kind",
            ),
        ),
        migrations.AddConstraint(
            model_name="redemption",
            constraint=models.CheckConstraint(
                condition=Q(state__in=["reserved", "confirmed", "fulfilled", "cancelled"]),
                name="loyalty_redemption_state_known",
            ),
        ),
        migrations.RunSQL(LOTS + PURCHASES, PURCHASES_BEFORE + LOTS_BEFORE),
    ]
