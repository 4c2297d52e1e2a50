"""Templates from a template provider, which a stub plays, beside a node, which another stub plays."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from mbongi.pool.adapters import node_beside
from mbongi.pool.adapters.template_link import TemplateLink
from mbongi.pool.adapters.template_provider import TemplateProvider
from mbongi.pool.errors import NodeDenied, NodeUnreachable
from mbongi.pool.rules.job import EXTRANONCE_BYTES, Job, coinbase_of
from mbongi.pool.rules.share import header_of
from mbongi.pool.rules.template import template_of
from mbongi.wire.bitcoin.block import Block
from mbongi.wire.bitcoin.hashing import display
from mbongi.wire.bitcoin.transaction import Transaction, TxOut
from mbongi.wire.bitcoind import BlockTemplate, ChainInfo
from mbongi.wire.noise.certificate import PoolAddress
from mbongi.wire.noise.secp import new_secret, x_only_of_secret
from mbongi.wire.stratum_v2 import template_distribution as tdp
from tests.pool.adapters.stub_provider import StubProvider, commitment, spend
from tests.pool.daemon.fake_node import FakeNode

SUBSIDY = 49_000
SCRIPT = bytes.fromhex("0014751e76e8199196d454941c45d1b3a323f1433bd6")


class TipNode(FakeNode):
    """A node on a tip, with a template of its own."""

    def __init__(self, tip: int) -> None:
        super().__init__("a")
        self.tip = bytes([tip]) * 32
        self.own = 0

    async def info(self) -> ChainInfo:
        return ChainInfo(chain="regtest", blocks=499, headers=499, bestblockhash=display(self.tip))

    async def template(self) -> BlockTemplate:
        self.own += 1
        return BlockTemplate(
            version=4,
            previousblockhash=display(self.tip),
            transactions=[],
            coinbasevalue=1,
            curtime=2,
            mintime=1,
            bits="207fffff",
            height=500,
            longpollid="own",
        )


@pytest.fixture
async def stub(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[StubProvider]:
    monkeypatch.setattr(node_beside, "BEHIND_S_MAX", 0.3)
    monkeypatch.setattr(node_beside, "RETRY_S", 0.05)
    async with StubProvider() as made:
        yield made


@pytest.fixture
async def node() -> TipNode:
    return TipNode(1)


@pytest.fixture
async def provider(stub: StubProvider, node: TipNode) -> AsyncIterator[TemplateProvider]:
    made = TemplateProvider(node, stub.address, subsidy_sat=lambda _height: SUBSIDY)
    yield made
    await made.close()


async def first(provider: TemplateProvider, stub: StubProvider, *transactions: bytes) -> BlockTemplate:
    """The provider's first template, on tip 1, its id 7."""
    asking = asyncio.create_task(provider.template())
    await stub.next(tdp.CoinbaseOutputConstraints)
    stub.offer(7, list(transactions), future=True)
    stub.tip(7, bytes([1]) * 32)
    found = await asking
    if found.longpollid == "own":  # a slow machine: it came a moment after the node's own was taken
        found = await provider.next_template("own")
    return found


async def test_a_template_is_whole_with_its_transactions_and_passes_the_pools_own_checks(
    provider: TemplateProvider, stub: StubProvider
) -> None:
    transactions = [spend(1), spend(2), spend(3)]
    found = await first(provider, stub, *transactions)
    template = template_of(found)
    job = Job(1, template, coinbase_of(template, [TxOut(template.value_sat, SCRIPT)], b"/t/", 1), made_at_s=0.0)
    header, _ = header_of(job, extranonce=bytes(EXTRANONCE_BYTES), version=4, time_s=template.time_s, nonce=0)
    block = Block.parse(bytes.fromhex(b"".join(job.block_hex(header, bytes(EXTRANONCE_BYTES))).decode()))
    coinbase = Transaction.parse(block.transactions[0])

    assert (found.height, found.previousblockhash, found.bits) == (500, "01" * 32, "207fffff")
    assert (template.value_sat, template.fees_sat) == (50_003, 50_003 - SUBSIDY)
    assert block.transactions[1:] == tuple(transactions)
    assert template.weight == sum(Transaction.parse(each).weight for each in transactions)
    assert commitment(transactions)[9:] == coinbase.outputs[-1].script
    assert (coinbase.inputs[0].sequence, coinbase.lock_time) == (0xFFFF_FFFE, 499)
    block.require_commitments()


async def test_a_better_template_and_one_on_a_new_tip_end_the_long_poll(
    provider: TemplateProvider, stub: StubProvider, node: TipNode
) -> None:
    found = await first(provider, stub, spend(1))

    better = asyncio.create_task(provider.next_template(found.longpollid))
    stub.offer(8, [spend(1), spend(2)], future=False)
    second = await better
    moved = asyncio.create_task(provider.next_template(second.longpollid))
    stub.offer(9, [spend(3)], future=True, height=501)
    await stub.next(tdp.RequestTransactionData)
    node.tip = bytes([2]) * 32
    stub.tip(9, node.tip)
    third = await moved

    assert [len(each.transactions) for each in (found, second, third)] == [1, 2, 1]
    assert (second.previousblockhash, third.previousblockhash, third.height) == ("01" * 32, "02" * 32, 501)
    assert node.own == 0 or found.longpollid != "own"


