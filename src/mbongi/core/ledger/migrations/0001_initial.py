from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
    ]

    operations = [
        migrations.CreateModel(
            name='LedgerCheckpoint',
            fields=[
                ('size', models.BigIntegerField(primary_key=True, serialize=False)),
                ('at', models.DateTimeField()),
                ('note', models.TextField()),
            ],
            options={
                'db_table': 'ledger_checkpoint',
            },
        ),
        migrations.CreateModel(
            name='LedgerHead',
            fields=[
                ('id', models.SmallIntegerField(primary_key=True, serialize=False)),
                ('size', models.BigIntegerField()),
                ('frontier', models.BinaryField()),
            ],
            options={
                'db_table': 'ledger_head',
            },
        ),
        migrations.CreateModel(
            name='LedgerNode',
            fields=[
                ('pk', models.CompositePrimaryKey('level', 'position', blank=True, editable=False, primary_key=True, serialize=False)),
                ('level', models.SmallIntegerField()),
                ('position', models.BigIntegerField()),
                ('hash', models.BinaryField(max_length=32)),
            ],
            options={
                'db_table': 'ledger_node',
            },
        ),
        migrations.CreateModel(
            name='LedgerEntry',
            fields=[
                ('index', models.BigIntegerField(primary_key=True, serialize=False)),
                ('at', models.DateTimeField()),
                ('actor', models.TextField()),
                ('action', models.TextField()),
                ('subject', models.TextField()),
                ('reason', models.TextField(blank=True)),
                ('tenant_id', models.BigIntegerField(null=True)),
                ('before', models.TextField(null=True)),
                ('after', models.TextField(null=True)),
                ('leaf_hash', models.BinaryField(max_length=32)),
            ],
            options={
                'db_table': 'ledger_entry',
                'indexes': [models.Index(fields=['subject', '-index'], name='ledger_entry_subject')],
            },
        ),
    ]
