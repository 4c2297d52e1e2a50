"""What payouts ask of a real node: blocks, outputs, and whether it takes a transaction."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
from coincurve import PrivateKey

from mbongi.pool.adapters.node_paying import PayingNode
from mbongi.pool.adapters.node_rpc import NodeRpc
from mbongi.wire.bitcoin.block import Block
from mbongi.wire.bitcoin.hashing import display, hash160
from mbongi.wire.bitcoin.sighash import SignedHashes
from mbongi.wire.bitcoin.transaction import OutPoint, Transaction, TxIn, TxOut
from tests.regtest import PROGRAM, Chain, address_here, full_node

pytestmark = pytest.mark.system
KEY = PrivateKey(b"\x0b" * 32)
PUBLIC = KEY.public_key.format()
SCRIPT = b"\0\x14" + hash160(PUBLIC)


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    with full_node(tmp_path_factory.mktemp("node")) as found:
        yield found


@pytest.fixture
async def rpc(chain: Chain) -> AsyncIterator[NodeRpc]:
    found = NodeRpc(chain.address)
    yield found
    await found.close()


def spending(coinbase: Transaction, value_sat: int) -> Transaction:
    """A transaction of one input and one output, signed."""
    unsigned = Transaction(inputs=(TxIn(outpoint=OutPoint(coinbase.txid, 0)),), outputs=(TxOut(value_sat, SCRIPT),))
    message = SignedHashes(unsigned, [coinbase.outputs[0]]).segwit(0, b"\x76\xa9\x14" + hash160(PUBLIC) + b"\x88\xac")
    witness = (KEY.sign(message, hasher=None) + b"\x01", PUBLIC)
    signed = TxIn(outpoint=unsigned.inputs[0].outpoint, witness=witness)
    return Transaction(inputs=(signed,), outputs=unsigned.outputs)


async def test_a_transaction_is_taken_found_in_a_block_and_its_coin_is_gone(chain: Chain, rpc: NodeRpc) -> None:
    node = PayingNode(rpc)
    [mined] = await rpc.call("generatetoaddress", 1, address_here(SCRIPT))
    coinbase = Transaction.parse(Block.parse(await node.block(mined)).transactions[0])
    txid = display(coinbase.txid)
    await rpc.call("generatetoaddress", 100, chain.burned)
    value_sat = coinbase.outputs[0].value_sat
    signed = spending(coinbase, value_sat - 1_000)
    raw, paid = signed.encode(), display(signed.txid)

    assert await node.txids(mined) == [txid]
    assert await node.holds(txid, 0)
    assert not await node.holds(txid, 9)
    assert not await node.is_waiting(paid)
    assert await node.test(raw) is None
    assert await node.send(raw) is None
    assert await node.send(raw) is None
    async with asyncio.timeout(20):
        while not await node.is_waiting(paid):  # noqa: ASYNC110 -- bcoin answers before it has looked
            await asyncio.sleep(0.05)
    assert await node.holds(txid, 0)

    [block] = await rpc.call("generatetoaddress", 1, chain.burned)
    tip = await node.tip()
    assert (tip.hash, await node.block_hash(tip.height)) == (block, block)
    assert await node.block_hash(tip.height + 1) is None
    assert paid in await node.txids(block)
    assert not await node.holds(txid, 0)
    assert not await node.is_waiting(paid)
    assert await node.send(raw) is None


async def test_what_no_node_takes_is_not_waiting(chain: Chain, rpc: NodeRpc) -> None:
    node = PayingNode(rpc)
    unknown = Transaction(
        inputs=(TxIn(outpoint=OutPoint(bytes([9] * 32), 0), witness=(bytes(72), PUBLIC)),),
        outputs=(TxOut(900, SCRIPT),),
    )
    reason = await node.test(unknown.encode())
    if PROGRAM:
        assert reason
    await node.send(unknown.encode())
    assert not await node.is_waiting(display(unknown.txid))
