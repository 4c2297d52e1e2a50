"""Sends signed payouts, finds them in blocks, follows them through reorganisations, and keeps the pool's coins.

One round after the other: the chain is asked first, then each payment takes the step that it is due for. A round that
was cut off anywhere, by ``kill -9`` too, is simply begun again. Where no node answers nothing moves.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final

from mbongi.base.log import get_log
from mbongi.core.threads import ThreadBridge
from mbongi.pool import paying_steps as steps
from mbongi.pool.adapters.node_paying import PayingNode, Tip
from mbongi.pool.errors import NodeError, NodeUnreachable, PayoutError
from mbongi.pool.paying_steps import BlockOutput, NewCoin, Watched
from mbongi.pool.rules.block_record import SETTLED_CONFIRMATIONS
from mbongi.pool.rules.payout.coins import input_weight
from mbongi.pool.terms import PayingTerms
from mbongi.pool.values import PaymentState
from mbongi.wire.bitcoin.block import Block
from mbongi.wire.bitcoin.hashing import display
from mbongi.wire.bitcoin.transaction import Transaction

log = get_log(__name__)

LOOK_S: Final = 2.0
OUTAGE_PAUSE_S: Final = 5.0
BLOCKS_PER_ROUND: Final = 100
"""Blocks looked through before payments get their turn, at most."""
COINS_PER_TIP: Final = 500
"""Coins that the node is asked about at each new tip, at most, one part of them after the other."""
EXAMINED_MAX: Final = 200
"""Blocks whose hashes are remembered: so deep a reorganisation is noticed by the blocks that were looked through."""


class Paying:
    """The payouts of one site.

    ``practice`` is what a practice chain does besides, each round; ``at_point`` is called where a test may want to
    interrupt.
    """

    def __init__(
        self,
        bridge: ThreadBridge,
        nodes: Sequence[PayingNode],
        terms: PayingTerms,
        *,
        practice: "Callable[[PayingNode, Tip], Awaitable[None]] | None" = None,
        at_point: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._bridge, self._nodes, self._terms = bridge, nodes, terms
        self._practice, self._at = practice, at_point
        self._examined: dict[int, str] = {}
        self._noted: Tip | None = None
        self._checked_to = 0
        self._absent: dict[int, int] = {}
        self._unspendable: set[int] = set()
        self._trouble = ""

    async def run(self) -> None:
        """Work until cancelled; an outage is logged once, its end once."""
        while True:
            rest_s = await self.round()
            await asyncio.sleep(rest_s)

    async def round(self) -> float:
        """One round; returns how long to rest [s]."""
        try:
            node, tip = await self._node()
            await self.step(node, tip)
        except Exception as error:  # noqa: BLE001 -- a database or node that is away for a while; the next round goes on
            if self._trouble != type(error).__name__:
                self._trouble = type(error).__name__
                log.error("payouts_wait", error=str(error))  # noqa: TRY400 -- an outage is no bug
            return OUTAGE_PAUSE_S
        if self._trouble:
            self._trouble = ""
            log.info("payouts_go_on")
        return LOOK_S

    async def step(self, node: PayingNode, tip: Tip) -> None:
        """Look at the chain, then let every payment take its step."""
        if self._practice is not None:
            await self._practice(node, tip)
        await self._collect_coins(node)
        watched = await self._bridge.call(steps.watched)
        await self._follow_blocks(node, watched)
        await self._examine(node, tip, watched)
        if self._noted != tip:
            await self._bridge.call(steps.note_tip, tip.height)
            await self._check_coins(node, tip)
            self._noted = tip
        for each in await self._bridge.call(steps.watched):
            if each.state is PaymentState.SIGNED:
                await self._begin(node, tip, each)
        for each in await self._bridge.call(steps.watched):
            if each.state is PaymentState.BROADCAST:
                await self._send(node, tip, each)

    async def _node(self) -> tuple[PayingNode, Tip]:
        """The first node that answers, and where its chain ends."""
        reason: NodeError = NodeUnreachable("payouts: no node is configured")
        for node in self._nodes:
            try:
                return node, await node.tip()
            except NodeError as error:
                reason = error
        raise reason

    async def _collect_coins(self, node: PayingNode) -> None:
        """Take the pool's own outputs of its blocks among the coins, and drop those of orphaned blocks."""
        script, unlock = self._terms.script, self._terms.unlock
        for each in await self._bridge.call(steps.blocks_without_coin):
            own = unlock if each.script == script else each.unlock
            if not self._can_spend(each, own):
                continue
            coin = NewCoin(await coinbase_of(node, each.block_hash), each.index, each.height, each.block_id)
            await self._bridge.call(steps.add_coins, [coin], script=each.script, unlock=own)
            self._noted = None  # its confirmations are to be counted
        if await self._bridge.call(steps.follow_blocks_coins):
            self._noted = None
        await self._bridge.call(steps.complete_unlocks, script, unlock)

    def _can_spend(self, output: BlockOutput, unlock: bytes) -> bool:
        """Whether a payout can spend it. Of a former address it may not be known how: one such coin stops no payout."""
        try:
            input_weight(output.script, unlock)
        except PayoutError as error:
            if output.block_id not in self._unspendable:
                self._unspendable.add(output.block_id)
                log.warning("coin_not_taken_in", block=output.block_hash, reason=str(error))
            return False
        return True

    async def _check_coins(self, node: PayingNode, tip: Tip) -> None:
        """Look whether the chain still holds our coins; who has their key may have spent them past the pool."""
        coins = await self._bridge.call(steps.coins_to_check, self._checked_to, COINS_PER_TIP)
        self._checked_to = coins[-1][0] if len(coins) == COINS_PER_TIP else 0
        for coin_id, txid, index in coins:
            if await node.holds(txid, index):
                self._absent.pop(coin_id, None)
                continue
            since = self._absent.setdefault(coin_id, tip.height)
            if tip.height - since >= SETTLED_CONFIRMATIONS and await self._bridge.call(steps.spent_outside, coin_id):
                log.warning("coin_spent_outside", coin=f"{txid}:{index}")
                del self._absent[coin_id]

    async def _follow_blocks(self, node: PayingNode, watched: Iterable[Watched]) -> None:
        """Payments whose block has left the best chain go out again."""
        for each in watched:
            if each.state is not PaymentState.CONFIRMED or each.block_height is None:
                continue
            if await node.block_hash(each.block_height) != each.block_hash:
                await self._bridge.call(steps.left_block, each.id)
                log.warning("payment_left_its_block", payment=each.id, block=each.block_hash)
                self._noted = None

    async def _examine(self, node: PayingNode, tip: Tip, watched: Sequence[Watched]) -> None:
        """Look for watched transactions in the blocks that are new since the last round."""
        if not watched:
            self._examined.clear()
            return
        await self._forget_replaced(node, tip)
        first = max(self._examined) + 1 if self._examined else min(each.since_height for each in watched) + 1
        for height in range(first, min(tip.height, first + BLOCKS_PER_ROUND - 1) + 1):
            block_hash = await node.block_hash(height)
            if block_hash is None:
                return
            await self._find(node, block_hash, height, watched)
            self._examined[height] = block_hash
            self._examined.pop(height - EXAMINED_MAX, None)

    async def _forget_replaced(self, node: PayingNode, tip: Tip) -> None:
        """Blocks that are in the best chain no more were looked through in vain."""
        for height in sorted(self._examined, reverse=True):
            if height <= tip.height and await node.block_hash(height) == self._examined[height]:
                return
            del self._examined[height]

    async def _find(self, node: PayingNode, block_hash: str, height: int, watched: Iterable[Watched]) -> bool:
        """Note which of these a block holds: by their id or, where signatures change it, by all the rest. Any?"""
        found: list[tuple[Watched, bytes]] = []
        # One that was given up and proposed again alike is the same transaction: it counts for the one under way.
        ordered = sorted(watched, key=lambda each: each.state.is_open)
        if by_txid := {each.txid: each for each in ordered if not each.unsigned}:
            held = [by_txid[txid] for txid in await node.txids(block_hash) if txid in by_txid]
            found += [(each, each.raw or await transaction_of(node, block_hash, each.txid)) for each in held]
        if by_form := {each.unsigned: each for each in ordered if each.unsigned}:
            for raw in Block.parse(await node.block(block_hash)).transactions:
                form = Transaction.parse(raw).unsigned().encode()
                if form in by_form:
                    found.append((by_form[form], raw))
        for each, raw in found:
            await self._found(each, block_hash, height, raw)
        return bool(found)

    async def _found(self, each: Watched, block_hash: str, height: int, raw: bytes) -> None:
        if await self._bridge.call(steps.seen_in_block, each.id, block_hash, height, raw):
            log.info("payment_in_block", payment=each.id, txid=each.txid, height=height)
            self._noted = None

    async def _begin(self, node: PayingNode, tip: Tip, each: Watched) -> None:
        """Debit a signed payment whose coins are there and which the node would take."""
        lost = await self._lost(node, each)
        reason = f"coins are not in the chain: {_named(lost)}" if lost else await node.test(each.raw)
        if reason:
            await self._bridge.call(steps.note_trouble, each.id, reason)
            return
        self._at("before_debit")
        if await self._bridge.call(steps.begin_broadcast, each.id, tip_height=tip.height):
            self._at("after_debit")
            log.info("payment_broadcast", payment=each.id, txid=each.txid)

    async def _send(self, node: PayingNode, tip: Tip, each: Watched) -> None:
        """Hand a payment to every node, unless the first has it; where its coins are gone for good, it has failed."""
        if await node.is_waiting(each.txid):
            return
        self._at("before_send")
        reasons = await asyncio.gather(*(_sent(other, each.raw) for other in self._nodes))
        self._at("after_send")
        if await node.is_waiting(each.txid):
            return
        lost = await self._lost(node, each)
        if not lost:
            reason = next((text for text in reasons if text), "")
            await self._bridge.call(steps.note_trouble, each.id, f"no node took it: {reason}" if reason else "")
            return
        since = tip.height if each.missing_since is None else each.missing_since
        if tip.height - since < SETTLED_CONFIRMATIONS:
            text = f"coins are not in the chain since height {since}: {_named(lost)}"
            await self._bridge.call(steps.note_trouble, each.id, text, missing_since=since)
        elif not await self._is_anywhere(node, tip, each):
            await self._bridge.call(steps.fail, each.id, f"its coins are gone: {_named(lost)}", lost=lost)
            log.error("payment_failed", payment=each.id, txid=each.txid, lost=_named(lost))

    async def _lost(self, node: PayingNode, each: Watched) -> list[tuple[str, int]]:
        """The coins of a payment that the chain does not hold and no payment of ours is about to bring back."""
        pending = await self._bridge.call(steps.pending_txids)
        inputs = Transaction.parse(each.raw).inputs
        names = [(display(found.outpoint.txid), found.outpoint.index) for found in inputs]
        return [name for name in names if name[0] not in pending and not await node.holds(*name)]

    async def _is_anywhere(self, node: PayingNode, tip: Tip, each: Watched) -> bool:
        """Look through every block that could hold a payment once more, before it is given up."""
        for height in range(each.since_height + 1, tip.height + 1):
            block_hash = await node.block_hash(height)
            if block_hash is not None and await self._find(node, block_hash, height, [each]):
                return True
        return False


async def coinbase_of(node: PayingNode, block_hash: str) -> bytes:
    """A block's first transaction."""
    return Block.parse(await node.block(block_hash)).transactions[0]


async def transaction_of(node: PayingNode, block_hash: str, txid: str) -> bytes:
    """A block's transaction of that id. Raises NodeUnreachable where the block does not hold it after all."""
    for raw in Block.parse(await node.block(block_hash)).transactions:
        if display(Transaction.parse(raw).txid) == txid:
            return raw
    raise NodeUnreachable(f"node {node.name}: block {block_hash} does not hold {txid}")


async def _sent(node: PayingNode, raw: bytes) -> str | None:
    try:
        return await node.send(raw)
    except NodeError as error:
        return str(error)


def _named(coins: Iterable[tuple[str, int]]) -> str:
    return ", ".join(f"{txid}:{index}" for txid, index in list(coins)[:5])
