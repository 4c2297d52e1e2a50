"""Which message is which: the table of message types, and with it decoding and encoding.

Core message types differ from protocol to protocol; so a connection takes those of its own protocol and of the setup
only. Sources: section 8; extension 0x0001, section 3.
"""

from collections.abc import Iterable
from typing import NamedTuple

from mbongi.wire.errors import WireError
from mbongi.wire.stratum_v2 import extensions, job_declaration, mining, setup, template_distribution
from mbongi.wire.stratum_v2.errors import UnknownMessageError
from mbongi.wire.stratum_v2.frames import CHANNEL_BIT, Frame, pack_frame
from mbongi.wire.stratum_v2.layout import Layout, Message
from mbongi.wire.stratum_v2.setup import Protocol


class Row(NamedTuple):
    """A line of the table of message types; ``channel_bit`` is CHANNEL_BIT or 0."""

    message_type: int
    channel_bit: int
    kind: type[Message]


SETUP = (
    Row(0x00, 0, setup.SetupConnection),
    Row(0x01, 0, setup.SetupConnectionSuccess),
    Row(0x02, 0, setup.SetupConnectionError),
    Row(0x03, CHANNEL_BIT, setup.ChannelEndpointChanged),
    Row(0x04, 0, setup.Reconnect),
)
MINING = (
    Row(0x10, 0, mining.OpenStandardMiningChannel),
    Row(0x11, 0, mining.OpenStandardMiningChannelSuccess),
    Row(0x12, 0, mining.OpenMiningChannelError),
    Row(0x13, 0, mining.OpenExtendedMiningChannel),
    Row(0x14, 0, mining.OpenExtendedMiningChannelSuccess),
    Row(0x15, CHANNEL_BIT, mining.NewMiningJob),
    Row(0x16, CHANNEL_BIT, mining.UpdateChannel),
    Row(0x17, CHANNEL_BIT, mining.UpdateChannelError),
    Row(0x18, CHANNEL_BIT, mining.CloseChannel),
    Row(0x19, CHANNEL_BIT, mining.SetExtranoncePrefix),
    Row(0x1A, CHANNEL_BIT, mining.SubmitSharesStandard),
    Row(0x1B, CHANNEL_BIT, mining.SubmitSharesExtended),
    Row(0x1C, CHANNEL_BIT, mining.SubmitSharesSuccess),
    Row(0x1D, CHANNEL_BIT, mining.SubmitSharesError),
    Row(0x1F, CHANNEL_BIT, mining.NewExtendedMiningJob),
    Row(0x20, CHANNEL_BIT, mining.SetNewPrevHash),
    Row(0x21, CHANNEL_BIT, mining.SetTarget),
    Row(0x22, CHANNEL_BIT, mining.SetCustomMiningJob),
    Row(0x23, CHANNEL_BIT, mining.SetCustomMiningJobSuccess),
    Row(0x24, CHANNEL_BIT, mining.SetCustomMiningJobError),
    Row(0x25, 0, mining.SetGroupChannel),
)
JOB_DECLARATION = (
    Row(0x50, 0, job_declaration.AllocateMiningJobToken),
    Row(0x51, 0, job_declaration.AllocateMiningJobTokenSuccess),
    Row(0x55, 0, job_declaration.ProvideMissingTransactions),
    Row(0x56, 0, job_declaration.ProvideMissingTransactionsSuccess),
    Row(0x57, 0, job_declaration.DeclareMiningJob),
    Row(0x58, 0, job_declaration.DeclareMiningJobSuccess),
    Row(0x59, 0, job_declaration.DeclareMiningJobError),
    Row(0x60, 0, job_declaration.PushSolution),
)
TEMPLATE_DISTRIBUTION = (
    Row(0x70, 0, template_distribution.CoinbaseOutputConstraints),
    Row(0x71, 0, template_distribution.NewTemplate),
    Row(0x72, 0, template_distribution.SetNewPrevHash),
    Row(0x73, 0, template_distribution.RequestTransactionData),
    Row(0x74, 0, template_distribution.RequestTransactionDataSuccess),
    Row(0x75, 0, template_distribution.RequestTransactionDataError),
    Row(0x76, 0, template_distribution.SubmitSolution),
)
EXTENSIONS_NEGOTIATION = (
    Row(0x00, 0, extensions.RequestExtensions),
    Row(0x01, 0, extensions.RequestExtensionsSuccess),
    Row(0x02, 0, extensions.RequestExtensionsError),
)

