"""Found blocks: out to every node at once, kept on the disk, and followed until their fate is certain.

Beside each block stands its record (``rules/block_record.py``), by which other processes see what became of it. What a
node says of a block counts only from the one that the pool builds on; where there is none, the last state stands.
"""

import asyncio
import math
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import msgspec

from mbongi.base.clock import monotonic_s
from mbongi.base.log import get_log
from mbongi.pool.daemon.block_files import BlockFiles
from mbongi.pool.errors import NodeError
from mbongi.pool.ports import Node
from mbongi.pool.rules.block_record import (
    MATURE_CONFIRMATIONS,
    SETTLED_CONFIRMATIONS,
    BlockRecord,
    BlockState,
    is_at_rest,
    record_of,
    state_of,
)
from mbongi.pool.rules.job import Job
from mbongi.wire.bitcoin.hashing import display, sha256d

log = get_log(__name__)
_T = TypeVar("_T")

RETRY_S: Final = 2.0
"""Between attempts to hand in what a node lacks, and the longest wait for news of the chain."""
REFUSED_RETRY_S: Final = 60.0
"""The same, for a block that the node refused: it may have lacked the block before it."""
SETTLED_LOOK_S: Final = 60.0
"""How often settled blocks are looked at; a reorganisation so deep is noticed after so long."""
SWEEP_S: Final = 60.0
_UNSETTLED: Final = frozenset({BlockState.FOUND, BlockState.REFUSED, BlockState.IN_CHAIN, BlockState.BESIDE})
_GOOD: Final = frozenset({BlockState.IN_CHAIN, BlockState.SETTLED, BlockState.MATURE})
OFFERS_MAX: Final = 4
"""Blocks handed in again at the same time; the others wait."""


class Tips(Protocol):
    """What is known of the chain's tip (``heads.Heads``)."""

    @property
    def node(self) -> Node | None:
        """The node to build on."""

    @property
    def best_hash(self) -> str:
        """The tip to build on; empty where there is none."""


@dataclass(slots=True)
class _Open:
    """A block that is followed. By node's name: reasons against it, and when to ask again (inf: an answer is due)."""

    record: BlockRecord
    refusals: dict[str, str] = field(default_factory=dict)
    takers: set[str] = field(default_factory=set)
    ask_at_s: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    seen_tip: str = ""
    looked_at_s: float = 0.0
    keeping: "asyncio.Future[None] | None" = None
    """Done when record and block are written first; None where they were before."""


