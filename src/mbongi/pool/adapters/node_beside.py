"""A full node whose templates come from a source beside it: a template provider, or the node's own other interface.

The node itself is asked for all else: its head, proposals, what became of blocks. So what the source gives is checked
like any template; while it is away or behind, the templates that the node gives itself take its place.
"""

import asyncio
import binascii
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Sequence
from typing import ClassVar, Final

import msgspec

from mbongi.base.log import get_log
from mbongi.pool.errors import NodeError
from mbongi.pool.ports import Node, Submission
from mbongi.wire.bitcoin.hashing import display, from_display, root_of_branch, sha256d
from mbongi.wire.bitcoin.header import HEADER_BYTES, Header
from mbongi.wire.bitcoin.transaction import WITNESS_SCALE, Reader, Transaction
from mbongi.wire.bitcoind import BlockTemplate, ChainInfo, HeaderInfo, TemplateTransaction
from mbongi.wire.errors import WireError

log = get_log(__name__)

RETRY_S: Final = 5.0
BEHIND_S_MAX: Final = 2.0
"""So long the source may take longer than the node to see a new tip."""
LONG_POLL_S_MAX: Final = 600.0
SOLVABLE: Final = 16
"""Templates whose blocks the source is told of."""
READ_AT_ONCE: Final = 50
"""Transactions read before miners get their turn again."""


