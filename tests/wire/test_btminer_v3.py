"""API 3: frames and signed writes, against what pyasic_rs was recorded to send and what OpenSSL makes of it."""

import base64
import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbongi.wire.btminer_v3 import (
    REPLY_BYTES_MAX,
    FrameParser,
    Info,
    Status,
    decode_info,
    decode_status,
    error_codes,
    framed,
    question,
    signed,
)
from mbongi.wire.errors import WireError
from tests.captures import capture

SIGNER = {"account": "super", "password": "super", "salt": "uhCiDyVj", "ts": 1795835570}
POOLS = [{"passwd": "x", "pool": "stratum+tcp://new.example:3333", "worker": "a.b"}]
RECORDED_POOLS = (
    "34UdYTO3HDZRtYAy+BZfYiYZAN5JJ7xVbtilsabGd11N261oJpwnChstT41bFSamtuhhuS3eP6RgQ59q9qhe2dqRgMplaLDIY4nXvqt6uT8="
)
"""What pyasic_rs 0.8.6 sent for these pools, with this salt and time."""


def taken_apart(message: bytes) -> dict[str, object]:
    [length] = struct.unpack("<I", message[:4])
    assert len(message) == 4 + length
    document: dict[str, object] = json.loads(message[4:])
    return document


def test_a_question_carries_its_length_and_no_empty_parameter() -> None:
    assert question("get.device.info") == b'\x19\x00\x00\x00{"cmd":"get.device.info"}'
    assert taken_apart(question("get.miner.status", "summary+edevs")) == {
        "cmd": "get.miner.status",
        "param": "summary+edevs",
    }


@pytest.mark.parametrize(
    ("name", "param", "token"),
    [
        ("set.miner.power_limit", 2980, "RVXwMztM"),
        ("set.miner.service", "stop", "4ArxmtqC"),
        ("set.system.reboot", None, "ZpBS8MFG"),
        ("set.system.led", [{"color": "red", "duration": 100, "period": 200, "start": 0}], "h+4I/6jg"),
    ],
)
def test_a_write_is_signed_as_pyasic_rs_signs_it(name: str, param: object, token: str) -> None:
    found = taken_apart(signed(name, param, **SIGNER))  # type: ignore[arg-type]

    expected = {"cmd": name, "account": "super", "ts": 1795835570, "token": token}
    assert found == (expected if param is None else expected | {"param": param})


def test_pools_are_hidden_byte_for_byte_as_pyasic_rs_hides_them() -> None:
    found = taken_apart(signed("set.miner.pools", POOLS, **SIGNER))  # type: ignore[arg-type]

    assert (found["token"], found["param"]) == ("yUqv2ET/", RECORDED_POOLS)


def test_a_text_of_whole_blocks_still_ends_in_nul() -> None:
    param = taken_apart(signed("set.miner.pools", ["123456789012"], **SIGNER))["param"]  # type: ignore[arg-type]

    # ["123456789012"] has sixteen bytes.
    assert len(base64.b64decode(str(param))) == 32


@given(st.lists(st.binary(max_size=40), max_size=5), st.integers(1, 7))
def test_messages_come_out_whole_however_they_are_cut(messages: list[bytes], size: int) -> None:
    stream, parser, found = b"".join(framed(message) for message in messages), FrameParser(), list[bytes]()
    for start in range(0, len(stream), size):
        found += parser.feed(stream[start : start + size])

    assert found == [message for message in messages if message]
    assert not parser.started


def test_a_message_that_is_too_long_is_an_error_before_it_is_collected() -> None:
    with pytest.raises(WireError, match="expected at most"):
        FrameParser().feed(struct.pack("<I", REPLY_BYTES_MAX + 1))


def test_captured_answers_are_read() -> None:
    status = decode_status(capture("whatsminer_v3", "get_miner_status_edevs")).msg
    info = decode_info(capture("whatsminer_v3", "get_device_info_with_errors")).msg

    assert isinstance(status, Status)
    assert [board.hash_realtime for board in status.edevs or []] == [57.2, 57.0, 57.1]
    assert isinstance(info, Info)
    assert info.salt == "uhCiDyVj"
    assert error_codes(info.errors)[-1] == (
        "270",
        "Power input over-voltage warning. code: 0xffffffffc0000000",
        "2026-05-23 09:19:11",
    )


@pytest.mark.parametrize("found", [None, "none", {"264": "now"}, [7, "x", {"reason": "no code"}]])
def test_error_rows_of_another_kind_are_left_out(found: object) -> None:
    assert error_codes(found) == []


def test_a_refusal_is_read_as_its_words() -> None:
    reply = decode_info(b'{"code":-4,"when":1,"msg":"no permission","desc":"get.device.info"}')

    assert (reply.code, reply.msg) == (-4, "no permission")
    with pytest.raises(WireError):
        decode_info(b"\x00")
