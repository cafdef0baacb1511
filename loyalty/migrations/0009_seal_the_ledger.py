"""Blocks over the ledger's entries, each with a hash over the one before it (docs/adr/0014)."""

import django.contrib.postgres.fields
from django.db import migrations, models
from django.db.models import F, Q

GUARD = """
CREATE TRIGGER loyalty_block_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON loyalty_block
    EXECUTE FUNCTION loyalty_refuse();
"""


class Migration(migrations.Migration):
    dependencies = [("loyalty", "0008_guard_the_deeper_ledger")]

    operations = [
        migrations.CreateModel(
            name="Block",
            fields=[
                ("number", models.BigIntegerField(primary_key=True, serialize=False)),
                ("form", models.PositiveSmallIntegerField()),
                ("first_entry", models.BigIntegerField()),
                ("last_entry", models.BigIntegerField(unique=True)),
                ("entries", models.PositiveIntegerField()),
                ("previous_hash", models.BinaryField(max_length=32)),
                ("hash", models.BinaryField(max_length=32)),
                (
                    "entry_ids",
                    django.contrib.postgres.fields.ArrayField(base_field=models.BigIntegerField(), size=None),
                ),
                (
                    "entry_prints",
                    django.contrib.postgres.fields.ArrayField(base_field=models.BigIntegerField(), size=None),
                ),
                ("sealed_at", models.DateTimeField()),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(
                        condition=Q(number__gt=0, entries__gt=0, last_entry__gte=F("first_entry")),
                        name="loyalty_block_range",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="SealNote",
            fields=[
                ("id", models.PositiveSmallIntegerField(default=1, primary_key=True, serialize=False)),
                ("last_entry", models.BigIntegerField()),
                ("transaction", models.BigIntegerField()),
                ("noted_at", models.DateTimeField()),
                ("number", models.BigIntegerField(null=True)),
                ("hash", models.BinaryField(max_length=32, null=True)),
            ],
            options={
                "constraints": [models.CheckConstraint(condition=Q(id=1), name="loyalty_seal_note_once")],
            },
        ),
        migrations.CreateModel(
            name="EntryMonth",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("zone", models.CharField(max_length=64)),
                ("month", models.DateField()),
                ("kind", models.CharField(max_length=8)),
                ("points", models.BigIntegerField()),
                ("debt", models.BigIntegerField()),
                ("entries", models.BigIntegerField()),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("month", "kind"), name="loyalty_entry_month_once")],
            },
        ),
        migrations.CreateModel(
            name="LotMonth",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("issued", models.DateField()),
                ("month", models.DateField()),
                ("kind", models.CharField(max_length=8)),
                ("points", models.BigIntegerField()),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("issued", "month", "kind"), name="loyalty_lot_month_once")
                ],
            },
        ),
        migrations.RunSQL(GUARD, "DROP TRIGGER loyalty_block_append_only ON loyalty_block;"),
    ]
