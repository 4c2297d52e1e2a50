"""Errors of the codecs."""

from mbongi.base.errors import MbongiError


class WireError(MbongiError, ValueError):
    """Bytes that do not follow their protocol, or a request that it cannot carry."""


class TooLongError(WireError):
    """More bytes than the codec takes."""
