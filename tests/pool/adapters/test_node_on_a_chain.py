"""The adapter on a real full node. Blocks are put together here, field by field, and mined on the processor.

None of the pool's own code makes these blocks, so what the node takes shows that the adapter and the codec are right.
"""

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from mbongi.pool.adapters.node_rpc import NodeRpc
from mbongi.pool.adapters.node_zmq import TipFeed
from mbongi.pool.daemon.heads import Heads
from mbongi.pool.errors import NodeDenied, NodeRefused
from mbongi.pool.rules.heads import Limits
from mbongi.wire.bitcoind import BlockTemplate
from tests.embedded import free_ports
from tests.regtest import PROGRAM, Chain, full_node

pytestmark = pytest.mark.system
RESERVED = bytes(32)


def double(data: bytes) -> bytes:
    return sha256(sha256(data).digest()).digest()


def block(
    template: BlockTemplate, tag: bytes, *, commitment: bytes = b"", work: bool = True, value_sat: int | None = None
) -> tuple[str, bytes]:
    """A block of nothing but its coinbase: its hash as people write it, and itself in hex.

    The coinbase pays to the hash of an all-zero key (BIP 141), states its height (BIP 34) and commits to its witness.
    """
    height = template.height.to_bytes(2, "little")
    script_in = b"\x02" + height + bytes([len(tag)]) + tag
    script_out = b"\x00\x14" + bytes(20)
    # The only transaction is the coinbase, whose id counts as zeros in the witness tree.
    commitment = commitment or double(bytes(32) + RESERVED)
    script_commitment = b"\x6a\x24\xaa\x21\xa9\xed" + commitment
    inputs = b"\x01" + bytes(32) + b"\xff" * 4 + bytes([len(script_in)]) + script_in + b"\xff" * 4
    value = template.coinbasevalue if value_sat is None else value_sat
    outputs = b"\x02" + struct.pack("<q", value) + bytes([len(script_out)]) + script_out
    outputs += struct.pack("<q", 0) + bytes([len(script_commitment)]) + script_commitment
    plain = struct.pack("<i", 2) + inputs + outputs + struct.pack("<I", 0)
    whole = struct.pack("<i", 2) + b"\x00\x01" + inputs + outputs + b"\x01\x20" + RESERVED + struct.pack("<I", 0)
    start = struct.pack("<I", template.version) + bytes.fromhex(template.previousblockhash)[::-1] + double(plain)
    bits = int(template.bits, 16)
    target = (bits & 0x7FFFFF) << (8 * ((bits >> 24) - 3))
    for nonce in range(10_000):
        header = start + struct.pack("<III", template.curtime, bits, nonce)
        digest = double(header)
        if (int.from_bytes(digest, "little") <= target) is work:
            return digest[::-1].hex(), (header + b"\x01" + whole).hex().encode()
    raise AssertionError("no nonce found")


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    with full_node(tmp_path_factory.mktemp("node")) as running:
        yield running


@pytest.fixture
async def rpc(chain: Chain) -> AsyncIterator[NodeRpc]:
    node = NodeRpc(chain.address)
    yield node
    await node.close()


async def test_a_block_made_by_hand_is_proposed_submitted_and_found_in_the_chain(rpc: NodeRpc) -> None:
    template = await rpc.template()
    name, hex_ = block(template, b"by hand")

    assert await rpc.propose([hex_[:100], hex_[100:]]) is None
    assert await rpc.confirmations(name) is None
    assert await rpc.submit([hex_[:160], hex_[160:]]) is None

    info, header = await rpc.info(), await rpc.header(name)
    assert (info.bestblockhash, info.blocks, info.headers) == (name, template.height, template.height)
    assert (header.height, header.previousblockhash) == (template.height, template.previousblockhash)
    assert header.bits_number == int(template.bits, 16)
    assert (await rpc.raw_header(name)).hex() == hex_[:160].decode()
    assert await rpc.confirmations(name) == 1
    assert (await rpc.template()).previousblockhash == name


async def test_a_template_states_the_commitment_of_bip_141(rpc: NodeRpc) -> None:
    template = await rpc.template()
    assert template.transactions == []
    assert template.default_witness_commitment == "6a24aa21a9ed" + double(bytes(64)).hex()
    assert template.weightlimit == 4_000_000
    assert "!segwit" in template.rules


async def test_a_block_that_the_node_has_counts_as_taken_again(rpc: NodeRpc) -> None:
    _name, hex_ = block(await rpc.template(), b"twice")
    assert await rpc.submit([hex_]) is None
    assert await rpc.submit([hex_]) is None


async def test_what_is_wrong_with_a_block_is_said_before_and_after_it_is_mined(rpc: NodeRpc) -> None:
    template = await rpc.template()
    too_much = template.coinbasevalue + 1

    assert await rpc.propose([block(template, b"x", work=False)[1]]) is None  # a proposal needs no proof of work
    uncommitted = block(template, b"x", commitment=bytes(32))[1]
    assert await rpc.propose([uncommitted]) == "bad-witness-merkle-match"
    assert await rpc.submit([uncommitted]) == "bad-witness-merkle-match"
    assert await rpc.propose([block(template, b"x", value_sat=too_much)[1]]) == "bad-cb-amount"
    assert await rpc.submit([block(template, b"x", value_sat=too_much)[1]]) == "bad-cb-amount"
    assert await rpc.submit([block(template, b"x", work=False)[1]]) == "high-hash"
    assert (await rpc.info()).bestblockhash == template.previousblockhash


