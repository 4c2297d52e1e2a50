"""Found blocks: out to every node, kept, handed in again where missing, and followed until they are at rest."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from textwrap import dedent

import pytest
from structlog.testing import capture_logs

from mbongi.pool.daemon import block_files, blocks
from mbongi.pool.daemon.block_files import BlockFiles
from mbongi.pool.daemon.blocks import Blocks
from mbongi.pool.rules.block_record import BlockRecord, BlockState, booked_path, decode_record
from mbongi.pool.rules.job import EXTRANONCE_BYTES, Job, coinbase_of
from mbongi.pool.rules.template import empty_template
from mbongi.wire.bitcoin.hashing import display, sha256d
from mbongi.wire.bitcoin.transaction import TxOut
from tests.core.data_plane import SOURCE
from tests.pool.daemon.fake_node import FakeNode, FakeTips

HEIGHT = 101


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RETRY_S", "REFUSED_RETRY_S", "SETTLED_LOOK_S", "SWEEP_S"):
        monkeypatch.setattr(blocks, name, 0.02)


def job() -> Job:
    template = empty_template(
        height=HEIGHT, previous_hash=bytes(32), version=4, bits=0x207FFFFF, time_s=9, time_min_s=1, subsidy_sat=50
    )
    return Job(1, template, coinbase_of(template, [TxOut(50, b"\x51")], b"", 1), made_at_s=0.0)


class Bed:
    """Blocks in a folder, over nodes of which the first is built on."""

    def __init__(self, folder: Path, *nodes: FakeNode) -> None:
        self.folder, self.tips = folder, FakeTips(nodes[0])
        self.blocks = Blocks(folder, nodes, self.tips, now_s=lambda: 1_700_000_000.0, pool_script=b"\x51")
        self.name = display(sha256d(bytes(80)))

    def find(self) -> "asyncio.Future[None]":
        return self.blocks.found(job(), bytes(80), bytes(EXTRANONCE_BYTES), "acct.one")

    @property
    def path(self) -> Path:
        return self.folder / f"{self.name}.json"

    def record(self) -> BlockRecord:
        return decode_record(self.path.read_bytes())

    def state(self) -> BlockState:
        return self.record().state

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.blocks.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not is_so():  # noqa: ASYNC110 -- a file or another task changes it
            await asyncio.sleep(0.005)


async def test_a_block_goes_to_every_node_at_once_and_is_kept_when_that_is_told(tmp_path: Path) -> None:
    nodes = [FakeNode("a"), FakeNode("b")]
    bed = Bed(tmp_path, *nodes)

    keeping = bed.find()
    assert [node.submits for node in nodes] == [1, 1]
    await keeping

    kept = bed.path.with_suffix(".block").read_bytes()
    assert bytes.fromhex(kept.decode())[:80] == bytes(80)
    record = bed.record()
    assert (record.state, record.worker, record.height, record.revision) == (BlockState.FOUND, "acct.one", HEIGHT, 1)
    assert (record.hash, record.pool_output, record.time_ms) == (bed.name, 0, 1_700_000_000_000)
    await until(lambda: all(node.taken == [kept] for node in nodes))


async def test_a_block_that_cannot_be_kept_goes_out_all_the_same(tmp_path: Path) -> None:
    node = FakeNode("a")
    bed = Bed(tmp_path / "blocks", node)
    (tmp_path / "blocks").rmdir()
    await bed.find()
    await until(lambda: len(node.taken) == 1)


async def test_a_block_is_followed_into_the_chain_until_it_is_mature_and_then_left(tmp_path: Path) -> None:
    node = FakeNode("a")
    bed = Bed(tmp_path, node)
    async with bed.running():
        await bed.find()
        await until(lambda: bed.state() is BlockState.IN_CHAIN)
        bed.tips.moved(blocks=HEIGHT + 4, depth=5)
        await until(lambda: bed.record().confirmations == 5)
        assert bed.state() is BlockState.IN_CHAIN
        bed.tips.moved(blocks=HEIGHT + 5, depth=6)
        await until(lambda: bed.state() is BlockState.SETTLED)
        assert not bed.record().is_at_rest
        bed.tips.moved(blocks=HEIGHT + 99, depth=100)
        await until(lambda: bed.record().is_at_rest)
        assert bed.state() is BlockState.MATURE
        await until(lambda: bed.blocks.records == {})
    assert len(node.taken) == 1


async def test_a_reorganisation_of_three_turns_a_blocks_state_and_the_next_one_turns_it_back(tmp_path: Path) -> None:
    node = FakeNode("a")
    bed = Bed(tmp_path, node)
    async with bed.running():
        await bed.find()
        bed.tips.moved(blocks=HEIGHT + 2, depth=3)
        await until(lambda: bed.record().confirmations == 3)
        before = bed.record()

        bed.tips.moved(blocks=HEIGHT + 3, depth=-1)
        await until(lambda: bed.state() is BlockState.BESIDE)
        assert (bed.record().confirmations, bed.record().is_at_rest) == (-1, False)
        assert bed.record().revision > before.revision

        bed.tips.moved(blocks=HEIGHT + 4, depth=5)
        await until(lambda: bed.state() is BlockState.IN_CHAIN)
    assert len(node.taken) == 1


async def test_an_orphan_comes_back_with_a_reorganisation_and_a_settled_block_can_be_lost(tmp_path: Path) -> None:
    node = FakeNode("a")
    bed = Bed(tmp_path, node)
    async with bed.running():
        await bed.find()
        bed.tips.moved(blocks=HEIGHT + 5, depth=-1)
        await until(lambda: bed.state() is BlockState.ORPHANED)
        bed.tips.moved(blocks=HEIGHT + 6, depth=7)
        await until(lambda: bed.state() is BlockState.SETTLED)
        bed.tips.moved(blocks=HEIGHT + 7, depth=-1)
        await until(lambda: bed.state() is BlockState.ORPHANED)
        bed.tips.moved(blocks=HEIGHT + 99, depth=-1)
        await until(lambda: bed.record().is_at_rest)


async def test_a_node_that_was_silent_gets_the_block_when_it_is_back_and_after_our_restart(tmp_path: Path) -> None:
    node = FakeNode("a")
    node.is_silent = True
    bed = Bed(tmp_path, node)
    await bed.find()
    await until(lambda: not bed.blocks._tasks)
    assert node.taken == []

    again = Bed(tmp_path, node)
    again.name = bed.name
    async with again.running():
        await until(lambda: len(again.blocks.records) == 1)
        assert again.state() is BlockState.FOUND
        node.is_silent = False
        await until(lambda: again.state() is BlockState.IN_CHAIN)
    assert node.taken == [bed.path.with_suffix(".block").read_bytes()]


async def test_a_second_node_that_lacks_a_block_gets_it_and_a_silent_one_holds_nobody_up(tmp_path: Path) -> None:
    first, second, third = FakeNode("a"), FakeNode("b"), FakeNode("c")
    second.is_silent = third.is_silent = True
    bed = Bed(tmp_path, first, second, third)
    async with bed.running():
        await bed.find()
        await until(lambda: bed.state() is BlockState.IN_CHAIN)
        second.is_silent = False
        await until(lambda: len(second.taken) == 1)
        assert third.taken == []


async def test_a_block_that_every_node_refuses_says_why_and_is_taken_if_they_think_better_of_it(tmp_path: Path) -> None:
    first, second = FakeNode("a"), FakeNode("b")
    first.refuses, second.refuses = "prev-blk-not-found", "bad-txns"
    bed = Bed(tmp_path, first, second)
    async with bed.running():
        await bed.find()
        await until(lambda: bed.state() is BlockState.REFUSED)
        assert bed.record().reason == "node a: prev-blk-not-found; node b: bad-txns"
        first.refuses = None
        await until(lambda: bed.state() is BlockState.IN_CHAIN)
        assert bed.record().reason == ""


async def test_a_refused_block_is_orphaned_when_the_chain_has_gone_on_without_it(tmp_path: Path) -> None:
    node = FakeNode("a")
    node.refuses = "bad-cb-amount"
    bed = Bed(tmp_path, node)
    async with bed.running():
        await bed.find()
        bed.tips.moved(blocks=HEIGHT + 5, depth=None)
        await until(lambda: bed.state() is BlockState.ORPHANED)
        assert bed.record().reason == "node a: bad-cb-amount"


async def test_without_a_node_in_use_the_last_state_stands_and_blocks_are_handed_in_still(tmp_path: Path) -> None:
    node = FakeNode("a")
    bed = Bed(tmp_path, node)
    bed.tips.node = None
    async with bed.running():
        await bed.find()
        await until(lambda: len(node.taken) == 1)
        assert bed.state() is BlockState.FOUND
        bed.tips.node = node
        await until(lambda: bed.state() is BlockState.IN_CHAIN)


async def test_a_block_that_the_node_forgot_is_handed_in_again(tmp_path: Path) -> None:
    node = FakeNode("a")
    bed = Bed(tmp_path, node)
    async with bed.running():
        await bed.find()
        await until(lambda: bed.state() is BlockState.IN_CHAIN)
        bed.tips.moved(blocks=HEIGHT - 1, depth=None)  # its disk went back to an older copy
        await until(lambda: len(node.taken) == 2)


async def test_a_record_at_rest_goes_only_once_it_was_booked(tmp_path: Path) -> None:
    node = FakeNode("a")
    bed = Bed(tmp_path, node)
    async with bed.running():
        await bed.find()
        await until(lambda: bed.state() is BlockState.IN_CHAIN)
        booked_path(bed.path).touch()
        await until(lambda: bed.record().confirmations == 1)
        bed.tips.moved(blocks=HEIGHT + 99, depth=100)
        await until(lambda: not booked_path(bed.path).exists())
    await until(lambda: not any(tmp_path.iterdir()))


def kept(folder: Path, name: str, *, is_at_rest: bool) -> BlockFiles:
    """A record under another name, as if of another block."""
    files = BlockFiles(folder)
    record = BlockRecord(
        hash=name, height=1, previous_hash="", worker="a", time_ms=1, job=1, shard=0, header="00" * 80, extranonce="",
        coinbase_txid="", outputs=(), pool_output=None, subsidy_sat=0, fees_sat=0, bits=1, difficulty=1.0, since_ms=1,
        is_at_rest=is_at_rest,
    )  # fmt: skip
    files.keep(record, [b"00"])
    return files


def test_above_the_limits_the_oldest_blocks_go_and_of_records_only_those_at_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(block_files, "BLOCKS_MAX", 1)
    monkeypatch.setattr(block_files, "RECORDS_MAX", 1)
    for age, (name, is_at_rest) in enumerate([("aa", True), ("bb", False), ("cc", True)]):
        files = kept(tmp_path, name, is_at_rest=is_at_rest)
        for path in tmp_path.glob(f"{name}.*"):
            os.utime(path, (1_000 + age, 1_000 + age))
    files.sweep()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bb.json", "cc.block", "cc.json"]


def test_a_record_that_cannot_be_read_is_left_alone_and_the_others_are_read(tmp_path: Path) -> None:
    files = kept(tmp_path, "aa", is_at_rest=False)
    (tmp_path / "bb.json").write_text("{")
    (tmp_path / "bb.booked").touch()
    files.sweep()
    assert [record.hash for record in files.load()] == ["aa"]
    assert (tmp_path / "bb.json").exists()


@pytest.mark.system
def test_a_found_block_outlives_kill_9_that_comes_once_it_is_kept(tmp_path: Path) -> None:
    code = """
        import asyncio, os, signal
        from pathlib import Path
        from tests.pool.daemon.fake_node import FakeNode
        from tests.pool.daemon.test_blocks import Bed
        async def main():
            bed = Bed(Path("."), FakeNode("a"))
            await bed.find()
            os.kill(os.getpid(), signal.SIGKILL)
        asyncio.run(main())
    """
    environment = dict(os.environ) | {"PYTHONPATH": f"{SOURCE}:{SOURCE.parent}"}
    ended = subprocess.run([sys.executable, "-c", dedent(code)], cwd=tmp_path, env=environment, check=False)

    assert ended.returncode == -signal.SIGKILL
    [record] = BlockFiles(tmp_path).load()
    assert BlockFiles(tmp_path).block_hex(record.hash) is not None


async def test_a_step_that_nobody_waits_for_is_watched(tmp_path: Path) -> None:
    node = FakeNode("a")
    bed = Bed(tmp_path, node)

    async def fails() -> None:
        raise IndexError("odd")

    with capture_logs() as logged:
        bed.blocks._start(fails())
        await until(lambda: not bed.blocks._tasks)

    assert [(each["event"], repr(each["exc_info"])) for each in logged] == [("block_step_failed", "IndexError('odd')")]


def test_a_folder_that_is_gone_while_nothing_was_kept_is_logged_and_no_error(tmp_path: Path) -> None:
    files = BlockFiles(tmp_path / "blocks")
    (tmp_path / "blocks").rmdir()

    files._sync([])
