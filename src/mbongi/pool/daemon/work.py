"""The newest work: follows the nodes, checks each template, and publishes jobs.

When the tip changes, work without transactions goes out at once, the full template as soon as the node has it. Nothing
is published that the node, asked in proposal mode, would not take, nor what contradicts the chain that the watch over
the nodes has seen. A node that gives no such template is left for another. With no usable node there is no work, and
miners are sent to their next pool.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from mbongi.base.clock import monotonic_s
from mbongi.base.log import get_log
from mbongi.pool.daemon.direct import DirectPayouts
from mbongi.pool.daemon.heads import Heads
from mbongi.pool.errors import NodeError, NodeSilent, PoolError, TemplateError
from mbongi.pool.ports import Node
from mbongi.pool.rules.job import EXTRANONCE_BYTES, Job, coinbase_of
from mbongi.pool.rules.share import header_of
from mbongi.pool.rules.template import (
    KnownTransactions,
    Template,
    empty_template,
    fingerprint,
    require_on_chain,
    subsidy_sat,
    template_of,
)
from mbongi.wire.bitcoin.hashing import from_display
from mbongi.wire.bitcoin.target import TARGET_MAX
from mbongi.wire.bitcoin.transaction import TxOut
from mbongi.wire.bitcoind import BlockTemplate, HeaderInfo, TemplateTransaction
from mbongi.wire.errors import WireError

log = get_log(__name__)

RETRY_S: Final = 1.0
"""After a failure, before the next attempt."""
REFRESH_S: Final = 30.0
"""A template is asked for anew at least so often, so that fees of the last half minute are in it."""
TEMPLATE_S_MAX: Final = 15.0
"""For a node to give a template and to look at our block; the watch over the nodes sees only that it answers."""
TIP_S_MAX: Final = 3.0
"""For the watch to see the tip that a template builds on."""
LONG_POLL_RETRY_S: Final = 5.0
SAY_S: Final = 3.0
"""A shorter interruption is not worth a word."""
RETARGET_BLOCKS: Final = 2016
TEMPLATE_AGE_S_MAX: Final = 120.0
"""An older template raises the alarm: the node answers and gives nothing new."""
LOOK_S: Final = 1.0
NOT_ON_TIP: Final = "inconclusive-not-best-prevblk"
"""A node's answer to a proposal on a tip that is no longer its own. Source: BIP 23."""
OnJob = Callable[[Job], None]
OnTrouble = Callable[[str], None]
"""Called with why there is no work, and with an empty text when there is again."""


@dataclass(frozen=True, slots=True)
class Payout:
    """What blocks pay to, and the pool's mark in them."""

    script: bytes
    tag: bytes
    direct: DirectPayouts | None = None
    """Pays some accounts at once; None: all to ``script``."""

    def outputs(self, value_sat: int) -> Sequence[TxOut]:
        """Of a coinbase worth so much."""
        return [TxOut(value_sat, self.script)] if self.direct is None else self.direct.outputs(value_sat)


@dataclass(frozen=True, slots=True)
class _Given:
    """A node's template, and the tip that was known when it was asked for."""

    reply: BlockTemplate
    known: str


class _TipMoved(Exception):
    """What was being looked at is of a tip that has just been left; no node is at fault."""


