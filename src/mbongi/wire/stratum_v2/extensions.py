"""Extensions: negotiating them (0x0001), fields behind a message's own, and worker names on shares (0x0002).

Sources: section 3.4.3; extensions 0x0001 and 0x0002.
"""

import struct
from typing import Literal

import msgspec

from mbongi.wire.errors import TooLongError, WireError
from mbongi.wire.stratum_v2.datatypes import SEQ0_64K, U16
from mbongi.wire.stratum_v2.layout import Message

NEGOTIATION = 0x0001
WORKER_HASHRATE = 0x0002
USER_IDENTITY_FIELD = 0x01
USER_IDENTITY_BYTES_MAX = 32
_FIELD_BYTES_MAX = 0xFFFF
_HEADERS = {"little": struct.Struct("<HBH"), "big": struct.Struct(">HBH")}


class RequestExtensions(Message, frozen=True, gc=False):
    """A client asks for extensions, right after the setup."""

    request_id: U16
    requested_extensions: SEQ0_64K[U16]


class RequestExtensionsSuccess(Message, frozen=True, gc=False):
    """Those of the requested extensions that may be used."""

    request_id: U16
    supported_extensions: SEQ0_64K[U16]


class RequestExtensionsError(Message, frozen=True, gc=False):
    """None can be used, or some that the server requires were not requested."""

    request_id: U16
    unsupported_extensions: SEQ0_64K[U16]
    required_extensions: SEQ0_64K[U16]


class ExtensionField(msgspec.Struct, frozen=True, gc=False):
    """One type-length-value behind a message's own fields."""

    extension_type: int
    field_type: int
    value: bytes


def pack_field(field: ExtensionField) -> bytes:
    """The field's bytes, to be put behind a message. Raises TooLongError for a value above 65535 bytes."""
    if len(field.value) > _FIELD_BYTES_MAX:
        raise TooLongError(f"stratum v2: an extension field of {len(field.value)} bytes; at most {_FIELD_BYTES_MAX}")
    return _HEADERS["little"].pack(field.extension_type, field.field_type, len(field.value)) + field.value


def unpack_fields(rest: bytes, *, byte_order: Literal["little", "big"] = "little") -> list[ExtensionField]:
    """All fields behind a message. Raises WireError where they do not fill the rest exactly."""
    header = _HEADERS[byte_order]
    fields: list[ExtensionField] = []
    at = 0
    while at < len(rest):
        start = at + header.size
        if start > len(rest):
            raise WireError(f"stratum v2: {len(rest) - at} bytes after the last extension field")
        extension_type, field_type, length = header.unpack_from(rest, at)
        at = start + length
        if at > len(rest):
            raise WireError(f"stratum v2: an extension field of {length} bytes, {len(rest) - start} left")
        fields.append(ExtensionField(extension_type, field_type, rest[start:at]))
    return fields


def pack_user_identity(name: str) -> bytes:
    """The worker's name, to be put behind a SubmitSharesExtended. Raises TooLongError above 32 bytes of UTF-8."""
    return pack_field(ExtensionField(WORKER_HASHRATE, USER_IDENTITY_FIELD, _checked(name.encode(*_ENCODING))))


def user_identity(rest: bytes) -> str | None:
    """The worker's name behind a SubmitSharesExtended; None where there is none.

    Raises TooLongError for a name above 32 bytes: the share has to be refused. Raises WireError where the rest is no
    fields. Only for connections that negotiated WORKER_HASHRATE; others ignore the rest.
    """
    # Numbers are little-endian (section 3.1), and so the reference writes them; the section's example is big-endian.
    try:
        fields = unpack_fields(rest)
    except WireError:
        fields = unpack_fields(rest, byte_order="big")
    for field in fields:
        if field.extension_type == WORKER_HASHRATE and field.field_type == USER_IDENTITY_FIELD:
            return _checked(field.value).decode(*_ENCODING)
    return None


_ENCODING = ("utf-8", "surrogateescape")


def _checked(name: bytes) -> bytes:
    if len(name) > USER_IDENTITY_BYTES_MAX:
        raise TooLongError(f"stratum v2: a worker's name of {len(name)} bytes; at most {USER_IDENTITY_BYTES_MAX}")
    return name
