"""Typed messages: what is written is read, and what does not fit is refused by name."""

import msgspec
import pytest

from mbongi.core.bus.errors import MessageError
from mbongi.core.bus.messages import decode, encode, message, subject_of, type_of


@message("test.machine_found.v1")
class MachineFound(msgspec.Struct, frozen=True):
    address: str
    slot: int
    note: str = ""


def test_a_message_is_read_as_it_was_written() -> None:
    found = MachineFound("10.20.3.4", 4)

    assert decode(subject_of(found), encode(found)) == found
    assert decode("test.machine_found.v1", b'{"address":"10.20.3.4","slot":4}') == found


def test_the_subject_carries_the_name_and_version() -> None:
    assert type_of(MachineFound) == "test.machine_found.v1"
    assert subject_of(MachineFound) == "event.test.machine_found.v1"


def test_a_field_that_a_newer_sender_added_is_ignored() -> None:
    assert decode("test.machine_found.v1", b'{"address":"a","slot":1,"colour":"red"}') == MachineFound("a", 1)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "truncated"),
        (b"{", "truncated"),
        (b"\xff\xfe", "malformed"),
        (b"[]", "Expected `object`"),
        (b'{"address":"a"}', "missing required field `slot`"),
        (b'{"address":"a","slot":"four"}', "Expected `int`, got `str` - at `$.slot`"),
    ],
)
def test_a_malformed_message_is_an_error_that_names_kind_and_fault(data: bytes, said: str) -> None:
    with pytest.raises(MessageError) as caught:
        decode("event.test.machine_found.v1", data)

    assert "test.machine_found.v1" in str(caught.value)
    assert said in str(caught.value)


def test_an_unknown_kind_is_an_error() -> None:
    with pytest.raises(MessageError, match=r"test.nothing.v1: no such kind"):
        decode("event.test.nothing.v1", b"{}")


def test_a_name_without_a_version_and_a_second_class_of_one_name_are_refused() -> None:
    with pytest.raises(MessageError, match="expected a name such as"):
        message("test.machine")

    with pytest.raises(MessageError, match="already taken by MachineFound"):

        @message("test.machine_found.v1")
        class Another(msgspec.Struct, frozen=True):
            pass


def test_only_messages_can_be_encoded() -> None:
    class Plain(msgspec.Struct):
        pass

    with pytest.raises(MessageError, match="not a message"):
        encode(Plain())
