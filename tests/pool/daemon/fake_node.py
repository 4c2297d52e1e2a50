"""Nodes that say what they are told to say, and the watch's word on which node to build on."""

from collections.abc import Callable, Coroutine, Generator, Sequence
from hashlib import sha256
from typing import Any

from mbongi.pool.errors import NodeRefused, NodeSilent
from mbongi.pool.ports import Submission
from mbongi.wire.bitcoind import BlockTemplate, ChainInfo, HeaderInfo

EASY_BITS = 0x207F_FFFF


class FakeSubmission:
    """A block on its way to a node."""

    def __init__(self, word: Callable[[], Coroutine[Any, Any, str | None]]) -> None:
        self._word, self.rest_sent = word, False

    def send_rest(self) -> None:
        self.rest_sent = True

    def __await__(self) -> Generator[Any, None, str | None]:
        return self._word().__await__()


class FakeNode:
    """It takes blocks and states depths; what a test gives it beyond that, it gives to the pool."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.taken: list[bytes] = []
        self.submits = 0
        self.depth: int | None = None
        """Of every block, in its best chain; None: it knows none."""
        self.blocks = 101
        self.is_silent = False
        self.refuses: str | None = None

    async def info(self) -> ChainInfo:
        if self.is_silent:
            raise NodeSilent(f"node {self.name}: no answer")
        return ChainInfo(chain="regtest", blocks=self.blocks, headers=self.blocks, bestblockhash="00")

    async def confirmations(self, block_hash: str) -> int | None:
        if self.is_silent:
            raise NodeSilent(f"node {self.name}: no answer")
        return self.depth

    def submit(self, block_hex: Sequence[bytes]) -> "FakeSubmission":
        self.submits += 1
        return FakeSubmission(lambda: self._submitted(b"".join(block_hex)))

    async def _submitted(self, block: bytes) -> str | None:
        if self.is_silent:
            raise NodeSilent(f"node {self.name}: no answer")
        if self.refuses is None:
            self.taken.append(block)
            self.depth = self.depth or 1
        return self.refuses

    async def header(self, block_hash: str) -> HeaderInfo:
        raise NodeSilent(self.name)

    async def raw_header(self, block_hash: str) -> bytes:
        raise NodeSilent(self.name)

    async def template(self) -> BlockTemplate:
        raise NodeSilent(self.name)

    async def next_template(self, long_poll_id: str) -> BlockTemplate:
        raise NodeSilent(self.name)

    async def propose(self, block_hex: Sequence[bytes]) -> str | None:
        return None

    def keep_ready(self) -> None:
        return

    async def close(self) -> None:
        return


class FakeTips:
    """The node that is built on, and its tip, which a test moves."""

    def __init__(self, node: FakeNode | None) -> None:
        self.node, self.number = node, 0

    @property
    def best_hash(self) -> str:
        return f"{self.number:064x}" if self.node is not None else ""

    def moved(self, *, blocks: int, depth: int | None) -> None:
        """The chain is so high now, and the block lies so deep in it."""
        assert self.node is not None
        self.number += 1
        self.node.blocks, self.node.depth = blocks, depth


def mined(number: int, *, good: bool = True) -> tuple[str, bytes]:
    """A header whose hash meets regtest's target, or does not; its hash as people write it."""
    start = b"\x01\0\0\0" + number.to_bytes(64, "little") + (1_700_000_000).to_bytes(4, "little")
    for nonce in range(1000):
        raw = start + EASY_BITS.to_bytes(4, "little") + nonce.to_bytes(4, "little")
        digest = sha256(sha256(raw).digest()).digest()
        if (digest[31] < 0x7F) is good:
            return digest[::-1].hex(), raw
    raise AssertionError("no nonce found")


class ChainNode:
    """A node with a chain of headers that were really mined, of the practice chain's difficulty."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.headers: dict[str, bytes] = {}
        self.chain: dict[str, int] = {}
        self.best, self.blocks, self.is_silent, self.is_ready, self.asked = "", 0, False, False, 0

    def tip(self, number: int, *, good: bool = True) -> str:
        self.best, raw = mined(number, good=good)
        self.headers[self.best] = raw
        self.blocks = number
        self.chain[self.best] = number
        return self.best

    async def info(self) -> ChainInfo:
        self.asked += 1
        if self.is_silent:
            raise NodeSilent(f"node {self.name}: no answer")
        return ChainInfo(
            chain="regtest",
            blocks=self.blocks,
            headers=self.blocks,
            bestblockhash=self.best,
            chainwork=f"{2 * self.blocks:064x}",
        )

    async def raw_header(self, block_hash: str) -> bytes:
        if block_hash not in self.headers:
            raise NodeRefused("Block not found", -5)
        return self.headers[block_hash]

    async def confirmations(self, block_hash: str) -> int | None:
        return self.chain.get(block_hash)

    def keep_ready(self) -> None:
        self.is_ready = True

    async def header(self, block_hash: str) -> HeaderInfo:
        raise NodeSilent(self.name)

    async def template(self) -> BlockTemplate:
        raise NodeSilent(self.name)

    async def next_template(self, long_poll_id: str) -> BlockTemplate:
        raise NodeSilent(self.name)

    async def propose(self, block_hex: Sequence[bytes]) -> str | None:
        return None

    def submit(self, block_hex: Sequence[bytes]) -> Submission:
        raise NodeSilent(self.name)

    async def close(self) -> None:
        return None
