"""A Bitcoin Core node that is asked for templates over its mining interface, and for all else by RPC."""

import asyncio
from collections.abc import Sequence
from typing import Final

import capnp

from mbongi.base.log import get_log
from mbongi.pool.adapters.node_beside import READ_AT_ONCE, NodeBeside
from mbongi.pool.adapters.node_ipc_link import IpcLink, Offered
from mbongi.pool.errors import NodeError, NodeGarbled
from mbongi.pool.ports import Node, Support
from mbongi.wire.bitcoin.hashing import coinbase_branch, display, from_display
from mbongi.wire.bitcoin.header import HEADER_BYTES, Header
from mbongi.wire.bitcoin.script import COMMITMENT_HEADER, height_push, op_return, operations
from mbongi.wire.bitcoin.transaction import Reader, Transaction, TxOut
from mbongi.wire.bitcoind import BlockTemplate
from mbongi.wire.errors import WireError

log = get_log(__name__)

SCORECARD: Final = (
    Support("createNewBlock, getBlock, getTxFees, getCoinbaseMerklePath, waitNext, submitSolution", "done"),
    Support("Bitcoin Core 30 and 31", "done", "which of the two is found out by makeMining"),
    Support("later versions that number makeMining anew", "exempt", "refused, with the reason"),
    Support("coinbase outputs of the node's beside the witness commitment", "exempt", "refused, with its reason"),
    Support("heads, proposals and what became of blocks", "exempt", "asked by RPC, as of every node"),
)
_COMMITMENT_START: Final = op_return(COMMITMENT_HEADER + bytes(32))[:6]


class NodeIpc(NodeBeside):
    """A node and its socket. See ``ports.Node``; everything is for one event loop, and one of these for a thread."""

    LOST, BACK = "node_ipc_lost", "node_ipc_back"
    scorecard = SCORECARD

    def __init__(self, node: Node, path: str) -> None:
        super().__init__(node)
        self._path = path
        self._link: IpcLink | None = None
        self._solving: set[asyncio.Task[None]] = set()

    async def _keep_connected(self) -> None:
        async with capnp.kj_loop():
            try:
                await super()._keep_connected()
            finally:
                for each in self._solving:
                    each.cancel()
                await asyncio.gather(*self._solving, return_exceptions=True)

    async def _follow(self) -> None:
        self._link = await IpcLink.connect(self._path)
        async for offered in self._link.templates():
            template, path = await self._read(offered)
            self._give(offered.template_id, template, path)

    def _let_go(self) -> None:
        if self._link is not None:
            self._link.close()
            self._link = None
        self._solvable.clear()

    async def _read(self, offered: Offered) -> tuple[BlockTemplate, list[bytes]]:
        """A whole template in the words of the port. Raises NodeGarbled where it contradicts itself or is beyond us."""
        reader = Reader(offered.block, "block")
        header = Header.parse(reader.take(HEADER_BYTES))
        count = reader.count(60)
        coinbase = Transaction.read(reader)
        height = _height(coinbase)
        value_sat, commitment = _outputs(coinbase.outputs)
        if len(offered.fees_sat) != count - 1:
            raise NodeGarbled(f"template {height}: {len(offered.fees_sat)} fees for {count - 1} transactions")
        transactions = await self._transactions(await _split(reader, count - 1, offered.block), offered.fees_sat)
        path = coinbase_branch([from_display(each.txid) for each in transactions])
        if path != offered.path:
            raise NodeGarbled(f"template {height}: its merkle path is not that of its transactions")
        previous = display(header.previous_hash)
        template = BlockTemplate(
            version=header.version,
            previousblockhash=previous,
            transactions=transactions,
            coinbasevalue=value_sat,
            curtime=header.time_s,
            mintime=header.time_s,
            bits=f"{header.bits:08x}",
            height=height,
            longpollid=f"{previous}ipc{offered.template_id}",
            default_witness_commitment=commitment,
            coinbase_version=coinbase.version,
            coinbase_sequence=coinbase.inputs[0].sequence,
            coinbase_lock_time=coinbase.lock_time,
        )
        return template, path

    def _solve(self, template_id: int, header: Header, coinbase: Transaction) -> None:
        if self._link is not None:
            task = asyncio.create_task(self._solved(self._link, template_id, header, coinbase.encode()))
            self._solving.add(task)
            task.add_done_callback(self._solving.discard)

    async def _solved(self, link: IpcLink, template_id: int, header: Header, coinbase: bytes) -> None:
        try:
            if not await link.solve(template_id, header, coinbase):
                log.warning("solution_not_taken", block=display(header.hash))
        except NodeError as error:
            log.warning("solution_not_handed_over", reason=str(error))


async def _split(reader: Reader, count: int, block: bytes) -> list[bytes]:
    """The bytes of each transaction up to the block's end."""
    found = []
    for place in range(count):
        if place % READ_AT_ONCE == 0:
            await asyncio.sleep(0)
        start = reader.at
        Transaction.read(reader)
        found.append(block[start : reader.at])
    reader.end()
    return found


def _height(coinbase: Transaction) -> int:
    """The height that a coinbase states (BIP 34). Raises NodeGarbled where it states none.

    Bitcoin Core puts OP_0 behind it, as a coinbase's script has two bytes at least; ours is longer without.
    """
    if not coinbase.is_coinbase:
        raise NodeGarbled("template: its first transaction is no coinbase")
    script = coinbase.inputs[0].script
    try:
        operation, data = next(operations(script))
    except (StopIteration, WireError, ValueError) as error:
        raise NodeGarbled(f"coinbase script {script.hex()}: expected a height") from error
    height = int.from_bytes(data, "little") if data else max(operation - 0x50, 0)
    if script not in {height_push(height), height_push(height) + b"\0"}:
        raise NodeGarbled(f"coinbase script {script.hex()}: expected a height as BIP 34 writes it, and OP_0")
    return height


def _outputs(outputs: Sequence[TxOut]) -> tuple[int, str]:
    """What the coinbase may pay [sat], and the witness commitment's script in hex. Raises NodeGarbled for others."""
    paying, *rest = outputs or (TxOut(0, b""),)
    if not rest:
        return paying.value_sat, ""
    if len(rest) > 1 or rest[0].value_sat or not rest[0].script.startswith(_COMMITMENT_START):
        raise NodeGarbled(f"template: {len(rest)} outputs of its own; expected the witness commitment alone")
    return paying.value_sat, rest[0].script.hex()
