"""Errors of the V2 codec."""

from mbongi.wire.errors import WireError


class UnknownMessageError(WireError):
    """A frame of an extension or a message type that is not known here, or not on a connection of this protocol.

    The stream is still good. A receiver discards the frame; a proxy passes one with the channel bit on (section 3.4.1).
    """

    def __init__(self, extension_type: int, message_type: int, where: str) -> None:
        super().__init__(f"stratum v2: extension {extension_type:#06x} message {message_type:#04x} is unknown {where}")
        self.extension_type = extension_type
        self.message_type = message_type
