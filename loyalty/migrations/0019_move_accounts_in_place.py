"""What a posting to many members costs: accounts move within their pages, and what is to be checked is not compressed.

Every posting moves the account. With room in its page that writes no index (a HOT update), which a page that was
filled to the brim does not allow when all accounts move at once. Only pages that are written from now on leave it.

``loyalty_unchecked`` holds arrays of ids for the length of a transaction: to compress them took a fifth of the time
of writing 100,000 entries. Both are notes in the catalogue, and rewrite nothing.
"""

from django.db import migrations

LEAN = """
ALTER TABLE loyalty_account SET (fillfactor = 50);
ALTER TABLE loyalty_unchecked
    ALTER members SET STORAGE EXTERNAL, ALTER entries SET STORAGE EXTERNAL, ALTER lots SET STORAGE EXTERNAL;
"""
BEFORE = """
ALTER TABLE loyalty_unchecked
    ALTER members SET STORAGE EXTENDED, ALTER entries SET STORAGE EXTENDED, ALTER lots SET STORAGE EXTENDED;
ALTER TABLE loyalty_account RESET (fillfactor);
"""


class Migration(migrations.Migration):
    dependencies = [("loyalty", "0018_keep_where_returned_points_stem_from")]

    operations = [migrations.RunSQL(LEAN, BEFORE)]
