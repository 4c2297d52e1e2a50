"""The Job Declaration server: miners show the blocks that they chose, and get tokens to mine on them.

In full-template mode a node looks at the whole block before it counts; in coinbase-only mode, which the operator has to
allow, the pool sees the coinbase and no more. Source: Stratum V2, section 6.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from mbongi.base.clock import monotonic_s
from mbongi.base.log import get_log
from mbongi.pool.daemon.custom_jobs import CustomJobs
from mbongi.pool.daemon.work import NOT_ON_TIP
from mbongi.pool.errors import CustomJobError, NodeError
from mbongi.pool.ports import Node
from mbongi.pool.rules.custom import EXTRANONCE_BYTES, CustomCoinbase
from mbongi.pool.rules.job import Job
from mbongi.pool.rules.share import header_of
from mbongi.pool.rules.template import Template
from mbongi.wire.bitcoin.hashing import coinbase_branch, from_display, sha256d
from mbongi.wire.bitcoin.script import height_push
from mbongi.wire.bitcoin.transaction import Transaction
from mbongi.wire.bitcoind import TemplateTransaction
from mbongi.wire.errors import WireError
from mbongi.wire.stratum_v2.codes import ErrorCode
from mbongi.wire.stratum_v2.job_declaration import DeclareMiningJob

if TYPE_CHECKING:
    from mbongi.pool.daemon.connection import Connection
    from mbongi.pool.daemon.server import PoolServer

log = get_log(__name__)

EARLY_S_MAX: Final = 5.0
"""So long a block on a tip that the pool has not reached waits for the pool."""
EARLY_LOOK_S: Final = 0.05
TRANSACTIONS_MAX: Final = 20_000
"""No block holds more: one of the least size takes 240 of 4,000,000 weight units."""
BLOCK_BYTES_MAX: Final = 4_000_000
"""No valid block is larger. Source: Bitcoin Core, MAX_BLOCK_SERIALIZED_SIZE."""
CONNECTIONS_MAX: Final = 100
"""Each may hold some blocks in memory."""
PER_ADDRESS_MAX: Final = 20
"""Of these, so that one address cannot take the place of all others."""
READ_AT_ONCE: Final = 50
"""Transactions read before miners get their turn again."""
_TOO_MUCH: Final = "bad-cb-amount"
"""A node's word where a coinbase creates more than subsidy and fees. Source: Bitcoin Core, ConnectBlock."""


@dataclass(frozen=True, slots=True)
class Known:
    """A transaction: its id, and what stands in a block, in hex."""

    txid: bytes
    data: bytes


Ask = Callable[[Sequence[int]], Any]
"""Asks the miner for the transactions at these places; awaited, it gives them in that order."""


