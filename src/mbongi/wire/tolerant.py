"""JSON replies into structs, field by field where a device's firmware writes a field in an odd type.

The fast path decodes bytes straight into the struct. Only where that fails on a type is the reply read again, and each
field that cannot be converted takes its default; so one odd field never costs the whole reply.
"""

import types
import typing
from typing import Any, Generic, TypeVar

import msgspec

from mbongi.wire.errors import WireError

Reply = TypeVar("Reply", bound=msgspec.Struct)


class TolerantDecoder(Generic[Reply]):
    """Decodes one kind of reply; every field of the struct needs a default."""

    def __init__(self, kind: type[Reply], *, what: str) -> None:
        self._kind, self._what = kind, what
        self._decode = msgspec.json.Decoder(kind, strict=False).decode

    def __call__(self, data: bytes) -> Reply:
        """Decode; raises WireError where the bytes are not a JSON object."""
        try:
            return self._decode(data)
        except msgspec.ValidationError:
            return self._rescued(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise WireError(f"{self._what}: not JSON ({error}); it begins {data[:40]!r}") from error

    def _rescued(self, data: bytes) -> Reply:
        try:
            document = msgspec.json.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise WireError(f"{self._what}: not JSON ({error}); it begins {data[:40]!r}") from error
        if not isinstance(document, dict):
            raise WireError(f"{self._what}: found JSON of type {type(document).__name__}; expected an object")
        return rescue(document, self._kind)


def rescue(document: dict[str, Any], kind: type[Reply]) -> Reply:
    """Build a struct from what fits; what does not takes its default."""
    values: dict[str, Any] = {}
    for field in msgspec.structs.fields(kind):
        if field.encode_name in document:
            found = _fitting(document[field.encode_name], field.type)
            if found is not msgspec.UNSET:
                values[field.name] = found
    return kind(**values)


def _fitting(value: Any, kind: Any) -> Any:
    try:
        return msgspec.convert(value, kind, strict=False)
    except (msgspec.ValidationError, ValueError, OverflowError):
        pass
    for choice in typing.get_args(kind) if _is_union(kind) else (kind,):
        if typing.get_origin(choice) is list and isinstance(value, list):
            items = [_fitting(item, typing.get_args(choice)[0]) for item in value]
            return [item for item in items if item is not msgspec.UNSET]
        if isinstance(choice, type) and issubclass(choice, msgspec.Struct) and isinstance(value, dict):
            return rescue(value, choice)
    return msgspec.UNSET


def _is_union(kind: Any) -> bool:
    return isinstance(kind, types.UnionType) or typing.get_origin(kind) is typing.Union
