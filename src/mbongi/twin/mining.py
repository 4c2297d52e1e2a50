"""The virtual machines at work for their pools: connections with failover, and one hasher for all.

A machine really hashes ``hash_scale`` hashes for each 10**12 that it states, so its shares come by chance and as often
as its hashrate and the pool's difficulty say; a machine that sleeps, throttles or lost a board finds fewer or none.
Virtual machines connect within this machine only, whatever pools they are told.
"""

import asyncio
import ipaddress
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from mbongi.base.clock import monotonic_s
from mbongi.base.log import get_log
from mbongi.fleet.values import Family
from mbongi.twin.machine import VirtualMachine
from mbongi.twin.pool_client import Login, PoolClient, PoolError
from mbongi.twin.scale import effective_scale
from mbongi.twin.stratum_v1 import V1Client
from mbongi.twin.stratum_v2 import V2Client
from mbongi.twin.values import PoolEntry
from mbongi.twin.work import NONCES
from mbongi.wire.errors import WireError
from mbongi.wire.noise.certificate import read_pool_url

log = get_log(__name__)

TICK_S: Final = 0.05
VISIT_S: Final = 0.5
"""How often each machine's hashes are made up for."""
SLICE_S: Final = 0.01
"""The longest that hashing holds the event loop in one turn; a machine that was passed over hashes later, or less."""
CREDIT_S_MAX: Final = 2.0
BEGIN_S_MAX: Final = 10.0
"""From dialling to the first work; a pool that takes longer counts as dead."""
BACKOFF_S_FIRST, BACKOFF_S_MAX = 1.0, 15.0
"""The wait before all pools are tried again doubles from the first to the longest."""
PREFERRED_S: Final = 20.0
"""How often a machine on a fallback pool tries those before it."""
IDLE_PROBE_S: Final = 60.0
"""How often the pools behind the one in use are looked at."""
NO_WORK_S: Final = 60.0
"""So long the chips go on with the last work of a pool that is gone."""
AGENTS: Final = {
    Family.ANTMINER: "bmminer/2.0.0",
    Family.WHATSMINER: "whatsminer/v1.0",
    Family.WHATSMINER_V3: "whatsminer/v1.0",
    Family.AVALON: "cgminer/4.11.1",
    Family.BITAXE: "bitaxe/BM1368/v2.4.5",
    Family.BRAIINS: "bosminer-plus/26.04",
    Family.LUXOS: "LUXminer/2025.4.8",
    Family.VNISH: "vnish/1.2.7",
}
"""What the families' firmware calls itself. Source: the quirks of ``wire/stratum_v1/quirks.csv``; LuxOS and VNish:
chosen."""


@dataclass(frozen=True, slots=True)
class PoolPlace:
    """Where a pool listens, read from the address that is configured on a machine."""

    host: str
    port: int
    is_v2: bool = False
    authority_key: bytes | None = None


def pool_place(url: str) -> PoolPlace:
    """Read a pool's address; without a scheme it is Stratum V1. Raises PoolError for one that cannot be used."""
    scheme, _, rest = url.rpartition("://")
    try:
        if scheme == "stratum2+tcp":
            found = read_pool_url(url)
            place = PoolPlace(found.host, found.port, is_v2=True, authority_key=found.authority_key)
        else:
            parts = urlsplit(f"//{rest}")
            place = PoolPlace(parts.hostname or "", parts.port or 0)
    except (WireError, ValueError) as error:
        raise PoolError(f"pool {url[:200]!r}: {error}") from error
    if scheme not in {"", "stratum+tcp", "stratum2+tcp"} or not place.host or not place.port:
        raise PoolError(f"pool {url[:200]!r}: expected stratum+tcp://host:port or stratum2+tcp://host:port/KEY")
    if not _is_here(place.host):
        raise PoolError(f"pool {url[:200]!r}: virtual machines connect within this machine only")
    return place


