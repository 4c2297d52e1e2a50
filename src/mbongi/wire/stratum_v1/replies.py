"""What a pool says: every function gives the bytes of a whole line. Field encodings: see ``notify``."""

from collections.abc import Sequence
from enum import IntEnum
from typing import Any

import msgspec

_encode = msgspec.json.Encoder().encode


class Code(IntEnum):
    """Error codes that miners know. Source: the protocol's description by its authors; node-stratum-pool uses the same.

    There is none for a time or version out of range: node-stratum-pool says OTHER with "ntime out of range", datum
    gateway JOB_NOT_FOUND with "time-too-old" and LOW_DIFFICULTY with "bad-version", ckpool a ``reject-reason`` alone.
    """

    OTHER = 20
    JOB_NOT_FOUND = 21
    DUPLICATE = 22
    LOW_DIFFICULTY = 23
    UNAUTHORIZED = 24
    NOT_SUBSCRIBED = 25


def result(id_: bytes, value: Any) -> bytes:
    """An answer; ``id_`` as the question wrote it."""
    return b'{"id":%b,"result":%b,"error":null}\n' % (id_, _encode(value))


def accepted(id_: bytes) -> bytes:
    """The commonest answer of all: yes."""
    return b'{"id":' + id_ + b',"result":true,"error":null}\n'


def error(id_: bytes, code: Code, text: str) -> bytes:
    """An answer that says no, and why."""
    return b'{"id":%b,"result":null,"error":[%d,%b,null]}\n' % (id_, code, _encode(text))


def call(method: str, arguments: Sequence[Any], *, id_: int | None = None) -> bytes:
    """A request, or without ``id_`` a notice that wants no answer. For either side."""
    return _encode({"id": id_, "method": method, "params": list(arguments)}) + b"\n"


class PreparedNotify:
    """``mining.notify`` encoded once, for all connections that share its work.

    Numbers are hex, highest byte first; branch hashes as they are hashed. The previous hash is written in eight words
    of four bytes, each turned round: miners copy it into a header that they swap word by word.
    """

    __slots__ = ("_after", "_previous")

    def __init__(
        self,
        *,
        previous_hash: bytes,
        coinbase_after: bytes,
        branch: Sequence[bytes],
        version: int,
        bits: int,
        time_s: int,
    ) -> None:
        hashes = ",".join(f'"{each.hex()}"' for each in branch)
        self._previous = b',"%b","' % swap_words(previous_hash).hex().encode()
        self._after = f'","{coinbase_after.hex()}",[{hashes}],"{version:08x}","{bits:08x}","{time_s:08x}",'.encode()

    def line(self, job_id: str, coinbase_before: bytes, *, clean: bool) -> bytes:
        """The bytes of one connection, or of all that have this job id and this first half of the coinbase."""
        return b'{"id":null,"method":"mining.notify","params":[%b%b%b%b%b]}\n' % (
            _encode(job_id),
            self._previous,
            coinbase_before.hex().encode(),
            self._after,
            b"true" if clean else b"false",
        )


def notify(  # noqa: PLR0913 -- the protocol's nine fields
    job_id: str,
    *,
    previous_hash: bytes,
    coinbase_before: bytes,
    coinbase_after: bytes,
    branch: Sequence[bytes],
    version: int,
    bits: int,
    time_s: int,
    clean: bool,
) -> bytes:
    """``mining.notify`` for one job id and one coinbase; where these differ by connection, see PreparedNotify."""
    prepared = PreparedNotify(
        previous_hash=previous_hash,
        coinbase_after=coinbase_after,
        branch=branch,
        version=version,
        bits=bits,
        time_s=time_s,
    )
    return prepared.line(job_id, coinbase_before, clean=clean)


def swap_words(data: bytes) -> bytes:
    """Each word of four bytes turned round; doing it twice gives the bytes back."""
    return b"".join(data[at : at + 4][::-1] for at in range(0, len(data), 4))


def set_difficulty(difficulty: float) -> bytes:
    """``mining.set_difficulty``; a whole number is written as one, which old firmwares need."""
    return call("mining.set_difficulty", [int(difficulty) if difficulty == int(difficulty) else difficulty])


def set_extranonce(extranonce1: bytes, extranonce2_size: int) -> bytes:
    """``mining.set_extranonce``: holds from the next job on. Only for miners that asked for it.

    Source: NiceHash's specification of mining.extranonce.subscribe.
    """
    return call("mining.set_extranonce", [extranonce1.hex(), extranonce2_size])


def get_version(id_: int) -> bytes:
    """``client.get_version``: asks for the miner's program; the answer is read by ``requests.read_version``."""
    return call("client.get_version", [], id_=id_)


def set_version_mask(mask: int) -> bytes:
    """``mining.set_version_mask`` (BIP 310)."""
    return call("mining.set_version_mask", [f"{mask:08x}"])


def reconnect(host: str = "", port: int = 0, wait_s: int = 0) -> bytes:
    """``client.reconnect``; without host to the same place."""
    return call("client.reconnect", [host, port, wait_s] if host else [])


def show_message(text: str) -> bytes:
    """``client.show_message``: for the person at the machine."""
    return call("client.show_message", [text])


def subscribed(id_: bytes, *, session: str, extranonce1: bytes, extranonce2_size: int) -> bytes:
    """The answer to ``mining.subscribe``; the session stands in both subscriptions, as pools write it."""
    subscriptions = [["mining.set_difficulty", session], ["mining.notify", session]]
    return result(id_, [subscriptions, extranonce1.hex(), extranonce2_size])
