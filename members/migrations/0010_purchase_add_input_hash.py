"""Keep a hash of all that was said of a purchase.

The column comes empty, without rewriting the table; purchases without a hash are compared by what is stored of them.
"""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("members", "0009_check_refunds_as_they_stand"),
    ]

    operations = [
        migrations.AddField(
            model_name="purchase",
            name="input_hash",
            field=models.BinaryField(max_length=32, null=True),
        ),
    ]
