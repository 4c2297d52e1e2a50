"""btminer V2 of a Whatsminer on TCP 4028: the answers that are used, and the encrypted writes. No I/O.

MH/s, W, degC. Numbers inside ``Msg`` come as texts. Shapes: captured replies (``tests/wire/vectors``); writes after
MicroBT's public WhatsminerAPI V2 document: a write is signed with a token and hidden with AES-256-ECB.
"""

import base64
import binascii
import hashlib
from typing import Any

import msgspec
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from mbongi.wire.cgminer import Status
from mbongi.wire.errors import WireError
from mbongi.wire.md5crypt import md5_crypt
from mbongi.wire.tolerant import TolerantDecoder

DONE, TOKEN_WRONG, DENIED, INVALID = 131, 135, 45, 14
_BLOCK = 16
_encode = msgspec.json.Encoder().encode


class SummaryRow(
    msgspec.Struct,
    gc=False,
    rename={
        "mhs_av": "MHS av",
        "mhs_5s": "MHS 5s",
        "hs_rt": "HS RT",
        "elapsed": "Elapsed",
        "accepted": "Accepted",
        "rejected": "Rejected",
        "stale": "Stale",
        "hw_errors": "Hardware Errors",
        "factory_ghs": "Factory GHS",
        "power": "Power",
        "power_rt": "Power_RT",
        "power_limit": "Power Limit",
        "power_mode": "Power Mode",
        "fan_in": "Fan Speed In",
        "fan_out": "Fan Speed Out",
        "env_temp": "Env Temp",
        "temperature": "Temperature",
        "chip_temp_max": "Chip Temp Max",
        "chip_temp_avg": "Chip Temp Avg",
        "voltage": "Voltage",
        "mac": "MAC",
        "firmware": "Firmware Version",
        "uptime": "Uptime",
        "error_count": "Error Code Count",
        **{f"error_{number}": f"Error Code {number}" for number in range(4)},
    },
):
    """The one row of ``summary``."""

    mhs_av: float | None = None
    mhs_5s: float | None = None
    hs_rt: float | None = None
    elapsed: float | None = None
    accepted: float | None = None
    rejected: float | None = None
    stale: float | None = None
    hw_errors: float | None = None
    factory_ghs: float | None = None
    power: float | None = None
    power_rt: float | None = None
    power_limit: float | None = None
    power_mode: str = ""
    fan_in: float | None = None
    fan_out: float | None = None
    env_temp: float | None = None
    temperature: float | None = None
    chip_temp_max: float | None = None
    chip_temp_avg: float | None = None
    freq_avg: float | None = None
    voltage: float | None = None
    mac: str = ""
    firmware: str = ""
    uptime: float | None = None
    error_count: int | None = None
    error_0: int | None = None
    error_1: int | None = None
    error_2: int | None = None
    error_3: int | None = None

    def codes(self) -> list[int]:
        """The first four error codes; only V1 states them here."""
        return [code for code in (self.error_0, self.error_1, self.error_2, self.error_3) if code is not None]


class DevRow(
    msgspec.Struct,
    gc=False,
    rename={
        "asc": "ASC",
        "slot": "Slot",
        "mhs_av": "MHS av",
        "mhs_5s": "MHS 5s",
        "mhs_1m": "MHS 1m",
        "factory_ghs": "Factory GHS",
        "chips": "Effective Chips",
        "frequency": "Chip Frequency",
        "temperature": "Temperature",
        "chip_temp_max": "Chip Temp Max",
        "chip_temp_avg": "Chip Temp Avg",
        "hw_errors": "Hardware Errors",
        "serial": "PCB SN",
    },
):
    """One board in ``devs``."""

    asc: int = -1
    slot: int = -1
    mhs_av: float | None = None
    mhs_5s: float | None = None
    mhs_1m: float | None = None
    factory_ghs: float | None = None
    chips: int | None = None
    frequency: float | None = None
    temperature: float | None = None
    chip_temp_max: float | None = None
    chip_temp_avg: float | None = None
    hw_errors: float | None = None
    serial: str = ""


class PoolRow(msgspec.Struct, gc=False, rename={"active": "Stratum Active"}):
    """One pool in ``pools``."""

    POOL: int = -1
    URL: str = ""
    User: str = ""
    Status: str = ""
    Priority: int | None = None
    Accepted: int | None = None
    Rejected: int | None = None
    Stale: int | None = None
    active: bool | None = None


class Summary(msgspec.Struct, gc=False, rename={"rows": "SUMMARY"}):
    """``summary``."""

    rows: list[SummaryRow] = []


class Devs(msgspec.Struct, gc=False, rename={"rows": "DEVS"}):
    """``devs``."""

    rows: list[DevRow] = []


class Pools(msgspec.Struct, gc=False, rename={"rows": "POOLS"}):
    """``pools``."""

    rows: list[PoolRow] = []


class DevDetail(msgspec.Struct, gc=False):
    """One board in ``devdetails``."""

    Model: str = ""
    Driver: str = ""


class DevDetails(msgspec.Struct, gc=False, rename={"rows": "DEVDETAILS", "status": "STATUS"}):
    """``devdetails``."""

    rows: list[DevDetail] = []
    status: list[Status] = []


class Joined(msgspec.Struct, gc=False):
    """``summary+devs+pools`` and parts of it; ``Code`` stands at the top level only where the device refuses."""

    summary: list[Summary] = []
    devs: list[Devs] = []
    pools: list[Pools] = []
    devdetails: list[DevDetails] = []
    Code: int | None = None
    Msg: Any = None


