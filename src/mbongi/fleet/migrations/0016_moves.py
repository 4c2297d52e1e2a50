"""Moves that a second person agrees to; passwords are the site's own, and no tenant's."""

import django.db.models.deletion
import mbongi.fleet.values
from django.conf import settings
from django.db import migrations, models

from mbongi.core.identity.rls import site_policy, visible_sql

TENANTS = "CREATE POLICY fleet_credential_scope ON fleet_credential USING ({0}) WITH CHECK ({0})"


class Migration(migrations.Migration):

    dependencies = [
        ('fleet', '0015_campaign_settings'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RunSQL(
            sql='DROP POLICY fleet_credential_scope ON fleet_credential',
            reverse_sql=[
                'ALTER TABLE fleet_credential ENABLE ROW LEVEL SECURITY',
                'ALTER TABLE fleet_credential FORCE ROW LEVEL SECURITY',
                TENANTS.format(visible_sql()),
            ],
        ),
        migrations.RemoveField(
            model_name='credential',
            name='tenant',
        ),
        site_policy('fleet_credential'),
        migrations.CreateModel(
            name='GroupMove',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('machines', models.PositiveIntegerField()),
                ('state', models.CharField(default=mbongi.fleet.values.MoveState['AWAITING'], max_length=10)),
                ('reason', models.CharField(max_length=500)),
                ('asked_at', models.DateTimeField()),
                ('decided_at', models.DateTimeField(null=True)),
                ('decision', models.CharField(blank=True, max_length=500)),
                ('author', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('decider', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('group', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='moves', to='fleet.group')),
            ],
            options={
                'ordering': ['-id'],
            },
        ),
        migrations.AddField(
            model_name='machine',
            name='move',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='waiting', to='fleet.groupmove'),
        ),
        site_policy('fleet_groupmove'),
        migrations.AddIndex(
            model_name='action',
            index=models.Index(condition=models.Q(('kind', 'wake'), ('status', 'failed')), fields=['finished_at'], name='fleet_action_not_woken'),
        ),
        # Of 20,000 machines PostgreSQL counts the rows, or those of a group by its own index: it was never read alone.
        migrations.RemoveIndex(
            model_name='machine',
            name='fleet_machine_counts',
        ),
    ]
