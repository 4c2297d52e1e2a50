"""Frames of the published specification, and what is no frame."""

import pytest

from mbongi.wire import modbus
from mbongi.wire.modbus import Failure, Frame, ModbusError, Reading, Refused

# MODBUS Application Protocol V1.1b3, 6.3: read registers 108 to 110; the answer holds 555, 0 and 100.
ASK = bytes.fromhex("03006b0003")
ANSWER = bytes.fromhex("0306022b00000064")
# 6.4: read input register 9; the answer holds 10.
ASK_INPUT, ANSWER_INPUT = bytes.fromhex("0400080001"), bytes.fromhex("0402000a")
# MODBUS Messaging on TCP/IP V1.0b, 4.2.1 and annex: header of transaction 0x1501, unit 0xFF, reading one register at 4.
FRAME = bytes.fromhex("150100000006ff0300040001")
FRAME_ANSWER = bytes.fromhex("150100000005ff03020005")


def test_questions_and_answers_are_those_of_the_specification() -> None:
    assert modbus.ask(107, 3) == ASK
    assert modbus.read_question(ASK) == Reading(3, 107, 3)
    assert modbus.answer(3, (555, 0, 100)) == ANSWER
    assert modbus.read_answer(ANSWER, function=3, count=3) == (555, 0, 100)
    assert modbus.ask(8, 1, function=modbus.READ_INPUT) == ASK_INPUT
    assert modbus.read_answer(ANSWER_INPUT, function=4, count=1) == (10,)


def test_frames_carry_the_header_of_the_specification() -> None:
    assert modbus.frame(0x1501, 0xFF, modbus.ask(4, 1)) == FRAME
    assert modbus.read_frame(FRAME) == Frame(0x1501, 0xFF, modbus.ask(4, 1))
    assert modbus.frame_bytes(FRAME[:7]) == len(FRAME)
    found = modbus.read_frame(FRAME_ANSWER)
    assert modbus.read_answer(found.pdu, function=3, count=1) == (5,)


def test_refusals_name_their_code() -> None:
    # V1.1b3, 7: function 1 refused with code 2 is 81 02.
    assert modbus.refusal(Refused(1, Failure.ILLEGAL_ADDRESS)) == bytes.fromhex("8102")
    assert modbus.read_answer(bytes.fromhex("8302"), function=3, count=3) == Refused(3, 2)
    assert modbus.read_question(bytes.fromhex("0600010003")) == Refused(6, Failure.ILLEGAL_FUNCTION)
    assert modbus.read_question(bytes.fromhex("030000007e")) == Refused(3, Failure.ILLEGAL_VALUE)
    assert modbus.read_question(bytes.fromhex("0300000000")) == Refused(3, Failure.ILLEGAL_VALUE)
    assert modbus.read_question(bytes.fromhex("03ffff0002")) == Refused(3, Failure.ILLEGAL_ADDRESS)
    assert modbus.read_question(bytes.fromhex("030000")) == Refused(3, Failure.ILLEGAL_VALUE)


@pytest.mark.parametrize("cut", range(len(FRAME)))
def test_a_frame_cut_short_is_no_frame(cut: int) -> None:
    with pytest.raises(ModbusError):
        modbus.read_frame(FRAME[:cut])


@pytest.mark.parametrize("header", ["150100010006ff", "150100000001ff", "1501000000ffff", "474554202f2048"])
def test_what_is_no_header_is_refused(header: str) -> None:
    with pytest.raises(ModbusError):
        modbus.frame_bytes(bytes.fromhex(header))


@pytest.mark.parametrize("pdu", ["", "03", "0306022b0000", "0304022b00000064", "0406022b00000064"])
def test_an_answer_of_another_length_or_function_is_refused(pdu: str) -> None:
    with pytest.raises(ModbusError):
        modbus.read_answer(bytes.fromhex(pdu), function=3, count=3)


def test_writes_are_those_of_the_specification() -> None:
    # V1.1b3, 6.12: registers 2 and 3 become 00 0A and 01 02; 6.06: register 2 becomes 00 03.
    asked = bytes.fromhex("10000100020400 0a 01 02")
    assert modbus.write(1, [10, 0x0102]) == asked
    wish = modbus.read_writing(asked)
    assert wish == modbus.Writing(16, 1, (10, 0x0102))
    assert modbus.written(wish).hex() == "1000010002"
    single = modbus.read_writing(bytes.fromhex("0600010003"))
    assert single == modbus.Writing(6, 1, (3,))
    assert modbus.written(single).hex() == "0600010003"


@pytest.mark.parametrize(
    ("pdu", "code"),
    [("10000100020300 0a01", 3), ("1000010000 00", 3), ("10ffff000204000a0102", 2), ("0600", 3), ("0500010000", 1)],
)
def test_writes_that_do_not_fit_are_refused(pdu: str, code: int) -> None:
    refused = modbus.read_writing(bytes.fromhex(pdu))

    assert isinstance(refused, modbus.Refused)
    assert refused.code == code
