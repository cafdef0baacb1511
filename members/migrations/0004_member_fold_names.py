"""Names are found without their accents, and numbers by their digits alone (members/lookup.py)."""

from django.db import migrations

from members.folding import FUNCTION

NAMES = {
    "members_member_by_name": ("family_name || given_name", ", id"),
    "members_member_by_given_name": ("given_name || family_name", ""),
}
NUMBER_DIGITS = """(ltrim(translate(upper(number), ' -', ''), 'ABCDEFGHIJKLMNOPQRSTUVWXYZ') COLLATE "C")"""


class Migration(migrations.Migration):
    dependencies = [("members", "0003_keep_what_imports_changed")]

    operations = [
        migrations.RunSQL(FUNCTION, "DROP FUNCTION members_fold(text)"),
        *(
            migrations.RunSQL(
                f'DROP INDEX {name}; CREATE INDEX {name} ON members_member (members_fold({names}) COLLATE "C"{last})',
                f"DROP INDEX {name}; "
                f"""CREATE INDEX {name} ON members_member (lower(replace({names}, ' ', '')) COLLATE "C"{last})""",
            )
            for name, (names, last) in NAMES.items()
        ),
        migrations.RunSQL(
            f"CREATE INDEX members_member_by_number_digits ON members_member {NUMBER_DIGITS}",
            "DROP INDEX members_member_by_number_digits",
        ),
    ]
