"""The data types one by one, by hand from the table in section 3.1."""

from typing import Any

import pytest

from mbongi.wire.stratum_v2 import datatypes as t


@pytest.mark.parametrize(
    ("annotation", "value", "written"),
    [
        (t.BOOL, True, "01"),
        (t.BOOL, False, "00"),
        (t.U8, 0xFE, "fe"),
        (t.U16, 0x0102, "0201"),
        (t.U24, 0x010203, "030201"),
        (t.U24, 70999, "571501"),  # SRI, binary-sv2, test_seq0255_u24
        (t.U32, 0x01020304, "04030201"),
        (t.U64, 0x0102030405060708, "0807060504030201"),
        (t.U256, bytes(range(32)), bytes(range(32)).hex()),
        (t.TARGET, 0xFFFF << 208, "00" * 26 + "ffff" + "00" * 4),
        (t.F32, 1.0, "0000803f"),  # IEEE 754: 0x3f800000
        (t.STR0_255, "né", "036ec3a9"),
        (t.B0_32, b"", "00"),
        (t.B0_255, b"\x06\x06\x06", "03060606"),
        (t.B0_64K, b"\x01\x02\x09", "0300010209"),
        (t.B0_16M, b"\x01\x02\x09", "030000010209"),
        (t.OPTION[t.U32], None, "00"),
        (t.OPTION[t.U32], 1, "0101000000"),
        (t.OPTION[t.B0_32], b"ab", "01026162"),
        (t.SEQ0_255[t.BOOL], (True, False, True), "03010001"),
        (t.SEQ0_255[t.U24], (56, 59, 70999), "033800003b0000571501"),
        (t.SEQ0_64K[t.U16], (10, 43, 89), "03000a002b005900"),
        (t.SEQ0_64K[t.U256], (b"\x06" * 32, b"\x05" * 32), "0200" + "06" * 32 + "05" * 32),
        (t.SEQ0_64K[t.TARGET], (6,), "010006" + "00" * 31),
        (t.SEQ0_64K[t.B0_16M], (b"\x58", b""), "020001000058000000"),
        (t.SEQ0_255[t.STR0_255], ("a", ""), "02016100"),
        (t.SEQ0_64K[t.U32], (), "0000"),
    ],
)
def test_a_value_is_written_and_read_as_the_table_says(annotation: Any, value: Any, written: str) -> None:
    codec = t.codec_of(annotation)

    assert codec.write(value).hex() == written
    assert codec.read(bytes.fromhex("ff" + written + "ff"), 1) == (value, 1 + len(written) // 2)


def test_lengths_above_a_byte_are_read() -> None:
    codec = t.codec_of(t.B0_16M)
    blob = bytes(70_000)  # SRI, binary-sv2, test_b016m

    written = codec.write(blob)

    assert written[:3].hex() == "701101"
    assert codec.read(written, 0) == (blob, 70_003)
