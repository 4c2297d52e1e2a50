"""The outbox: messages committed together with the change that they tell of. Private to the bus."""

import uuid

from django.db import models


class OutboxMessage(models.Model):
    """A message that the recorder has not yet handed to the bus."""

    id = models.BigAutoField(primary_key=True)
    message_id = models.UUIDField(default=uuid.uuid4, editable=False)
    subject = models.TextField()
    payload = models.BinaryField()
    added_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "bus_outbox"

    def __str__(self) -> str:
        return f"{self.pk} {self.subject}"