async def test_a_proposal_on_an_old_tip_is_told_apart(rpc: NodeRpc, chain: Chain) -> None:
    template = await rpc.template()
    await rpc.call("generatetoaddress", 1, chain.burned)
    assert await rpc.propose([block(template, b"late")[1]]) == "inconclusive-not-best-prevblk"


async def test_bytes_that_are_no_block_are_refused_with_the_nodes_code(rpc: NodeRpc) -> None:
    with pytest.raises(NodeRefused) as error:
        await rpc.submit([b"00"])
    assert error.value.code == -22  # RPC_DESERIALIZATION_ERROR


async def test_a_reorganisation_leaves_a_block_beside_the_chain(rpc: NodeRpc) -> None:
    parent = await rpc.template()
    ours, our_hex = block(parent, b"ours")
    theirs, their_hex = block(parent, b"theirs")
    assert await rpc.submit([our_hex]) is None
    assert await rpc.submit([their_hex]) is None  # known, though not the tip
    assert await rpc.confirmations(ours) == 1
    assert await rpc.confirmations(theirs) == -1

    child = replace_parent(parent, theirs)
    assert await rpc.submit([block(child, b"longer")[1]]) is None

    assert await rpc.confirmations(theirs) == 2
    assert await rpc.confirmations(ours) == -1


def replace_parent(template: BlockTemplate, parent: str) -> BlockTemplate:
    """A template one higher, on a parent that is not the node's tip."""
    fields = {name: getattr(template, name) for name in template.__struct_fields__}
    return BlockTemplate(**fields | {"previousblockhash": parent, "height": template.height + 1})


async def test_the_long_poll_answers_with_a_new_block(rpc: NodeRpc) -> None:
    template = await rpc.template()
    waiting = asyncio.ensure_future(rpc.next_template(template.longpollid))
    name, hex_ = block(template, b"wake up")
    await asyncio.sleep(0.2)
    assert not waiting.done()

    assert await rpc.submit([hex_]) is None

    async with asyncio.timeout(20):
        assert (await waiting).previousblockhash == name


async def test_a_wrong_password_is_denied(chain: Chain) -> None:
    node = NodeRpc(replace(chain.address, user="x", password="wrong", cookie=None))
    with pytest.raises(NodeDenied, match="HTTP 401"):
        await node.info()
    await node.close()


async def test_a_method_that_the_node_lacks_is_a_refusal(rpc: NodeRpc) -> None:
    with pytest.raises(NodeRefused) as error:
        await rpc.call("nosuchmethod")
    assert error.value.code == -32601


async def test_the_heads_follow_a_real_chain_and_its_proof_of_work(rpc: NodeRpc, chain: Chain) -> None:
    heads = Heads([rpc], limits=Limits(quiet_s=None), chains={"regtest"})
    heard: list[str] = []
    feed = TipFeed(chain.zmq, heard.append) if chain.zmq else None
    tasks = [asyncio.create_task(each.run()) for each in (heads, feed) if each is not None]
    try:
        async with asyncio.timeout(20):
            seen = await heads.changed(0)
            assert (heads.sync.in_sync, heads.node) == (True, rpc)
            name, hex_ = block(await rpc.template(), b"ahead")
            assert await rpc.submit([hex_]) is None
            heads.look(rpc.name)
            await heads.changed(seen)
            while feed is not None and name not in heard:  # noqa: ASYNC110 -- another thread's state
                await asyncio.sleep(0.05)
        assert heads.best_hash == name
    finally:
        for task in tasks:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks)


async def test_a_node_that_is_started_again_takes_a_block_at_once_though_its_cookie_is_another(tmp_path: Path) -> None:
    [port] = free_ports(1)
    with full_node(tmp_path, port) as first:
        node = NodeRpc(first.address)
        await node.template()  # from now on a connection stands ready for found blocks
        cookie = first.address.authorization()
    with full_node(tmp_path, port) as second:
        other = NodeRpc(second.address)
        name, hex_ = block(await other.template(), b"after the start")
        assert await node.submit([hex_[:160], hex_[160:]]) is None
        assert (await node.info()).bestblockhash == name
        assert (second.address.authorization() != cookie) is bool(PROGRAM)  # bcoin's password is ours and stays
        for each in (node, other):
            await each.close()


async def test_a_node_that_is_in_its_first_download_is_not_built_on_until_it_is_done(tmp_path: Path) -> None:
    with full_node(tmp_path, blocks=0) as chain:
        node = NodeRpc(chain.address)
        heads = Heads([node], limits=Limits(quiet_s=None), chains={"regtest"})
        task = asyncio.create_task(heads.run())
        try:
            async with asyncio.timeout(20):
                while heads.sync.in_sync is None:  # noqa: ASYNC110 -- another task's state
                    await asyncio.sleep(0.05)
                # A chain of old blocks alone is one that is being loaded; bcoin does not tell.
                assert (heads.sync.in_sync, heads.node is None) == (not PROGRAM, bool(PROGRAM))
                await node.call("generatetoaddress", 1, chain.burned)
                while heads.next_height != 2:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            assert heads.sync.in_sync is True
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            await node.close()
