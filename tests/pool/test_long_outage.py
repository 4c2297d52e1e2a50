"""Bus and database gone for a whole minute, and processes killed meanwhile that cannot ask anybody anything."""

import asyncio
import dataclasses
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from mbongi.base.config import Bus
from tests.pool.practice import Miner
from tests.pool.several import STALE, Crowd, SeveralProcesses, require_same
from tests.pool.test_accounts_process import PoolSite
from tests.regtest import Chain, full_node
from tests.system.running import until

pytestmark = pytest.mark.system
OUTAGE_S = 60.0


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    with full_node(tmp_path_factory.mktemp("node")) as running:
        yield running


@pytest.fixture
def site(chain: Chain) -> Iterator[PoolSite]:
    """Database and accounts; the pool's own processes are ``pool``."""
    with tempfile.TemporaryDirectory(prefix="mbongi-outage-") as folder:
        Path(folder).chmod(0o711)
        made = PoolSite(Path(folder), chain, processes=2, block_difficulty_min=1.0)  # none is a block
        try:
            made.start("postgres")
            assert made.command("migrate").returncode == 0
            yield made
        finally:
            made.end_all()


@pytest.fixture
def pool(site: PoolSite, chain: Chain) -> Iterator[SeveralProcesses]:
    made = SeveralProcesses(site.directory, chain)
    made.config = dataclasses.replace(site.config, bus=Bus(port=site.bus_port, bytes_max=500_000_000))
    with made as running:
        yield running


async def test_a_minute_without_bus_and_database_disturbs_no_miner_and_costs_no_share(
    site: PoolSite, pool: SeveralProcesses
) -> None:
    run = asyncio.to_thread
    await run(site.start, "pool-accounts")
    steady, crowd = await _of_shard(pool, 1), Crowd(pool.config.pool.port, 4)
    mining = asyncio.create_task(_mine(steady, 1))
    await crowd.progress(20)
    with pool.away("bus"):
        began_s = time.monotonic()
        await run(site.end, "postgres", signal.SIGKILL)
        await mining
        pool.kill("0")  # it comes back, and knows of no work: its miners go on with the other
        await crowd.progress(20)
        await run(site.end, "pool-accounts", signal.SIGKILL)
        await run(site.start_without_waiting, "pool-accounts")
        mining = asyncio.create_task(_mine(steady, 31))
        await asyncio.sleep(max(0.0, OUTAGE_S - (time.monotonic() - began_s)))
        await mining
        await crowd.progress(20)
        pool.kill("1")  # now nobody serves them, and they wait
    await run(site.start, "postgres")
    await run(pool.wait_ready)
    await crowd.progress(20)
    await crowd.stop()
    steady.close()

    shares = pool.shares()
    assert not set(crowd.rejects) - {STALE, "Job not found"}, crowd.rejects
    assert sum(worker == "acct.steady" for _share, worker in shares) == 60, "each was told to be accepted"
    require_same(shares, crowd)
    by_worker = Counter(worker for _share, worker in shares)
    await run(until, lambda: site.books()["workers"] == by_worker, 90, site.said)
    books = site.books()
    assert (books["replays"], books["damaged"]) == (0, 0)
    audit = site.command("pool-accounts", "audit")
    assert audit.returncode == 0, audit.stdout + audit.stderr


async def _of_shard(pool: SeveralProcesses, shard: int) -> Miner:
    """A miner that this process serves."""
    while True:
        miner = await Miner.connect(pool.config.pool.port, worker="acct.steady")
        if miner.extranonce1[0] == shard:
            return miner
        miner.close()


async def _mine(miner: Miner, first: int) -> None:
    """Thirty shares, all of which must be accepted on one connection."""
    for number in range(first, first + 30):
        answer = await miner.submit(miner.solve(extranonce2=number), "acct.steady")
        assert answer["result"] is True, answer
        await asyncio.sleep(0.2)
