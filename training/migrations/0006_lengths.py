"""A count answers every limit on length, and there are counts of samples. What was counted before
goes: it is counted anew where somebody looks."""

from django.db import migrations, models


def forget(apps, schema_editor):
    apps.get_model("training", "TokenCount").objects.all().delete()


class Migration(migrations.Migration):
    dependencies = [("training", "0005_data_report")]

    operations = [
        migrations.RunPython(forget, migrations.RunPython.noop),
        migrations.RemoveConstraint("tokencount", "one_count_a_base_and_length"),
        migrations.RemoveField("tokencount", "max_length"),
        migrations.AddField("tokencount", "is_sample", models.BooleanField(default=False)),
        migrations.AddConstraint(
            "tokencount",
            models.UniqueConstraint(
                fields=("version", "base", "is_sample"), name="one_count_a_base"
            ),
        ),
    ]
