"""Messages of every protocol: setting a connection up, and moving it. Source: section 3.6."""

from enum import IntEnum

from mbongi.wire.stratum_v2.datatypes import STR0_255, U8, U16, U32
from mbongi.wire.stratum_v2.layout import Message

VERSION = 2
"""The only protocol version that there is."""


class Protocol(IntEnum):
    """What a connection is for: the values of ``SetupConnection.protocol``."""

    MINING = 0
    JOB_DECLARATION = 1
    TEMPLATE_DISTRIBUTION = 2


class SetupConnection(Message, frozen=True, gc=False):
    """A client's first message. ``protocol`` may be none of Protocol; flags are those of the protocol's module."""

    protocol: U8
    min_version: U16
    max_version: U16
    flags: U32
    endpoint_host: STR0_255
    endpoint_port: U16
    vendor: STR0_255
    hardware_version: STR0_255
    firmware: STR0_255
    device_id: STR0_255


class SetupConnectionSuccess(Message, frozen=True, gc=False):
    """The server takes the connection, on its terms."""

    used_version: U16
    flags: U32


class SetupConnectionError(Message, frozen=True, gc=False):
    """The server closes the connection. ``flags`` are all that it does not support, 0 where the reason is another."""

    flags: U32
    error_code: STR0_255


class ChannelEndpointChanged(Message, frozen=True, gc=False):
    """What was negotiated for a channel's extensions holds no longer."""

    channel_id: U32


class Reconnect(Message, frozen=True, gc=False):
    """Go elsewhere, to a server of the same authority; an empty host and port 0 stand for the present ones."""

    new_host: STR0_255
    new_port: U16
