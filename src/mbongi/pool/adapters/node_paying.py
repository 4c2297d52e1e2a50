"""What payouts ask of a Bitcoin node, over its JSON-RPC; no index of transactions is needed.

Bitcoin Core 0.21 and newer; bcoin 1.0, which has no ``testmempoolaccept`` and answers ``sendrawtransaction`` before it
knows: whether it took a transaction is seen in its pool of transactions afterwards.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from mbongi.pool.adapters.node_rpc import NodeRpc
from mbongi.pool.errors import NodeGarbled, NodeRefused, NodeWarmingUp
from mbongi.wire.bitcoind import METHOD_NOT_FOUND

_HEIGHT_OUT_OF_RANGE: Final = -8
_ALREADY_IN_CHAIN: Final = -27
"""RPC_VERIFY_ALREADY_IN_CHAIN, which newer releases call RPC_VERIFY_ALREADY_IN_UTXO_SET."""
_VERBOSE: Final = True
_WITH_POOL: Final = False


@dataclass(frozen=True, slots=True)
class Tip:
    """The end of a node's best chain."""

    height: int
    hash: str


class PayingNode:
    """One node. Every method raises a NodeError within the limits of ``NodeRpc``."""

    def __init__(self, rpc: NodeRpc) -> None:
        self.name = rpc.name
        self._rpc = rpc

    async def tip(self) -> Tip:
        """Where its chain ends. Raises NodeWarmingUp while it is still loading the chain."""
        info = await self._rpc.info()
        if info.initialblockdownload:
            raise NodeWarmingUp(f"node {self.name}: loads the chain still, at {info.blocks}")
        return Tip(info.blocks, info.bestblockhash)

    async def block_hash(self, height: int) -> str | None:
        """The block at a height of its best chain; None above its tip."""
        try:
            return str(await self._rpc.call("getblockhash", height))
        except NodeRefused as error:
            if error.code == _HEIGHT_OUT_OF_RANGE:
                return None
            raise

    async def txids(self, block_hash: str) -> list[str]:
        """The ids of a block's transactions."""
        found = await self._rpc.call("getblock", block_hash, _VERBOSE)
        if not isinstance(found, dict) or not isinstance(found.get("tx"), list):
            raise NodeGarbled(f"node {self.name}: block {block_hash}: no list of transactions")
        return [str(each) for each in found["tx"]]

    async def block(self, block_hash: str) -> bytes:
        """A whole block."""
        return self._hex(await self._rpc.call("getblock", block_hash, not _VERBOSE), f"block {block_hash}")

    async def holds(self, txid: str, index: int) -> bool:
        """Whether its best chain holds an output, unspent; its pool of transactions is left aside."""
        return await self._rpc.call("gettxout", txid, index, _WITH_POOL) is not None

    async def is_waiting(self, txid: str) -> bool:
        """Whether a transaction is in its pool."""
        try:
            await self._rpc.call("getmempoolentry", txid)
        except NodeRefused:
            return False
        return True

    async def test(self, raw: bytes) -> str | None:
        """Why it would not take a transaction; None where it would, has it, or cannot tell."""
        try:
            found = await self._rpc.call("testmempoolaccept", [raw.hex()])
        except NodeRefused as error:
            if error.code == METHOD_NOT_FOUND:
                return None
            return str(error)
        first: Any = found[0] if isinstance(found, list) and found else {}
        reason = first.get("reject-reason", "not allowed") if not first.get("allowed") else None
        return None if reason in {"txn-already-in-mempool", "txn-already-known"} else reason

    async def send(self, raw: bytes) -> str | None:
        """Hand over a transaction; its reason against, or None. Handing it over again does no harm."""
        try:
            await self._rpc.call("sendrawtransaction", raw.hex())
        except NodeRefused as error:
            return None if error.code == _ALREADY_IN_CHAIN else str(error)
        return None

    def _hex(self, text: Any, what: str) -> bytes:
        try:
            return bytes.fromhex(text)
        except (TypeError, ValueError) as error:
            raise NodeGarbled(f"node {self.name}: {what}: expected hex") from error


def paying_nodes(nodes: Sequence[NodeRpc]) -> list[PayingNode]:
    """The same nodes, for payouts."""
    return [PayingNode(each) for each in nodes]
