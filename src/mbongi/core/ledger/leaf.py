"""How an entry becomes the bytes of a Merkle leaf. Pure.

A leaf is one UTF-8 JSON array without white space:

    [1, index, at, actor, action, subject, reason, tenant, before, after]

``1`` is the version of this layout; ``at`` is RFC 3339 in UTC with ``Z`` and, unless they are zero, six digits of
microseconds; ``tenant`` is a number or null; ``before`` and ``after`` stand exactly as stored: JSON with the keys of
objects sorted by code point, or null. Strings escape only the quotation mark, the backslash and control characters.
The leaf's hash is SHA-256 of a zero byte and the leaf (RFC 6962, 2.1).
"""

from datetime import UTC
from hashlib import sha256
from typing import Any

import msgspec

from mbongi.core.ledger.errors import EntryError

VERSION = 1
TEXT_LENGTH_MAX = 4_000
JSON_LENGTH_MAX = 100_000

_encoder = msgspec.json.Encoder()
_sorting_encoder = msgspec.json.Encoder(order="sorted")
_NULL = msgspec.Raw(b"null")


def json_text(value: Any, what: str) -> str | None:
    """``value`` as canonical JSON text; None for None. Raises EntryError when JSON cannot say it or it is too long."""
    if value is None:
        return None
    try:
        text = _sorting_encoder.encode(value).decode("utf-8")
    except (TypeError, ValueError) as error:
        raise EntryError(f"ledger entry: {what}: cannot be written as JSON: {error}") from error
    if len(text) > JSON_LENGTH_MAX:
        raise EntryError(f"ledger entry: {what}: {len(text)} characters; at most {JSON_LENGTH_MAX}")
    return text


def leaf_hash_of(row: tuple[Any, ...]) -> bytes:
    """The leaf hash of (index, at, actor, action, subject, reason, tenant, before text, after text)."""
    index, at, actor, action, subject, reason, tenant, before, after = row
    leaf = _encoder.encode(
        (
            VERSION,
            index,
            at.astimezone(UTC),
            actor,
            action,
            subject,
            reason,
            tenant,
            _NULL if before is None else msgspec.Raw(before.encode()),
            _NULL if after is None else msgspec.Raw(after.encode()),
        )
    )
    return sha256(b"\0" + leaf).digest()


def check_text(value: str, what: str) -> None:
    """Raise EntryError unless PostgreSQL can store the text as it is."""
    if "\0" in value or len(value) > TEXT_LENGTH_MAX:
        raise EntryError(
            f"ledger entry: {what}: found {len(value)} characters; expected at most {TEXT_LENGTH_MAX}"
            " and no zero character"
        )
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise EntryError(f"ledger entry: {what}: not valid Unicode") from error
