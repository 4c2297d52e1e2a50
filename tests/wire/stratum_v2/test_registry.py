"""Every message against frames of the reference implementation, and against the specification's tables.

``reference_frames.csv``: frames that the messages in ``examples.py`` have in SRI (stratum-mining/stratum, commit
2680220), whose crates binary_sv2, common_messages_sv2, mining_sv2, job_declaration_sv2, template_distribution_sv2 and
extensions_sv2 were given the same values; types and channel bits are those crates' constants.
"""

import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbongi.wire.errors import TooLongError, WireError
from mbongi.wire.stratum_v2 import job_declaration, mining, setup, template_distribution
from mbongi.wire.stratum_v2.codes import ErrorCode
from mbongi.wire.stratum_v2.errors import UnknownMessageError
from mbongi.wire.stratum_v2.frames import Frame, FrameBuffer
from mbongi.wire.stratum_v2.layout import Message
from mbongi.wire.stratum_v2.registry import decode, decode_with_rest, encode
from mbongi.wire.stratum_v2.setup import Protocol
from tests.wire.stratum_v2.examples import EXAMPLES, KINDS, messages, protocol_of


def name_of(kind: type[Message]) -> str:
    """As in the file: with its protocol where two protocols have a message of that name."""
    is_template = kind is template_distribution.SetNewPrevHash
    return f"template_distribution.{kind.__name__}" if is_template else kind.__name__


with (Path(__file__).parent / "reference_frames.csv").open(encoding="utf-8", newline="") as file:
    REFERENCE = {row["name"]: bytes.fromhex(row["frame"]) for row in csv.DictReader(file)}


def frame_of(data: bytes) -> Frame:
    (frame,) = FrameBuffer(payload_bytes_max=0xFFFFFF).feed(data)
    return frame


def decoded(message: Message, frame: Frame) -> Message:
    protocol, extension_type = protocol_of(message)
    return decode(protocol, frame.message_type, frame.payload, extension_type)


def test_there_is_an_example_and_a_reference_frame_of_every_message() -> None:
    assert [type(example) for example in EXAMPLES] == KINDS
    assert [name_of(kind) for kind in KINDS] == list(REFERENCE)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: name_of(type(example)))
def test_a_message_is_written_as_the_reference_writes_it(example: Message) -> None:
    assert encode(example).hex() == REFERENCE[name_of(type(example))].hex()


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: name_of(type(example)))
def test_a_frame_of_the_reference_is_read(example: Message) -> None:
    assert decoded(example, frame_of(REFERENCE[name_of(type(example))])) == example


def test_a_job_is_written_as_in_the_references_own_test() -> None:
    # SRI, parsers-sv2, new_mining_job_serialization: bytes 1 to 48 with the option's count 1 after the eighth.
    counting = bytes(range(1, 49))
    expected = bytes([0, 128, 21, 49, 0, 0]) + counting[:8] + b"\x01" + counting[8:]
    job = mining.NewMiningJob(0x04030201, 0x08070605, 0x0C0B0A09, 0x100F0E0D, counting[16:])

    assert encode(job) == expected
    assert decode(Protocol.MINING, 0x15, expected[6:]) == job


def test_a_share_is_written_as_its_table_says() -> None:
    # By hand from section 5.3.12: six U32, then a length and the extranonce; 0x1b with the channel bit, 27 bytes.
    payload = "0100000002000000030000000400000080f1536500e0ff2f02cafe"
    share = mining.SubmitSharesExtended(1, 2, 3, 4, 1700000128, 0x2FFFE000, b"\xca\xfe")

    assert encode(share).hex() == "00801b1b0000" + payload


@pytest.mark.parametrize(
    ("protocol", "message_type", "kind"),
    [
        (Protocol.MINING, 0x20, mining.SetNewPrevHash),
        (Protocol.TEMPLATE_DISTRIBUTION, 0x72, template_distribution.SetNewPrevHash),
        (Protocol.JOB_DECLARATION, 0x60, job_declaration.PushSolution),
    ],
)
def test_a_message_of_another_protocol_is_unknown(protocol: Protocol, message_type: int, kind: type[Message]) -> None:
    payload = bytes(100)

    assert type(decode(protocol, message_type, payload)) is kind
    for other in [*(set(Protocol) - {protocol}), None]:
        with pytest.raises(UnknownMessageError):
            decode(other, message_type, payload)


@pytest.mark.parametrize("protocol", [None, *Protocol])
def test_a_connection_is_set_up_the_same_way_for_every_protocol(protocol: Protocol | None) -> None:
    success = setup.SetupConnectionSuccess(2, 0)

    assert decode(protocol, 0x01, encode(success)[6:]) == success


def test_a_setup_for_a_protocol_that_does_not_exist_is_read_so_that_it_can_be_refused() -> None:
    payload = b"\x09" + encode(EXAMPLES[KINDS.index(setup.SetupConnection)])[7:]

    found = decode(None, 0x00, payload)

    assert isinstance(found, setup.SetupConnection)
    assert found.protocol == 9


@pytest.mark.parametrize(("extension_type", "message_type"), [(0, 0x1E), (0, 0xFF), (1, 3), (0x4000, 0x1A), (2, 0)])
def test_what_is_unknown_is_reported_and_not_taken_for_a_fault(extension_type: int, message_type: int) -> None:
    with pytest.raises(UnknownMessageError, match="unknown on a connection for mining") as caught:
        decode(Protocol.MINING, message_type, b"", extension_type)

    assert (caught.value.extension_type, caught.value.message_type) == (extension_type, message_type)


