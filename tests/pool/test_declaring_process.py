"""Miners that bring their own blocks to the pool's process, on a real full node's chain."""

import asyncio
import dataclasses
import time
from collections.abc import AsyncIterator, Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from mbongi.pool.adapters.node_rpc import NodeRpc
from mbongi.pool.daemon.share_log import BLOCK_FLAG
from mbongi.run.pool_identity import Identity
from mbongi.wire.bitcoin.block import Block
from mbongi.wire.bitcoin.hashing import from_display
from mbongi.wire.bitcoin.script import height_push
from mbongi.wire.bitcoin.transaction import OutPoint, Transaction, TxIn, TxOut
from mbongi.wire.bitcoind import BlockTemplate
from mbongi.wire.stratum_v2 import job_declaration, mining
from tests.embedded import free_ports
from tests.pool.test_pool_process import PoolProcess
from tests.pool.v2_declarer import DECLARE_TX_DATA, WORK_SELECTION, Brought, Declarer
from tests.pool.v2_miner import V2Miner
from tests.regtest import Chain, address_here, full_node

pytestmark = pytest.mark.system
ANYONE = b"\x51"
ANYONES = b"\x00\x20" + sha256(ANYONE).digest()
"""Pays to the script that is true for anyone who shows it."""
FEE = 5_000


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    with full_node(tmp_path_factory.mktemp("node")) as running:
        yield running


@pytest.fixture
def running(tmp_path: Path, chain: Chain) -> Iterator[PoolProcess]:
    process = PoolProcess(tmp_path, chain)
    [jd_port] = free_ports(1)
    settings = dataclasses.replace(process.config.pool, declarations="coinbase-only", jd_port=jd_port)
    process.config = dataclasses.replace(process.config, pool=settings)
    process.start()
    yield process
    process.end()


@pytest.fixture
async def rpc(chain: Chain) -> AsyncIterator[NodeRpc]:
    made = NodeRpc(chain.address)
    yield made
    await made.close()


async def coin(rpc: NodeRpc) -> bytes:
    """A transaction that spends a coin that anyone may spend; no node has seen it."""
    [first, *_] = await rpc.call("generatetoaddress", 101, address_here(ANYONES))
    block = Block.parse(bytes.fromhex(await rpc.call("getblock", first, *[False])))
    coinbase = Transaction.parse(block.transactions[0])
    return Transaction(
        inputs=(TxIn(outpoint=OutPoint(coinbase.txid, 0), witness=(ANYONE,)),),
        outputs=(TxOut(coinbase.outputs[0].value_sat - FEE, ANYONES),),
    ).encode()


async def brought_on_tip(rpc: NodeRpc, pool_outputs: bytes, *transactions: bytes) -> Brought:
    template: BlockTemplate = await rpc.template()
    assert not template.transactions
    return Brought(
        previous_hash=from_display(template.previousblockhash),
        height_script=height_push(template.height),
        bits=int(template.bits, 16),
        time_s=template.curtime,
        pool_outputs=pool_outputs,
        value_sat=template.coinbasevalue + FEE * len(transactions),
        transactions=list(transactions),
        version=template.version,
    )


async def connected(running: PoolProcess, flags: int) -> tuple[Declarer, V2Miner]:
    key, now_s = Identity(running.config.site.data_dir / "secrets").authority_key, int(time.time())
    declarer = await Declarer.shake_hands(running.config.pool.jd_port, key, now_s=now_s)
    await declarer.set_up(flags)
    miner = await V2Miner.shake_hands(running.config.pool.v2_port, key, now_s=now_s)
    await miner.set_up(WORK_SELECTION)
    await miner.open_channel(extended=True, work=False)
    return declarer, miner


