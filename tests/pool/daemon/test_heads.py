"""The watch over the nodes: what changes is told, once, and a node's word is checked where it can be."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import pytest

from mbongi.pool.daemon import heads as heads_module
from mbongi.pool.daemon.heads import Heads
from mbongi.pool.rules.heads import Limits, Standing
from mbongi.wire.bitcoind import ChainInfo
from tests.pool.daemon.fake_node import ChainNode, mined

PRACTICE = Limits(silent_s=0.4, behind_s=0.2, alone_s=0.2, quiet_s=None)


@contextlib.asynccontextmanager
async def watching(*nodes: ChainNode, limits: Limits = PRACTICE) -> AsyncIterator[Heads]:
    watch = Heads(nodes, limits=limits)
    task = asyncio.create_task(watch.run())
    try:
        yield watch
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(watch: Heads, is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not is_so():  # noqa: ASYNC110 -- verdicts change without a revision
            await asyncio.sleep(0.01)


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heads_module, "LOOK_S", 0.05)


async def test_before_the_first_answer_nothing_is_known_and_then_the_node_is_in_sync() -> None:
    node = ChainNode("a")
    best = node.tip(100)
    async with watching(node) as watch:
        assert (watch.sync.in_sync, watch.node) == (None, None)
        before = watch.sync.since

        assert await watch.changed(0) == 1

        assert watch.node is node
        assert (watch.sync.in_sync, watch.sync.reason, watch.best_hash) == (True, "", best)
        assert watch.sync.since > before
        assert watch.heads[0].tip_time_s == 1_700_000_000
        assert watch.heads[0].tip_work == 2  # 2^256 / (0x7fffff * 2^232 + 1), as Bitcoin Core counts regtest's blocks
        await until(watch, lambda: node.is_ready)


async def test_a_new_tip_is_told_at_once_when_the_nodes_feed_speaks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heads_module, "LOOK_S", 60.0)
    node = ChainNode("a")
    node.tip(100)
    async with watching(node) as watch:
        seen = await watch.changed(0)
        best = node.tip(101)
        watch.look("a")
        async with asyncio.timeout(5):
            await watch.changed(seen)
        assert watch.best_hash == best


async def test_the_same_answers_change_nothing() -> None:
    node = ChainNode("a")
    node.tip(100)
    async with watching(node) as watch:
        seen = await watch.changed(0)
        await until(watch, lambda: node.asked > 5)
        assert watch.revision == seen


async def test_a_silent_node_is_first_unknown_then_out_of_sync_and_comes_back() -> None:
    node = ChainNode("a")
    node.tip(100)
    async with watching(node) as watch:
        await until(watch, lambda: watch.sync.in_sync is True)
        node.is_silent = True
        await until(watch, lambda: watch.sync.in_sync is None)
        assert watch.node is node
        await until(watch, lambda: watch.sync.in_sync is False)
        assert watch.node is None
        assert watch.sync.reason == "node a: no answer"
        node.is_silent = False
        await until(watch, lambda: watch.sync.in_sync is True)


async def test_another_node_takes_over_and_the_better_tip_wins() -> None:
    first, second = ChainNode("a"), ChainNode("b")
    first.tip(100)
    second.tip(100)
    async with watching(first, second) as watch:
        await until(watch, lambda: watch.node is first)
        second.tip(101)
        await until(watch, lambda: watch.node is second)
        first.tip(101)
        first.tip(102)
        await until(watch, lambda: watch.node is first)
        first.is_silent = True
        await until(watch, lambda: watch.node is second)


async def test_a_head_without_proof_of_work_is_not_built_on() -> None:
    liar, honest = ChainNode("liar"), ChainNode("honest")
    liar.tip(500, good=False)
    honest.tip(100)
    async with watching(liar, honest) as watch:
        await until(watch, lambda: watch.node is honest)
        assert watch.choice.verdicts["liar"].standing is Standing.FORGED


async def test_a_header_of_another_block_proves_nothing() -> None:
    liar = ChainNode("liar")
    _hash, raw = mined(7)
    liar.best, liar.blocks = "00" * 32, 500
    liar.headers[liar.best] = raw
    async with watching(liar) as watch:
        await until(watch, lambda: watch.sync.in_sync is False)
        assert watch.choice.verdicts["liar"].standing is Standing.FORGED


async def test_a_head_that_two_others_do_not_take_over_is_left() -> None:
    alone, second, third = ChainNode("alone"), ChainNode("b"), ChainNode("c")
    lie = alone.tip(105)
    second.tip(100)
    third.tip(100)
    async with watching(alone, second, third) as watch:
        await until(watch, lambda: watch.node is alone)
        await until(watch, lambda: watch.node is second)
        assert watch.choice.verdicts["alone"].standing is Standing.ALONE
        second.headers[lie], second.best, second.blocks = alone.headers[lie], lie, 105
        await until(watch, lambda: watch.choice.verdicts["alone"].standing is Standing.GOOD)


async def test_a_chain_work_that_is_no_number_makes_the_node_unusable() -> None:
    node = ChainNode("a")
    node.tip(100)

    async def odd() -> ChainInfo:
        return ChainInfo(chain="regtest", blocks=1, headers=1, bestblockhash="00", chainwork="much")

    node.info = odd  # type: ignore[method-assign]
    async with watching(node) as watch:
        await until(watch, lambda: watch.sync.in_sync is False)
        assert "node a: chainwork 'much': expected hex" in watch.sync.reason


async def test_a_node_that_is_passed_over_comes_back_when_it_is_taken_back() -> None:
    first, second = ChainNode("a"), ChainNode("b")
    first.tip(100)
    second.tip(100)
    async with watching(first, second) as watch:
        await until(watch, lambda: watch.node is first)
        watch.pass_over("a", "no template")
        assert watch.node is second
        assert watch.sync.in_sync is True
        second.is_silent = True
        await until(watch, lambda: watch.choice.verdicts["b"].standing is Standing.SILENT)
        assert (watch.node, watch.sync.in_sync, watch.next_height) == (first, False, 101)
        watch.take_back("a")
        assert (watch.node, watch.sync.in_sync) == (first, True)


async def test_the_least_work_of_the_next_block_follows_from_the_tips() -> None:
    node = ChainNode("a")
    watch = Heads([node])
    assert (watch.tip_work_least, watch.next_height) == (0, 0)
    node.tip(100)
    async with watching(node) as watch:
        await watch.changed(0)
        assert watch.tip_work_least == 0  # a quarter of regtest's two hashes, rounded down
