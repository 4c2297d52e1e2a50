"""The newest work: follows the nodes, checks each template, and publishes jobs.

When the tip changes, work without transactions goes out at once, the full template as soon as the node has it. Nothing
is published that the node, asked in proposal mode, would not take. With no usable node there is no work, and miners are
sent to their next pool.
"""

import asyncio
import itertools
from collections.abc import Callable, Sequence
from typing import Final

from mbongi.base.clock import monotonic_s
from mbongi.base.log import get_log
from mbongi.pool.errors import NodeError, PoolError, TemplateError
from mbongi.pool.ports import Node
from mbongi.pool.rules.job import EXTRANONCE_BYTES, Job, coinbase_of
from mbongi.pool.rules.share import header_of
from mbongi.pool.rules.template import Template, empty_template, fingerprint, subsidy_sat, template_of
from mbongi.wire.bitcoin.hashing import from_display
from mbongi.wire.bitcoin.target import TARGET_MAX
from mbongi.wire.bitcoin.transaction import TxOut
from mbongi.wire.bitcoind import HeaderInfo
from mbongi.wire.errors import WireError

log = get_log(__name__)

HEAD_S: Final = 1.0
"""How often the tip is asked for; the long poll is usually sooner."""
REFRESH_S: Final = 30.0
"""A template is asked for anew at least so often, so that fees of the last half minute are in it."""
WITHOUT_NODE_S_MAX: Final = 20.0
"""So long the last work goes on without a node; then miners are sent away."""
RETARGET_BLOCKS: Final = 2016
TEMPLATE_AGE_S_MAX: Final = 120.0
"""An older template raises the alarm: the node answers and gives nothing new."""
OnJob = Callable[[Job], None]
OnTrouble = Callable[[str], None]
"""Called with why there is no work, and with an empty text when there is again."""


class Work:
    """Follows the nodes, the first usable one in their order. ``run`` until cancelled."""

    def __init__(
        self,
        nodes: Sequence[Node],
        *,
        script: bytes,
        tag: bytes,
        halving_blocks: int,
        now_s: Callable[[], float],
        on_job: OnJob,
        on_trouble: OnTrouble,
        target_max: int = TARGET_MAX,
    ) -> None:
        self._target_max = target_max
        self._nodes, self._script, self._tag = nodes, script, tag
        self._halving_blocks = halving_blocks
        self._now_s, self._on_job, self._on_trouble = now_s, on_job, on_trouble
        self._numbers = itertools.count(1)
        self._tip = ""
        self._published = b""
        self._template_at_s = self._heard_at_s = monotonic_s()
        self._trouble = ""
        self.template: Template | None = None
        self.newest_fees_sat = 0
        """Of the newest template that a node gave, published or not."""
        self.node_name = ""
        """The node that is followed; empty where there is none."""

    @property
    def template_age_s(self) -> float:
        """Since a node last gave a template that was published or was the same."""
        return monotonic_s() - self._template_at_s

    async def run(self) -> None:
        """Follow."""
        while True:
            try:
                node = await self._usable_node()
                self.node_name = node.name
                await self._follow(node)
            except (PoolError, WireError) as error:
                self.node_name = ""
                self._report(error)
            await asyncio.sleep(HEAD_S)

    async def _usable_node(self) -> Node:
        """The first node that answers, is past its first download and has the best chain of those that are."""
        best: tuple[int, Node] | None = None
        reasons = []
        for node in self._nodes:
            try:
                info = await node.info()
            except NodeError as error:
                reasons.append(str(error))
                continue
            if info.initialblockdownload or info.headers - info.blocks > 1:
                reasons.append(f"node {node.name}: at block {info.blocks} of {info.headers}, still downloading")
                continue
            work = int(info.chainwork or "0", 16)
            if best is None or work > best[0]:
                best = work, node
        if best is None:
            raise NodeError("; ".join(reasons) or "no node is configured")
        return best[1]

    async def _follow(self, node: Node) -> None:
        """Publish what the node gives until it fails; its tip and its long poll are watched side by side."""
        long_poll_id = await self._take(node, "")
        waiting = asyncio.create_task(self._take(node, long_poll_id))
        try:
            asked_at_s = monotonic_s()
            while True:
                await asyncio.wait({waiting}, timeout=HEAD_S)
                if waiting.done():
                    long_poll_id = waiting.result()
                    asked_at_s = monotonic_s()
                    waiting = asyncio.create_task(self._take(node, long_poll_id))
                    continue
                best = (await node.info()).bestblockhash
                is_new = best != self._tip
                if is_new:
                    await self._publish_empty(node, best)
                if is_new or monotonic_s() - asked_at_s > REFRESH_S:
                    asked_at_s = monotonic_s()
                    long_poll_id = await self._take(node, "")
        finally:
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)

    async def _take(self, node: Node, long_poll_id: str) -> str:
        """Take a template and publish it where it is new; returns the id to wait with."""
        reply = await (node.next_template(long_poll_id) if long_poll_id else node.template())
        template = template_of(reply, target_max=self._target_max)
        self._template_at_s = monotonic_s()
        self._tip, self.newest_fees_sat = reply.previousblockhash, template.fees_sat
        mark = fingerprint(template)
        if mark != self._published:
            await self._publish(node, template)
            self._published = mark
        if self._trouble:
            self._trouble = ""
            self._on_trouble("")
        self._heard_at_s = monotonic_s()
        return reply.longpollid

    async def _publish_empty(self, node: Node, block_hash: str) -> None:
        """Work on a new tip before its template is there; not where the difficulty changes, which only a node knows."""
        tip = await node.header(block_hash)
        if self._halving_blocks >= RETARGET_BLOCKS and (tip.height + 1) % RETARGET_BLOCKS == 0:
            return
        await self._publish(node, self._empty(tip))

    def _empty(self, tip: HeaderInfo) -> Template:
        height = tip.height + 1
        version = self.template.version if self.template is not None else tip.version
        return empty_template(
            height=height,
            previous_hash=from_display(tip.hash),
            version=version,
            bits=tip.bits_number,
            time_s=int(self._now_s()),
            time_min_s=tip.mediantime + 1,
            subsidy_sat=subsidy_sat(height, halving_blocks=self._halving_blocks),
            target_max=self._target_max,
        )

    async def _publish(self, node: Node, template: Template) -> None:
        outputs = [TxOut(template.value_sat, self._script)]
        job = Job(next(self._numbers), template, coinbase_of(template, outputs, self._tag), made_at_s=self._now_s())
        await self._require_acceptable(node, job)
        last = self.template
        if template.is_empty and last is not None and last.previous_hash == template.previous_hash:
            return  # the full template of this tip came while the node looked at the empty one
        self.template = template
        self._on_job(job)

    async def _require_acceptable(self, node: Node, job: Job) -> None:
        """Have the node look at the whole block, but for its proof of work. Raises TemplateError."""
        template, extranonce = job.template, bytes(EXTRANONCE_BYTES)
        header = header_of(job, extranonce=extranonce, version=template.version, time_s=template.time_s, nonce=0)
        reason = await node.propose(job.block_hex(header, extranonce))
        if reason is not None:
            raise TemplateError(f"template {template.height}: node {node.name} would refuse its block: {reason}")

    def _report(self, error: Exception) -> None:
        """Say once that there is no new work; send miners away when that has lasted."""
        text = str(error)
        if not self._trouble:
            log.warning("no_new_work", reason=text)
            self._trouble = text
        if monotonic_s() - self._heard_at_s > WITHOUT_NODE_S_MAX:
            self._on_trouble(text)
