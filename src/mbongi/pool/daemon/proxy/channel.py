"""One extended channel at a pool: its work, the miners behind it, and the shares that wait for the pool's answer.

A share is answered with yes when the pool has said yes: a success names the last sequence number that it is about, and
all that were sent before and not refused are accepted with it.
"""

from typing import TYPE_CHECKING, Final, Protocol

from mbongi.pool.rules.upstream_work import ActiveJob, ChannelWork, Tip, UpstreamJob
from mbongi.wire.stratum_v2 import mining

if TYPE_CHECKING:
    from mbongi.pool.daemon.proxy.link import Link

PENDING_MAX: Final = 20_000
"""Shares without an answer; above it none is taken."""
_HALF: Final = 1 << 31
"""Sequence numbers begin anew after 2**32; a number is before another where it is less than half of that behind."""


class Miner(Protocol):
    """Who works on a channel."""

    def new_work(self, channel: "Channel", job: ActiveJob, *, clean: bool) -> None:
        """Work on this; ``clean``: and on nothing older."""

    def answered(self, id_: bytes, difficulty: float, waited_s: float) -> None:
        """The pool has said yes."""

    def refused(self, id_: bytes, code: str) -> None:
        """The pool has said no."""

    def unconfirmed(self, id_: bytes) -> None:
        """The link broke before the pool said anything."""

    def channel_closed(self, channel: "Channel", *, by_pool: bool) -> None:
        """The channel is no more: the pool ended it, or the link is lost."""


Waiting = tuple[Miner, bytes, float, float]
"""Whose share, its id, its difficulty, and when it was sent."""


class Channel:
    """Made by its link."""

    __slots__ = ("_sequence", "id", "is_left", "link", "miners", "name", "opened_at_s", "pending", "work")

    def __init__(self, id_: int, link: "Link", name: str, work: ChannelWork, now_s: float) -> None:
        self.id, self.link, self.name, self.work = id_, link, name, work
        self.opened_at_s = now_s
        self.miners: dict[Miner, None] = {}
        self.pending: dict[int, Waiting] = {}
        self.is_left = False
        self._sequence = 0

    @property
    def oldest_s(self) -> float:
        """When the share was sent that waits longest; there is one."""
        return next(iter(self.pending.values()))[3]

    # Work.

    def new_job(self, job: UpstreamJob) -> None:
        """A job came."""
        started = self.work.new_job(job)
        if started is not None:
            self._tell(started, clean=False)

    def new_tip(self, job_id: int, tip: Tip) -> None:
        """A block was found."""
        self._tell(self.work.new_tip(job_id, tip), clean=True)

    def _tell(self, job: ActiveJob, *, clean: bool) -> None:
        for miner in list(self.miners):
            miner.new_work(self, job, clean=clean)

    # Shares.

    @property
    def is_full(self) -> bool:
        """Whether so many shares wait that no more is taken."""
        return len(self.pending) >= PENDING_MAX

    def submit(  # noqa: PLR0913 -- a share's fields
        self,
        miner: Miner,
        id_: bytes,
        job: ActiveJob,
        *,
        extranonce: bytes,
        version: int,
        time_s: int,
        nonce: int,
        now_s: float,
        fields: bytes = b"",
    ) -> None:
        """Send a share that meets the job's target; ``extranonce`` is what stands behind the job's prefix."""
        sequence = self._sequence = (self._sequence + 1) & 0xFFFF_FFFF
        self.pending[sequence] = miner, id_, job.difficulty, now_s
        self.link.send(
            mining.SubmitSharesExtended(
                self.id, sequence, job.upstream_id, nonce, time_s, version, job.padding + extranonce
            ),
            fields,
        )

    def accepted(self, last: int, now_s: float) -> None:
        """The pool takes all shares up to this one that it has not refused."""
        while self.pending:
            sequence = next(iter(self.pending))
            if (last - sequence) & 0xFFFF_FFFF >= _HALF:
                return
            miner, id_, difficulty, sent_at_s = self.pending.pop(sequence)
            miner.answered(id_, difficulty, now_s - sent_at_s)

    def refused(self, sequence: int, code: str) -> None:
        """The pool refuses a share."""
        waiting = self.pending.pop(sequence, None)
        if waiting is not None:
            waiting[0].refused(waiting[1], code)

    # The end.

    def closed(self, *, by_pool: bool) -> None:
        """The pool has ended it, or the link is gone: nobody will answer what waits."""
        pending, self.pending = self.pending, {}
        for miner, id_, _difficulty, _sent_at_s in pending.values():
            miner.unconfirmed(id_)
        miners, self.miners = list(self.miners), {}
        for miner in miners:
            miner.channel_closed(self, by_pool=by_pool)
