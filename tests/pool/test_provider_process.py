"""The pool's process with a template provider beside a real full node."""

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
from mbongi.wire.stratum_v2 import template_distribution as tdp
from tests.pool.adapters.stub_provider import StubProvider
from tests.pool.practice import Miner
from tests.pool.several import SeveralProcesses, solve_block
from tests.pool.test_declaring_process import FEE, coin
from tests.pool.test_pool_process import PoolProcess
from tests.pool.v2_miner import V2Miner
from tests.regtest import Chain, full_node

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    with full_node(tmp_path_factory.mktemp("node")) as running:
        yield running


async def test_the_providers_template_is_mined_and_its_block_taken_by_the_node_and_told_to_the_provider(
    tmp_path: Path, chain: Chain
) -> None:
    rpc, process = NodeRpc(chain.address), PoolProcess(tmp_path, chain)
    spend = await coin(rpc)
    async with StubProvider() as stub:
        settings = dataclasses.replace(process.config.pool, template_provider=stub.address.url())
        process.config = dataclasses.replace(process.config, pool=settings)
        await asyncio.to_thread(process.start)
        try:
            await stub.next(tdp.CoinbaseOutputConstraints)
            own = await rpc.template()
            value_sat = own.coinbasevalue + FEE
            stub.offer(1, [spend], future=True, height=own.height, coinbase_tx_value_remaining=value_sat)
            stub.tip(1, from_display(own.previousblockhash), own.curtime)
            key = Identity(process.config.site.data_dir / "secrets").authority_key
            miner = await V2Miner.shake_hands(process.config.pool.v2_port, key, now_s=int(time.time()))
            await miner.open(extended=True)
            while not (isinstance(miner.job, mining.NewExtendedMiningJob) and miner.job.merkle_path):
                await miner.hear(mining.NewExtendedMiningJob)

            miner.say(miner.solve(target=(0xFFFF << 208) * 2**14))
            await miner.hear(mining.SubmitSharesSuccess)
            solution = await stub.next(tdp.SubmitSolution)
            async with asyncio.timeout(20):
                while (tip := (await rpc.info()).bestblockhash) == own.previousblockhash:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            block = Block.parse(bytes.fromhex(await rpc.call("getblock", tip, *[False])))
            miner.close()
        finally:
            await asyncio.to_thread(process.end)
            await rpc.close()

    assert isinstance(solution, tdp.SubmitSolution)
    assert block.transactions == (solution.coinbase_tx, spend)
    coinbase = Transaction.parse(solution.coinbase_tx)
    assert coinbase.lock_time == own.height - 1
    assert sum(each.value_sat for each in coinbase.outputs) == value_sat


async def test_a_block_that_another_process_found_is_told_to_the_provider_too(tmp_path: Path, chain: Chain) -> None:
    rpc = NodeRpc(chain.address)
    spend = await coin(rpc)
    async with StubProvider() as stub:
        pool = SeveralProcesses(tmp_path, chain, template_provider=stub.address.url())
        try:
            await asyncio.to_thread(pool.__enter__)
            own = await rpc.template()
            value_sat = own.coinbasevalue + FEE
            stub.offer(1, [spend], future=True, height=own.height, coinbase_tx_value_remaining=value_sat)
            stub.tip(1, from_display(own.previousblockhash), own.curtime)
            miner = await Miner.connect(pool.config.pool.port)
            while miner.work is None or not miner.work.branch:
                await miner.read()  # until it has the provider's, which alone has the transaction
            answer = await miner.submit(await asyncio.to_thread(solve_block, miner))
            solution = await stub.next(tdp.SubmitSolution)
            async with asyncio.timeout(20):
                while (await rpc.info()).bestblockhash == own.previousblockhash:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            miner.close()
        finally:
            await asyncio.to_thread(pool.close)
            await rpc.close()

    assert answer["result"] is True
    assert isinstance(solution, tdp.SubmitSolution)
    assert solution.template_id == 1
