"""Messages know what they follow: until now they stood in one line."""

import django.db.models.deletion
from django.db import migrations, models


def link(apps, schema_editor):
    Conversation = apps.get_model("playground", "Conversation")
    for conversation in Conversation.objects.iterator():
        before = None
        for message in conversation.messages.order_by("pk"):
            message.parent = before
            if message.role == "assistant":
                message.model = conversation.model
            message.save(update_fields=["parent", "model"])
            before = message
        conversation.tip = before
        conversation.save(update_fields=["tip"])


class Migration(migrations.Migration):
    dependencies = [("playground", "0001_initial")]

    operations = [
        migrations.AddField(
            "message",
            "parent",
            models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="children",
                to="playground.message",
            ),
        ),
        migrations.AddField("message", "model", models.CharField(blank=True, max_length=120)),
        migrations.AddField("message", "rating", models.SmallIntegerField(default=0)),
        migrations.AddField(
            "conversation",
            "tip",
            models.ForeignKey(
                blank=True,
                editable=False,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to="playground.message",
            ),
        ),
        migrations.RunPython(link, migrations.RunPython.noop),
    ]