class NodeBeside(ABC):
    """A node and the source beside it. See ``ports.Node``; everything is for one event loop."""

    LOST: ClassVar[str]
    BACK: ClassVar[str]
    """What the log calls the loss of the source, and its return."""

    def __init__(self, node: Node) -> None:
        self.name = node.name
        self._node = node
        self._task: asyncio.Task[None] | None = None
        self._current: BlockTemplate | None = None
        self._news = asyncio.Event()
        self._known: dict[bytes, tuple[bytes, int]] = {}
        self._solvable: OrderedDict[int, tuple[bytes, list[bytes]]] = OrderedDict()
        self._trouble = ""

    @abstractmethod
    async def _follow(self) -> None:
        """Connect, and give each template to ``_give``, until the source is lost: a NodeError or WireError says why."""

    @abstractmethod
    def _let_go(self) -> None:
        """Break the connection, where there is one."""

    @abstractmethod
    def _solve(self, template_id: int, header: Header, coinbase: Transaction) -> None:
        """Tell the source of the block found with its template."""

    async def info(self) -> ChainInfo:
        """The node's."""
        return await self._node.info()

    async def header(self, block_hash: str) -> HeaderInfo:
        """The node's."""
        return await self._node.header(block_hash)

    async def raw_header(self, block_hash: str) -> bytes:
        """The node's."""
        return await self._node.raw_header(block_hash)

    async def confirmations(self, block_hash: str) -> int | None:
        """The node's."""
        return await self._node.confirmations(block_hash)

    async def propose(self, block_hex: Sequence[bytes]) -> str | None:
        """The node's."""
        return await self._node.propose(block_hex)

    def keep_ready(self) -> None:
        """The node's."""
        self._node.keep_ready()

    # Templates.

    async def template(self) -> BlockTemplate:
        """The source's, on the node's tip; the node's own where the source does not get there."""
        if self._task is None:
            self._task = asyncio.create_task(self._keep_connected())
        self._node.keep_ready()
        tip = (await self._node.info()).bestblockhash
        try:
            async with asyncio.timeout(BEHIND_S_MAX):
                while (current := self._current) is None or current.previousblockhash != tip:
                    await self._changed(current)
                return current
        except TimeoutError:
            return await self._node.template()

    async def next_template(self, long_poll_id: str) -> BlockTemplate:
        """The source's next on the node's tip, or the node's own while the source is away, whichever comes first.

        After LONG_POLL_S_MAX the present one. What a source gave that is ahead of the node is asked for again when
        the node has seen the tip, as the watch tells of that.
        """
        own = None if self._current is not None else asyncio.ensure_future(self._node.next_template(long_poll_id))
        theirs = asyncio.ensure_future(self._next(long_poll_id))
        try:
            waiting = {theirs} if own is None else {own, theirs}
            done, _ = await asyncio.wait(waiting, timeout=LONG_POLL_S_MAX, return_when=asyncio.FIRST_COMPLETED)
            if theirs in done:
                return theirs.result()
            return own.result() if own is not None and own in done else await self.template()
        finally:
            for each in (own, theirs):
                if each is not None:
                    each.cancel()
            await asyncio.gather(*(each for each in (own, theirs) if each is not None), return_exceptions=True)

    async def _next(self, long_poll_id: str) -> BlockTemplate:
        while True:
            current = self._current
            if current is None or current.longpollid == long_poll_id:
                await self._changed(current)
            elif (await self._node.info()).bestblockhash == current.previousblockhash:
                return current
            else:
                await self._changed(current)

    async def _changed(self, seen: BlockTemplate | None) -> None:
        """Wait until the source's template is another than the one seen."""
        while self._current is seen:
            self._news.clear()
            await self._news.wait()

    async def close(self) -> None:
        """Break the connections."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        await self._node.close()

    async def _keep_connected(self) -> None:
        while True:
            try:
                await self._follow()
            except (NodeError, WireError) as error:
                if not self._trouble:
                    log.warning(self.LOST, reason=str(error))
                self._trouble = str(error)
            finally:
                self._current = None
                self._news.set()
                self._let_go()
            await asyncio.sleep(RETRY_S)

    def _give(self, template_id: int, template: BlockTemplate, path: list[bytes]) -> None:
        """The source's newest template, and the way from its coinbase's id to the merkle root."""
        self._solvable[template_id] = from_display(template.previousblockhash), path
        while len(self._solvable) > SOLVABLE:
            self._solvable.popitem(last=False)
        self._current = template
        self._news.set()
        if self._trouble:
            log.info(self.BACK)
            self._trouble = ""

    async def _transactions(
        self, blobs: Sequence[bytes], fees: Sequence[int] | None = None
    ) -> list[TemplateTransaction]:
        """Each with its ids; those that the template before had too are not read again."""
        before, self._known = self._known, {}
        found = []
        for place, data in enumerate(blobs):
            if place % READ_AT_ONCE == 0:
                await asyncio.sleep(0)
            witness_id = sha256d(data)
            known = before.get(witness_id)
            if known is None:
                stripped = Transaction.parse(data).encode(witness=False)
                known = sha256d(stripped), (WITNESS_SCALE - 1) * len(stripped) + len(data)
            self._known[witness_id] = known
            found.append(
                TemplateTransaction(
                    data=msgspec.Raw(b'"%b"' % binascii.hexlify(data)),
                    txid=display(known[0]),
                    hash=display(witness_id),
                    fee=fees[place] if fees is not None else 0,
                    weight=known[1],
                )
            )
        return found

    # Blocks.

    def submit(self, block_hex: Sequence[bytes]) -> Submission:
        """To the node, then to the source, where it is one of its templates'."""
        answer = self._node.submit(block_hex)
        self.hand_over(block_hex[0])
        return answer

    def hand_over(self, begin_hex: bytes) -> None:
        """A block's beginning, its coinbase included, to the source, where it is one of its templates'."""
        try:
            self._hand_over(begin_hex)
        except (WireError, ValueError, NodeError) as error:
            log.warning("solution_not_handed_over", reason=str(error))

    def _hand_over(self, begin_hex: bytes) -> None:
        reader = Reader(binascii.unhexlify(begin_hex), "block")
        header = Header.parse(reader.take(HEADER_BYTES))
        reader.compact()
        coinbase = Transaction.read(reader)
        for template_id, (previous, path) in reversed(self._solvable.items()):
            if previous == header.previous_hash and root_of_branch(coinbase.txid, path) == header.merkle_root:
                self._solve(template_id, header, coinbase)
                return
