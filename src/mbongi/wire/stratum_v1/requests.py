"""What a miner asks: typed and tolerant of what firmwares are known to send. Each takes a line's arguments.

Which firmware sends what, with its source: ``quirks.csv``.
"""

from binascii import unhexlify
from struct import Struct
from typing import Any

import msgspec

from mbongi.wire.errors import WireError
from mbongi.wire.stratum_v1.fields import HEX_CHARACTERS_MAX, blob, positive, text_of, word, word_or_number

INFO_NAMES = ("info.connection-url", "info.hw-version", "info.sw-version", "info.hw-id")
_SUBMIT_FIELDS = 5
_two_words, _three_words = Struct(">II").unpack, Struct(">III").unpack


class Submit(msgspec.Struct, gc=False, frozen=True):
    """``mining.submit``. ``version_bits`` is None where the miner rolls no version."""

    worker: str
    job_id: str
    extranonce2: bytes
    time_s: int
    nonce: int
    version_bits: int | None


class Subscribe(msgspec.Struct, gc=False, frozen=True):
    """``mining.subscribe``: the firmware's name for itself, the session that it wants to resume, and where it dialled.

    ``port`` is 0 where it is not told.
    """

    agent: str = ""
    session: str = ""
    host: str = ""
    port: int = 0


class Configure(msgspec.Struct, gc=False, frozen=True, kw_only=True):
    """``mining.configure`` (BIP 310). ``extensions`` are all names asked for, known or not, in their order."""

    extensions: tuple[str, ...] = ()
    version_mask: int = 0xFFFF_FFFF
    version_bits_min: int = 0
    difficulty_min: float | None = None
    info: tuple[tuple[str, str], ...] = ()
    """What the machine says of itself: pairs of one of INFO_NAMES and a text."""


def read_submit(arguments: list[Any]) -> Submit:
    """Five or six texts. Raises WireError naming the field that cannot be read."""
    if len(arguments) < _SUBMIT_FIELDS:
        raise WireError(f"mining.submit: {len(arguments)} parameters; expected {_SUBMIT_FIELDS} or 6")
    worker, job_id, extranonce2, time_text, nonce = arguments[:_SUBMIT_FIELDS]
    if type(worker) is not str or type(job_id) is not str:
        raise WireError(f"mining.submit: worker {worker!r} and job {job_id!r}; expected texts")
    worker = worker.strip()  # as in mining.authorize, so that it is the same name
    version = arguments[5] if len(arguments) > _SUBMIT_FIELDS else None
    try:
        return usual_share(worker, job_id, extranonce2, time_text, nonce, version)
    except (ValueError, TypeError):
        pass  # what is not as usual is read field by field, so that the error can name the field
    return Submit(
        worker,
        job_id,
        blob(extranonce2, "extranonce2"),
        word_or_number(time_text, "ntime"),
        word_or_number(nonce, "nonce"),
        None if version is None else word(version, "version bits"),
    )


def usual_share(worker: str, job_id: str, extranonce2: str, time_text: str, nonce: str, version: str | None) -> Submit:
    """A share whose words are texts of eight hex digits. Raises ValueError for any other, which may still be read.

    All words are decoded in one step, which is why their lengths are looked at first.
    """
    if not len(time_text) == len(nonce) == 8 or len(extranonce2) > HEX_CHARACTERS_MAX:
        raise ValueError
    if version is None:
        time_s, number = _two_words(unhexlify(time_text + nonce))
        return Submit(worker, job_id, unhexlify(extranonce2), time_s, number, None)
    if len(version) != 8:
        raise ValueError
    time_s, number, bits = _three_words(unhexlify(time_text + nonce + version))
    return Submit(worker, job_id, unhexlify(extranonce2), time_s, number, bits)


def read_subscribe(arguments: list[Any]) -> Subscribe:
    """Nothing is required; what is no text is taken for missing."""
    port = arguments[3] if len(arguments) > 3 else 0
    if isinstance(port, str) and port.isascii() and port.isdigit() and len(port) <= 5:
        port = int(port)
    is_port = type(port) is int and 0 < port < 65_536
    return Subscribe(text_of(arguments, 0), text_of(arguments, 1), text_of(arguments, 2), port if is_port else 0)


def read_authorize(arguments: list[Any]) -> tuple[str, str]:
    """User and password; some firmwares send no password. Raises WireError without a user."""
    user = text_of(arguments, 0).strip()
    if not user:
        raise WireError("mining.authorize: no user; expected account.worker")
    return user, text_of(arguments, 1)


def read_configure(arguments: list[Any]) -> Configure:
    """Names of extensions, and an object with their parameters. Raises WireError where the names are no list."""
    names = arguments[0] if arguments else []
    options = arguments[1] if len(arguments) > 1 and isinstance(arguments[1], dict) else {}
    if not isinstance(names, list):
        raise WireError(f"mining.configure: extensions {names!r}; expected a list of names")
    mask = options.get("version-rolling.mask")
    bits_min = options.get("version-rolling.min-bit-count")
    return Configure(
        extensions=tuple(name for name in names if isinstance(name, str))[:16],
        version_mask=word(mask, "version-rolling.mask") if isinstance(mask, str) else 0xFFFF_FFFF,
        version_bits_min=bits_min if isinstance(bits_min, int) and not isinstance(bits_min, bool) else 0,
        difficulty_min=positive(options.get("minimum-difficulty.value")),
        info=tuple((name, text) for name in INFO_NAMES if (text := text_of([options.get(name)], 0))),
    )


def read_difficulty(arguments: list[Any]) -> float:
    """``mining.suggest_difficulty``. Raises WireError where it is no number above 0."""
    found = positive(arguments[0] if arguments else None)
    if found is None:
        raise WireError(f"mining.suggest_difficulty: {arguments!r:.60}; expected a number above 0")
    return found


def read_target(arguments: list[Any]) -> int:
    """``mining.suggest_target``: 64 hex digits, highest first. Raises WireError."""
    found = blob(arguments[0] if arguments else None, "target")
    target = int.from_bytes(found)
    if len(found) != 32 or target == 0:
        raise WireError(f"mining.suggest_target: {len(found)} bytes; expected 32, not all zero")
    return target


def read_job_id(arguments: list[Any]) -> str:
    """``mining.get_transactions``: the job that is asked for; empty where none is named."""
    return text_of(arguments, 0)


def read_version(result: Any) -> str:
    """The program that a miner names in answer to ``client.get_version``; empty where it names none."""
    return text_of([result], 0)


def read_multi_version(arguments: list[Any]) -> int:
    """``mining.multi_version`` of older Antminers: above 1 asks for rolling of that many version bits. 0: not told."""
    value = arguments[0] if arguments else 0
    return value if type(value) is int and 0 <= value <= 32 else 0