@given(st.data(), st.binary(max_size=40))
def test_any_message_is_read_as_it_was_written_whatever_follows_it(data: st.DataObject, rest: bytes) -> None:
    message = data.draw(st.sampled_from(KINDS).flatmap(messages))
    protocol, _ = protocol_of(message)

    frame = frame_of(encode(message, rest))

    assert decode_with_rest(protocol, frame) == (message, rest)
    assert decoded(message, frame) == message


@given(st.data(), st.integers(1, 10_000))
def test_a_message_cut_short_is_refused(data: st.DataObject, cut: int) -> None:
    message = data.draw(st.sampled_from(KINDS).flatmap(messages))
    frame = frame_of(encode(message))
    payload = frame.payload[: -min(cut, len(frame.payload))]

    with pytest.raises(WireError, match=type(message).__name__):
        decoded(message, Frame(frame.extension_type, frame.message_type, payload))


@given(
    protocol=st.sampled_from([None, *Protocol]),
    message_type=st.integers(0, 0x76),
    payload=st.binary(max_size=300),
    extension_type=st.sampled_from([0, 0, 0, 1, 2]),
)
def test_any_payload_gives_a_message_or_a_wire_error(
    protocol: Protocol | None, message_type: int, payload: bytes, extension_type: int
) -> None:
    try:
        message = decode(protocol, message_type, payload, extension_type)
    except WireError:
        return

    assert isinstance(message, Message)


def test_only_the_lowest_bit_of_a_boolean_counts() -> None:
    template = bytearray(encode(EXAMPLES[KINDS.index(template_distribution.NewTemplate)])[6:])
    for written, meant in ((0xFF, True), (0xFE, False), (0x80, False), (0x03, True)):
        template[8] = written

        found = decode(Protocol.TEMPLATE_DISTRIBUTION, 0x71, bytes(template))

        assert isinstance(found, template_distribution.NewTemplate)
        assert found.future_template is meant


def test_an_option_holds_one_element_at_most() -> None:
    job = encode(mining.NewMiningJob(1, 2, 3, 4, bytes(32)))[6:]

    with pytest.raises(WireError, match="NewMiningJob: an option of 2 elements"):
        decode(Protocol.MINING, 0x15, job[:8] + b"\x02" + job[9:] + bytes(4))


def test_a_name_that_is_no_utf8_comes_back_byte_for_byte() -> None:
    payload = bytes(4) + b"\x03\xff\xfe\x41"

    closed = decode(Protocol.MINING, 0x18, payload)

    assert closed == mining.CloseChannel(0, "\udcff\udcfeA")
    assert encode(closed)[6:] == payload


@pytest.mark.parametrize(
    ("message", "error"),
    [
        (mining.SubmitSharesStandard(1, 2, 3, 2**32, 5, 6), WireError),
        (mining.SubmitSharesStandard(1, 2, 3, -1, 5, 6), WireError),
        (mining.SubmitSharesSuccess(1, 2, 3, 0.5), WireError),  # type: ignore[arg-type]
        (mining.SetNewPrevHash(1, 2, bytes(31), 3, 4), WireError),
        (mining.SetNewPrevHash(1, 2, bytes(33), 3, 4), WireError),
        (mining.SetTarget(1, 2**256), WireError),
        (mining.SetTarget(1, -1), WireError),
        (mining.UpdateChannel(1, 1e39, 1), WireError),
        (mining.CloseChannel(1, "\ud800"), WireError),
        (mining.CloseChannel(1, b"bye"), WireError),  # type: ignore[arg-type]
        (mining.CloseChannel(1, "é" * 128), TooLongError),
        (mining.SetExtranoncePrefix(1, bytes(33)), TooLongError),
        (job_declaration.DeclareMiningJobError(1, "", bytes(65536)), TooLongError),
        (job_declaration.ProvideMissingTransactionsSuccess(1, (bytes(2**24),)), TooLongError),
        (job_declaration.ProvideMissingTransactionsSuccess(1, (bytes(2**24 - 1),)), TooLongError),
        (mining.SetGroupChannel(1, (1,) * 65536), TooLongError),
    ],
)
def test_a_value_that_its_field_cannot_carry_is_refused(message: Message, error: type[WireError]) -> None:
    with pytest.raises(WireError) as caught:
        encode(message)

    assert type(caught.value) is error


def test_the_longest_fields_are_carried() -> None:
    longest = job_declaration.DeclareMiningJob(
        1, bytes(255), 2, bytes(65535), bytes(65535), (bytes(32),) * 65535, bytes(65535)
    )

    frame = frame_of(encode(longest))

    assert decoded(longest, frame) == longest


def test_an_extranonce_that_says_it_is_longer_than_32_bytes_is_too_long() -> None:
    with pytest.raises(TooLongError, match="SubmitSharesExtended: a field of 33 bytes"):
        decode(Protocol.MINING, 0x1B, bytes(24) + b"\x21" + bytes(33))


def test_what_is_no_message_is_not_encoded() -> None:
    with pytest.raises(WireError, match="Frame is no message"):
        encode(Frame(0, 0, b""))  # type: ignore[arg-type]


def test_error_codes_hold_printable_ascii_only() -> None:
    # Section 3.5.
    assert all(code.isascii() and code.isprintable() and len(code) <= 255 for code in ErrorCode)
