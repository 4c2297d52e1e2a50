"""The work of one extended channel of Stratum V2, as its client keeps it: future jobs, tips, targets, prefixes. Pure.

What Stratum V1 miners get of it: the channel's prefix, and what the pool leaves to the client beyond the bytes that
miners roll, stand at the end of their coinbase's first half. So a new prefix or another pool is nothing but a new job
to them, and no miner needs to understand ``mining.set_extranonce``.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from mbongi.pool.errors import UpstreamError
from mbongi.wire.bitcoin.hashing import HASH_BYTES
from mbongi.wire.bitcoin.target import difficulty_of_target, target_of_bits, target_of_difficulty
from mbongi.wire.bitcoin.work_hash import hashed_header
from mbongi.wire.errors import WireError

EXTRANONCE1_BYTES: Final = 2
"""Ours: tells the miners of one channel apart, and is theirs as long as they stay connected."""
EXTRANONCE2_BYTES: Final = 4
"""The miners' to roll; four is what every firmware takes."""
EXTRANONCE_BYTES: Final = EXTRANONCE1_BYTES + EXTRANONCE2_BYTES
"""What a channel must leave to us at least."""
FUTURE_JOBS_MAX: Final = 32
JOBS_KEPT: Final = 24
SEEN_MAX: Final = 500_000
"""Hashes remembered for one tip; at the limit they are forgotten, and the pool alone knows duplicates."""
BRANCH_MAX: Final = 32


@dataclass(frozen=True, slots=True)
class Body:
    """What jobs of all channels may share: the coinbase's halves (without witness) and its way to the root.

    ``branch`` is its hashes, one after the other.
    """

    before: bytes
    after: bytes
    branch: bytes

    @property
    def hashes(self) -> tuple[bytes, ...]:
        """The branch, hash by hash."""
        return tuple(self.branch[at : at + HASH_BYTES] for at in range(0, len(self.branch), HASH_BYTES))


@dataclass(frozen=True, slots=True)
class Tip:
    """The block that is built on; ``time_min_s`` is the least time of a header, ``target`` what makes a block."""

    previous_hash: bytes
    bits: int
    time_min_s: int
    target: int


def tip_of(previous_hash: bytes, bits: int, time_min_s: int) -> Tip:
    """The tip that a SetNewPrevHash tells. Raises UpstreamError for bits that stand for no target."""
    try:
        return Tip(previous_hash, bits, time_min_s, target_of_bits(bits))
    except WireError as error:
        raise UpstreamError(f"SetNewPrevHash: {error}") from error


@dataclass(frozen=True, slots=True)
class UpstreamJob:
    """A job as the pool gave it, not started yet. ``time_min_s`` is None for one that waits for its tip."""

    id: int
    body: Body
    version: int
    rolls_version: bool
    time_min_s: int | None


@dataclass(slots=True)
class ActiveJob:
    """A job that miners work on. ``number`` is the proxy's own and never used twice.

    ``target`` is what the pool takes, ``difficulty`` no easier than that, for miners that count in difficulties.
    ``prefix`` stands between the coinbase's first half and the miner's extranonces; its end, ``padding``, is part of
    what the pool left to us.
    """

    number: int
    upstream_id: int
    body: Body
    tip: Tip
    version: int
    rolls_version: bool
    time_min_s: int
    prefix: bytes
    padding: bytes
    target: int
    difficulty: float

    @property
    def coinbase_before(self) -> bytes:
        """The coinbase up to the miner's extranonces."""
        return self.body.before + self.prefix

    def hash(self, extranonce: bytes, *, version: int, time_s: int, nonce: int) -> bytes:
        """The hash of the header that a miner hashed; ``extranonce`` is what stands behind the prefix."""
        body, tip = self.body, self.tip
        return hashed_header(
            body.before,
            self.prefix + extranonce,
            body.after,
            body.branch,
            tip.previous_hash,
            version,
            time_s,
            tip.bits,
            nonce,
        )[1]


