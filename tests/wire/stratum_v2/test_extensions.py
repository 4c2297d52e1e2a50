"""Fields behind a message's own, and worker names on shares. Sources: section 3.4.3, extension 0x0002."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbongi.wire.errors import TooLongError, WireError
from mbongi.wire.stratum_v2 import mining
from mbongi.wire.stratum_v2.extensions import (
    ExtensionField,
    pack_field,
    pack_user_identity,
    unpack_fields,
    user_identity,
)
from mbongi.wire.stratum_v2.frames import FrameBuffer
from mbongi.wire.stratum_v2.registry import decode_with_rest, encode
from mbongi.wire.stratum_v2.setup import Protocol

SHARE = mining.SubmitSharesExtended(1, 2, 3, 4, 5, 6, b"\x07\x08")
SPECIFICATION_EXAMPLE = bytes.fromhex("00 02 01 00 0A 57 6F 72 6B 65 72 5F 30 30 31")
FIELDS = st.builds(ExtensionField, st.integers(0, 0xFFFF), st.integers(0, 0xFF), st.binary(max_size=60))


def test_a_field_is_written_as_the_reference_writes_it() -> None:
    # SRI, parsers-sv2, test_tlv_encode_format.
    field = ExtensionField(0x0002, 0x01, b"test")

    assert pack_field(field) == bytes([0x02, 0x00, 0x01, 0x04, 0x00]) + b"test"


def test_a_worker_name_travels_behind_a_share() -> None:
    (frame,) = FrameBuffer(payload_bytes_max=200).feed(encode(SHARE, pack_user_identity("Worker_001")))

    share, rest = decode_with_rest(Protocol.MINING, frame)

    assert share == SHARE
    assert user_identity(rest) == "Worker_001"


def test_a_worker_name_is_read_in_the_byte_order_of_the_specifications_example() -> None:
    assert user_identity(SPECIFICATION_EXAMPLE) == "Worker_001"


def test_a_share_without_a_worker_name_has_none() -> None:
    assert user_identity(b"") is None
    assert user_identity(pack_field(ExtensionField(0x0003, 0x01, b"Worker_001"))) is None
    assert user_identity(pack_field(ExtensionField(0x0002, 0x02, b"Worker_001"))) is None


def test_a_worker_name_is_found_among_other_extensions_fields() -> None:
    rest = pack_field(ExtensionField(0x0001, 0x01, b"\x00")) + pack_user_identity("W1")

    assert user_identity(rest + pack_field(ExtensionField(0x0003, 0x01, b""))) == "W1"


def test_a_worker_name_holds_32_bytes_and_no_more() -> None:
    longest = "Worker_1234567890123456789012345"  # SRI, extensions-sv2, test_user_identity_max_length

    assert user_identity(pack_user_identity(longest)) == longest
    with pytest.raises(TooLongError):
        pack_user_identity(longest + "6")
    with pytest.raises(TooLongError):
        user_identity(pack_field(ExtensionField(0x0002, 0x01, bytes(33))))


@pytest.mark.parametrize("rest", ["0200", "02000104006162", "0200010a0073686f7274"])
def test_a_field_cut_short_is_refused(rest: str) -> None:
    with pytest.raises(WireError, match="extension field"):
        user_identity(bytes.fromhex(rest))


def test_a_field_holds_65535_bytes_and_no_more() -> None:
    assert unpack_fields(pack_field(ExtensionField(2, 1, bytes(65535)))) == [ExtensionField(2, 1, bytes(65535))]
    with pytest.raises(TooLongError):
        pack_field(ExtensionField(2, 1, bytes(65536)))


@given(st.lists(FIELDS, max_size=5))
def test_fields_are_read_as_they_were_written(fields: list[ExtensionField]) -> None:
    assert unpack_fields(b"".join(map(pack_field, fields))) == fields


@given(st.binary(max_size=60))
def test_any_rest_gives_a_name_or_none_or_a_wire_error(rest: bytes) -> None:
    try:
        name = user_identity(rest)
    except WireError:
        return

    assert name is None or len(name.encode("utf-8", "surrogateescape")) <= 32