class Miner:
    """One machine's miner program: it keeps a connection to the best of its pools, and hashes."""

    def __init__(self, machine: VirtualMachine, *, scale: float) -> None:
        self.machine, self.scale = machine, scale
        self.hashes = 0
        self._nonce = machine.random.randrange(NONCES)
        self._credit = 0.0
        self._visited_s = self._had_work_s = monotonic_s()
        self._program: tuple[float, tuple[PoolEntry, ...]] | None = None
        self._client: PoolClient | None = None
        self._index = 0
        self._sessions: dict[str, str] = {}
        self._task: asyncio.Task[None] | None = None
        self._backoff_s = BACKOFF_S_FIRST
        self._next_try_s = self._next_probe_s = 0.0

    @property
    def hashrate_hs(self) -> float:
        """Hashes that the machine really tries for in a second."""
        return self.machine.rate_ths * self.scale

    @property
    def pool(self) -> str:
        """The address of the pool in use; empty where there is none."""
        return "" if self._client is None else self.machine.pools[self._index].url

    def visit(self, now_s: float) -> None:
        """Follow the machine's state, keep it connected, hash what is due."""
        machine = self.machine
        machine.advance()
        program = (machine.mining_since, machine.pools) if machine.runs_miner else None
        if program != self._program:
            self._restart(program)
        self._credit += min(now_s - self._visited_s, CREDIT_S_MAX) * self.hashrate_hs
        self._visited_s = now_s
        if program is None:
            self._credit = 0.0
            return
        self._keep_connected(now_s)
        machine.has_work = now_s - self._had_work_s < NO_WORK_S
        client = self._client
        if client is None or client.work is None:
            self._credit = 0.0
            return
        self._had_work_s = now_s
        self._hash(client)

    def close(self) -> None:
        """Leave the pools."""
        self._restart(None)

    def _restart(self, program: tuple[float, tuple[PoolEntry, ...]] | None) -> None:
        self._program = program
        if self._task is not None:
            self._task.cancel()
            self._task = None
        self._leave()
        for tally in self.machine.tallies:
            tally.is_active = False
        self._backoff_s = BACKOFF_S_FIRST
        self._next_try_s = self._next_probe_s = 0.0
        self._had_work_s = monotonic_s()
        self.machine.has_work = True

    def _leave(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.end("the machine leaves")

    def _hash(self, client: PoolClient) -> None:
        while self._credit >= 1 and client.work is not None:
            work = client.work
            done, found = work.search(self._nonce, int(self._credit))
            self._nonce = (self._nonce + done) % NONCES
            self._credit -= done
            self.hashes += done
            if found is not None:
                client.submit(work, found)

    # Pools.

    def _keep_connected(self, now_s: float) -> None:
        client = self._client
        if client is not None and not client.is_open:
            self._lost()
        if self._task is not None and not self._task.done():
            return
        loop = asyncio.get_running_loop()
        wants_better = self._index > 0 or self._client is None
        if wants_better and now_s >= self._next_try_s:
            self._task = loop.create_task(self._connect())
        elif self._client is not None and now_s >= self._next_probe_s:
            self._next_probe_s = now_s + IDLE_PROBE_S
            self._task = loop.create_task(self._probe_idle())

    def _lost(self) -> None:
        tally = self.machine.tallies[self._index]
        tally.is_alive = tally.is_active = False
        self._client = None
        self._next_try_s = 0.0

    async def _connect(self) -> None:
        """Try the pools in their order, as far as the one in use; where none takes us, wait longer each time."""
        tallies = self.machine.tallies
        for index, pool in enumerate(self.machine.pools):
            if self._client is not None and index >= self._index:
                break
            if not pool.url:
                continue
            try:
                client = await self._begun(index, pool)
            except OSError:
                tallies[index].is_alive = False
                continue
            self._leave()
            for each in tallies:
                each.is_active = False
            tallies[index].is_alive = tallies[index].is_active = True
            self._client, self._index, self._backoff_s = client, index, BACKOFF_S_FIRST
            break
        now_s = monotonic_s()
        if self._client is not None:
            self._next_try_s = now_s + PREFERRED_S
        else:
            # Spread a little, so that a site does not come back in one instant.
            self._next_try_s = now_s + self._backoff_s * self.machine.random.uniform(0.75, 1.25)
            self._backoff_s = min(self._backoff_s * 2, BACKOFF_S_MAX)

    async def _begun(self, index: int, pool: PoolEntry) -> PoolClient:
        """A connection with work. Raises OSError."""
        machine, place = self.machine, pool_place(pool.url)
        login = Login(
            place.host,
            place.port,
            pool.user,
            pool.password,
            AGENTS[machine.model.family],
            machine.model.hashrate_ths * self.scale,
            place.authority_key,
        )
        tally = machine.tallies[index]
        client: PoolClient
        if place.is_v2:
            client = V2Client(login, tally, machine.clock)
        else:
            session = self._sessions.get(pool.url, "")
            client = V1Client(login, tally, machine.clock, random=machine.random, session=session)
        try:
            async with asyncio.timeout(BEGIN_S_MAX):
                await _dial(lambda: client, place, machine.address)
                await client.begun
        except BaseException:
            client.end("given up")
            if client.begun.done() and not client.begun.cancelled():
                client.begun.exception()
            raise
        if isinstance(client, V1Client):
            self._sessions = {pool.url: client.session}
        return client

    async def _probe_idle(self) -> None:
        """Look whether the pools behind the one in use take connections."""
        for index, pool in enumerate(self.machine.pools):
            if index <= self._index or not pool.url:
                continue
            tally = self.machine.tallies[index]
            try:
                async with asyncio.timeout(BEGIN_S_MAX):
                    transport = await _dial(asyncio.Protocol, pool_place(pool.url), self.machine.address)
                transport.abort()
                tally.is_alive = True
            except OSError:
                tally.is_alive = False


class Mining:
    """All machines of a site at work, in one event loop."""

    def __init__(self, machines: Iterable[VirtualMachine], *, hash_scale: float) -> None:
        """``hash_scale`` hashes are tried for each 10**12 that a machine states; fewer on a site that is too large."""
        self._machines = list(machines)
        nominal_ths = sum(machine.model.hashrate_ths for machine in self._machines)
        self.scale = effective_scale(hash_scale, nominal_ths)
        self.miners = {machine.address: Miner(machine, scale=self.scale) for machine in self._machines}
        self._next = 0

    async def run(self) -> None:
        """Mine until cancelled."""
        miners = list(self.miners.values())
        if not miners:
            return
        log.info("virtual_site_mines", machines=len(miners), hash_scale=self.scale)
        started_s, visited = monotonic_s(), 0
        try:
            while True:
                await asyncio.sleep(TICK_S)
                now_s = monotonic_s()
                due = int((now_s - started_s) / VISIT_S * len(miners)) - visited
                visited += due
                self._visit(miners, min(due, len(miners)), now_s)
        finally:
            for miner in miners:
                miner.close()
            await asyncio.sleep(0)  # the loop closes aborted connections in its next turns

    def _visit(self, miners: Sequence[Miner], count: int, began_s: float) -> None:
        for _ in range(count):
            now_s = monotonic_s()
            if now_s - began_s > SLICE_S:
                return
            miners[self._next].visit(now_s)
            self._next = (self._next + 1) % len(miners)


async def _dial(make: Callable[[], asyncio.Protocol], place: PoolPlace, address: str) -> asyncio.Transport:
    """Connect from the machine's own address. Raises OSError."""
    local = None if ":" in place.host else (address, 0)
    loop = asyncio.get_running_loop()
    host = "127.0.0.1" if place.host == "localhost" else place.host
    transport, _ = await loop.create_connection(make, host, place.port, local_addr=local)
    return transport


def _is_here(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
