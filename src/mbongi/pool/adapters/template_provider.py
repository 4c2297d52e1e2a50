"""A full node whose templates come from a template provider beside it, over Stratum V2's Template Distribution."""

from collections.abc import Callable
from typing import Final

from mbongi.pool.adapters.node_beside import NodeBeside
from mbongi.pool.adapters.template_link import Offered, TemplateLink
from mbongi.pool.errors import NodeGarbled
from mbongi.pool.ports import Node, Support
from mbongi.wire.bitcoin.hashing import coinbase_branch, display, from_display
from mbongi.wire.bitcoin.header import Header
from mbongi.wire.bitcoin.script import COMMITMENT_HEADER, height_push, op_return, operations
from mbongi.wire.bitcoin.transaction import Reader, Transaction, TxOut
from mbongi.wire.bitcoind import BlockTemplate
from mbongi.wire.errors import WireError
from mbongi.wire.noise.certificate import PoolAddress

SCORECARD: Final = (
    Support("NewTemplate, SetNewPrevHash, RequestTransactionData, SubmitSolution", "done"),
    Support("coinbase outputs of the provider's beside the witness commitment", "exempt", "refused, with its reason"),
    Support("a provider without a node that we may ask", "exempt", "nobody could look at our blocks"),
)


class TemplateProvider(NodeBeside):
    """A node and its provider. See ``ports.Node``; everything is for one event loop."""

    LOST, BACK = "template_provider_lost", "template_provider_back"
    scorecard = SCORECARD

    def __init__(self, node: Node, address: PoolAddress, *, subsidy_sat: Callable[[int], int]) -> None:
        """``subsidy_sat`` gives what the block of a height may create."""
        super().__init__(node)
        self._address, self._subsidy_sat = address, subsidy_sat
        self._link: TemplateLink | None = None

    async def _follow(self) -> None:
        self._link = await TemplateLink.connect(self._address)
        async for offered in self._link.templates():
            template, path = await self._read(offered)
            self._give(offered.message.template_id, template, path)

    def _let_go(self) -> None:
        if self._link is not None:
            self._link.close()
            self._link = None

    async def _read(self, offered: Offered) -> tuple[BlockTemplate, list[bytes]]:
        """A whole template in the words of the port. Raises NodeGarbled where it contradicts itself or is beyond us."""
        message, tip = offered.message, offered.tip
        assert tip is not None
        height = _height(message.coinbase_prefix)
        transactions = await self._transactions(offered.transactions or ())
        path = coinbase_branch([from_display(each.txid) for each in transactions])
        if path != list(message.merkle_path):
            raise NodeGarbled(f"template {message.template_id}: its merkle path is not that of its transactions")
        previous = display(tip.prev_hash)
        template = BlockTemplate(
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
        return template, path

    def _solve(self, template_id: int, header: Header, coinbase: Transaction) -> None:
        if self._link is not None:
            self._link.solve(
                template_id,
                version=header.version,
                time_s=header.time_s,
                nonce=header.nonce,
                coinbase=coinbase.encode(),
            )


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
