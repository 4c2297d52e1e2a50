"""The proxy's server: its miners, and the one link to a pool on which they work.

Each miner has a channel of its own at the pool, under its own name; or all share one channel (``aggregate``), whose
extranonces are divided among them. While there is no link no share is accepted; miners are kept for a while, and then
sent to their next pool.
"""

import asyncio
import itertools
from dataclasses import dataclass
from typing import Final, cast

from mbongi.base.log import get_log
from mbongi.pool.daemon.gate import Gate, Limits
from mbongi.pool.daemon.proxy.channel import Channel
from mbongi.pool.daemon.proxy.downstream import Downstream
from mbongi.pool.daemon.proxy.link import Link
from mbongi.pool.daemon.proxy.statistics import Statistics
from mbongi.pool.daemon.steady_clock import SteadyClock
from mbongi.pool.errors import UpstreamError
from mbongi.pool.rules.upstream_work import EXTRANONCE1_BYTES, ActiveJob, Bodies, Body, Tip
from mbongi.pool.rules.vardiff import HASHES_PER_DIFFICULTY, Vardiff
from mbongi.wire.bitcoin.target import TARGET_MAX
from mbongi.wire.stratum_v1.replies import PreparedNotify
from mbongi.wire.stratum_v2 import mining
from mbongi.wire.stratum_v2.extensions import USER_IDENTITY_BYTES_MAX

log = get_log(__name__)

LOOK_S: Final = 2.0
RETIRE_S: Final = 30.0
"""So long a link that was left for a better one waits for answers."""
UPDATE_RATIO: Final = 1.3
"""Of an aggregated channel's hashrate: a smaller change is not told."""
NAME_BYTES_MAX: Final = 128
NOTICES_KEPT: Final = 16
MINERS_MAX: Final = 1 << 8 * EXTRANONCE1_BYTES


@dataclass(frozen=True, slots=True)
class Options:
    """How the proxy treats its miners."""

    aggregate: bool = False
    user: str = "proxy"
    """By this name the pool knows an aggregated channel."""
    difficulty_start: float = 16_384.0
    difficulty_min: float = 1.0
    shares_per_minute: float = 6.0
    hold_s: float = 30.0
    """How long miners are kept without a link."""


