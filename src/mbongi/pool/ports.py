"""What the pool needs of a Bitcoin node."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from mbongi.wire.bitcoind import BlockTemplate, ChainInfo, HeaderInfo


@dataclass(frozen=True, slots=True)
class Support:
    """One line of an adapter's scorecard: ``done``, or ``exempt`` with the reason."""

    feature: str
    status: str
    reason: str = ""


class Submission(Protocol):
    """A block on its way to a node. Await it for the node's word: None where it was taken, or known; else the reason
    against. Errors come then, and only then.
    """

    def send_rest(self) -> None:
        """Send what follows the first bytes; awaiting does so, too."""

    def __await__(self) -> Generator[Any, None, str | None]:
        """The node's word."""


class Node(Protocol):
    """A full node. Every method raises a NodeError (``errors.py``) within a limit of its own."""

    @property
    def name(self) -> str:
        """For people: host and port, never a password."""

    async def info(self) -> ChainInfo:
        """Its chain and how far it is."""

    async def header(self, block_hash: str) -> HeaderInfo:
        """A block's header; NodeRefused where the node does not know it."""

    async def raw_header(self, block_hash: str) -> bytes:
        """A block's header as it is hashed; NodeRefused where the node does not know it."""

    async def confirmations(self, block_hash: str) -> int | None:
        """How deep a block lies in the best chain, 1 for its tip; -1 beside that chain, None where it is not known."""

    async def template(self) -> BlockTemplate:
        """What its next block may hold."""

    async def next_template(self, long_poll_id: str) -> BlockTemplate:
        """The same, answered once it differs from the one with that id, or when the adapter's limit is over."""

    async def propose(self, block_hex: Sequence[bytes]) -> str | None:
        """Whether it would take this block, its proof of work left aside: None, or its reason against."""

    def submit(self, block_hex: Sequence[bytes]) -> Submission:
        """Hand over a found block.

        The call itself sends the first bytes where a connection stands ready, so a caller in a hurry calls every node
        first, then lets the rest follow.
        """

    def keep_ready(self) -> None:
        """Have a connection stand ready for found blocks from now on."""

    async def close(self) -> None:
        """Break the connections."""
