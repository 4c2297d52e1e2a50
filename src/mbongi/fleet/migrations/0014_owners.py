"""Whose a machine was when: noted as it changes owner. A tenant sees its own times."""

import django.db.models.deletion
from django.db import migrations, models

from mbongi.core.identity.rls import tenant_policy


class Migration(migrations.Migration):

    dependencies = [
        ('fleet', '0013_curtailment'),
        ('identity', '0002_cache'),
    ]

    operations = [
        migrations.CreateModel(
            name='Owned',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('since', models.DateTimeField(null=True)),
                ('until', models.DateTimeField(null=True)),
                ('machine', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='owned', to='fleet.machine')),
                ('tenant', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='identity.tenant')),
            ],
            options={
                'ordering': ['machine_id', 'id'],
                'constraints': [models.UniqueConstraint(condition=models.Q(('until', None)), fields=('machine',), name='fleet_owned_by_one')],
            },
        ),
        tenant_policy('fleet_owned'),
    ]
