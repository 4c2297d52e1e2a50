"""Errors of the bus."""

from mbongi.base.errors import MbongiError


class BusError(MbongiError):
    """The bus could not do what was asked."""


class BusUnavailable(BusError, ConnectionError):
    """The bus did not answer or acknowledge within the limit. The message may or may not be stored:
    publish it again with the same message id, and it is stored once."""


class BusFull(BusError, OSError):
    """The stream has reached ``bus.bytes_max``, or the bus's disk is full: nothing more is taken until room is made."""


class PublishRefused(BusError, ValueError):
    """The bus can never take this message (too large, or no stream has its subject)."""


class MessageError(BusError, ValueError):
    """The bytes of a message do not match its type."""
