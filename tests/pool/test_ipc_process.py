"""The pool's process over Bitcoin Core's mining interface: the real node's, where it is at hand, and a stub's beside
a real full node."""

import asyncio
import contextlib
import dataclasses
import re
import signal
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import pytest

from mbongi.pool.adapters.node_rpc import NodeRpc
from mbongi.run.pool_identity import Identity
from mbongi.wire.bitcoin.block import Block
from mbongi.wire.bitcoin.hashing import display, from_display
from mbongi.wire.bitcoin.transaction import Transaction
from mbongi.wire.stratum_v2 import mining
from tests.pool.adapters.stub_core import StubCore
from tests.pool.test_declaring_process import FEE, coin
from tests.pool.test_pool_process import PoolProcess
from tests.pool.v2_miner import V2Miner
from tests.regtest import NODE, Chain, full_node

pytestmark = pytest.mark.system


class Played:
    """The stub."""

    def __init__(self, folder: Path) -> None:
        self.stub = StubCore(folder / "node.sock")
        self.path = self.stub.path

    async def show(self, rpc: NodeRpc, transactions: Sequence[bytes]) -> None:
        """Be on the real node's tip, with these transactions in the pool of transactions."""
        own = await rpc.template()
        self.stub.tell(
            tip=from_display(own.previousblockhash),
            height=own.height,
            time_s=own.curtime,
            subsidy_sat=own.coinbasevalue - sum(each.fee for each in own.transactions),
            transactions=list(transactions),
            fees_sat=[FEE] * len(transactions),
        )

    def was_told(self, coinbase: bytes) -> bool:
        """Whether a block with this coinbase came over the socket."""
        return any(solved == coinbase for *_, solved in self.stub.solutions)


class Real:
    """Bitcoin Core."""

    def __init__(self, chain: Chain) -> None:
        self.path = chain.ipc
        self._log = Path(chain.ipc).parent / "regtest" / "debug.log"

    async def show(self, rpc: NodeRpc, transactions: Sequence[bytes]) -> None:
        waiting = await rpc.call("getrawmempool")
        for raw in transactions:
            if display(Transaction.parse(raw).txid) not in waiting:
                await rpc.call("sendrawtransaction", raw.hex())

    def was_told(self, _coinbase: bytes) -> bool:
        text = self._log.read_text(errors="replace")
        return "BlockTemplate.submitSolution" in text and "IPC server send response" in text


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    with full_node(tmp_path_factory.mktemp("node")) as running:
        yield running


@pytest.fixture
async def rpc(chain: Chain) -> AsyncIterator[NodeRpc]:
    made = NodeRpc(chain.address)
    yield made
    await made.close()


@pytest.fixture(params=["stub", "node"] if NODE else ["stub"])
def source(request: pytest.FixtureRequest, tmp_path: Path, chain: Chain) -> Iterator[Played | Real]:
    if request.param == "node":
        yield Real(chain)
    else:
        played = Played(tmp_path)
        with played.stub:
            yield played


@pytest.fixture
def process(tmp_path: Path, chain: Chain, source: Played | Real) -> PoolProcess:
    made = PoolProcess(tmp_path, chain)
    made.config = dataclasses.replace(made.config, pool=dataclasses.replace(made.config.pool, ipc=source.path))
    return made


@contextlib.asynccontextmanager
async def mining_at(process: PoolProcess, number: int = signal.SIGTERM) -> AsyncIterator[V2Miner]:
    """A miner at the process, which is ended by this signal."""
    await asyncio.to_thread(process.start)
    try:
        key = Identity(process.config.site.data_dir / "secrets").authority_key
        miner = await V2Miner.shake_hands(process.config.pool.v2_port, key, now_s=int(time.time()))
        try:
            await miner.open(extended=True)
            yield miner
        finally:
            miner.close()
    finally:
        await asyncio.to_thread(process.end, number)


async def work_of(miner: V2Miner, tip: str, transactions: int) -> None:
    """Wait until the miner works on this tip, with so many transactions in the block."""
    steps = transactions.bit_length()
    async with asyncio.timeout(40):
        while True:
            job, on = miner.job, miner.tip
            is_there = on is not None and display(on.prev_hash) == tip
            if is_there and isinstance(job, mining.NewExtendedMiningJob) and len(job.merkle_path) == steps:
                return
            await miner.hear(mining.NewExtendedMiningJob | mining.SetNewPrevHash)


async def test_the_template_of_the_socket_is_mined_and_its_block_goes_out_by_rpc_and_by_the_socket(
    process: PoolProcess, source: Played | Real, rpc: NodeRpc
) -> None:
    spend = await coin(rpc)
    await source.show(rpc, [spend])
    own = await rpc.template()
    subsidy_sat = own.coinbasevalue - sum(each.fee for each in own.transactions)
    async with mining_at(process) as miner:
        await work_of(miner, own.previousblockhash, 1)
        miner.say(miner.solve(target=(0xFFFF << 208) * 2**14))
        await miner.hear(mining.SubmitSharesSuccess)
        async with asyncio.timeout(20):
            while (tip := (await rpc.info()).bestblockhash) == own.previousblockhash:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            block = Block.parse(bytes.fromhex(await rpc.call("getblock", tip, *[False])))
            while not source.was_told(block.transactions[0]):  # noqa: ASYNC110 -- another process's state
                await asyncio.sleep(0.05)

    solved = block.transactions[0]
    assert block.transactions == (solved, spend)
    coinbase = Transaction.parse(solved)
    assert (coinbase.lock_time, coinbase.inputs[0].sequence) == (own.height - 1, 0xFFFF_FFFE)
    assert sum(each.value_sat for each in coinbase.outputs) == subsidy_sat + FEE
    assert re.search("node_ipc_connected .*version=31", process.log())
    assert "solution_not" not in process.log()


async def test_fees_and_tips_are_told_by_the_socket_and_a_pool_that_is_killed_takes_no_node_with_it(
    process: PoolProcess, source: Played | Real, rpc: NodeRpc, chain: Chain
) -> None:
    first, second = await coin(rpc), await coin(rpc)
    tip = (await rpc.info()).bestblockhash
    await source.show(rpc, [first])
    async with mining_at(process, signal.SIGKILL) as miner:
        await work_of(miner, tip, 1)
        await source.show(rpc, [first, second])
        await work_of(miner, tip, 2)
        [tip] = await rpc.call("generatetoaddress", 1, chain.burned)
        await source.show(rpc, [])
        await work_of(miner, tip, 0)
        log = process.log()

    [tip] = await rpc.call("generatetoaddress", 1, chain.burned)  # ends the wait that the killed pool has left
    await source.show(rpc, [])
    await asyncio.sleep(1)
    assert (await rpc.info()).bestblockhash == tip
    assert chain.process.poll() is None
    async with mining_at(process) as miner:
        await work_of(miner, tip, 0)
    assert "node_ipc_lost" not in log
    assert process.log().count("node_ipc_connected") == 2
