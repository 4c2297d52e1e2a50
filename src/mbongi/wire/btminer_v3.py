"""API 3 of a Whatsminer on TCP 4433: frames, the answers that are used, and signed writes. No I/O.

A message is its length as a little-endian uint32 and so many bytes of JSON; length 0 is a sign of life. TH/s, W, degC,
seconds. Source: MicroBT's public text on API 3; shapes: captured replies.
"""

import base64
import hashlib
import struct
from typing import Any

import msgspec
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from mbongi.wire.errors import WireError
from mbongi.wire.tolerant import TolerantDecoder

OK, FAILED, UNKNOWN_COMMAND, BAD_ITEM, DENIED = 0, -1, -2, -3, -4
REPLY_BYTES_MAX = 1024 * 1024
HIDDEN = frozenset({"set.miner.pools", "set.user.change_passwd"})
"""Writes whose parameter is encrypted."""
_LENGTH = struct.Struct("<I")
_BLOCK = 16
_encode = msgspec.json.Encoder().encode


def framed(message: bytes) -> bytes:
    """A message with its length before it."""
    return _LENGTH.pack(len(message)) + message


def question(name: str, param: str | None = None) -> bytes:
    """A read's bytes, framed."""
    return framed(_encode({"cmd": name} if param is None else {"cmd": name, "param": param}))


class FrameParser:
    """Takes messages apart as their bytes come."""

    __slots__ = ("_received",)

    def __init__(self) -> None:
        self._received = b""

    @property
    def started(self) -> bool:
        """Whether a message has begun and is not yet whole."""
        return bool(self._received)

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that are whole now; signs of life are left out. Raises WireError for one that is too long."""
        received, whole = self._received + data, []
        while len(received) >= _LENGTH.size:
            [length] = _LENGTH.unpack_from(received)
            if length > REPLY_BYTES_MAX:
                self._received = b""
                raise WireError(f"whatsminer v3: a message of {length} bytes; expected at most {REPLY_BYTES_MAX}")
            end = _LENGTH.size + length
            if len(received) < end:
                break
            if length:
                whole.append(received[_LENGTH.size : end])
            received = received[end:]
        self._received = received
        return whole


def signed(name: str, param: object = None, *, account: str, password: str, salt: str, ts: int) -> bytes:
    """A write's bytes, framed: signed with the account's password, the machine's salt and the time [unix s].

    The parameter of HIDDEN commands is encrypted with the whole digest as key, padded with one to sixteen NULs (chosen:
    clients in use pad with NULs or by PKCS #7; a NUL ends the text for every reader).
    """
    digest = hashlib.sha256(f"{name}{password}{salt}{ts}".encode()).digest()
    document: dict[str, object] = {"cmd": name, "ts": ts, "account": account}
    document["token"] = base64.b64encode(digest)[:8].decode("ascii")
    if param is not None:
        document["param"] = _hidden(digest, _encode(param)) if name in HIDDEN else param
    return framed(_encode(document))


def _hidden(key: bytes, plain: bytes) -> str:
    # ECB is the protocol's choice; the device understands nothing else.
    encryptor = Cipher(algorithms.AES(key), modes.ECB()).encryptor()  # noqa: S305
    padded = plain + b"\0" * (_BLOCK - len(plain) % _BLOCK)
    return base64.b64encode(encryptor.update(padded) + encryptor.finalize()).decode("ascii")


class Summary(msgspec.Struct, gc=False, rename="kebab"):
    """``summary`` of get.miner.status."""

    elapsed: float | None = None
    hash_realtime: float | None = None
    hash_average: float | None = None
    factory_hash: float | None = None
    power_realtime: float | None = None
    power_limit: float | None = None
    environment_temperature: float | None = None
    board_temperature: list[float] = []
    chip_temp_max: float | None = None
    chip_temp_avg: float | None = None
    fan_speed_in: float | None = None
    fan_speed_out: float | None = None
    freq_avg: float | None = None


class Board(msgspec.Struct, gc=False, rename="kebab"):
    """One board in ``edevs``."""

    id: int = -1
    hash_realtime: float | None = None
    hash_average: float | None = None
    factory_hash: float | None = None
    effective_chips: int | None = None
    chip_temp_max: float | None = None
    chip_temp_avg: float | None = None
    freq: float | None = None


class Pool(msgspec.Struct, gc=False, rename="kebab"):
    """One pool in ``pools``."""

    url: str = ""
    account: str = ""
    status: str = ""
    stratum_active: bool | None = None
    pool_priority: int | None = None


class Status(msgspec.Struct, gc=False):
    """What get.miner.status tells, as far as it was asked for."""

    summary: Summary | None = None
    edevs: list[Board] | None = None
    pools: list[Pool] | None = None


class Miner(msgspec.Struct, gc=False, rename="kebab"):
    """``miner`` of get.device.info."""

    working: str = ""
    type: str = ""
    miner_sn: str = ""
    pcbsn0: str = ""
    pcbsn1: str = ""
    pcbsn2: str = ""
    pcbsn3: str = ""

    def board_serials(self) -> tuple[str, str, str, str]:
        """By the board's id."""
        return self.pcbsn0, self.pcbsn1, self.pcbsn2, self.pcbsn3


class Network(msgspec.Struct, gc=False):
    """``network`` of get.device.info."""

    mac: str = ""
    hostname: str = ""


class Power(msgspec.Struct, gc=False):
    """``power`` of get.device.info: the power supply, and the mode as ``0`` low, ``1`` normal, ``2`` high."""

    mode: str = ""
    model: str = ""
    temp0: float | None = None


class System(msgspec.Struct, gc=False, rename={"control_board": "control-board-version"}):
    """``system`` of get.device.info; ``apiswitch`` is ``1`` where writes are let in."""

    api: str = ""
    apiswitch: str = ""
    fwversion: str = ""
    ledstatus: str = ""
    platform: str = ""
    control_board: str = ""


class Info(msgspec.Struct, gc=False, rename={"errors": "error-code"}):
    """What get.device.info tells, as far as it was asked for."""

    miner: Miner | None = None
    network: Network | None = None
    power: Power | None = None
    system: System | None = None
    salt: str = ""
    errors: Any = None


class StatusReply(msgspec.Struct, gc=False):
    """The envelope of get.miner.status; a refusal's ``msg`` is a text."""

    code: int | None = None
    msg: Status | str | None = None


class InfoReply(msgspec.Struct, gc=False):
    """The envelope of get.device.info; ``when`` is the machine's clock [unix s]."""

    code: int | None = None
    when: int | None = None
    msg: Info | str | None = None


class WriteReply(msgspec.Struct, gc=False):
    """What a write answers."""

    code: int | None = None
    msg: Any = None


decode_status = TolerantDecoder(StatusReply, what="whatsminer v3 get.miner.status")
decode_info = TolerantDecoder(InfoReply, what="whatsminer v3 get.device.info")
decode_write = TolerantDecoder(WriteReply, what="whatsminer v3 write")


def error_codes(found: Any) -> list[tuple[str, str, str]]:
    """(code, reason, since) of ``error-code``'s rows; what is none is left out."""
    rows = found if isinstance(found, list) else []
    return [
        (code, str(row.get("reason", "")), str(since))
        for row in rows
        if isinstance(row, dict)
        for code, since in row.items()
        if str(code).isdigit()
    ]