class Declarator:
    """Looks at declared blocks. ``known`` gives the transactions of the node's newest template."""

    def __init__(
        self,
        server: "PoolServer",
        jobs: CustomJobs,
        nodes: Sequence[Node],
        known: Callable[[], Sequence[TemplateTransaction]],
    ) -> None:
        self.server, self.jobs = server, jobs
        self._nodes, self._known = nodes, known
        self._connections: set[Connection] = set()
        self._proposing = asyncio.Lock()
        """One declared block at a time, so that the pool's own get their turn at the node."""
        self._source: Sequence[TemplateTransaction] = ()
        self._mempool: dict[bytes, Known] = {}

    def opened(self, connection: "Connection") -> bool:
        """A client connected; False where it is one too many, of all or of its address."""
        self._connections.add(connection)
        beside = sum(each.address is connection.address for each in self._connections)
        return len(self._connections) <= CONNECTIONS_MAX and beside <= PER_ADDRESS_MAX

    def closed(self, connection: "Connection") -> None:
        """It is gone."""
        self._connections.discard(connection)

    async def declare(
        self, message: DeclareMiningJob, given: dict[bytes, Known], ask: Ask, whose: "Connection"
    ) -> tuple[Job, bytes]:
        """Look at a block; its job, and the token that stands for it. Raises CustomJobError, NodeError.

        ``given`` holds what the miner showed earlier; afterwards, what this block needed beyond the node's template.
        """
        coinbase = CustomCoinbase.of_halves(message.coinbase_tx_prefix, message.coinbase_tx_suffix)
        await self._reach(coinbase)
        self.jobs.value_sat(coinbase)  # before anything is asked for
        try:
            transactions = await self._collect(message.wtxid_list, given, ask)
        except CustomJobError:
            given.clear()
            raise
        template = self.jobs.template(
            coinbase,
            version=message.version,
            branch=coinbase_branch([each.txid for each in transactions]),
            transaction_count=len(transactions),
            transactions_hex=tuple(each.data for each in transactions),
        )
        async with self._proposing:
            await self._require_acceptable(template, coinbase)
        if template.previous_hash != self.jobs.own().template.previous_hash:
            raise CustomJobError(ErrorCode.STALE_CHAIN_TIP, "the chain moved on while the node looked at it")
        return self.jobs.declared(template, coinbase, whose)

    async def _reach(self, coinbase: CustomCoinbase) -> None:
        """A miner may have heard of a new tip a moment before the pool has work on it: wait for that."""
        end_s, start = monotonic_s() + EARLY_S_MAX, coinbase.script_start
        while start.startswith(height_push(self.jobs.own().template.height + 1)) and monotonic_s() < end_s:  # noqa: ASYNC110
            await asyncio.sleep(EARLY_LOOK_S)

    async def _collect(self, wanted: Sequence[bytes], given: dict[bytes, Known], ask: Ask) -> list[Known]:
        """The block's transactions, in its order."""
        if len(set(wanted)) != len(wanted):
            raise CustomJobError(ErrorCode.INVALID_JOB, "a transaction comes twice")
        have = self._node_has()
        missing = [place for place, each in enumerate(wanted) if each not in have and each not in given]
        for place, data in zip(missing, await ask(missing) if missing else (), strict=False):
            given[wanted[place]] = _read(data, wanted[place])
            if place % READ_AT_ONCE == 0:
                await asyncio.sleep(0)
        for each in given.keys() - set(wanted):
            del given[each]
        found = [have.get(each) or given.get(each) for each in wanted]
        if None in found:
            raise CustomJobError(ErrorCode.MISSING_TXS, f"{found.count(None)} transactions were not given")
        transactions = [each for each in found if each is not None]
        if sum(len(each.data) for each in transactions) // 2 > BLOCK_BYTES_MAX:
            raise CustomJobError(ErrorCode.INVALID_JOB, f"more than {BLOCK_BYTES_MAX} bytes of transactions")
        return transactions

    def _node_has(self) -> dict[bytes, Known]:
        source = self._known()
        if source is not self._source:
            self._source = source
            self._mempool = {
                from_display(each.hash or each.txid): Known(from_display(each.txid), bytes(each.hex)) for each in source
            }
        return self._mempool

    async def _require_acceptable(self, template: Template, coinbase: CustomCoinbase) -> None:
        """A node must take the block as it is, and refuse it with a satoshi more: then the pool gets all there is."""
        refused = await self._propose(template, coinbase)
        if refused is not None:
            raise CustomJobError(ErrorCode.INVALID_JOB, f"the node refuses it: {refused}")
        refused = await self._propose(template, coinbase.with_one_satoshi_more(self.jobs.script))
        if refused is None:
            raise CustomJobError(ErrorCode.INVALID_COINBASE_TX, "the pool gets less than subsidy and fees")
        if refused != _TOO_MUCH:
            raise CustomJobError(ErrorCode.STALE_CHAIN_TIP, f"the node says of it now: {refused}")

    async def _propose(self, template: Template, coinbase: CustomCoinbase) -> str | None:
        job, extranonce = self.jobs.unnumbered(template, coinbase), bytes(EXTRANONCE_BYTES)
        header, _ = header_of(job, extranonce=extranonce, version=template.version, time_s=template.time_s, nonce=0)
        block_hex, reasons = job.block_hex(header, extranonce), []
        for node in self._nodes:
            try:
                found = await node.propose(block_hex)
            except NodeError as error:
                reasons.append(str(error))
                continue
            if found != NOT_ON_TIP:
                return found
            reasons.append(f"node {node.name}: it is on another tip")
        raise NodeError("; ".join(reasons) or "no node is configured")


def _read(data: bytes, wtxid: bytes) -> Known:
    """A transaction that a miner showed. Raises CustomJobError where it is another, or none."""
    try:
        transaction = Transaction.parse(data)
    except WireError as error:
        raise CustomJobError(ErrorCode.INVALID_JOB, str(error)) from error
    if sha256d(data) != wtxid:
        raise CustomJobError(ErrorCode.INVALID_JOB, "a transaction was given that was not asked for")
    return Known(transaction.txid, data.hex().encode("ascii"))
