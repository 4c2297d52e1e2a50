"""Watches the nodes' heads, and says which node to build on and whether the pool is in sync.

Every node is asked once a second, and at once when its feed says that its tip moved. A new head's header is fetched and
its proof of work checked; where nodes differ for long, each is asked what it thinks of the others' heads.
"""

import asyncio
import dataclasses
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from mbongi.base.clock import monotonic_s, utc_now
from mbongi.base.log import get_log
from mbongi.pool.errors import NodeError, NodeRefused
from mbongi.pool.ports import Node
from mbongi.pool.rules.heads import Choice, Head, Limits, Standing, choose
from mbongi.wire.bitcoin.hashing import display
from mbongi.wire.bitcoin.header import Header
from mbongi.wire.bitcoin.target import target_of_bits, work_of_target
from mbongi.wire.bitcoind import ChainInfo
from mbongi.wire.errors import WireError

log = get_log(__name__)

LOOK_S: Final = 1.0
"""How often each node is asked; a node that is slow to answer is asked again only afterwards."""
UNFIT_S: Final = 60.0
"""How long a node is passed over of whose templates no work could be made, where there is another."""


@dataclass(frozen=True, slots=True)
class Sync:
    """Whether there is a chain tip to build on: yes, no, or None for not known; since when, and why it is not yes."""

    in_sync: bool | None
    since: datetime
    reason: str


