"""The miner's side, for the twin and a proxy: what a miner says, and what a pool says to it.

Numbers and hashes as in ``requests`` and ``replies``: hex words highest byte first, hashes in internal order.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from mbongi.wire.errors import WireError
from mbongi.wire.stratum_v1.fields import blob, positive, text_of, word
from mbongi.wire.stratum_v1.lines import Line
from mbongi.wire.stratum_v1.replies import call, swap_words
from mbongi.wire.stratum_v1.requests import Submit

EXTRANONCE_BYTES_MAX = 32
"""Of either half. Source: Stratum V2, where both together are at most 32; V1 states no limit."""
BRANCH_MAX = 32
"""Hashes on a coinbase's way to the root: enough for 2**32 transactions, far more than a block holds."""
_COINBASE_CHARACTERS_MAX = 16_384
_encode = msgspec.json.Encoder().encode


class Notify(msgspec.Struct, gc=False, frozen=True):
    """``mining.notify``: a job. Hashes are in internal order, ``branch`` from the deepest up."""

    job_id: str
    previous_hash: bytes
    coinbase_before: bytes
    coinbase_after: bytes
    branch: tuple[bytes, ...]
    version: int
    bits: int
    time_s: int
    clean: bool


class Reconnect(msgspec.Struct, gc=False, frozen=True):
    """``client.reconnect``. An empty host or port 0 stands for the one in use."""

    host: str = ""
    port: int = 0
    wait_s: int = 0


class Subscription(msgspec.Struct, gc=False, frozen=True):
    """The answer to ``mining.subscribe``; ``session`` is that of the notices, empty where the pool names none."""

    extranonce1: bytes
    extranonce2_size: int
    session: str = ""


class Configured(msgspec.Struct, gc=False, frozen=True):
    """The answer to ``mining.configure``: the extensions granted, and 0 as mask where no version may be rolled."""

    granted: frozenset[str] = frozenset()
    version_mask: int = 0


class Refusal(msgspec.Struct, gc=False, frozen=True):
    """Why a pool says no. ``code`` is 0 where it gives none."""

    code: int
    text: str


# What a miner says.


def subscribe(id_: int, agent: str, session: str = "") -> bytes:
    """``mining.subscribe``, resuming ``session`` where one is given."""
    return call("mining.subscribe", [agent, session] if session else [agent], id_=id_)


def authorize(id_: int, user: str, password: str) -> bytes:
    """``mining.authorize``."""
    return call("mining.authorize", [user, password], id_=id_)


def configure(id_: int, *, version_mask: int, version_bits_min: int) -> bytes:
    """``mining.configure`` for version rolling (BIP 310)."""
    options = {"version-rolling.mask": f"{version_mask:08x}", "version-rolling.min-bit-count": version_bits_min}
    return call("mining.configure", [["version-rolling"], options], id_=id_)


def submit(id_: int, share: Submit) -> bytes:
    """``mining.submit``; the sixth field only where the share says which version bits were rolled."""
    bits = b"" if share.version_bits is None else b',"%08x"' % share.version_bits
    return b'{"id":%d,"method":"mining.submit","params":[%b,%b,"%b","%08x","%08x"%b]}\n' % (
        id_,
        _encode(share.worker),
        _encode(share.job_id),
        share.extranonce2.hex().encode(),
        share.time_s,
        share.nonce,
        bits,
    )


# What a pool says.


def read_notify(arguments: Sequence[Any]) -> Notify:
    """A job. Raises WireError naming the field that cannot be read.

    Further fields may stand before the last, which is always ``clean``: some pools write the time twice.
    """
    if len(arguments) < 9:
        raise WireError(f"mining.notify: {len(arguments)} parameters; expected 9")
    job_id, previous, before, after, branch, version, bits, time_s = arguments[:8]
    if not isinstance(job_id, str) or not isinstance(branch, list) or len(branch) > BRANCH_MAX:
        raise WireError(f"mining.notify: job {job_id!r:.80} or its branch; expected a text and at most 32 hashes")
    return Notify(
        job_id,
        swap_words(_hash(previous, "previous hash")),
        blob(before, "coinbase", characters_max=_COINBASE_CHARACTERS_MAX),
        blob(after, "coinbase", characters_max=_COINBASE_CHARACTERS_MAX),
        tuple(_hash(each, "branch") for each in branch),
        word(version, "version"),
        word(bits, "bits"),
        word(time_s, "time"),
        arguments[-1] is True,
    )


