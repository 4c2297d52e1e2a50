"""The pool's process while somebody sets the system's clock: honest miners mine on, and no share counts twice."""

import asyncio
import dataclasses
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from mbongi.pool.adapters.node_rpc import NodeRpc
from mbongi.run.pool_identity import Identity
from mbongi.run.serving import SAVE_S
from mbongi.wire.stratum_v2 import mining
from tests.pool.practice import Miner
from tests.pool.several import BLOCK_DIFFICULTY, STALE, Crowd, require_same
from tests.pool.test_pool_process import PoolProcess
from tests.pool.v2_miner import V2Miner
from tests.regtest import Chain, full_node

pytestmark = pytest.mark.system
DAY_S = 86_400.0
MINERS = 3


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    with full_node(tmp_path_factory.mktemp("node")) as running:
        yield running


class ShiftedPool(PoolProcess):
    """A pool whose clock ``set`` sets."""

    def __init__(self, directory: Path, chain: Chain) -> None:
        super().__init__(directory, chain)
        self.config = dataclasses.replace(
            self.config, pool=dataclasses.replace(self.config.pool, block_difficulty_min=BLOCK_DIFFICULTY)
        )
        self._file = directory / "offset"
        self.set(0.0)
        self.words = [sys.executable, "-m", "tests.pool.shifted_clock", str(self._file), "pool"]

    def set(self, offset_s: float, *, settled_s: float = 1e9) -> None:
        """The clock's error, and how long it must last until it is followed."""
        draft = self._file.with_suffix(".draft")
        draft.write_text(f"{offset_s} {settled_s}", encoding="ascii")
        draft.replace(self._file)

    async def until_said(self, event: str, times: int) -> None:
        async with asyncio.timeout(90):
            while self.log().count(event) < times:  # noqa: ASYNC110 -- another process's log
                await asyncio.sleep(0.1)


@pytest.fixture
def pool(tmp_path: Path, chain: Chain) -> Iterator[ShiftedPool]:
    process = ShiftedPool(tmp_path, chain)
    process.start()
    yield process
    process.end()


@pytest.fixture
async def rpc(chain: Chain) -> AsyncIterator[NodeRpc]:
    made = NodeRpc(chain.address)
    yield made
    await made.close()


async def serves_newcomers(pool: ShiftedPool, chain: Chain, rpc: NodeRpc, crowd: Crowd, *, now_s: int) -> None:
    """A new tip reaches the miners; a new miner of each version is served, V2 by a clock that is right."""
    await rpc.call("generatetoaddress", 1, chain.burned)
    tip, newcomer = (await rpc.info()).bestblockhash, await Miner.connect(pool.port, worker="new.v1")
    async with asyncio.timeout(30):
        while newcomer.work is None or newcomer.work.previous[::-1].hex() != tip:
            await newcomer.read()
    assert (await newcomer.submit(newcomer.solve(), "new.v1"))["result"] is True
    newcomer.close()
    key = Identity(pool.config.site.data_dir / "secrets").authority_key
    other = await V2Miner.shake_hands(pool.config.pool.v2_port, key, now_s=now_s)
    await other.open(extended=True, user="new.v2")
    other.say(other.solve())
    await other.hear(mining.SubmitSharesSuccess)
    other.close()
    await crowd.progress(10)


async def test_a_clock_that_jumps_for_a_while_is_ignored_and_one_that_stays_away_is_followed(
    pool: ShiftedPool, chain: Chain, rpc: NodeRpc
) -> None:
    crowd = Crowd(pool.port, MINERS)
    await crowd.progress(10)
    for number, offset_s in enumerate((2 * DAY_S, -2 * DAY_S), 1):
        pool.set(offset_s)
        await pool.until_said("clock_jumped", number)
        await serves_newcomers(pool, chain, rpc, crowd, now_s=int(time.time()))
        pool.set(0.0)
        await crowd.progress(5)
    assert "clock_followed" not in pool.log()
    times_s = [share.time_ms / 1000 for share, _worker in pool.shares()]
    assert all(abs(each_s - time.time()) < 600 for each_s in times_s), "a passing jump stands in the record"

    pool.set(-DAY_S, settled_s=1.0)
    await pool.until_said("clock_followed", 1)
    await serves_newcomers(pool, chain, rpc, crowd, now_s=int(time.time() - DAY_S))
    newest_s = max(share.time_ms for share, _worker in pool.shares()[-5:]) / 1000
    assert abs(newest_s - (time.time() - DAY_S)) < 600
    pool.set(0.0, settled_s=1.0)
    await pool.until_said("clock_followed", 2)
    await serves_newcomers(pool, chain, rpc, crowd, now_s=int(time.time()))
    await crowd.stop()

    assert crowd.connects == MINERS, "no honest miner was disconnected"
    assert not set(crowd.rejects) - {STALE}, crowd.rejects
    assert "address_shut_out" not in pool.log()
    require_same(pool.shares(), crowd)


@pytest.mark.parametrize("offset_s", [DAY_S, -3_600.0])
async def test_a_share_counts_once_though_kill_9_and_a_wrong_clock_come_together(
    pool: ShiftedPool, offset_s: float
) -> None:
    miner, crowd = await Miner.connect(pool.port), Crowd(pool.port, MINERS)
    fields = miner.solve()
    assert (await miner.submit(fields))["result"] is True
    await crowd.progress(10)
    await asyncio.sleep(SAVE_S + 1.0)  # by then the session stands in the file
    pool.end(signal.SIGKILL)
    pool.set(offset_s)
    await asyncio.to_thread(pool.start)
    again = await Miner.connect(pool.port, session=miner.session)
    replayed, fresh = await again.submit(fields), await again.submit(again.solve(extranonce2=77))
    await crowd.progress(10)
    await crowd.stop()
    for each in (miner, again):
        each.close()

    assert replayed["result"] is not True
    assert fresh["result"] is True
    assert not set(crowd.rejects) - {STALE, "Job not found"}, crowd.rejects
    require_same(pool.shares(), crowd)