class Work:
    """Follows the node that the watch chooses. ``run`` until cancelled."""

    def __init__(  # noqa: PLR0913 -- wired once, by name
        self,
        heads: Heads,
        payout: Payout,
        *,
        halving_blocks: int,
        now_s: Callable[[], float],
        numbers: Iterator[int],
        on_job: OnJob,
        on_trouble: OnTrouble,
        without_work_s: float,
        target_max: int = TARGET_MAX,
    ) -> None:
        """``without_work_s``: so long the last work goes on without a node in sync; then miners are sent away."""
        self._heads, self._payout, self._target_max = heads, payout, target_max
        self._halving_blocks, self._without_work_s = halving_blocks, without_work_s
        self._now_s, self._on_job, self._on_trouble = now_s, on_job, on_trouble
        self._numbers = numbers
        self._known = KnownTransactions()
        self._published = b""
        self._last_time_s = 0
        self._template_at_s = monotonic_s()
        self._failing_since_s: float | None = None
        self._doubt_since_s: float | None = None
        self._said = ""
        self._is_away = False
        self.trouble = ""
        """Why no new work can be made at present; empty where it can."""
        self.is_stale = False
        """Whether the stale-template alarm is raised."""
        self.template: Template | None = None
        self.newest_fees_sat = 0
        """Of the newest template that a node gave, published or not."""
        self.transactions: Sequence[TemplateTransaction] = ()
        """The same template's."""

    @property
    def template_age_s(self) -> float:
        """Since a node last gave a template that was new, or the same at a later time."""
        return monotonic_s() - self._template_at_s

    async def run(self) -> None:
        """Follow."""
        await asyncio.gather(self._keep_following(), self._keep_looking())

    # Which node.

    async def _keep_following(self) -> None:
        while True:
            seen, node = self._heads.revision, self._heads.node
            if node is None:
                await self._heads.changed(seen)
                continue
            following = asyncio.create_task(self._follow(node))
            try:
                while self._heads.node is node and not following.done():
                    changed = asyncio.create_task(self._heads.changed(self._heads.revision))
                    await asyncio.wait({following, changed}, return_when=asyncio.FIRST_COMPLETED)
                    changed.cancel()
                if following.done():
                    following.result()
            except (PoolError, WireError) as error:
                self._failed(node, error)
                await asyncio.sleep(RETRY_S)
            finally:
                following.cancel()
                await asyncio.gather(following, return_exceptions=True)

    def _failed(self, node: Node, error: Exception) -> None:
        """The node gave no work: others are preferred for a while, where there are any."""
        if self._failing_since_s is None:
            self._failing_since_s = monotonic_s()
        self.trouble = str(error)
        self._heads.pass_over(node.name, self.trouble.removeprefix(f"node {node.name}: "))

    def _succeeded(self, node: Node) -> None:
        self._heads.take_back(node.name)
        self._failing_since_s, self.trouble = None, ""

    # Whether there is work.

    async def _keep_looking(self) -> None:
        """Say once that there is no new work, and send miners away when that has lasted."""
        while True:
            await asyncio.sleep(LOOK_S)
            self._look()

    def _look(self) -> None:
        now_s, sync = monotonic_s(), self._heads.sync
        if sync.in_sync is True:
            self._doubt_since_s = None
        elif self._doubt_since_s is None:
            self._doubt_since_s = now_s
        since_s = min((each for each in (self._doubt_since_s, self._failing_since_s) if each is not None), default=None)
        reason = self.trouble or sync.reason
        if since_s is None:
            if self._said:
                log.info("new_work_again")
            self._said = ""
            self._set_away("")
        elif now_s - since_s >= SAY_S:
            if not self._said:
                self._said = reason
                log.warning("no_new_work", reason=reason)
            if now_s - since_s > self._without_work_s:
                self._set_away(reason)
        self._look_at_age()

    def _set_away(self, reason: str) -> None:
        if bool(reason) != self._is_away:
            self._is_away = bool(reason)
            if reason and self._failing_since_s is None:
                # Until a template has come, whatever is said of the chain.
                self._failing_since_s, self.trouble = monotonic_s(), reason
            self._on_trouble(reason)

    def _look_at_age(self) -> None:
        is_stale = self.template is not None and self.template_age_s > TEMPLATE_AGE_S_MAX
        if is_stale and not self.is_stale:
            node = self._heads.choice.name or ""
            log.warning("template_stale", node=node, age_s=round(self.template_age_s))
        elif self.is_stale and not is_stale:
            log.info("template_fresh_again")
        self.is_stale = is_stale

    # One node.

    async def _follow(self, node: Node) -> None:
        """Publish what the node gives until it fails; its tip, its long poll and the clock are watched side by side."""
        tip, seen = self._heads.best_hash, self._heads.revision
        if self.template is not None:
            await self._publish_empty(node, tip)  # whatever its templates are worth, nobody is left on an old tip
        long_poll_id = await self._take(node)
        waiting = asyncio.create_task(self._long_poll(node, long_poll_id))
        changed = asyncio.create_task(self._heads.changed(seen))
        try:
            while True:
                await asyncio.wait({waiting, changed}, timeout=REFRESH_S, return_when=asyncio.FIRST_COMPLETED)
                if changed.done():
                    changed = asyncio.create_task(self._heads.changed(changed.result()))
                    best = self._heads.best_hash
                    if best == tip and not waiting.done() and not self._is_away:
                        continue
                    if best != tip and self._heads.node is node:
                        tip = best
                        await self._publish_empty(node, best)
                long_poll_id = await self._take(node, waiting.result() if waiting.done() else None)
                if waiting.done():
                    waiting = asyncio.create_task(self._long_poll(node, long_poll_id))
        finally:
            for task in (waiting, changed):
                task.cancel()
            await asyncio.gather(waiting, changed, return_exceptions=True)

    async def _long_poll(self, node: Node, long_poll_id: str) -> _Given | None:
        """The node's next template; None where waiting for it failed, which the next plain question will explain."""
        if not long_poll_id:
            await asyncio.sleep(REFRESH_S)
            return None
        known = self._heads.best_hash
        try:
            return _Given(await node.next_template(long_poll_id), known)
        except NodeError as error:
            log.debug("long_poll_ended", node=node.name, error=str(error))
            await asyncio.sleep(LONG_POLL_RETRY_S)
            return None

    async def _take(self, node: Node, given: _Given | None = None) -> str:
        """Take a template, publish it where it is new; returns the id to wait with."""
        try:
            async with asyncio.timeout(TEMPLATE_S_MAX):
                while True:
                    if given is None:
                        known = self._heads.best_hash
                        given = _Given(await node.template(), known)
                    try:
                        await self._use(node, given)
                    except _TipMoved:
                        given = None
                        continue
                    return given.reply.longpollid
        except TimeoutError as error:
            raise NodeSilent(f"node {node.name}: no template that we may use within {TEMPLATE_S_MAX:g} s") from error

    async def _use(self, node: Node, given: _Given) -> None:
        template = template_of(given.reply, target_max=self._target_max, known=self._known)
        await self._require_on_tip(node, given)
        require_on_chain(
            template,
            height=self._heads.next_height,
            work_least=self._heads.tip_work_least,
            halving_blocks=self._halving_blocks,
            now_s=self._now_s(),
        )
        self.newest_fees_sat, self.transactions = template.fees_sat, given.reply.transactions
        mark = fingerprint(template)
        is_new = mark != self._published
        if is_new:
            await self._publish(node, template)
            self._published = mark
        if is_new or template.time_s > self._last_time_s:  # else the node answers and gives nothing new
            self._last_time_s, self._template_at_s = template.time_s, monotonic_s()
        self._succeeded(node)

    async def _require_on_tip(self, node: Node, given: _Given) -> None:
        """Wait for the watch to see the template's tip. Raises TemplateError for one on another tip than the node's."""
        previous = given.reply.previousblockhash
        end_s = monotonic_s() + TIP_S_MAX
        while previous != self._heads.best_hash or self._heads.node is not node:
            if self._heads.best_hash != given.known:
                raise _TipMoved
            self._heads.look(node.name)
            try:
                async with asyncio.timeout(max(0.0, end_s - monotonic_s())):
                    await self._heads.changed(self._heads.revision)
            except TimeoutError as error:
                found = f"it builds on {previous}, and its node's tip is {self._heads.best_hash}"
                raise TemplateError(f"template {given.reply.height}: {found}") from error

    # Publishing.

    async def _publish_empty(self, node: Node, block_hash: str) -> None:
        """Work on a new tip before its template is there; not where the difficulty changes, which only a node knows."""
        if self.template is not None and self.template.previous_hash == from_display(block_hash):
            return
        try:
            tip = await node.header(block_hash)
            if self._halving_blocks >= RETARGET_BLOCKS and (tip.height + 1) % RETARGET_BLOCKS == 0:
                return
            await self._publish(node, self._empty(tip))
        except (_TipMoved, TemplateError, NodeError, WireError) as error:  # the full template says what is wrong
            log.info("no_empty_work", node=node.name, reason=str(error))

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
        number = next(self._numbers)
        coinbase = coinbase_of(template, self._payout.outputs(template.value_sat), self._payout.tag, number)
        job = Job(number, template, coinbase, made_at_s=self._now_s())
        await self._require_acceptable(node, job)
        last = self.template
        if template.is_empty and last is not None and last.previous_hash == template.previous_hash:
            return  # the full template of this tip came while the node looked at the empty one
        self.template = template
        self._on_job(job)

    async def _require_acceptable(self, node: Node, job: Job) -> None:
        """Have the node look at the whole block, but for its proof of work. Raises TemplateError."""
        template, extranonce = job.template, bytes(EXTRANONCE_BYTES)
        header, _ = header_of(job, extranonce=extranonce, version=template.version, time_s=template.time_s, nonce=0)
        reason = await node.propose(job.block_hex(header, extranonce))
        if reason == NOT_ON_TIP:
            raise _TipMoved
        if reason is not None:
            raise TemplateError(f"template {template.height}: node {node.name} would refuse its block: {reason}")
