"""A refund is written as waiting and applied then: the check at commit sees it as it stands, not as it was."""

from importlib import import_module

from django.db import migrations

FIRST = import_module("members.migrations.0005_purchase_lines_and_refunds")

MOVED = """
CREATE OR REPLACE FUNCTION members_refund_moved() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        PERFORM members_check_refunds_of(OLD.purchase_id);
    END IF;
    IF TG_OP <> 'DELETE' THEN
        PERFORM members_check_refunds_of(NEW.purchase_id);
        IF EXISTS (SELECT FROM members_refundline line JOIN members_refund refund ON refund.id = line.refund_id
                    WHERE refund.id = NEW.id
                    GROUP BY refund.id HAVING refund.state <> 'applied' OR sum(line.amount) > refund.amount) THEN
            RAISE EXCEPTION 'the lines of refund % come to more than it gave back', NEW.id
                USING ERRCODE = 'check_violation', CONSTRAINT = 'members_refund_lines_fit';
        END IF;
    END IF;
    RETURN NULL;
END $$;
"""

# The function as 0005 made it, to go back to.
BEFORE = FIRST.REFUNDS[FIRST.REFUNDS.index("CREATE FUNCTION members_refund_moved") :]
BEFORE = BEFORE[: BEFORE.index("END $$;") + len("END $$;")].replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION")


class Migration(migrations.Migration):
    dependencies = [("members", "0008_index_households")]

    operations = [migrations.RunSQL(MOVED + FIRST.PIN, BEFORE + FIRST.PIN)]
