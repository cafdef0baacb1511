from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("loyalty", "0029_foresee_moves_and_give_when_passed"),
    ]

    operations = [
        migrations.RemoveConstraint(model_name="dayuse", name="loyalty_day_use_limit_known"),
        migrations.AlterField(
            model_name="dayuse",
            name="limit",
            field=models.CharField(
                choices=[
                    ("adjust", "given and taken by one person"),
                    ("transfer", "moved between members by one person"),
                    ("given", "moved away from one member"),
                    ("joined", "brought into reach of others by one person"),
                ],
                max_length=8,
            ),
        ),
        migrations.AddConstraint(
            model_name="dayuse",
            constraint=models.CheckConstraint(
                condition=models.Q(("limit__in", ["adjust", "transfer", "given", "joined"])),
                name="loyalty_day_use_limit_known",
            ),
        ),
        # On the way back, before the limit is unknown again.
        migrations.RunSQL(migrations.RunSQL.noop, "DELETE FROM loyalty_dayuse WHERE \"limit\" = 'joined'"),
    ]
