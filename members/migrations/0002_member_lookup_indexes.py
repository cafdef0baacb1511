"""The indexes by which members/lookup.py, the list of members and the facts are fast.

Those of lookup are SQL because Django cannot write their expressions to the letter; each stands in
members/lookup.py again. A prefix is a range only in byte order, hence COLLATE "C".
"""

from django.db import migrations, models

LOOKUP_INDEXES = {
    "members_member_by_number_key": """(translate(upper(number), ' -', '') COLLATE "C")""",
    "members_member_by_phone": """(translate(phone, '+-() ', '') COLLATE "C")""",
    "members_member_by_phone_end": """(reverse(translate(phone, '+-() ', '')) COLLATE "C")""",
    "members_member_by_email": """(email COLLATE "C")""",
    "members_member_by_outside_id": """(external_id COLLATE "C")""",
    "members_member_by_name": """(lower(replace(family_name || given_name, ' ', '')) COLLATE "C", id)""",
    "members_member_by_given_name": """(lower(replace(given_name || family_name, ' ', '')) COLLATE "C")""",
}


class Migration(migrations.Migration):
    dependencies = [("members", "0001_initial")]

    operations = [
        *(
            migrations.RunSQL(f"CREATE INDEX {name} ON members_member {definition}", f"DROP INDEX {name}")
            for name, definition in LOOKUP_INDEXES.items()
        ),
        migrations.AddIndex(
            model_name="member",
            index=models.Index(fields=["joined_at", "id"], name="members_member_by_joined"),
        ),
        migrations.AddIndex(
            model_name="interaction",
            index=models.Index(fields=["kind", "occurred_at"], name="members_interaction_by_kind"),
        ),
    ]