class State(msgspec.Struct, gc=False):
    """``status``; V1 writes ``btmineroff`` and has no other field."""

    mineroff: str = ""
    btmineroff: str = ""
    mineroff_reason: str = ""
    power_mode: str = ""
    power_limit_set: float | None = None


class Version(msgspec.Struct, gc=False):
    """``get_version``."""

    api_ver: str = ""
    fw_ver: str = ""
    platform: str = ""


class MinerInfo(msgspec.Struct, gc=False):
    """``get_miner_info``."""

    mac: str = ""
    hostname: str = ""
    ledstat: str = ""
    minersn: str = ""


class Psu(msgspec.Struct, gc=False):
    """``get_psu``."""

    model: str = ""
    serial_no: str = ""
    fan_speed: float | None = None
    temp0: float | None = None


class Token(msgspec.Struct, gc=False):
    """``get_token``."""

    time: str = ""
    salt: str = ""
    newsalt: str = ""


class StateReply(msgspec.Struct, gc=False):
    """The envelope of ``status``."""

    Msg: State | None = None


class VersionReply(msgspec.Struct, gc=False):
    """The envelope of ``get_version``."""

    Msg: Version | None = None
    Description: str = ""


class MinerInfoReply(msgspec.Struct, gc=False):
    """The envelope of ``get_miner_info``."""

    Msg: MinerInfo | None = None


class PsuReply(msgspec.Struct, gc=False):
    """The envelope of ``get_psu``."""

    Msg: Psu | None = None


class TokenReply(msgspec.Struct, gc=False):
    """The envelope of ``get_token``; a machine whose API switch is off answers a text."""

    Code: int | None = None
    Msg: Token | str | None = None


class ErrorCodes(msgspec.Struct, gc=False):
    """Codes that stand at present, each with the time since when; a list of pairs, or one mapping."""

    error_code: Any = None


class ErrorReply(msgspec.Struct, gc=False):
    """The envelope of ``get_error_code``."""

    Msg: ErrorCodes | None = None


class WriteReply(msgspec.Struct, gc=False):
    """What a write answers, once opened; ``enc`` holds it while hidden."""

    STATUS: str = ""
    Code: int | None = None
    Msg: Any = None
    enc: Any = None


decode_joined = TolerantDecoder(Joined, what="whatsminer summary+devs+pools")
decode_state = TolerantDecoder(StateReply, what="whatsminer status")
decode_version = TolerantDecoder(VersionReply, what="whatsminer get_version")
decode_miner_info = TolerantDecoder(MinerInfoReply, what="whatsminer get_miner_info")
decode_psu = TolerantDecoder(PsuReply, what="whatsminer get_psu")
decode_errors = TolerantDecoder(ErrorReply, what="whatsminer get_error_code")
decode_devdetails = TolerantDecoder(DevDetails, what="whatsminer devdetails")
decode_token = TolerantDecoder(TokenReply, what="whatsminer get_token")
decode_write = TolerantDecoder(WriteReply, what="whatsminer write")
decode_summary = TolerantDecoder(Summary, what="whatsminer summary")
decode_devs = TolerantDecoder(Devs, what="whatsminer devs")
decode_pools = TolerantDecoder(Pools, what="whatsminer pools")


def error_codes(found: Any) -> list[tuple[str, str]]:
    """(code, since) of ``get_error_code``'s field in any of its captured shapes; what is neither is left out."""
    rows = found if isinstance(found, list) else [found]
    pairs: list[tuple[str, str]] = []
    for row in rows:
        if isinstance(row, dict):
            pairs += [(str(code), str(since)) for code, since in row.items() if str(code).isdigit()]
        elif isinstance(row, int | str) and str(row).isdigit():
            pairs.append((str(row), ""))
    return pairs


class Sealer:
    """One token's key and signature: hides commands, opens answers. Keeps no password."""

    __slots__ = ("_cipher", "_sign")

    def __init__(self, token: Token, password: str) -> None:
        """Raises WireError where the token lacks a part."""
        if not token.salt or not token.newsalt or not token.time:
            raise WireError("whatsminer get_token: time, salt or newsalt is missing")
        secret = md5_crypt(password.encode(), token.salt.encode())
        self._sign = md5_crypt((secret + token.time).encode(), token.newsalt.encode())
        # ECB is the protocol's choice; the device understands nothing else.
        self._cipher = Cipher(algorithms.AES(hashlib.sha256(secret.encode()).digest()), modes.ECB())  # noqa: S305

    def seal(self, name: str, **fields: object) -> bytes:
        """A write's bytes."""
        plain = _encode({"cmd": name, "token": self._sign, **fields})
        encryptor = self._cipher.encryptor()
        hidden = encryptor.update(plain + b"\0" * (-len(plain) % _BLOCK)) + encryptor.finalize()
        return _encode({"enc": 1, "data": base64.b64encode(hidden).decode("ascii")})

    def open(self, reply: bytes) -> WriteReply:
        """A write's answer, hidden or plain (refusals come plain). Raises WireError where it cannot be read."""
        found = decode_write(reply.rstrip(b"\0 \r\n"))
        if not isinstance(found.enc, str):
            return found
        try:
            hidden = base64.b64decode(found.enc)
        except (binascii.Error, ValueError) as error:
            raise WireError("whatsminer write: the answer is not base64") from error
        if not hidden or len(hidden) % _BLOCK:
            raise WireError(
                f"whatsminer write: the answer hides {len(hidden)} bytes; expected whole blocks of {_BLOCK}"
            )
        decryptor = self._cipher.decryptor()
        return decode_write((decryptor.update(hidden) + decryptor.finalize()).rstrip(b"\0"))