_LAYOUTS: dict[type[Message], Layout[Message]] = {
    row.kind: Layout(row.kind)
    for row in SETUP + MINING + JOB_DECLARATION + TEMPLATE_DISTRIBUTION + EXTENSIONS_NEGOTIATION
}


def _by_type(rows: Iterable[Row]) -> dict[int, Layout[Message]]:
    return {row.message_type: _LAYOUTS[row.kind] for row in rows}


_BEFORE_SETUP = _by_type(SETUP)
# In the order of Protocol's values; a list's index is cheaper than the hash of an enumeration's member.
_CORE = [_by_type(SETUP + rows) for rows in (MINING, JOB_DECLARATION, TEMPLATE_DISTRIBUTION)]
_EXTENSIONS = {extensions.NEGOTIATION: _by_type(EXTENSIONS_NEGOTIATION)}


def _headers(rows: Iterable[Row], extension_type: int = 0) -> dict[type[Message], tuple[int, int, Layout[Message]]]:
    return {row.kind: (extension_type | row.channel_bit, row.message_type, _LAYOUTS[row.kind]) for row in rows}


_HEADERS = {
    **_headers(SETUP + MINING + JOB_DECLARATION + TEMPLATE_DISTRIBUTION),
    **_headers(EXTENSIONS_NEGOTIATION, extensions.NEGOTIATION),
}


def decode(protocol: Protocol | None, message_type: int, payload: bytes, extension_type: int = 0) -> Message:
    """The message in a frame's payload; ``protocol`` is None before the setup. Bytes behind its last field are ignored.

    Raises UnknownMessageError for a message that is to be discarded, WireError for one that does not follow its table.
    """
    message, _ = _layout(protocol, message_type, extension_type).read(payload)
    return message


def decode_with_rest(protocol: Protocol | None, frame: Frame) -> tuple[Message, bytes]:
    """The message in a frame, and the bytes behind its last field, where extensions add theirs. Errors as in decode."""
    message_type, payload, extension_type = frame.message_type, frame.payload, frame.extension_type
    usual = None if extension_type or protocol is None else _CORE[protocol].get(message_type)
    message, end = (usual or _layout(protocol, message_type, extension_type)).read(payload)
    return message, payload[end:]


def encode(message: Message, extension_fields: bytes = b"") -> bytes:
    """A message's frame. ``extension_fields`` go behind its last field, in the order of their extension types.

    Raises WireError for a value that its field cannot carry; TooLongError for a field or a payload too long.
    """
    try:
        extension_field, message_type, layout = _HEADERS[type(message)]
    except KeyError as error:
        raise WireError(f"stratum v2: {type(message).__name__} is no message") from error
    return pack_frame(extension_field, message_type, layout.write(message) + extension_fields)


def _layout(protocol: Protocol | None, message_type: int, extension_type: int) -> Layout[Message]:
    # The channel bit is not looked at: the specification has changed it for some messages, and peers differ.
    if extension_type:
        table = _EXTENSIONS.get(extension_type, {})
    else:
        table = _BEFORE_SETUP if protocol is None else _CORE[protocol]
    found = table.get(message_type)
    if found is None:
        where = "before the setup" if protocol is None else f"on a connection for {protocol.name.lower()}"
        raise UnknownMessageError(extension_type, message_type, where)
    return found
