"""A job in Stratum V2's messages, serialised once; only ids and a generation differ from channel to channel."""

import struct
from typing import Final

from mbongi.pool.rules.generations import GENERATIONS, SHARED
from mbongi.pool.rules.job import MARKS, Job
from mbongi.pool.rules.share import merkle_root_of
from mbongi.wire.stratum_v2 import mining, registry
from mbongi.wire.stratum_v2.frames import HEADER_BYTES

_IDS: Final = struct.Struct("<II")
_IDS_END: Final = HEADER_BYTES + _IDS.size
"""Each of these messages begins with a channel's and a job's id."""
_LENGTH_BYTES: Final = 2
"""Before the coinbase's second half, which is the last field."""


def job_id(number: int, generation: int) -> int:
    """The id of a job's work for one generation."""
    return number * GENERATIONS + generation


class JobFrames:
    """The frames of one job. ``clean`` is for work on a new tip, and for a channel's first."""

    __slots__ = ("_extended", "_tip", "job")

    def __init__(self, job: Job) -> None:
        self.job = job
        self._extended = {clean: _halves(job, clean=clean) for clean in (False, True)}
        template = job.template
        self._tip = registry.encode(mining.SetNewPrevHash(0, 0, template.previous_hash, template.time_s, template.bits))

    def extended(self, channel: int, generation: int, *, clean: bool) -> list[bytes]:
        """The messages for an extended channel; a future job and what starts it where ``clean``."""
        before, after = self._extended[clean]
        ids = _IDS.pack(channel, job_id(self.job.number, generation))
        frames = [b"".join((before[:HEADER_BYTES], ids, before[_IDS_END:], MARKS[generation], after))]
        return [*frames, self._start(ids)] if clean else frames

    def shared(self, group: int, *, clean: bool) -> list[bytes]:
        """The same for all channels of a group."""
        return self.extended(group, SHARED, clean=clean)

    def standard(self, channel: int, prefix: bytes, generation: int, *, clean: bool) -> list[bytes]:
        """The messages for a standard channel with this whole extranonce."""
        job, number = self.job, job_id(self.job.number, generation)
        root = merkle_root_of(job, MARKS[generation] + prefix)
        time_s = None if clean else job.template.time_s
        frames = [registry.encode(mining.NewMiningJob(channel, number, time_s, job.template.version, root))]
        return [*frames, self._start(_IDS.pack(channel, number))] if clean else frames

    def _start(self, ids: bytes) -> bytes:
        return self._tip[:HEADER_BYTES] + ids + self._tip[_IDS_END:]


def _halves(job: Job, *, clean: bool) -> tuple[bytes, bytes]:
    """A NewExtendedMiningJob before and after the generation, which ends the coinbase's first half."""
    template, coinbase = job.template, job.coinbase
    whole = registry.encode(
        mining.NewExtendedMiningJob(
            0,
            0,
            None if clean else template.time_s,
            template.version,
            True,  # noqa: FBT003 -- version rolling is allowed
            template.branch,
            coinbase.before + MARKS[SHARED],
            coinbase.after,
        )
    )
    end = len(whole) - len(coinbase.after) - _LENGTH_BYTES
    return whole[: end - 1], whole[end:]
