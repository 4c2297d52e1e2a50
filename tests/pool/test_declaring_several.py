"""Job declaration to one process of a pool, custom jobs on any of them: a token is known by all."""

import asyncio
import time
from pathlib import Path

import pytest

from mbongi.pool.adapters.node_rpc import NodeRpc
from mbongi.run.pool_identity import Identity
from mbongi.wire.bitcoin.target import target_of_difficulty
from mbongi.wire.stratum_v2 import job_declaration, mining
from tests.embedded import free_ports
from tests.pool.several import SeveralProcesses
from tests.pool.test_declaring_process import brought_on_tip, coin, declare, take
from tests.pool.v2_declarer import DECLARE_TX_DATA, WORK_SELECTION, Declarer
from tests.pool.v2_miner import V2Miner
from tests.regtest import full_node

pytestmark = pytest.mark.system
BLOCK = 2.0**-14


async def test_a_block_declared_in_one_process_is_mined_in_any_and_handed_in_when_its_solution_is_pushed(
    tmp_path: Path,
) -> None:
    [jd_port] = free_ports(1)
    settings = {"declarations": "full-template", "jd_port": jd_port, "block_difficulty_min": BLOCK}
    (tmp_path / "node").mkdir()
    (tmp_path / "pool").mkdir()
    with full_node(tmp_path / "node") as chain, SeveralProcesses(tmp_path / "pool", chain, **settings) as pool:
        rpc, now_s = NodeRpc(chain.address), int(time.time())
        key = Identity(pool.config.site.data_dir / "secrets").authority_key
        spend = await coin(rpc)
        declarer = await Declarer.shake_hands(jd_port, key, now_s=now_s)
        await declarer.set_up(DECLARE_TX_DATA)
        miners: dict[int, V2Miner] = {}
        while len(miners) < 2:
            miner = await V2Miner.shake_hands(pool.config.pool.v2_port, key, now_s=now_s)
            await miner.set_up(WORK_SELECTION)
            await miner.open_channel(extended=True, work=False)
            if miners.setdefault(miner.prefix[0], miner) is not miner:
                miner.close()
        outputs = (await declarer.token()).coinbase_tx_outputs
        brought = await brought_on_tip(rpc, outputs, spend)
        async with asyncio.timeout(60):
            while not (token := (await declare(declarer, brought))[0]):  # noqa: ASYNC110 -- the pool hears of the tip
                await asyncio.sleep(0.2)

        for shard, miner in sorted(miners.items()):
            await take(miner, brought, token)
            share = await asyncio.to_thread(miner.solve, target=target_of_difficulty(BLOCK) if shard else None)
            miner.say(share)
            await miner.hear(mining.SubmitSharesSuccess)
        assert isinstance(share, mining.SubmitSharesExtended)
        declarer.say(
            job_declaration.PushSolution(
                miner.prefix + share.extranonce,
                brought.previous_hash,
                share.nonce,
                share.ntime,
                brought.bits,
                share.version,
            )
        )
        async with asyncio.timeout(60):
            while (tip := (await rpc.info()).bestblockhash) == brought.previous_hash[::-1].hex():  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        block = bytes.fromhex(await rpc.call("getblock", tip, *[False]))
        await rpc.close()
        for each in (declarer, *miners.values()):
            each.close()
        shares = pool.shares()

    assert spend in block
    assert {share.shard for share, _ in shares} == {0, 1}
