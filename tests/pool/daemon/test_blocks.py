"""Found blocks: out to every node, again to one that lost them, until they are settled or orphaned."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

from mbongi.pool.daemon.blocks import Blocks
from mbongi.pool.errors import NodeRefused, NodeSilent
from mbongi.pool.rules.job import Job, coinbase_of
from mbongi.pool.rules.template import empty_template
from mbongi.wire.bitcoin.transaction import TxOut
from mbongi.wire.bitcoind import BlockTemplate, ChainInfo, HeaderInfo


class FakeNode:
    """A node that knows what it took, unless it is told to be silent or to forget."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.taken: list[bytes] = []
        self.known: HeaderInfo | None = None
        self.blocks = 100
        self.is_silent = False

    async def info(self) -> ChainInfo:
        return ChainInfo(chain="regtest", blocks=self.blocks, headers=self.blocks, bestblockhash="00")

    async def header(self, block_hash: str) -> HeaderInfo:
        if self.is_silent:
            raise NodeSilent(self.name)
        if self.known is None:
            raise NodeRefused("Block not found", -5)
        return self.known

    async def submit(self, block_hex: Sequence[bytes]) -> str | None:
        if self.is_silent:
            raise NodeSilent(self.name)
        self.taken.append(b"".join(block_hex))
        return None

    async def template(self) -> BlockTemplate:
        raise NodeSilent(self.name)

    async def next_template(self, long_poll_id: str) -> BlockTemplate:
        raise NodeSilent(self.name)

    async def propose(self, block_hex: Sequence[bytes]) -> str | None:
        return None

    async def close(self) -> None:
        return None

    def knows(self, *, height: int, confirmations: int) -> None:
        self.known = HeaderInfo(
            hash="00", height=height, confirmations=confirmations, version=1, time=0, mediantime=0, bits=0
        )


def job() -> Job:
    template = empty_template(
        height=101, previous_hash=bytes(32), version=4, bits=0x207FFFFF, time_s=9, time_min_s=1, subsidy_sat=50
    )
    return Job(1, template, coinbase_of(template, [TxOut(50, b"\x51")], b""), made_at_s=0.0)


async def found_block(folder: Path, nodes: list[FakeNode]) -> tuple[Blocks, Path]:
    blocks = Blocks(folder, nodes)
    name = blocks.found(job(), bytes(80), bytes(12), "acct.one")
    path = folder / f"{name}.block"
    async with asyncio.timeout(5):
        while not path.exists():  # noqa: ASYNC110 -- a thread writes it
            await asyncio.sleep(0.01)
    return blocks, path


async def run_until(blocks: Blocks, done: Callable[[], bool]) -> None:
    """Let the blocks be looked after until something is so."""
    work = asyncio.create_task(blocks.run())
    async with asyncio.timeout(10):
        while not done():  # noqa: ASYNC110 -- a file or another task changes it
            await asyncio.sleep(0.01)
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)


async def test_a_block_goes_to_every_node_and_onto_the_disk(tmp_path: Path) -> None:
    nodes = [FakeNode("a"), FakeNode("b")]
    _blocks, path = await found_block(tmp_path, nodes)

    assert nodes[0].taken == nodes[1].taken == [path.read_bytes()]
    assert bytes.fromhex(path.read_text())[:80] == bytes(80)


async def test_a_node_that_was_silent_gets_the_block_when_it_is_back_and_after_our_restart(tmp_path: Path) -> None:
    node = FakeNode("a")
    node.is_silent = True
    _blocks, path = await found_block(tmp_path, [node])
    assert node.taken == []

    node.is_silent = False
    await run_until(Blocks(tmp_path, [node]), lambda: bool(node.taken))

    assert node.taken == [path.read_bytes()]


async def test_a_settled_block_and_an_orphaned_one_are_let_go_and_a_young_one_is_kept(tmp_path: Path) -> None:
    for confirmations in (6, -1):
        node = FakeNode("a")
        blocks, path = await found_block(tmp_path, [node])
        node.knows(height=101, confirmations=confirmations)
        node.blocks = 106
        await run_until(blocks, lambda path=path: not path.exists())
        assert not path.exists()

    node = FakeNode("a")
    blocks, path = await found_block(tmp_path, [node])
    node.knows(height=101, confirmations=5)
    node.blocks = 105
    work = asyncio.create_task(blocks.run())
    await asyncio.sleep(0.2)
    work.cancel()
    assert path.exists()