def read_set_difficulty(arguments: Sequence[Any]) -> float:
    """``mining.set_difficulty``. Raises WireError where it is no number above 0."""
    found = positive(arguments[0] if arguments else None)
    if found is None:
        raise WireError(f"mining.set_difficulty: {arguments!r:.60}; expected a number above 0")
    return found


def read_set_extranonce(arguments: Sequence[Any]) -> Subscription:
    """``mining.set_extranonce``. Raises WireError."""
    if len(arguments) < 2:
        raise WireError(f"mining.set_extranonce: {len(arguments)} parameters; expected 2")
    return _subscription(arguments[0], arguments[1], "")


def read_set_version_mask(arguments: Sequence[Any]) -> int:
    """``mining.set_version_mask``. Raises WireError."""
    return word(arguments[0] if arguments else None, "version mask")


def read_reconnect(arguments: Sequence[Any]) -> Reconnect:
    """``client.reconnect``: ports come as numbers and as texts. Raises WireError for one that is neither.

    A client must refuse a host outside the domain that it dialled; that is its business, not the codec's.
    """
    port, wait_s = (_whole(arguments, place) for place in (1, 2))
    if port > 65_535:
        raise WireError(f"client.reconnect: port {port}; expected at most 65535")
    return Reconnect(text_of(arguments, 0), port, wait_s)


def read_subscription(result: Any) -> Subscription:
    """The result of ``mining.subscribe``. Raises WireError."""
    if not isinstance(result, list) or len(result) < 3:
        raise WireError(f"mining.subscribe: result {result!r:.80}; expected subscriptions, extranonce1 and a size")
    pairs = result[0] if isinstance(result[0], list) else []
    session = ""
    for pair in pairs:
        if isinstance(pair, list) and len(pair) > 1 and pair[0] == "mining.notify":
            session = text_of(pair, 1)
    return _subscription(result[1], result[2], session)


def read_configured(result: Any) -> Configured:
    """The result of ``mining.configure``. Raises WireError where it is no object or its mask cannot be read."""
    if not isinstance(result, dict):
        raise WireError(f"mining.configure: result {result!r:.80}; expected an object")
    granted = frozenset(name for name, value in result.items() if value is True)
    if "version-rolling" not in granted:
        return Configured(granted)
    return Configured(granted, word(result.get("version-rolling.mask"), "version-rolling.mask"))


def read_refusal(line: Line) -> Refusal | None:
    """Why an answer says no; None where it says yes. Pools write a list, an object, a text, or a reason beside it."""
    match line.error:
        case [int() as code, str() as text, *_] | {"code": int() as code, "message": str() as text}:
            return Refusal(code, text)
        case str() as text:
            return Refusal(0, text)
        case None | False:
            if line.result is not False:
                return None
    return Refusal(0, line.reject_reason if isinstance(line.reject_reason, str) else "")


def _hash(value: Any, what: str) -> bytes:
    found = blob(value, what)
    if len(found) != 32:
        raise WireError(f"mining.notify: {what} of {len(found)} bytes; expected 32")
    return found


def _subscription(extranonce1: Any, size: Any, session: str) -> Subscription:
    found = blob(extranonce1, "extranonce1")
    if type(size) is not int or not 0 <= size <= EXTRANONCE_BYTES_MAX or len(found) > EXTRANONCE_BYTES_MAX:
        raise WireError(f"stratum: extranonce of {len(found)} and {size!r:.20} bytes; expected at most 32 each")
    return Subscription(found, size, session)


def _whole(arguments: Sequence[Any], place: int) -> int:
    value = arguments[place] if len(arguments) > place else 0
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 6:
        return int(value)
    if type(value) is int and value >= 0:
        return value
    if value is None or value == "":
        return 0
    raise WireError(f"client.reconnect: {value!r:.40}; expected a whole number")