class ProxyServer:
    """All miners of one process. Every call comes from its event loop."""

    def __init__(self, options: Options, *, limits: Limits | None = None) -> None:
        self.options = options
        self.statistics = Statistics()
        self.link: Link | None = None
        self.bodies = Bodies()
        self.clock = SteadyClock()
        self.gate = Gate(limits or Limits(), self.now_s)
        self.without_link_since_s = self.now_s()
        self._numbers = itertools.count(1)
        self._extranonces: set[bytes] = set()
        self._last_extranonce = 0
        self._shared: Channel | None = None
        self._shared_told_hs = 0.0
        self._links: set[Link] = set()
        self._notices: dict[tuple[Body, Tip, int, int], PreparedNotify] = {}
        self._answering: dict[Downstream, None] = {}
        self._block_told_on = b""
        self._is_ending = False

    # Listening.

    async def serve(self, host: str, port: int) -> None:
        """Listen for miners there while there is a pool to work for; until cancelled."""
        try:
            await asyncio.gather(self._keep_listening(host, port), self._keep_looking(), self.gate.keep_looking())
        finally:
            self.gate.send_away("the proxy stops")
            self.link = None
            for link in list(self._links):
                link.close("the proxy stops")

    async def _keep_listening(self, host: str, port: int) -> None:
        while True:
            now_s = self.now_s()
            if self.has_work and not self.gate.is_listening and not self._is_ending:
                found = await self.gate.listen(lambda: Downstream(self), host, port)
                log.info("proxy_listens", host=host, port=found, aggregate=self.options.aggregate)
            if self.link is None and self.gate.is_listening and now_s - self.without_link_since_s > self.options.hold_s:
                self.gate.send_away(f"no pool for {self.options.hold_s:.0f} s")
            await asyncio.sleep(0.1)

    @property
    def has_work(self) -> bool:
        """Whether there is a pool to work for; its first work where all miners share a channel."""
        if not self.options.aggregate:
            return self.link is not None
        return self._shared is not None and self._shared.work.current is not None

    async def _keep_looking(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            self.clock.follow()
            now_s = self.now_s()
            for link in list(self._links):
                link.look(now_s)
            self._update_shared()

    def now_s(self) -> float:
        """Unix seconds that never jump."""
        return self.clock.now_s()

    def next_number(self) -> int:
        """Of jobs; never the same twice."""
        return next(self._numbers)

    # The link.

    def linked(self, link: Link) -> None:
        """A pool has consented: every miner gets its channel there. An earlier link stays for its answers only."""
        former, self.link = self.link, link
        self._links.add(link)
        self.statistics.links += 1
        log.info("upstream_up", upstream=link.name, miners=len(self.miners))
        if former is not None:
            former.retire(self.now_s() + RETIRE_S)
        if self.options.aggregate:
            self._shared_told_hs = max(self.hashrate_hs(), self.hashrate_start_hs)
            link.open(
                self.options.user,
                hashrate_hs=self._shared_told_hs,
                target_max=TARGET_MAX,
                done=lambda channel, code: self._shared_opened(link, channel, code),
            )
            return
        for miner in self.miners:
            if miner.user:
                self._open(link, miner)

    def link_lost(self, link: Link, reason: str) -> None:
        """A link is gone; every share that waited has been told to its miner."""
        self._links.discard(link)
        if self._shared is not None and self._shared.link is link:
            self._shared = None
        if self.link is not link:
            return
        self.link = None
        self.without_link_since_s = self.now_s()
        self.statistics.links_lost += 1
        log.warning("upstream_lost", upstream=link.name, miners=len(self.miners), reason=reason)

    def channel_closed(self, channel: Channel, reason: str) -> None:
        """The pool has ended a channel, and its miners are gone with it; without the shared one there is no work."""
        if channel is self._shared:
            channel.link.blame(UpstreamError(f"the pool closes the shared channel: {reason[:60]}"))

    async def drain(self, within_s: float) -> None:
        """Take nobody new, ask the miners to connect again, and wait until they have gone, each with its answers."""
        self._is_ending = True
        self.gate.stop_listening()
        log.info("miners_asked_to_reconnect", connections=len(self.miners))
        for miner in list(self.miners):
            miner.ask_to_reconnect()
        end_s = self.now_s() + within_s
        while (self.miners or self.shares_waiting) and self.now_s() < end_s:  # noqa: ASYNC110 -- answers come any time
            await asyncio.sleep(0.05)

    def _shared_opened(self, link: Link, channel: Channel | None, code: str) -> None:
        if link is not self.link:
            return
        if channel is None:
            link.blame(UpstreamError(f"the pool opens no channel for {self.options.user!r}: {code[:60]}"))
            return
        self._shared = channel
        if not link.tells_workers:
            log.warning("workers_not_told", upstream=link.name, all_counted_for=self.options.user)
        for miner in self.miners:
            if miner.user:
                miner.opened(channel)

    def join(self, miner: Downstream) -> None:
        """Somebody authorized: it needs a channel."""
        if self.options.aggregate:
            if self._shared is not None:
                miner.opened(self._shared)
        elif self.link is not None:
            self._open(self.link, miner)

    def _open(self, link: Link, miner: Downstream) -> None:
        def done(channel: Channel | None, code: str) -> None:
            if link is not self.link:
                return
            if channel is not None:
                miner.opened(channel)
            else:
                log.info("worker_refused", upstream=link.name, peer=miner.peer, code=code[:60])
                miner.not_opened(code)

        link.open(miner.user, hashrate_hs=miner.estimate.hashrate_hs, target_max=miner.target_max, done=done)

    def leave(self, miner: Downstream, channel: Channel) -> None:
        """A miner works on this channel no more."""
        channel.miners.pop(miner, None)
        if channel is not self._shared and not channel.miners:
            channel.link.leave(channel)

    # Miners.

    @property
    def miners(self) -> set[Downstream]:
        """All connections."""
        return cast("set[Downstream]", self.gate.connections)

    def closed(self, connection: Downstream) -> None:
        """A connection is gone."""
        if not self.gate.closed(connection):
            return
        self._extranonces.discard(connection.extranonce1)
        channel, connection.channel = connection.channel, None
        if channel is not None:
            self.leave(connection, channel)

    def take_extranonce1(self) -> bytes:
        """A part of its channel's search space that no other miner has; one given back is used again last of all."""
        assert len(self._extranonces) < MINERS_MAX  # the gate lets fewer in
        while True:
            self._last_extranonce = (self._last_extranonce + 1) % MINERS_MAX
            found = self._last_extranonce.to_bytes(EXTRANONCE1_BYTES, "big")
            if found not in self._extranonces:
                self._extranonces.add(found)
                return found

    def refusal(self, user: str) -> str:
        """Why a worker may not mine here; empty where it may."""
        if not 0 < len(user.encode()) <= NAME_BYTES_MAX:
            return f"A user name has 1 to {NAME_BYTES_MAX} bytes"
        if self.options.aggregate and len(user.encode()) > USER_IDENTITY_BYTES_MAX:
            return f"Where miners share a channel, a user name has at most {USER_IDENTITY_BYTES_MAX} bytes"
        return ""

    def new_vardiff(self) -> Vardiff | None:
        """A miner's own difficulty, where it is not the pool that sets it."""
        options = self.options
        if not options.aggregate:
            return None
        return Vardiff(
            self.now_s(),
            start=options.difficulty_start,
            minimum=options.difficulty_min,
            maximum=2.0**50,
            shares_per_minute=options.shares_per_minute,
        )

    def hashrate_of(self, difficulty: float) -> float:
        """What finds shares of a difficulty as often as they are wanted [hashes/s]."""
        return difficulty * HASHES_PER_DIFFICULTY * self.options.shares_per_minute / 60.0

    @property
    def hashrate_start_hs(self) -> float:
        """What a miner is taken for before it has shown what it does."""
        return self.hashrate_of(self.options.difficulty_start)

    def update(self, miner: Downstream) -> None:
        """Tell the pool what a miner does, and the easiest target that it takes, where its channel is its own."""
        channel = miner.channel
        if channel is not None and channel is not self._shared:
            channel.link.send(mining.UpdateChannel(channel.id, miner.estimate.hashrate_hs, miner.target_max))

    def _update_shared(self) -> None:
        """Tell the pool what all miners of an aggregated channel do, where that has changed."""
        channel = self._shared
        if channel is None:
            return
        hashrate_hs = self.hashrate_hs()
        low, high = self._shared_told_hs / UPDATE_RATIO, self._shared_told_hs * UPDATE_RATIO
        if not low < hashrate_hs < high and hashrate_hs != self._shared_told_hs:
            self._shared_told_hs = hashrate_hs
            channel.link.send(mining.UpdateChannel(channel.id, hashrate_hs, TARGET_MAX))

    def hashrate_hs(self) -> float:
        """Of all miners that mine; zero where none does, as the specification wants it said."""
        return sum(miner.estimate.hashrate_hs for miner in self.miners if miner.is_ready)

    @property
    def shares_waiting(self) -> int:
        """Shares that the pool has not answered yet."""
        return sum(len(channel.pending) for link in self._links for channel in link.channels.values())

    # Work and answers.

    def prepared(self, job: ActiveJob) -> PreparedNotify:
        """A job's ``mining.notify``, but for what differs by miner."""
        key = job.body, job.tip, job.version, job.time_min_s
        found = self._notices.get(key)
        if found is None:
            found = self._notices[key] = PreparedNotify(
                previous_hash=job.tip.previous_hash,
                coinbase_after=job.body.after,
                branch=job.body.hashes,
                version=job.version,
                bits=job.tip.bits,
                time_s=job.time_min_s,
            )
            if len(self._notices) > NOTICES_KEPT:
                del self._notices[next(iter(self._notices))]
        return found

    def found_block(self, miner: Downstream, worker: str, job: ActiveJob) -> None:
        """A share that makes a block is on its way to the pool."""
        self.statistics.blocks += 1
        if job.tip.previous_hash != self._block_told_on:  # once for each tip: on a practice chain most shares make one
            self._block_told_on = job.tip.previous_hash
            log.info("block_share_sent", peer=miner.peer, worker=worker, job=job.upstream_id)

    def has_answers(self, connection: Downstream) -> None:
        """Send a connection's answers at the end of this turn of the loop."""
        if not self._answering:
            asyncio.get_running_loop().call_soon(self._answer)
        self._answering[connection] = None

    def _answer(self) -> None:
        answering, self._answering = self._answering, {}
        for connection in answering:
            connection.flush()
