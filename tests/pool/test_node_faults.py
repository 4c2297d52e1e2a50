"""The pool's process over nodes that lie, stall, go away and fork: no invalid work goes out, no block is forgotten.

Every work that a miner was given is put together to a block here and shown to the real node, which must find no fault.
"""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mbongi.pool.adapters.node_rpc import NodeRpc
from mbongi.pool.rules.block_record import BlockState, decode_record
from mbongi.run import pool
from tests.embedded import free_ports
from tests.pool.odd_node import OddNode
from tests.pool.practice import Miner, Work, double
from tests.pool.several import STALE, Crowd, require_same
from tests.pool.test_pool_process import PoolProcess
from tests.regtest import Chain, extend, full_node

pytestmark = pytest.mark.system
WINNING = (0xFFFF << 208) * 2**14
LATE = "inconclusive-not-best-prevblk"
EASY = 2.0**-30
"""Four hashes, so that hardly a share is a block by chance: those are found on purpose here."""
COMMITMENT = bytes.fromhex("6a24aa21a9ed")


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    with full_node(tmp_path_factory.mktemp("node")) as running:
        yield running


@pytest.fixture
async def rpc(chain: Chain) -> AsyncIterator[NodeRpc]:
    made = NodeRpc(chain.address)
    yield made
    await made.close()


@contextlib.asynccontextmanager
async def pooling(directory: Path, chain: Chain, *urls: str) -> AsyncIterator[PoolProcess]:
    """A pool over these nodes."""
    process = PoolProcess(directory, chain)
    easy = {"difficulty_start": EASY, "difficulty_min": EASY}
    settings = dataclasses.replace(process.config.pool, nodes=urls, cookies=(), zmq=(), **easy)
    process.config = dataclasses.replace(process.config, pool=settings)
    await asyncio.to_thread(process.start)
    try:
        yield process
    finally:
        await asyncio.to_thread(process.end)


def url_of(chain: Chain) -> str:
    """A real node's address with what signs in."""
    address = chain.address
    words = address.cookie.read_text().strip() if address.cookie else f"{address.user}:{address.password}"
    return f"http://{words}@{address.host}:{address.port}"


def block_of(miner: Miner, work: Work) -> str:
    """The block that the miner works on, in hex, its nonce not searched for."""
    coinbase = work.before + miner.extranonce1 + bytes(miner.extranonce2_size) + work.after
    root = double(coinbase)
    for each in work.branch:
        root = double(root + each)
    head = work.version.to_bytes(4, "little") + work.previous + root
    head += b"".join(number.to_bytes(4, "little") for number in (work.time_s, work.bits, 0))
    if COMMITMENT in work.after:
        coinbase = coinbase[:4] + b"\x00\x01" + coinbase[4:-4] + b"\x01\x20" + bytes(32) + coinbase[-4:]
    assert not work.branch  # there is nothing in the node's mempool
    return (head + b"\x01" + coinbase).hex()


class Watched:
    """A miner that reads on beside the test, and has the real node look at each work as it comes."""

    def __init__(self, miner: Miner, rpc: NodeRpc) -> None:
        self.miner, self._rpc = miner, rpc
        self.verdicts: list[str | None] = []
        self.is_closed = False
        self._seen = 0
        self._task = asyncio.create_task(self._read_on())

    async def _read_on(self) -> None:
        with contextlib.suppress(ConnectionResetError):
            while True:
                await self._check()
                with contextlib.suppress(TimeoutError):
                    await self.miner.read()
        self.is_closed = True

    async def _check(self) -> None:
        works = [Work.of(line["params"]) for line in self.miner.notices if line["method"] == "mining.notify"]
        for work in works[self._seen :]:
            self.verdicts.append(await self._rpc.propose([block_of(self.miner, work).encode()]))
        self._seen = len(works)

    async def stop(self) -> None:
        """Read no more; the miner is the test's again."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._check()
        assert set(self.verdicts) <= {None, LATE}
        assert self.verdicts.count(None) >= 2  # before the fault and after it

    @classmethod
    async def connect(cls, process: PoolProcess, rpc: NodeRpc) -> "Watched":
        """Connect, and see that the first work is good."""
        made = cls(await Miner.connect(process.port), rpc)

        async def is_good() -> bool:
            return made.verdicts == [None]

        await until(is_good)
        return made


async def until(is_so: Callable[[], Awaitable[bool]], limit_s: float = 90.0) -> None:
    async with asyncio.timeout(limit_s):
        while not await is_so():  # noqa: ASYNC110 -- another process's state
            await asyncio.sleep(0.1)


async def builds_on(miner: Miner, rpc: NodeRpc) -> bool:
    """Whether the miner works on the real node's tip."""
    return miner.work is not None and miner.work.previous[::-1].hex() == (await rpc.info()).bestblockhash


async def unaffected(crowd: Crowd, process: PoolProcess) -> None:
    """Two honest miners were never disconnected, and every share of theirs is counted once."""
    await crowd.progress(5)
    await crowd.stop()
    assert crowd.connects == 2
    assert not set(crowd.rejects) - {STALE}, crowd.rejects
    require_same(process.shares(), crowd)


def states(process: PoolProcess) -> dict[str, BlockState]:
    folder = process.config.site.data_dir / "pool" / "blocks"
    records = [decode_record(path.read_bytes(), path.name) for path in folder.glob("*.json")]
    return {record.hash: record.state for record in records}


async def wins(miner: Miner, rpc: NodeRpc, process: PoolProcess) -> None:
    """The miner finds a block, which the node takes and whose record says so."""
    before = await rpc.info()

    async def is_higher() -> bool:
        return (await rpc.info()).blocks > before.blocks

    assert (await miner.submit(miner.solve(target=WINNING)))["result"] is True
    await until(is_higher)
    tip = (await rpc.info()).bestblockhash

    async def is_known() -> bool:
        return states(process).get(tip) is BlockState.IN_CHAIN

    await until(is_known)