async def take(miner: V2Miner, brought: Brought, token: bytes) -> None:
    """Have the pool take a job; it may hear of a new tip a moment later than we."""
    async with asyncio.timeout(20):
        while True:
            miner.say(brought.custom_job(miner.channel, token))
            answer = await miner.hear(mining.SetCustomMiningJobSuccess | mining.SetCustomMiningJobError)
            if isinstance(answer, mining.SetCustomMiningJobSuccess):
                return brought.turn_to(miner, answer.job_id)
            assert answer.error_code == "stale-chain-tip"
            await asyncio.sleep(0.2)


async def declare(declarer: Declarer, brought: Brought) -> tuple[bytes, str]:
    """The token of a declared block, or the code of the refusal."""
    allocated = await declarer.token()
    declarer.say(brought.declaration(allocated.mining_job_token))
    answer = await declarer.hear(
        job_declaration.ProvideMissingTransactions
        | job_declaration.DeclareMiningJobSuccess
        | job_declaration.DeclareMiningJobError
    )
    if isinstance(answer, job_declaration.ProvideMissingTransactions):
        given = tuple(brought.transactions[place] for place in answer.unknown_tx_position_list)
        declarer.say(job_declaration.ProvideMissingTransactionsSuccess(answer.request_id, given))
        answer = await declarer.hear(job_declaration.DeclareMiningJobSuccess | job_declaration.DeclareMiningJobError)
    if isinstance(answer, job_declaration.DeclareMiningJobError):
        return b"", answer.error_code
    return answer.new_mining_job_token, ""


async def test_a_miners_own_block_with_a_transaction_that_nobody_else_has_becomes_the_chains_tip(
    running: PoolProcess, rpc: NodeRpc
) -> None:
    spend = await coin(rpc)
    declarer, miner = await connected(running, DECLARE_TX_DATA)
    outputs = (await declarer.token()).coinbase_tx_outputs
    brought = await brought_on_tip(rpc, outputs, spend)
    async with asyncio.timeout(20):  # the pool may hear of the new tip a moment later than we
        while (await declare(declarer, brought))[1]:  # noqa: ASYNC110 -- another process's state
            await asyncio.sleep(0.2)

    codes = []
    for change in (-1, 1):
        brought.value_sat += change
        codes.append((await declare(declarer, brought))[1])
        brought.value_sat -= change
    token, _ = await declare(declarer, brought)
    await take(miner, brought, token)
    miner.say(miner.solve(target=(0xFFFF << 208) * 2**14, rolled=0x0012_3440))
    await miner.hear(mining.SubmitSharesSuccess)
    previous = brought.previous_hash[::-1].hex()
    async with asyncio.timeout(20):
        while (tip := (await rpc.info()).bestblockhash) == previous:  # noqa: ASYNC110 -- another process's state
            await asyncio.sleep(0.05)
    block = bytes.fromhex(await rpc.call("getblock", tip, *[False]))

    assert codes == ["invalid-coinbase-tx", "invalid-job"]
    assert spend in block
    assert b"\x03jdc" + miner.prefix in block
    [(share, worker)] = running.shares()
    assert (share.hash[::-1].hex(), worker, share.flags & BLOCK_FLAG) == (tip, "acct.v2", BLOCK_FLAG)
    declarer.close()
    miner.close()


async def test_with_its_coinbase_alone_a_miners_block_counts_and_is_left_to_the_miner(
    running: PoolProcess, rpc: NodeRpc
) -> None:
    declarer, miner = await connected(running, 0)
    allocated = await declarer.token()
    brought = await brought_on_tip(rpc, allocated.coinbase_tx_outputs)
    await take(miner, brought, allocated.mining_job_token)
    tip = (await rpc.info()).bestblockhash

    miner.say(miner.solve(target=(0xFFFF << 208) * 2**14))
    await miner.hear(mining.SubmitSharesSuccess)

    [(share, _)] = running.shares()
    records = list((running.config.site.data_dir / "pool" / "blocks").glob("*.json"))
    assert [each.stem for each in records] == [share.hash[::-1].hex()]
    assert list(records[0].parent.glob("*.block")) == []
    assert (await rpc.info()).bestblockhash == tip
    declarer.close()
    miner.close()
