from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("staff", "0004_approvals"),
    ]

    operations = [
        migrations.AddField(
            model_name="apikey",
            name="requests_per_minute",
            field=models.PositiveIntegerField(help_text="empty: as many as API_RATE says", null=True),
        ),
        migrations.CreateModel(
            name="IdempotentRequest",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("caller", models.CharField(max_length=24)),
                ("key", models.CharField(max_length=100)),
                ("input_hash", models.BinaryField(max_length=32)),
                ("status", models.PositiveSmallIntegerField()),
                ("body", models.TextField()),
                ("headers", models.JSONField(default=dict)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
            ],
            options={
                "indexes": [models.Index(fields=["created_at"], name="staff_idempotent_request_age")],
                "constraints": [
                    models.UniqueConstraint(fields=("caller", "key"), name="staff_idempotent_request_once")
                ],
            },
        ),
    ]
