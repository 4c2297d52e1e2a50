"""What keeps a practice chain's payouts going by themselves, so that a newcomer sees balances paid.

The first blocks of the practice chain pay to the practice wallet; their coins are the operator's float, entered in the
ledger as practice money, from which balances are paid before the pool's own blocks ripen. Two practice persons propose
and approve, and the wallet signs: the same steps, rules and records as those of people.
"""

from collections.abc import Callable
from typing import Final

from mbongi.base.clock import monotonic_s
from mbongi.base.log import get_log
from mbongi.core.threads import ThreadBridge
from mbongi.pool import paying_steps as steps
from mbongi.pool import practice_steps
from mbongi.pool.adapters.node_paying import PayingNode, Tip
from mbongi.pool.adapters.practice_wallet import PracticeWallet
from mbongi.pool.daemon.paying import coinbase_of
from mbongi.pool.errors import PayoutError
from mbongi.pool.paying_steps import NewCoin
from mbongi.pool.services import lose_block
from mbongi.pool.terms import PayingTerms
from mbongi.pool.values import FLOAT_KEYS
from mbongi.wire.bitcoin.transaction import Transaction

log = get_log(__name__)

PAY_EVERY_S: Final = 120.0
TRY_AGAIN_S: Final = 20.0
"""Where there was nothing to pay."""
NEW_CHAIN: Final = "the practice chain began anew"
FLOAT: Final = "practice money: the coins of the practice chain's first blocks"


class Practice:
    """``first_blocks``: so many blocks of the chain may pay to the wallet before the pool's first."""

    def __init__(
        self,
        bridge: ThreadBridge,
        terms: PayingTerms,
        wallet: PracticeWallet,
        *,
        first_blocks: int,
        every_s: float = PAY_EVERY_S,
        at_point: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._bridge, self._terms, self._wallet = bridge, terms, wallet
        self._first_blocks, self._every_s, self._at = first_blocks, every_s, at_point
        self._chain = ""
        self._next_s = 0.0
        self._trouble = ""

    async def step(self, node: PayingNode, tip: Tip) -> None:
        """Take in the float of a chain not seen before; then, when it is time, pay."""
        if tip.height < self._first_blocks:
            return
        chain = await node.block_hash(1) or ""
        if chain != self._chain:
            await self._take_in_float(node, chain)
            self._chain = chain
        if monotonic_s() >= self._next_s:
            self._next_s = monotonic_s() + self._every_s
            await self._pay()

    async def _take_in_float(self, node: PayingNode, chain: str) -> None:
        key = f"{FLOAT_KEYS}{chain}"
        if await self._bridge.call(practice_steps.has_float, key):
            return
        coins = []
        for height in range(1, self._first_blocks + 1):
            block_hash = await node.block_hash(height)
            raw = await coinbase_of(node, block_hash) if block_hash else b""
            outputs = Transaction.parse(raw).outputs if raw else ()
            coins += [
                NewCoin(raw, index, height)
                for index, output in enumerate(outputs)
                if output.script == self._terms.script and output.value_sat
            ]
        await self._forget_former(node)
        await self._bridge.call(steps.forget_chain, key, NEW_CHAIN)
        await self._bridge.call(
            steps.take_in_float, key, coins, script=self._terms.script, unlock=self._terms.unlock, reason=FLOAT
        )
        log.info("practice_float", coins=len(coins))

    async def _forget_former(self, node: PayingNode) -> None:
        """Undo what the books tell of a chain that is gone: credits of its blocks, at rest too, and all payments."""
        for block_hash, height in await self._bridge.call(steps.blocks_in_chain):
            if await node.block_hash(height) != block_hash:
                await self._bridge.call(lose_block, block_hash)
        for payment_id in await self._bridge.call(steps.debited):
            await self._bridge.call(steps.void, payment_id, NEW_CHAIN)

    async def _pay(self) -> None:
        """Take the practice persons' payout as far as it goes. One that a former process left half done goes first."""
        try:
            await self._bridge.call(practice_steps.advance, self._terms, self._wallet, self._at)
        except PayoutError as error:  # nothing to pay, or not enough to pay it yet
            self._next_s = min(self._next_s, monotonic_s() + TRY_AGAIN_S)
            if self._trouble != str(error):
                self._trouble = str(error)
                log.info("practice_payout_waits", reason=str(error))
        else:
            self._trouble = ""