class Heads:
    """The nodes in the order of preference. ``run`` until cancelled; everything else is for the same event loop."""

    def __init__(
        self,
        nodes: Sequence[Node],
        *,
        limits: Limits | None = None,
        chains: Collection[str] = (),
        unix_s: Callable[[], float] = time.time,
    ) -> None:
        self._nodes = {node.name: node for node in nodes}
        self._limits, self._chains, self._unix_s = limits or Limits(), chains, unix_s
        now_s = monotonic_s()
        self._heads = {name: Head(name, asked_since_s=now_s) for name in self._nodes}
        self._unfit: dict[str, tuple[float, str]] = {}
        self._wake = {name: asyncio.Event() for name in self._nodes}
        self.choice = Choice(None, None, "no node has been asked yet")
        self.sync = Sync(None, utc_now(), self.choice.reason)
        self._shown: tuple[str | None, str, bool | None] = (None, "", None)
        self.revision = 0
        """Counts how often the node to build on, its tip, or the state of being in sync have changed."""
        self._changed = asyncio.Event()

    @property
    def node(self) -> Node | None:
        """The node to build on; None where there is none."""
        return self._nodes[self.choice.name] if self.choice.name is not None else None

    @property
    def best_hash(self) -> str:
        """The tip to build on, as people write it; empty where there is none."""
        return self._heads[self.choice.name].best_hash if self.choice.name is not None else ""

    @property
    def heads(self) -> Sequence[Head]:
        """What each node last said, for people."""
        plain = {name: head for name, head in self._heads.items() if name not in self._unfit}
        unfit = {
            name: dataclasses.replace(self._heads[name], unfit_until_s=until_s, unfit_reason=reason)
            for name, (until_s, reason) in self._unfit.items()
        }
        return [(plain | unfit)[name] for name in self._nodes]

    @property
    def next_height(self) -> int:
        """Of the block to build; 0 where there is no tip."""
        return self._heads[self.choice.name].blocks + 1 if self.choice.name is not None else 0

    @property
    def tip_work_least(self) -> int:
        """What the next block's target must ask for at least, in hashes; 0 where nothing can be said."""
        if self.choice.name is None:
            return 0
        return int((self._heads[self.choice.name].tip_work or 0) * self._limits.tip_work_least)

    def pass_over(self, name: str, reason: str) -> None:
        """No work can be made of this node's templates: prefer any other for a while."""
        self._unfit[name] = monotonic_s() + UNFIT_S, reason
        self._decide()

    def take_back(self, name: str) -> None:
        """Work was made of this node's template: it is as good as any."""
        if self._unfit.pop(name, None) is not None:
            self._decide()

    def look(self, name: str) -> None:
        """Ask this node now: something says that its tip moved."""
        self._wake[name].set()

    async def changed(self, seen: int) -> int:
        """Wait until ``revision`` is another than the one seen; returns it."""
        while self.revision == seen:
            await self._changed.wait()
        return self.revision

    async def run(self) -> None:
        """Watch."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keep_deciding())
            for name in self._nodes:
                tasks.create_task(self._follow(name))

    async def _keep_deciding(self) -> None:
        """Silence is noticed by the clock alone."""
        while True:
            self._decide()
            await asyncio.sleep(LOOK_S)

    async def _follow(self, name: str) -> None:
        node, wake = self._nodes[name], self._wake[name]
        while True:
            wake.clear()
            try:
                await self._ask(node)
            except (NodeError, WireError) as error:
                trouble = str(error).removeprefix(f"node {name}: ") or type(error).__name__
                self._heads[name] = dataclasses.replace(self._heads[name], trouble=trouble)
            self._decide()
            try:
                async with asyncio.timeout(LOOK_S):
                    await wake.wait()
            except TimeoutError:
                continue

    async def _ask(self, node: Node) -> None:
        info = await node.info()
        head = self._heads[node.name]
        now_s = monotonic_s()
        is_new = info.bestblockhash != head.best_hash
        head = dataclasses.replace(
            head,
            heard_at_s=now_s,
            trouble="",
            chain=info.chain,
            blocks=info.blocks,
            headers=info.headers,
            work=_stated_work(node, info),
            best_hash=info.bestblockhash,
            is_downloading=info.initialblockdownload,
            changed_at_s=now_s if is_new else head.changed_at_s,
            tip_work=None if is_new else head.tip_work,
            denied_by=frozenset() if is_new else head.denied_by,
        )
        if head.tip_work is None:
            head = await _with_tip(node, head)
        self._heads[node.name] = head
        self._decide()
        node.keep_ready()
        await self._ask_about_others(node)

    async def _ask_about_others(self, node: Node) -> None:
        """What the node thinks of heads that are not its own and that it had the time to take over."""
        for head in list(self._heads.values()):
            is_settled = monotonic_s() - head.changed_at_s > self._limits.alone_s
            if head.name == node.name or not head.best_hash or not is_settled:
                continue
            denies = head.best_hash != self._heads[node.name].best_hash
            if denies:
                try:
                    depth = await node.confirmations(head.best_hash)
                except NodeRefused:  # it says neither
                    continue
                denies = depth is None or depth < 0
            now = self._heads[head.name]
            if now.best_hash == head.best_hash and denies != (node.name in now.denied_by):
                denied_by = now.denied_by ^ {node.name}
                self._heads[head.name] = dataclasses.replace(now, denied_by=denied_by)

    def _decide(self) -> None:
        before = self.choice
        self.choice = choose(
            self.heads,
            now_s=monotonic_s(),
            unix_s=self._unix_s(),
            limits=self._limits,
            chains=self._chains,
            current=before.name,
        )
        self._report(before)
        shown, self._shown = self._shown, (self.choice.name, self.best_hash, self.choice.in_sync)
        if shown != self._shown:
            self.revision += 1
            self._changed.set()
            self._changed = asyncio.Event()

    def _report(self, before: Choice) -> None:
        """Log each change once."""
        for name, verdict in self.choice.verdicts.items():
            last = before.verdicts.get(name)
            if last is None or last.standing is not verdict.standing:
                write = log.info if verdict.standing in {Standing.GOOD, Standing.UNHEARD} else log.warning
                write("node_standing", node=name, standing=str(verdict.standing), reason=verdict.reason)
        if self.choice.in_sync is not before.in_sync:
            self.sync = Sync(self.choice.in_sync, utc_now(), self.choice.reason)
            log.info("pool_sync", in_sync=self.choice.in_sync, node=self.choice.name, reason=self.choice.reason)
        elif self.choice.reason != self.sync.reason:
            self.sync = dataclasses.replace(self.sync, reason=self.choice.reason)


def _stated_work(node: Node, info: ChainInfo) -> int:
    try:
        return int(info.chainwork or "0", 16)
    except ValueError as error:
        raise WireError(f"node {node.name}: chainwork {info.chainwork[:70]!r}: expected hex") from error


async def _with_tip(node: Node, head: Head) -> Head:
    """The head with its tip's time, and the work that its header proves."""
    try:
        header = Header.parse(await node.raw_header(head.best_hash))
    except NodeRefused:  # it moved on, or says of its own head that it does not know it
        return dataclasses.replace(head, tip_work=0)
    target = target_of_bits(header.bits)
    is_met = display(header.hash) == head.best_hash and int.from_bytes(header.hash, "little") <= target
    return dataclasses.replace(head, tip_work=work_of_target(target) if is_met else 0, tip_time_s=float(header.time_s))
