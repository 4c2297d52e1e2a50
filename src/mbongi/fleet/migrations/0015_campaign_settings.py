"""How machines were set before a campaign flashed them, so that a roll-back puts it back."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('fleet', '0014_owners'),
    ]

    operations = [
        migrations.AddField(
            model_name='campaignmachine',
            name='settings',
            field=models.JSONField(default=dict),
        ),
    ]
