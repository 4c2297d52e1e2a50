"""A pool, a proxy in front of it and their miners in one process; work is made by hand."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mbongi.pool.daemon.gate import Limits
from mbongi.pool.daemon.proxy.server import Options, ProxyServer
from mbongi.pool.daemon.proxy.upstreams import Upstreams
from mbongi.wire.noise.certificate import PoolAddress
from tests.pool.daemon.test_server import EASY
from tests.pool.daemon.test_v2 import V2Bed
from tests.pool.practice import Miner

PLENTY = Limits(per_address_max=5_000)


async def until(holds: Callable[[], Any], for_s: float = 30.0) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(for_s):
        while not holds():  # noqa: ASYNC110 -- states of several parts
            await asyncio.sleep(0.01)


class ProxyBed:
    """A proxy in front of pools; the first may be the test's own, made with ``V2Bed``."""

    def __init__(
        self, *addresses: PoolAddress, return_s: float = 3600.0, limits: Limits = PLENTY, **options: Any
    ) -> None:
        defaults = {"difficulty_start": EASY, "difficulty_min": EASY, "shares_per_minute": 60.0}
        self.server = ProxyServer(Options(**(defaults | options)), limits=limits)
        self.upstreams = Upstreams(addresses, self.server, return_s=return_s)
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> "ProxyBed":
        self._tasks = [
            asyncio.create_task(self.server.serve("127.0.0.1", 0)),
            asyncio.create_task(self.upstreams.run()),
        ]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0.05)

    @property
    def port(self) -> int:
        """Where it listens; 0 while it does not."""
        return self.server.gate.port

    async def listening(self) -> int:
        """Its port, once it listens."""
        await until(lambda: self.port)
        return self.port

    async def connect(self, worker: str = "acct.one") -> Miner:
        """A miner that has its first work."""
        return await Miner.connect(await self.listening(), worker=worker)


def address_of(bed: V2Bed) -> PoolAddress:
    """Where a pool of a test listens, with its key."""
    return PoolAddress("127.0.0.1", bed.port, bed.identity.authority_key)


async def pool_at(folder: Path, **options: Any) -> V2Bed:
    """A pool that has begun."""
    return await V2Bed(folder, **options).__aenter__()
