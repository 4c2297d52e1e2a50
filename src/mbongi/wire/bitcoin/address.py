"""Addresses: base58check, bech32 (BIP 173) and bech32m (BIP 350), to scripts and back."""

import csv
import functools
import importlib.resources
from dataclasses import dataclass
from typing import Final

from mbongi.wire.bitcoin.hashing import sha256d
from mbongi.wire.bitcoin.script import OP_1, P2PKH, P2SH, p2pkh_hash, p2sh_hash, push, witness_program
from mbongi.wire.errors import WireError

_BASE58: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_BECH32: Final = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_GENERATOR: Final = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_BECH32_SUM, _BECH32M_SUM = 1, 0x2BC830A3


@dataclass(frozen=True, slots=True)
class Network:
    """What addresses of a network begin with, and after how many blocks its subsidy halves."""

    name: str
    hrp: str
    p2pkh_version: int
    p2sh_version: int
    halving_blocks: int


@functools.cache
def networks() -> dict[str, Network]:
    """The known networks by name, from ``networks.csv``."""
    text = importlib.resources.files("mbongi.wire.bitcoin").joinpath("networks.csv").read_text(encoding="utf-8")
    return {
        row["network"]: Network(
            row["network"],
            row["bech32_hrp"],
            int(row["p2pkh_version"]),
            int(row["p2sh_version"]),
            int(row["halving_blocks"]),
        )
        for row in csv.DictReader(text.splitlines())
    }


def script_of_address(text: str, network: Network) -> bytes:
    """The script that pays to an address. Raises WireError, saying why, for one that is not of this network."""
    if text.lower().startswith(network.hrp + "1"):
        version, program = _segwit(text, network.hrp)
        return bytes([version and OP_1 + version - 1]) + push(program)
    payload = base58check_decode(text)
    if len(payload) == 21 and payload[0] == network.p2pkh_version:
        return payload[1:].join(P2PKH)
    if len(payload) == 21 and payload[0] == network.p2sh_version:
        return payload[1:].join(P2SH)
    raise WireError(f"address {text!r}: not one of {network.name}")


def address_of_script(script: bytes, network: Network) -> str | None:
    """The address that a script pays to; None for a script that has none."""
    if (key_hash := p2pkh_hash(script)) is not None:
        return base58check_encode(bytes([network.p2pkh_version]) + key_hash)
    if (script_hash := p2sh_hash(script)) is not None:
        return base58check_encode(bytes([network.p2sh_version]) + script_hash)
    found = witness_program(script)
    if found is None:
        return None
    version, program = found
    if version == 0 and len(program) not in {20, 32}:
        return None
    words = [version, *_regroup(program, 8, 5, pad=True)]
    return network.hrp + "1" + "".join(_BECH32[word] for word in words + _checksum(network.hrp, words, version))


def base58check_encode(payload: bytes) -> str:
    """Bytes with their checksum in base 58."""
    data = payload + sha256d(payload)[:4]
    number, text = int.from_bytes(data), ""
    while number:
        number, digit = divmod(number, 58)
        text = _BASE58[digit] + text
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + text


def base58check_decode(text: str) -> bytes:
    """The bytes of a base58check text. Raises WireError for a wrong character or checksum."""
    if not 5 < len(text) <= 112:
        raise WireError(f"base58 text of {len(text)} characters; expected 6..112")
    number = 0
    for character in text:
        digit = _BASE58.find(character)
        if digit < 0:
            raise WireError(f"base58 {text!r}: character {character!r} is not of the alphabet")
        number = number * 58 + digit
    zeros = len(text) - len(text.lstrip("1"))
    data = bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8)
    if sha256d(data[:-4])[:4] != data[-4:]:
        raise WireError(f"base58 {text!r}: its checksum does not fit")
    return data[:-4]


def _segwit(text: str, hrp: str) -> tuple[int, bytes]:
    """Version and program of a segwit address. Source: BIP 173, BIP 350."""
    if not text.isascii() or text not in {text.lower(), text.upper()}:
        raise WireError(f"address {text!r}: mixes upper and lower case, or is not ASCII")
    text = text.lower()
    words = [_BECH32.find(character) for character in text[len(hrp) + 1 :]]
    if len(text) > 90 or len(words) < 7 or min(words) < 0:
        raise WireError(f"address {text!r}: wrong length or character")
    version = words[0]
    if _polymod([*_expanded(hrp), *words]) != (_BECH32M_SUM if version else _BECH32_SUM):
        raise WireError(f"address {text!r}: its checksum does not fit")
    program = _regroup(bytes(words[1:-6]), 5, 8, pad=False)
    if version > 16 or not 2 <= len(program) <= 40 or (version == 0 and len(program) not in {20, 32}):
        raise WireError(f"address {text!r}: version {version} with a program of {len(program)} bytes")
    return version, bytes(program)


def _polymod(words: list[int]) -> int:
    total = 1
    for word in words:
        top = total >> 25
        total = (total & 0x1FF_FFFF) << 5 ^ word
        for bit, generator in enumerate(_GENERATOR):
            if top >> bit & 1:
                total ^= generator
    return total


def _expanded(hrp: str) -> list[int]:
    return [ord(character) >> 5 for character in hrp] + [0] + [ord(character) & 31 for character in hrp]


def _checksum(hrp: str, words: list[int], version: int) -> list[int]:
    total = _polymod([*_expanded(hrp), *words, *(0,) * 6]) ^ (_BECH32M_SUM if version else _BECH32_SUM)
    return [total >> 5 * (5 - place) & 31 for place in range(6)]


def _regroup(data: bytes, have: int, want: int, *, pad: bool) -> list[int]:
    """Bits in groups of another size. Raises WireError where what is left over is not zero padding."""
    total, bits, groups = 0, 0, []
    for value in data:
        total = total << have | value
        bits += have
        while bits >= want:
            bits -= want
            groups.append(total >> bits & (1 << want) - 1)
        total &= (1 << bits) - 1
    if pad:
        return [*groups, total << want - bits] if bits else groups
    if bits >= have or total:
        raise WireError("address: its last bits are no padding")
    return groups
