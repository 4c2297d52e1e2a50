"""Tables of the ledger. Private, and append-only: triggers refuse every other change."""

from typing import ClassVar

from django.db import models


class LedgerEntry(models.Model):
    """One entry. ``leaf_hash`` is kept so that verification can tell which entry was altered."""

    index = models.BigIntegerField(primary_key=True)
    at = models.DateTimeField()
    actor = models.TextField()
    action = models.TextField()
    subject = models.TextField()
    reason = models.TextField(blank=True)
    # Not a foreign key: an entry outlives what it speaks of.
    tenant_id = models.BigIntegerField(null=True)
    before = models.TextField(null=True)
    after = models.TextField(null=True)
    leaf_hash = models.BinaryField(max_length=32)

    class Meta:
        db_table = "ledger_entry"
        indexes: ClassVar = [models.Index(fields=["subject", "-index"], name="ledger_entry_subject")]

    def __str__(self) -> str:
        return f"{self.index} {self.action} {self.subject}"


class LedgerHead(models.Model):
    """The one row that says how many entries there are; appending locks it."""

    id = models.SmallIntegerField(primary_key=True)
    size = models.BigIntegerField()
    frontier = models.BinaryField()

    class Meta:
        db_table = "ledger_head"

    def __str__(self) -> str:
        return str(self.size)


class LedgerNode(models.Model):
    """Roots of complete subtrees of 2**level entries, from level 8 up, so that proofs need few rows."""

    pk = models.CompositePrimaryKey("level", "position")
    level = models.SmallIntegerField()
    position = models.BigIntegerField()
    hash = models.BinaryField(max_length=32)

    class Meta:
        db_table = "ledger_node"

    def __str__(self) -> str:
        return f"{self.level}/{self.position}"


class LedgerCheckpoint(models.Model):
    """Signed checkpoints."""

    size = models.BigIntegerField(primary_key=True)
    at = models.DateTimeField()
    note = models.TextField()

    class Meta:
        db_table = "ledger_checkpoint"

    def __str__(self) -> str:
        return str(self.size)
