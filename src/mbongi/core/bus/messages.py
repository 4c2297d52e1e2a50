"""Typed messages: a name with a version, and a frozen msgspec struct.

    @message("fleet.machine_state.v1")
    class MachineStateChanged(msgspec.Struct, frozen=True): ...

A field may be added with a default under the same name; any other change is a new version, so a new name.
On the wire a message is JSON: an operator can read it, and any language can write it.
"""

import re
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from mbongi.core.bus.errors import MessageError

SUBJECT_PREFIX = "event."
_NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+\.v[1-9][0-9]*")

_decoders: dict[str, msgspec.json.Decoder[Any]] = {}
_names: dict[type, str] = {}
_encoder = msgspec.json.Encoder()

MessageType = TypeVar("MessageType", bound=type[msgspec.Struct])


def message(name: str) -> Callable[[MessageType], MessageType]:
    """Class decorator: registers a struct under ``domain.thing.vN``. One name, one class."""
    if not _NAME.fullmatch(name):
        raise MessageError(f"message {name!r}: expected a name such as fleet.machine_state.v1")

    def register(kind: MessageType) -> MessageType:
        known = _decoders.get(name)
        if known is not None and known.type.__qualname__ != kind.__qualname__:
            raise MessageError(f"message {name}: already taken by {known.type.__qualname__}")
        _decoders[name] = msgspec.json.Decoder(kind)
        _names[kind] = name
        return kind

    return register


def type_of(struct: msgspec.Struct | type[msgspec.Struct]) -> str:
    """The registered name of a message or its class. Raises MessageError when it has none."""
    kind = struct if isinstance(struct, type) else type(struct)
    try:
        return _names[kind]
    except KeyError:
        raise MessageError(f"{kind.__qualname__}: not a message; decorate it with @message") from None


def subject_of(struct: msgspec.Struct | type[msgspec.Struct]) -> str:
    """The bus subject that carries this message: ``event.<name>``."""
    return SUBJECT_PREFIX + type_of(struct)


def encode(struct: msgspec.Struct) -> bytes:
    """The message as JSON. Raises MessageError for a struct that is not a message."""
    type_of(struct)
    return _encoder.encode(struct)


def decode(subject_or_type: str, data: bytes) -> Any:
    """The message in ``data``, whose kind the subject (``event.<name>``) or the bare name states.

    Raises MessageError naming the kind and what does not fit; unknown fields are ignored, as newer senders add some.
    """
    name = subject_or_type.removeprefix(SUBJECT_PREFIX)
    decoder = _decoders.get(name)
    if decoder is None:
        raise MessageError(f"message {name}: no such kind is known here")
    try:
        return decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MessageError(f"message {name}: {error}") from error