async def test_while_the_provider_is_behind_or_away_the_nodes_own_template_takes_its_place(
    provider: TemplateProvider, stub: StubProvider, node: TipNode
) -> None:
    await first(provider, stub)
    node.tip = bytes([2]) * 32
    behind = await provider.template()
    stub.hang_up()
    async with asyncio.timeout(20):
        while stub.connections < 2:  # noqa: ASYNC110 -- the stub's state
            await asyncio.sleep(0.02)
    stub.offer(8, [], future=True, height=501)
    stub.tip(8, node.tip)
    async with asyncio.timeout(20):
        while (back := await provider.template()).longpollid == "own":
            pass

    assert behind.longpollid == "own"
    assert back.previousblockhash == "02" * 32


@pytest.mark.parametrize(
    "changes",
    [
        {"merkle_path": (bytes(32),)},
        {"coinbase_prefix": b"\x02\xf4\x01\x01\x09"},
        {"coinbase_prefix": b"\x03\xf4\x01\x00"},
        {"coinbase_prefix": b"\x05"},
        {"coinbase_tx_outputs_count": 2, "coinbase_tx_outputs": commitment([spend(1)]) * 2},
        {"coinbase_tx_outputs": b"\1" + commitment([spend(1)])[1:]},
        {"coinbase_tx_outputs": b"\1"},
    ],
)
async def test_a_template_that_contradicts_itself_or_is_beyond_us_is_never_given_on(
    provider: TemplateProvider, stub: StubProvider, changes: dict[str, object]
) -> None:
    asking = asyncio.create_task(provider.template())
    await stub.next(tdp.CoinbaseOutputConstraints)
    stub.offer(7, [spend(1)], future=True, **changes)
    stub.tip(7, bytes([1]) * 32)

    assert (await asking).longpollid == "own"
    assert (await provider.template()).longpollid == "own"
    async with asyncio.timeout(20):
        while stub.connections < 2:  # noqa: ASYNC110 -- the stub's state
            await asyncio.sleep(0.02)


async def test_a_tip_for_a_template_that_was_never_given_ends_the_connection(stub: StubProvider) -> None:
    link = await TemplateLink.connect(stub.address)
    templates = link.templates()
    following = asyncio.ensure_future(anext(templates))
    await stub.next(tdp.CoinbaseOutputConstraints)
    stub.tip(5, bytes(32))
    with pytest.raises(Exception, match="which it never gave"):
        await following
    link.close()


async def test_a_template_whose_transactions_are_refused_waits_for_the_next(
    provider: TemplateProvider, stub: StubProvider
) -> None:
    asking = asyncio.create_task(provider.template())
    await stub.next(tdp.CoinbaseOutputConstraints)
    stub.offer(7, [spend(1)], future=True)
    del stub.data[7]
    stub.tip(7, bytes([1]) * 32)
    stub.offer(8, [spend(2)], future=False)
    found = await asking
    while found.longpollid == "own":
        found = await provider.next_template("own")

    assert found.longpollid.endswith("8")


async def test_a_found_block_goes_to_the_node_and_to_the_provider_with_its_coinbase_whole(
    provider: TemplateProvider, stub: StubProvider, node: TipNode
) -> None:
    found = await first(provider, stub, spend(1))
    template = template_of(found)
    job = Job(1, template, coinbase_of(template, [TxOut(template.value_sat, SCRIPT)], b"/t/", 1), made_at_s=0.0)
    extranonce = bytes(range(EXTRANONCE_BYTES))
    header, _ = header_of(job, extranonce=extranonce, version=0x2345_6780, time_s=1_700_000_009, nonce=77)

    await provider.submit(job.block_hex(header, extranonce))
    solution = await stub.next(tdp.SubmitSolution)

    assert isinstance(solution, tdp.SubmitSolution)
    block = Block.parse(bytes.fromhex(node.taken[0].decode()))
    assert (solution.template_id, solution.version, solution.header_nonce) == (7, 0x2345_6780, 77)
    assert solution.header_timestamp == 1_700_000_009
    assert solution.coinbase_tx == block.transactions[0]
    assert Transaction.parse(solution.coinbase_tx).has_witness


async def test_a_block_of_another_template_goes_to_the_node_alone(
    provider: TemplateProvider, stub: StubProvider, node: TipNode
) -> None:
    await first(provider, stub)
    await provider.submit([b"00" * 80])
    await provider.submit([b"zz"])

    assert node.submits == 2
    assert all(not isinstance(each, tdp.SubmitSolution) for each in list(stub.heard._queue))  # type: ignore[attr-defined]


async def test_a_provider_of_another_authority_or_one_that_refuses_or_is_not_there_is_an_error(
    stub: StubProvider,
) -> None:
    with pytest.raises(NodeDenied, match="did not sign"):
        await TemplateLink.connect(PoolAddress("127.0.0.1", stub.port, x_only_of_secret(new_secret())))
    stub.refuses = "unsupported-protocol"
    with pytest.raises(NodeDenied, match="unsupported-protocol"):
        await TemplateLink.connect(stub.address)
    with pytest.raises(NodeUnreachable):
        await TemplateLink.connect(PoolAddress("127.0.0.1", 1, stub.authority_key))