def lies_in_time(template: dict[str, Any]) -> dict[str, Any]:
    """Nothing in it contradicts itself, and yet the node itself would refuse its block."""
    return template | {"curtime": 2, "mintime": 1}


def lies_in_transactions(template: dict[str, Any]) -> dict[str, Any]:
    return template | {"transactions": [{"data": "00ff", "txid": "11" * 32, "hash": "11" * 32, "fee": 1}]}


async def test_a_node_that_would_refuse_its_own_templates_gives_nobody_work_until_it_is_honest_again(
    tmp_path: Path, chain: Chain, rpc: NodeRpc
) -> None:
    async with OddNode(chain.address) as odd, pooling(tmp_path, chain, odd.url) as process:
        watched = await Watched.connect(process, rpc)
        odd.bend = lies_in_time
        await rpc.call("generatetoaddress", 1, chain.burned)

        async def is_sent_away() -> bool:
            return watched.is_closed

        await until(is_sent_away)
        assert any(each is not None for each in odd.proposals)
        await watched.stop()
        assert not await pool.ready(process.config)

        odd.bend = None
        await until(lambda: pool.ready(process.config))
        again = await Miner.connect(process.port)
        assert await builds_on(again, rpc)
        await wins(again, rpc, process)
        again.close()
        watched.miner.close()
    assert process.log().count("no_new_work") == 1


@pytest.mark.parametrize("fault", ["lies", "stalls", "goes away"])
async def test_a_node_at_fault_is_left_for_another_and_miners_notice_nothing(
    tmp_path: Path, chain: Chain, rpc: NodeRpc, fault: str
) -> None:
    honest = OddNode(chain.address)
    [honest.port] = free_ports(1)
    async with (
        OddNode(chain.address) as odd,
        pooling(tmp_path, chain, odd.url, honest.url) as process,
        honest,  # the last to come, so that the odd one is in use
    ):
        watched, crowd = await Watched.connect(process, rpc), Crowd(process.port, 2, pause_s=0.3)
        await crowd.progress(5)
        if fault == "lies":
            odd.bend = lies_in_transactions
        elif fault == "stalls":
            odd.stalls = True
        else:
            await odd.__aexit__()
        await rpc.call("generatetoaddress", 1, chain.burned)

        async def is_left() -> bool:
            return bool(honest.proposals) and await builds_on(watched.miner, rpc)

        await until(is_left)
        assert not watched.is_closed
        await crowd.progress(10)
        await watched.stop()
        await wins(watched.miner, rpc, process)
        await unaffected(crowd, process)
        watched.miner.close()
    assert "standing=unfit" in process.log() or fault == "goes away"
    sent_away = [line for line in process.log().splitlines() if "miners_sent_away" in line]
    assert all("the pool stops" in line for line in sent_away)


async def test_two_real_nodes_of_which_one_dies_and_a_block_reaches_both_chains(tmp_path: Path, chain: Chain) -> None:
    (tmp_path / "second").mkdir()
    with full_node(tmp_path / "second") as second:
        mine, other = NodeRpc(chain.address), NodeRpc(second.address)
        await mine.call("generatetoaddress", 2, chain.burned)
        await copied(mine, other)
        async with pooling(tmp_path, chain, url_of(chain), url_of(second)) as process:
            miner = await Miner.connect(process.port)
            await wins(miner, mine, process)
            await until(lambda: same_tip(mine, other))

            second.process.kill()
            await asyncio.to_thread(second.process.wait)
            await until(lambda: builds_on_read(miner, mine))
            await wins(miner, mine, process)
            miner.close()
        assert set(states(process).values()) == {BlockState.IN_CHAIN}
        for each in (mine, other):
            await each.close()


async def builds_on_read(miner: Miner, rpc: NodeRpc) -> bool:
    await miner.drain()
    return await builds_on(miner, rpc)


async def same_tip(one: NodeRpc, other: NodeRpc) -> bool:
    return (await one.info()).bestblockhash == (await other.info()).bestblockhash


async def copied(source: NodeRpc, to: NodeRpc) -> None:
    """Give a node all blocks of another, whose chain is the longer."""
    for height in range(1, (await source.info()).blocks + 1):
        block = await source.call("getblock", await source.call("getblockhash", height), *[False])
        assert await to.submit([block.encode()]) is None
    assert await same_tip(source, to)


async def test_a_reorganisation_of_three_moves_miners_at_once_and_blocks_states_follow_it_there_and_back(
    tmp_path: Path, chain: Chain, rpc: NodeRpc
) -> None:
    async with pooling(tmp_path, chain, url_of(chain)) as process:
        miner, crowd = await Miner.connect(process.port), Crowd(process.port, 2, pause_s=0.3)
        for _ in range(3):
            await wins(miner, rpc, process)
            await until(lambda: builds_on_read(miner, rpc))
        ours, info = set(states(process)), await rpc.info()
        parent = await rpc.call("getblockhash", info.blocks - 3)

        await extend(rpc, (parent, info.blocks - 3), 4)
        await until(lambda: builds_on_read(miner, rpc))
        assert miner.work is not None
        assert miner.work.clean

        async def are(state: BlockState) -> bool:
            return {name: states(process)[name] for name in ours} == dict.fromkeys(ours, state)

        await until(lambda: are(BlockState.BESIDE))
        await extend(rpc, (info.bestblockhash, info.blocks), 2)
        await until(lambda: are(BlockState.IN_CHAIN))
        await until(lambda: builds_on_read(miner, rpc))
        await wins(miner, rpc, process)
        await unaffected(crowd, process)
        miner.close()
