"""A full node whose templates come from a template provider beside it, over Stratum V2's Template Distribution.

The node itself is asked for all else: its head, proposals, what became of blocks. So what the provider gives is checked
like any template; while the provider is away or behind, the node's own templates take its place.
"""

import asyncio
import binascii
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from mbongi.base.log import get_log
from mbongi.pool.adapters.template_link import Offered, TemplateLink
from mbongi.pool.errors import NodeError, NodeGarbled
from mbongi.pool.ports import Node, Submission, Support
from mbongi.wire.bitcoin.hashing import coinbase_branch, display, from_display, root_of_branch, sha256d
from mbongi.wire.bitcoin.header import HEADER_BYTES, Header
from mbongi.wire.bitcoin.script import COMMITMENT_HEADER, height_push, op_return, operations
from mbongi.wire.bitcoin.transaction import Reader, Transaction, TxOut
from mbongi.wire.bitcoind import BlockTemplate, ChainInfo, HeaderInfo, TemplateTransaction
from mbongi.wire.errors import WireError
from mbongi.wire.noise.certificate import PoolAddress

log = get_log(__name__)

RETRY_S: Final = 5.0
BEHIND_S_MAX: Final = 2.0
"""So long the provider may take longer than the node to see a new tip."""
LONG_POLL_S_MAX: Final = 600.0
SOLVABLE: Final = 16
"""Templates whose blocks the provider is told of."""
READ_AT_ONCE: Final = 50
"""Transactions read before miners get their turn again."""
SCORECARD: Final = (
    Support("NewTemplate, SetNewPrevHash, RequestTransactionData, SubmitSolution", "done"),
    Support("coinbase outputs of the provider's beside the witness commitment", "exempt", "refused, with its reason"),
    Support("a provider without a node that we may ask", "exempt", "nobody could look at our blocks"),
)


