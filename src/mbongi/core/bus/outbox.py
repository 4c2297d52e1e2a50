"""The outbox: a message is committed together with the change that it tells of, and reaches the bus afterwards."""

from collections.abc import Collection
from dataclasses import dataclass

import msgspec
from django.db import connection

from mbongi.core.bus.errors import BusError
from mbongi.core.bus.messages import encode, subject_of
from mbongi.core.bus.models import OutboxMessage

RELAY_MAX = 500
"""Messages handed over at a time, at most."""

_RELAY_LOCK = 0x6D626F_02


@dataclass(frozen=True, slots=True)
class Waiting:
    """A committed message that the bus does not have yet. ``message_id`` makes handing it over twice harmless."""

    id: int
    message_id: str
    subject: str
    data: bytes


def emit(*messages: msgspec.Struct) -> None:
    """Send messages with the present transaction: they reach the bus if, and only if, it commits.

    Raises BusError outside of a transaction, MessageError for a struct that is not a message.
    """
    if not connection.in_atomic_block:
        raise BusError("outbox: emit outside a transaction; emit within the transaction of the change itself")
    OutboxMessage.objects.bulk_create(
        OutboxMessage(subject=subject_of(message), payload=encode(message)) for message in messages
    )


def waiting(limit: int = RELAY_MAX, *, without: Collection[int] = ()) -> list[Waiting]:
    """The oldest messages that the bus does not have, in the order of their emission; ``without`` leaves some out."""
    messages = OutboxMessage.objects.exclude(id__in=without).order_by("id")
    rows = messages.values_list("id", "message_id", "subject", "payload")[:limit]
    return [Waiting(number, str(message_id), subject, bytes(data)) for number, message_id, subject, data in rows]


def forget(ids: list[int]) -> None:
    """Drop messages that the bus has acknowledged."""
    OutboxMessage.objects.filter(id__in=ids).delete()


def become_the_relay() -> bool:
    """Whether this connection is the one that relays, which keeps the order; holds until the connection ends."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [_RELAY_LOCK])
        (got,) = cursor.fetchone()
    return bool(got)
