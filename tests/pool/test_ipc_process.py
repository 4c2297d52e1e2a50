"""The pool's process with a stub of Bitcoin Core's mining interface beside a real full node."""

import asyncio
import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mbongi.pool.adapters.node_rpc import NodeRpc
from mbongi.run.pool_identity import Identity
from mbongi.wire.bitcoin.block import Block
from mbongi.wire.bitcoin.hashing import from_display
from mbongi.wire.bitcoin.transaction import Transaction
from mbongi.wire.stratum_v2 import mining
from tests.pool.adapters.stub_core import StubCore
from tests.pool.test_declaring_process import FEE, coin
from tests.pool.test_pool_process import PoolProcess
from tests.pool.v2_miner import V2Miner
from tests.regtest import Chain, full_node

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    with full_node(tmp_path_factory.mktemp("node")) as running:
        yield running


async def test_the_template_of_the_socket_is_mined_and_its_block_goes_out_by_rpc_and_by_the_socket(
    tmp_path: Path, chain: Chain
) -> None:
    rpc, process = NodeRpc(chain.address), PoolProcess(tmp_path, chain)
    spend = await coin(rpc)
    own = await rpc.template()
    stub = StubCore(tmp_path / "node.sock")
    stub.tip, stub.height, stub.time_s = from_display(own.previousblockhash), own.height, own.curtime
    stub.subsidy_sat = own.coinbasevalue - sum(each.fee for each in own.transactions)
    stub.transactions, stub.fees_sat = [spend], [FEE]
    process.config = dataclasses.replace(process.config, pool=dataclasses.replace(process.config.pool, ipc=stub.path))
    with stub:
        await asyncio.to_thread(process.start)
        try:
            key = Identity(process.config.site.data_dir / "secrets").authority_key
            miner = await V2Miner.shake_hands(process.config.pool.v2_port, key, now_s=int(time.time()))
            await miner.open(extended=True)
            while not (isinstance(miner.job, mining.NewExtendedMiningJob) and miner.job.merkle_path):
                await miner.hear(mining.NewExtendedMiningJob)

            miner.say(miner.solve(target=(0xFFFF << 208) * 2**14))
            await miner.hear(mining.SubmitSharesSuccess)
            async with asyncio.timeout(20):
                while not stub.solutions:  # noqa: ASYNC110 -- the stub's state
                    await asyncio.sleep(0.05)
                while (tip := (await rpc.info()).bestblockhash) == own.previousblockhash:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            block = Block.parse(bytes.fromhex(await rpc.call("getblock", tip, *[False])))
            miner.close()
        finally:
            await asyncio.to_thread(process.end)
            await rpc.close()

    [(previous, *_, solved)] = stub.solutions
    assert previous == from_display(own.previousblockhash)
    assert block.transactions == (solved, spend)
    coinbase = Transaction.parse(solved)
    assert (coinbase.lock_time, coinbase.inputs[0].sequence) == (own.height - 1, 0xFFFF_FFFE)
    assert sum(each.value_sat for each in coinbase.outputs) == stub.subsidy_sat + FEE
