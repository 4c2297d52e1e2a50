"""Sessions of Stratum V1 that may be taken up again: over a lost connection, and over a restart of the process.

What a session is stands in a file of the shard, written anew every few seconds. A miner that names its session gets its
part of the search space, its difficulties and its workers back, so that what it found meanwhile still counts.
"""

import secrets
from collections import OrderedDict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import msgspec

from mbongi.base.log import get_log
from mbongi.pool.daemon.counters import Extranonces

log = get_log(__name__)

FORM: Final = 2
RESUME_S_MAX: Final = 600.0
"""How long a lost connection's session may be taken up again."""
SESSIONS_MAX: Final = 20_000
"""Lost sessions remembered, at most; the oldest are forgotten."""
ID_BYTES: Final = 8


class Kept(msgspec.Struct, array_like=True, gc=False, frozen=True):
    """A session that nobody holds. ``told``, ``changes``: see ``Generations``; ``lost_at_s`` is Unix time."""

    session: str
    extranonce1: bytes
    told: tuple[tuple[int, float, int, int], ...]
    changes: int
    version_mask: int
    workers: tuple[str, ...]
    lost_at_s: float


class _File(msgspec.Struct, array_like=True):
    form: int
    sessions: list[Kept]


_decode = msgspec.msgpack.Decoder(_File).decode
_encode = msgspec.msgpack.Encoder().encode


class Sessions:
    """Of one process. ``unix_s`` gives the time of the record."""

    def __init__(self, shard: int, extranonces: Extranonces, unix_s: Callable[[], float]) -> None:
        self._shard, self._extranonces, self._unix_s = shard, extranonces, unix_s
        self._lost: OrderedDict[str, Kept] = OrderedDict()

    def new_id(self) -> str:
        """What a miner shows to go on where it was; its first byte names the process that keeps it."""
        return f"{self._shard:02x}{secrets.token_hex(ID_BYTES)}"

    def lose(self, kept: Kept) -> None:
        """Its connection is gone."""
        self._lost[kept.session] = kept
        while len(self._lost) > SESSIONS_MAX:
            self._forget(next(iter(self._lost)))

    def take(self, session: str) -> Kept | None:
        """A lost session for a miner that names it; None where it is not known, or was lost too long ago."""
        if session in self._lost and self._is_old(self._lost[session]):
            self._forget(session)
        return self._lost.pop(session, None)

    def lost(self) -> list[Kept]:
        """All that may be taken up again."""
        while self._lost and self._is_old(next(iter(self._lost.values()))):
            self._forget(next(iter(self._lost)))
        return list(self._lost.values())

    def read(self, path: Path) -> int:
        """Take over what a former process of this shard wrote; returns how many sessions."""
        try:
            found = _decode(path.read_bytes())
        except FileNotFoundError:
            return 0
        except (OSError, msgspec.DecodeError) as error:
            log.error("sessions_not_read", file=str(path), error=str(error))  # noqa: TRY400 -- miners begin anew
            return 0
        kept = found.sessions if found.form == FORM else []
        for each in sorted(kept, key=lambda each: each.lost_at_s):
            if not self._is_old(each):
                self._extranonces.hold(each.extranonce1)
                self.lose(each)
        return len(self._lost)

    def _is_old(self, kept: Kept) -> bool:
        return abs(self._unix_s() - kept.lost_at_s) > RESUME_S_MAX

    def _forget(self, session: str) -> None:
        self._extranonces.give_back(self._lost.pop(session).extranonce1)


def shard_of(session: str) -> int | None:
    """Which process keeps a session with this name; None where it is none of ours."""
    if len(session) != 2 + 2 * ID_BYTES:
        return None
    try:
        return bytes.fromhex(session)[0]
    except ValueError:
        return None


def write_sessions(path: Path, sessions: Iterable[Kept]) -> None:
    """Write them in one step: a reader finds the old file or the new one. May block; raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f".{path.name}")
    draft.touch(mode=0o600)
    draft.write_bytes(_encode(_File(FORM, list(sessions))))
    draft.replace(path)