class TemplateProvider:
    """A node and its provider. See ``ports.Node``; everything is for one event loop."""

    scorecard = SCORECARD

    def __init__(self, node: Node, address: PoolAddress, *, subsidy_sat: Callable[[int], int]) -> None:
        """``subsidy_sat`` gives what the block of a height may create."""
        self.name = node.name
        self._node, self._address, self._subsidy_sat = node, address, subsidy_sat
        self._task: asyncio.Task[None] | None = None
        self._link: TemplateLink | None = None
        self._current: BlockTemplate | None = None
        self._news = asyncio.Event()
        self._ids: dict[bytes, bytes] = {}
        self._solvable: OrderedDict[int, tuple[bytes, list[bytes]]] = OrderedDict()
        self._trouble = ""

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
        """The provider's, on the node's tip; the node's own where the provider does not get there."""
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
        """The provider's next on the node's tip, or the node's own while the provider is away, whichever comes first.

        After LONG_POLL_S_MAX the present one. What a provider gave that is ahead of the node is asked for again when
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
        """Wait until the provider's template is another than the one seen."""
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
                    log.warning("template_provider_lost", reason=str(error))
                self._trouble = str(error)
            finally:
                self._current = None
                self._news.set()
                if self._link is not None:
                    self._link.close()
                    self._link = None
            await asyncio.sleep(RETRY_S)

    async def _follow(self) -> None:
        self._link = await TemplateLink.connect(self._address)
        async for offered in self._link.templates():
            self._current = await self._read(offered)
            self._news.set()
            if self._trouble:
                log.info("template_provider_back")
                self._trouble = ""

    async def _read(self, offered: Offered) -> BlockTemplate:
        """A whole template in the words of the port. Raises NodeGarbled where it contradicts itself or is beyond us."""
        message, tip = offered.message, offered.tip
        assert tip is not None
        height = _height(message.coinbase_prefix)
        transactions = await self._transactions(offered.transactions or ())
        path = coinbase_branch([from_display(each.txid) for each in transactions])
        if path != list(message.merkle_path):
            raise NodeGarbled(f"template {message.template_id}: its merkle path is not that of its transactions")
        self._solvable[message.template_id] = tip.prev_hash, path
        while len(self._solvable) > SOLVABLE:
            self._solvable.popitem(last=False)
        previous = display(tip.prev_hash)
        return BlockTemplate(
            version=message.version,
            previousblockhash=previous,
            transactions=transactions,
            coinbasevalue=message.coinbase_tx_value_remaining,
            curtime=tip.header_timestamp,
            mintime=tip.header_timestamp,
            bits=f"{tip.nbits:08x}",
            height=height,
            longpollid=f"{previous}{message.template_id}",
            default_witness_commitment=_commitment(message.coinbase_tx_outputs, message.coinbase_tx_outputs_count),
            fees=message.coinbase_tx_value_remaining - self._subsidy_sat(height),
            coinbase_version=message.coinbase_tx_version,
            coinbase_sequence=message.coinbase_tx_input_sequence,
            coinbase_lock_time=message.coinbase_tx_locktime,
        )

    async def _transactions(self, blobs: Sequence[bytes]) -> list[TemplateTransaction]:
        """Each with its ids; those that the template before had too are not read again."""
        before, self._ids = self._ids, {}
        found = []
        for place, data in enumerate(blobs):
            witness_id = sha256d(data)
            txid = before.get(witness_id)
            if txid is None:
                txid = Transaction.parse(data).txid
                if place % READ_AT_ONCE == 0:
                    await asyncio.sleep(0)
            self._ids[witness_id] = txid
            hex_ = msgspec.Raw(b'"%b"' % binascii.hexlify(data))
            found.append(TemplateTransaction(data=hex_, txid=display(txid), hash=display(witness_id)))
        return found

    # Blocks.

    def submit(self, block_hex: Sequence[bytes]) -> Submission:
        """To the node, then to the provider, where it is one of its templates'."""
        answer = self._node.submit(block_hex)
        try:
            self._solve(block_hex)
        except (WireError, ValueError, NodeError) as error:
            log.warning("solution_not_handed_over", reason=str(error))
        return answer

    def _solve(self, block_hex: Sequence[bytes]) -> None:
        reader = Reader(binascii.unhexlify(block_hex[0]), "block")
        raw = reader.take(HEADER_BYTES)
        header = Header.parse(raw)
        reader.compact()
        coinbase = Transaction.read(reader)
        for template_id, (previous, path) in reversed(self._solvable.items()):
            if previous == header.previous_hash and root_of_branch(coinbase.txid, path) == header.merkle_root:
                if self._link is not None:
                    self._link.solve(
                        template_id,
                        version=header.version,
                        time_s=header.time_s,
                        nonce=header.nonce,
                        coinbase=coinbase.encode(),
                    )
                return


def _height(prefix: bytes) -> int:
    """The height that a coinbase's prefix states (BIP 34). Raises NodeGarbled where it states more, or none."""
    try:
        [(operation, data)] = operations(prefix)
    except (WireError, ValueError) as error:
        raise NodeGarbled(f"coinbase prefix {prefix.hex()}: expected a height alone") from error
    height = int.from_bytes(data, "little") if data else max(operation - 0x50, 0)
    if height_push(height) != prefix:
        raise NodeGarbled(f"coinbase prefix {prefix.hex()}: expected a height as BIP 34 writes it")
    return height


def _commitment(outputs: bytes, count: int) -> str:
    """The script of the witness commitment, in hex; empty where there is none. Raises NodeGarbled for other outputs."""
    reader = Reader(outputs, "template outputs")
    found = [TxOut.read(reader) for _ in range(min(count, 2))]
    if not found and not outputs:
        return ""
    start = op_return(COMMITMENT_HEADER + bytes(32))[:6]
    if count != 1 or reader.left or found[0].value_sat or not found[0].script.startswith(start):
        raise NodeGarbled(f"template: {count} outputs of its own; expected the witness commitment alone")
    return found[0].script.hex()