class ChannelWork:
    """Takes what the pool says about one channel, gives the jobs that follow.

    Raises UpstreamError for what contradicts the protocol; the link cannot be used after that.
    """

    __slots__ = ("_first", "_future", "_jobs", "_numbers", "_size", "current", "prefix", "seen", "target", "tip")

    def __init__(self, *, prefix: bytes, size: int, target: int, numbers: Callable[[], int]) -> None:
        """``size`` is what the pool leaves of the extranonce behind ``prefix`` [byte]; ``numbers`` counts up."""
        if size < EXTRANONCE_BYTES:
            raise UpstreamError(f"a channel with {size} bytes of extranonce; expected at least {EXTRANONCE_BYTES}")
        self._size, self._numbers = size, numbers
        self._first = numbers()
        self._future: dict[int, UpstreamJob] = {}
        self._jobs: dict[int, ActiveJob] = {}
        self.seen: set[bytes] = set()
        self.prefix, self.target = prefix, _checked_target(target)
        self.tip: Tip | None = None
        self.current: ActiveJob | None = None

    def new_job(self, job: UpstreamJob) -> ActiveJob | None:
        """A job came: it is started where it names a time; None where it waits for its tip."""
        levels = len(job.body.branch) // HASH_BYTES
        if levels > BRANCH_MAX:
            raise UpstreamError(f"job {job.id}: a branch of {levels} hashes; at most {BRANCH_MAX}")
        if job.time_min_s is None:
            self._future[job.id] = job
            if len(self._future) > FUTURE_JOBS_MAX:
                del self._future[next(iter(self._future))]
            return None
        if self.tip is None:
            raise UpstreamError(f"job {job.id}: to be started before any SetNewPrevHash")
        return self._start(job, job.time_min_s, self.tip)

    def new_tip(self, job_id: int, tip: Tip) -> ActiveJob:
        """A block was found: of all jobs only the future one named here is good, and is started."""
        job = self._future.get(job_id)
        if job is None:
            raise UpstreamError(f"SetNewPrevHash names job {job_id}; expected one of {sorted(self._future)}")
        self.tip = tip
        self._future.clear()
        self._jobs.clear()
        self.seen.clear()
        self._first = self._numbers()
        return self._start(job, tip.time_min_s, tip)

    def set_target(self, target: int) -> None:
        """What jobs that start from now on have to meet."""
        self.target = _checked_target(target)

    def set_prefix(self, prefix: bytes) -> None:
        """What jobs that start from now on have as prefix."""
        self.prefix = prefix

    def job(self, number: int) -> ActiveJob | None:
        """A job that can still be worked on."""
        return self._jobs.get(number)

    def is_stale(self, number: int) -> bool:
        """Whether a job, if there ever was one of that number, was of an earlier tip or an earlier link."""
        return 0 <= number < self._first

    def is_new(self, mark: bytes) -> bool:
        """Remember a share by the start of its hash; False where it came before."""
        if mark in self.seen:
            return False
        if len(self.seen) >= SEEN_MAX:
            self.seen.clear()
        self.seen.add(mark)
        return True

    def _start(self, job: UpstreamJob, time_min_s: int, tip: Tip) -> ActiveJob:
        padding = bytes(self._size - EXTRANONCE_BYTES)
        started = ActiveJob(
            number=self._numbers(),
            upstream_id=job.id,
            body=job.body,
            tip=tip,
            version=job.version,
            rolls_version=job.rolls_version,
            time_min_s=time_min_s,
            prefix=self.prefix + padding,
            padding=padding,
            target=self.target,
            difficulty=difficulty_not_easier(self.target),
        )
        self._jobs[started.number] = self.current = started
        if len(self._jobs) > JOBS_KEPT:
            del self._jobs[next(iter(self._jobs))]
        return started


def difficulty_not_easier(target: int) -> float:
    """The least difficulty whose own target is no easier than ``target`` (1..2**256-1)."""
    difficulty = difficulty_of_target(target)
    while target_of_difficulty(difficulty) > target:
        difficulty = math.nextafter(difficulty, math.inf)
    return difficulty


class Bodies:
    """Keeps one of all equal bodies, for a pool repeats the same coinbase and branch to each channel."""

    __slots__ = ("_known",)

    KEPT: Final = 16

    def __init__(self) -> None:
        self._known: dict[Body, Body] = {}

    def one(self, before: bytes, after: bytes, branch: Sequence[bytes]) -> Body:
        """The body of these parts."""
        made = Body(before, after, b"".join(branch))
        known = self._known.setdefault(made, made)
        if len(self._known) > self.KEPT:
            del self._known[next(iter(self._known))]
        return known


def _checked_target(target: int) -> int:
    if not 0 < target < 1 << 256:
        raise UpstreamError(f"a target of {target:#x}; expected 1 to 2**256-1")
    return target