class Blocks:
    """The blocks of one process; several share a folder. Everything is for the event loop that runs ``run``."""

    def __init__(
        self,
        folder: Path,
        nodes: Sequence[Node],
        tips: Tips,
        *,
        now_s: Callable[[], float],
        pool_script: bytes = b"",
        shard: int = 0,
    ) -> None:
        self._files = BlockFiles(folder, shard)
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="blocks")
        self._nodes, self._tips, self._now_s = nodes, tips, now_s
        self._pool_script, self._shard = pool_script, shard
        self._open: dict[str, _Open] = {}
        self._tasks: set[asyncio.Future[None]] = set()
        self._news = asyncio.Event()
        self._offers = asyncio.Semaphore(OFFERS_MAX)

    @property
    def records(self) -> Mapping[str, BlockRecord]:
        """Those that are followed, by their hash."""
        return {name: each.record for name, each in self._open.items()}

    def found(self, job: Job, header: bytes, extranonce: bytes, worker: str) -> "asyncio.Future[None]":
        """Send a block to every node, then keep it; what is returned is done when kill -9 cannot lose it any more.

        Nothing is done before the first bytes leave but to put the block's parts in order; its transactions were
        joined when the job was made. A custom job's block that we do not have is its miner's to send; it is followed.
        """
        block_hex = job.block_hex(header, extranonce) if job.has_block else []
        begun = [(node, node.submit(block_hex)) for node in self._nodes if block_hex]
        for _node, submission in begun:
            submission.send_rest()
        name = display(sha256d(header))
        record = record_of(
            job,
            header,
            extranonce,
            worker=worker,
            shard=self._shard,
            pool_script=self._pool_script,
            time_ms=self._now_ms(),
        )
        each = self._open.setdefault(name, _Open(record))
        keeping = asyncio.get_running_loop().run_in_executor(self._writer, self._files.keep, record, block_hex)
        each.keeping = keeping
        self._watch(keeping)
        self._start(self._after_keeping(each, self._files.sync, name))  # the disk itself may take its time
        for node, submission in begun:
            each.ask_at_s[node.name] = math.inf
            self._start(self._heard(each, node, submission))
        log.info("block_found", hash=name, height=job.template.height, worker=worker, value_sat=job.template.value_sat)
        return keeping

    async def run(self) -> None:
        """Hand in again what a node lacks, and follow the blocks until they are at rest."""
        for record in await asyncio.to_thread(self._files.load):
            # The first process also takes over those of processes that there are no more.
            if not record.is_at_rest and self._shard in {0, record.shard}:
                self._open.setdefault(record.hash, _Open(record))
        swept_at_s = float("-inf")
        while True:
            self._news.clear()
            await self._look_after_all()
            if self._shard == 0 and monotonic_s() - swept_at_s > SWEEP_S:
                swept_at_s = monotonic_s()
                await asyncio.to_thread(self._files.sweep)
            try:
                async with asyncio.timeout(RETRY_S):
                    await self._news.wait()
            except TimeoutError:
                continue

    def look(self) -> None:
        """Something changed: look at the blocks now."""
        self._news.set()

    async def _after_keeping(self, each: _Open, act: Callable[..., _T], *words: Any) -> _T:
        """Do something with a block's files once they have been written first."""
        if each.keeping is not None:
            await asyncio.wait({each.keeping})
        return await asyncio.to_thread(act, *words)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        self._watch(asyncio.create_task(work))

    def _watch(self, step: "asyncio.Future[None]") -> None:
        self._tasks.add(step)
        step.add_done_callback(self._ended)

    def _ended(self, step: "asyncio.Future[None]") -> None:
        """Nobody waits for these: what went wrong in one must be said, and the blocks looked at again."""
        self._tasks.discard(step)
        error = None if step.cancelled() else step.exception()
        if error is not None:
            log.error("block_step_failed", exc_info=error)
            self._news.set()

    def _now_ms(self) -> int:
        return int(self._now_s() * 1000.0)

    async def _offer(self, each: _Open, node: Node) -> None:
        """Hand a block in where the node does not know it."""
        async with self._offers:
            try:
                depth = await node.confirmations(each.record.hash)
            except NodeError:  # a silent node is the watch's matter
                each.ask_at_s[node.name] = monotonic_s() + RETRY_S
                return
            block_hex = None
            if depth is None:
                block_hex = await self._after_keeping(each, self._files.block_hex, each.record.hash)
            if block_hex is not None:
                await self._heard(each, node, node.submit([block_hex]))
            elif depth is not None:
                self._is_taken(each, node)
            else:
                each.ask_at_s[node.name] = monotonic_s() + REFUSED_RETRY_S

    async def _heard(self, each: _Open, node: Node, answer: Awaitable[str | None]) -> None:
        """Take a node's answer to a block that it was sent."""
        name = each.record.hash
        try:
            reason = await answer
        except NodeError as error:
            each.ask_at_s[node.name] = monotonic_s() + RETRY_S
            log.warning("block_not_handed_over", hash=name, node=node.name, error=str(error))
            return
        if reason is None:
            log.info("block_taken", hash=name, node=node.name)
            self._is_taken(each, node)
            return
        if each.refusals.get(node.name) != reason:
            log.error("block_refused", hash=name, node=node.name, reason=reason)
        each.refusals[node.name] = reason
        each.ask_at_s[node.name] = monotonic_s() + REFUSED_RETRY_S
        self._look_again(each)

    def _is_taken(self, each: _Open, node: Node) -> None:
        each.takers.add(node.name)
        each.refusals.pop(node.name, None)
        self._look_again(each)

    def _look_again(self, each: _Open) -> None:
        each.seen_tip = ""
        self._news.set()

    async def _look_after_all(self) -> None:
        """Offer blocks where they are missing, and ask the node that is built on what became of them."""
        node, tip = self._tips.node, self._tips.best_hash
        due = [each for each in self._open.values() if self._is_due(each)]
        for each in due:
            for lacking in self._lacking(each):
                each.ask_at_s[lacking.name] = math.inf
                self._start(self._offer(each, lacking))
        if node is None or not due:
            return
        try:
            tip_height = (await node.info()).blocks
            for each in due:
                depth = await node.confirmations(each.record.hash)
                if depth is None and node.name in each.takers:  # it forgot it
                    each.takers.discard(node.name)
                    each.ask_at_s[node.name] = 0.0
                each.seen_tip, each.looked_at_s = tip, monotonic_s()
                await self._state(each, depth, tip_height)
        except NodeError:  # the watch over the nodes reports that
            return

    def _is_due(self, each: _Open) -> bool:
        if each.record.state in _UNSETTLED:
            return each.seen_tip != self._tips.best_hash or not each.seen_tip or bool(self._lacking(each))
        return monotonic_s() - each.looked_at_s > SETTLED_LOOK_S

    def _lacking(self, each: _Open) -> list[Node]:
        """The nodes that do not have it as far as is known, and may be asked now."""
        if each.record.state not in _UNSETTLED:
            return []
        now_s = monotonic_s()
        return [node for node in self._nodes if node.name not in each.takers and each.ask_at_s[node.name] <= now_s]

    async def _state(self, each: _Open, depth: int | None, tip_height: int) -> None:
        """Keep what became of a block, where that is something new."""
        record = each.record
        state, reason = self._judged(each, depth, tip_height)
        now = msgspec.structs.replace(
            record,
            state=state,
            confirmations=min(depth or 0, MATURE_CONFIRMATIONS),
            is_at_rest=is_at_rest(state, height=record.height, tip_height=tip_height),
            reason=reason,
        )
        if now == record:
            return
        since_ms = record.since_ms if state is record.state else self._now_ms()
        now = msgspec.structs.replace(now, revision=record.revision + 1, since_ms=since_ms)
        if not await self._after_keeping(each, self._files.write, now):
            return
        each.record = now
        if state is not record.state:
            write = log.info if state in _GOOD else log.warning
            write("block_state", hash=record.hash, height=record.height, was=record.state, now=state, reason=reason)
        if now.is_at_rest:
            del self._open[record.hash]

    def _judged(self, each: _Open, depth: int | None, tip_height: int) -> tuple[BlockState, str]:
        """The state, and the reasons of nodes that refused the block."""
        height = each.record.height
        state = state_of(depth, height=height, tip_height=tip_height)
        if state is not BlockState.FOUND:
            return state, ""
        reason = "; ".join(f"node {name}: {why}" for name, why in sorted(each.refusals.items()))
        if tip_height - height + 1 >= SETTLED_CONFIRMATIONS:
            return BlockState.ORPHANED, reason
        if each.takers:
            return BlockState.BESIDE, reason
        return (BlockState.REFUSED if len(each.refusals) == len(self._nodes) else state), reason
