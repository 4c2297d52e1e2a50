"""Work: on a new tip at once, never from a template that the node would refuse or that contradicts the chain."""

import asyncio
import contextlib
import itertools
import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
from hashlib import sha256
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from mbongi.pool.daemon import heads as heads_module
from mbongi.pool.daemon import work as work_module
from mbongi.pool.daemon.heads import Heads
from mbongi.pool.daemon.work import Payout, Work
from mbongi.pool.errors import NodeRefused, NodeUnreachable
from mbongi.pool.rules.heads import Limits, Standing
from mbongi.pool.rules.job import Job
from mbongi.wire.bitcoind import BlockTemplate, HeaderInfo
from tests.pool.daemon.fake_node import EASY_BITS, ChainNode

LIMITS = Limits(silent_s=0.4, behind_s=60.0, alone_s=60.0, quiet_s=None, tip_work_least=1.0)
HEIGHT = 451
TRANSACTION = {"data": "00", "txid": sha256(sha256(b"\0").digest()).digest()[::-1].hex(), "fee": 9}
"""Not one that a node would take; the pool does not look inside."""
SUBSIDY_SAT = 625_000_000
"""Of block 451 on a chain that halves every 150 blocks."""


class WorkNode(ChainNode):
    """A node that also gives templates, as a test bends them."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.bent: dict[str, Any] = {}
        self.refuses: Callable[[bytes], str | None] = lambda _block: None
        self.stalls = False
        self.proposed = 0
        self.templates = 0
        self.long_poll: Callable[[], Any] = asyncio.Event().wait
        self.header_wait = asyncio.Event()
        self.header_wait.set()

    async def template(self) -> BlockTemplate:
        if self.stalls:
            await asyncio.Event().wait()
        self.templates += 1
        fields: dict[str, Any] = {
            "version": 0x2000_0000,
            "previousblockhash": self.best,
            "transactions": [],
            "coinbasevalue": SUBSIDY_SAT,
            "curtime": int(time.time()),
            "mintime": 1_700_000_001,
            "bits": f"{EASY_BITS:08x}",
            "height": self.blocks + 1,
            "longpollid": "poll",
        }
        return msgspec.json.decode(json.dumps(fields | self.bent), type=BlockTemplate)

    async def next_template(self, long_poll_id: str) -> BlockTemplate:
        await self.long_poll()
        return await self.template()

    async def propose(self, block_hex: Sequence[bytes]) -> str | None:
        self.proposed += 1
        return self.refuses(bytes.fromhex(b"".join(block_hex).decode()))

    async def header(self, block_hash: str) -> HeaderInfo:
        await self.header_wait.wait()
        if block_hash not in self.headers:
            raise NodeRefused("Block not found", -5)
        return HeaderInfo(
            hash=block_hash, height=self.chain[block_hash], confirmations=1, version=0x2000_0000,
            time=1_700_000_000, mediantime=1_700_000_000, bits=EASY_BITS,
        )  # fmt: skip


class Bed:
    """Work over some nodes; what it published and how it sent miners away."""

    def __init__(self, *nodes: WorkNode, halving_blocks: int = 150) -> None:
        self.jobs: list[Job] = []
        self.troubles: list[str] = []
        self.heads = Heads(nodes, limits=LIMITS)
        self.work = Work(
            self.heads,
            Payout(b"\x51", b"/test/"),
            halving_blocks=halving_blocks,
            now_s=time.time,
            numbers=itertools.count(1),
            on_job=self.jobs.append,
            on_trouble=self.troubles.append,
            without_work_s=0.3,
        )

    async def __aenter__(self) -> "Bed":
        self._tasks = [asyncio.create_task(each.run()) for each in (self.heads, self.work)]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def shown(self) -> list[tuple[str, bool]]:
        """The published jobs: the tip that each builds on, and whether it was the empty first one."""
        return [(job.template.previous_hash[::-1].hex(), job.template.time_min_s == 1_700_000_001) for job in self.jobs]

    def standing(self, name: str) -> Standing:
        return self.heads.choice.verdicts[name].standing


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not is_so():  # noqa: ASYNC110 -- another task's state
            await asyncio.sleep(0.005)


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heads_module, "LOOK_S", 0.02)
    for name, seconds in {
        "RETRY_S": 0.02, "REFRESH_S": 0.1, "LOOK_S": 0.02, "TIP_S_MAX": 0.3, "TEMPLATE_S_MAX": 0.5,
        "LONG_POLL_RETRY_S": 0.05, "SAY_S": 0.0,
    }.items():  # fmt: skip
        monkeypatch.setattr(work_module, name, seconds)


@pytest.fixture
def node() -> WorkNode:
    made = WorkNode("a")
    made.tip(HEIGHT - 1)
    return made


@contextlib.asynccontextmanager
async def working(*nodes: WorkNode) -> AsyncIterator[Bed]:
    async with Bed(*nodes) as bed:
        await until(lambda: bool(bed.jobs))
        yield bed


async def test_work_goes_out_and_the_same_template_only_once(node: WorkNode) -> None:
    async with working(node) as bed:
        await until(lambda: node.templates > 3)
        assert [job.template.height for job in bed.jobs] == [HEIGHT]
        assert node.proposed == 1
        assert bed.troubles == []


async def test_on_a_new_tip_work_without_transactions_goes_out_before_the_nodes_template(node: WorkNode) -> None:
    async with working(node) as bed:
        node.stalls = True
        tip = node.tip(HEIGHT)
        await until(lambda: len(bed.jobs) == 2)
        empty = bed.jobs[-1].template
        assert (empty.height, empty.previous_hash[::-1].hex(), empty.value_sat) == (HEIGHT + 1, tip, SUBSIDY_SAT)
        assert (empty.transaction_count, empty.bits) == (0, EASY_BITS)
        node.bent = {"transactions": [TRANSACTION], "coinbasevalue": SUBSIDY_SAT + 9}
        node.stalls = False
        await until(lambda: len(bed.jobs) == 3)
        full = bed.jobs[-1].template
        assert (full.previous_hash, full.transaction_count, full.value_sat) == (empty.previous_hash, 1, SUBSIDY_SAT + 9)


async def test_an_empty_block_that_the_node_would_refuse_is_not_given_out_and_is_no_fault(node: WorkNode) -> None:
    async with working(node) as bed:
        node.refuses = lambda block: "bad-diffbits" if node.proposed == 2 else None
        node.tip(HEIGHT)
        await until(lambda: len(bed.jobs) == 2)
        assert node.proposed == 3
        assert bed.work.trouble == ""


async def test_a_template_that_the_node_itself_would_refuse_reaches_nobody(node: WorkNode) -> None:
    async with working(node) as bed:
        node.refuses = lambda _block: "bad-txns-inputs-missingorspent"
        node.tip(HEIGHT)
        await until(lambda: bool(bed.troubles))
        assert len(bed.jobs) == 1
        assert "would refuse its block: bad-txns-inputs-missingorspent" in bed.troubles[0]


@pytest.mark.parametrize(
    ("bent", "words"),
    [
        ({"coinbasevalue": SUBSIDY_SAT + 1}, "at most 625000000 sat"),
        ({"height": HEIGHT + 7}, f"expected one for block {HEIGHT + 1}"),
        ({"bits": "2100ffff"}, "its target takes 1 hashes; expected 2"),
        ({"curtime": 4_000_000_000}, "ahead of our clock"),
        ({"previousblockhash": "11" * 32}, "it builds on 1111"),
        ({"bits": "zz"}, "zz"),
        ({"previousblockhash": "11"}, "11"),
        ({"transactions": [{"data": "00", "txid": "22" * 32, "hash": "22" * 32}]}, "hash to another id"),
    ],
)
async def test_a_node_whose_templates_lie_is_left_for_another_and_nothing_of_them_goes_out(
    bent: dict[str, Any], words: str
) -> None:
    liar, honest = WorkNode("liar"), WorkNode("honest")
    for each in (liar, honest):
        each.tip(HEIGHT - 1)
    async with working(liar, honest) as bed:
        assert bed.heads.node is liar
        liar.bent = bent
        for each in (liar, honest):
            tip = each.tip(HEIGHT)
        await until(lambda: bed.standing("liar") is Standing.UNFIT)
        assert words in bed.heads.choice.verdicts["liar"].reason
        await until(lambda: honest.templates > 0 and bed.work.trouble == "")
        assert bed.heads.node is honest
        assert {job.template.previous_hash[::-1].hex() for job in bed.jobs[1:]} == {tip}
        assert all(job.template.value_sat == SUBSIDY_SAT for job in bed.jobs)
        assert bed.troubles == []


async def test_a_node_that_answers_but_gives_no_template_is_left_for_another(node: WorkNode) -> None:
    other = WorkNode("b")
    other.tip(HEIGHT - 1)
    async with working(node, other) as bed:
        bed.work._without_work_s = 30.0
        node.stalls = True
        await until(lambda: bed.heads.node is other and bed.work.trouble == "")
        assert "no template that we may use within" in bed.heads.choice.verdicts["a"].reason
        assert bed.troubles == []


async def test_a_better_chain_at_another_node_is_followed_at_once(node: WorkNode) -> None:
    other = WorkNode("b")
    other.tip(HEIGHT - 1)
    async with working(node, other) as bed:
        tip = other.tip(HEIGHT)
        await until(lambda: bed.jobs[-1].template.previous_hash[::-1].hex() == tip)
        assert bed.heads.node is other


async def test_miners_are_sent_away_without_a_node_and_fetched_back_when_work_has_come(node: WorkNode) -> None:
    with capture_logs() as logs:
        async with working(node) as bed:
            node.is_silent = node.stalls = True  # it gives no template either
            await until(lambda: bed.heads.node is None and bool(bed.troubles and bed.troubles[-1]))
            assert "node a: no " in bed.troubles[-1]
            node.is_silent = False
            await until(lambda: bed.heads.sync.in_sync is True)
            assert bed.troubles[-1]  # in sync, but there is no work yet
            node.stalls = False
            await until(lambda: not bed.troubles[-1])
    said = [each["event"] for each in logs if "work" in each["event"]]
    assert said == ["no_new_work", "new_work_again"] * (len(said) // 2)  # on a busy machine it may look silent before


async def test_a_quiet_chain_is_no_trouble(node: WorkNode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work_module, "REFRESH_S", 3600.0)
    ended = 0

    async def ends_at_its_limit() -> None:
        nonlocal ended
        await asyncio.sleep(0.02)
        ended += 1

    node.long_poll = ends_at_its_limit
    async with working(node) as bed:
        await until(lambda: ended > 40)
        assert (bed.troubles, bed.work.trouble, len(bed.jobs)) == ([], "", 1)


async def test_a_long_poll_that_breaks_is_no_trouble_while_templates_come(node: WorkNode) -> None:
    broken = 0

    async def breaks() -> None:
        nonlocal broken
        broken += 1
        raise NodeUnreachable("node a: the connection ended")

    node.long_poll = breaks
    async with working(node) as bed:
        await until(lambda: broken > 3)
        assert (bed.troubles, bed.work.trouble) == ([], "")


async def test_a_tip_that_moves_while_the_node_looks_at_a_block_is_nobodys_fault(node: WorkNode) -> None:
    async with working(node) as bed:

        def moves(_block: bytes) -> str | None:
            if node.blocks < HEIGHT + 5:
                node.tip(node.blocks + 1)
                return "inconclusive-not-best-prevblk"
            return None

        node.refuses = moves
        node.tip(HEIGHT)
        await until(lambda: bed.jobs[-1].template.height == HEIGHT + 6)
        assert (bed.work.trouble, bed.troubles) == ("", [])


async def test_templates_that_never_change_raise_the_alarm_once_and_a_new_one_ends_it(
    node: WorkNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work_module, "TEMPLATE_AGE_S_MAX", 0.3)
    with capture_logs() as logs:
        async with working(node) as bed:
            node.bent = {"curtime": 1_700_000_002}
            await until(lambda: bed.work.is_stale)
            asked = node.templates
            await until(lambda: node.templates > asked + 5)
            assert bed.troubles == []
            node.bent = {"curtime": int(time.time()) + 5, "version": 0x2000_0001}
            await until(lambda: not bed.work.is_stale)
    told = [each["event"] for each in logs if "template" in each["event"]]
    assert told == ["template_stale", "template_fresh_again"]


async def test_where_the_difficulty_changes_there_is_no_work_before_the_nodes_template() -> None:
    node = WorkNode("a")
    node.tip(2014)
    async with Bed(node, halving_blocks=210_000) as bed:
        node.bent = {"coinbasevalue": 50 * 100_000_000}
        await until(lambda: bool(bed.jobs))
        node.tip(2015)
        await until(lambda: len(bed.jobs) == 2)
        assert bed.jobs[-1].template.time_min_s == 1_700_000_001
        assert node.proposed == 2
