"""A Bitcoin node over its JSON-RPC: Bitcoin Core, and bcoin for the practice chain.

Three connections: one for questions, one that waits in the long poll, and one kept open and idle for found blocks, so
that a block's first bytes leave at once.
"""

import asyncio
import base64
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import unquote, urlsplit

from mbongi.pool.adapters.node_line import UNAUTHORIZED, Line, Signer, within
from mbongi.pool.adapters.node_link import NodeLink, ReadyLink, StaleLinkError
from mbongi.pool.errors import NodeDenied, NodeGarbled, NodeRefused, NodeSilent, NodeWarmingUp
from mbongi.pool.ports import Support
from mbongi.wire import bitcoind
from mbongi.wire.bitcoind import BlockTemplate, ChainInfo, HeaderInfo, RpcFault
from mbongi.wire.errors import WireError
from mbongi.wire.http1 import Response

Document = TypeVar("Document")
ANSWER_S_MAX, QUICK_S_MAX = 30.0, 10.0
"""For templates, proposals and blocks; for what a node has at hand."""
LONG_POLL_S_MAX = 1800.0
"""Bitcoin Core holds a thread for each long poll until a new block or transaction, even when the asker has gone; so
they are seldom given up."""
_RULES = {"rules": ["segwit", "signet"]}
"""What our blocks follow; nodes ignore the rules that their chain lacks. Source: BIP 9, Bitcoin Core on signet."""
KNOWN_ALREADY = frozenset({"duplicate", "inconclusive", "duplicate-inconclusive"})
"""Answers to ``submitblock`` that say: the node has it. Source: BIP 22 and Bitcoin Core, submitblock."""
_BLOCK_NOT_FOUND = frozenset({-5, -1})
"""RPC_INVALID_ADDRESS_OR_KEY of Bitcoin Core, RPC_MISC_ERROR of bcoin."""
_HEIGHT_OUT_OF_RANGE = -8
SCORECARD: Final = (
    Support("Bitcoin Core 0.21 and newer: templates, long poll, proposals, blocks, headers, cookie", "done"),
    Support("Bitcoin Core: a long poll that nobody awaits any more", "exempt", "holds an RPC thread until a new block"),
    Support("Bitcoin Core: IPC mining interface", "exempt", "by a template provider beside the node"),
    Support("bcoin 1.0: templates, proposals, blocks, headers", "done"),
    Support("bcoin: long poll", "done", "misses what came between its answer and the next poll; watch the head too"),
    Support("bcoin: initial download, headers ahead of blocks", "exempt", "it states neither"),
    Support("bcoin: confirmations of a block outside the best chain", "done", "it counts on; asked by height as well"),
    Support("bcoin: cookie, ZMQ, taproot, warming up (-28)", "exempt", "it has none of them"),
)


@dataclass(frozen=True, slots=True)
class NodeAddress:
    """Where a node answers, and how to sign in. A ``cookie`` wins; it is read anew for each connection, and when the
    node refuses what it said, because a restart of the node changes it.
    """

    host: str
    port: int
    user: str = ""
    password: str = field(default="", repr=False)
    cookie: Path | None = None

    @classmethod
    def of_url(cls, url: str, cookie: Path | None = None) -> "NodeAddress":
        """From ``http://user:password@host:port``, with %-escapes. Raises ValueError, which shows no password."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port or 8332
            (host or "").encode("idna")
        except ValueError as error:
            raise ValueError(f"node address: {error}; expected http://user:password@host:port") from error
        if parts.scheme != "http" or not host:
            raise ValueError(f"node {host or '?'}: expected http://user:password@host:port")
        return cls(host, port, unquote(parts.username or ""), unquote(parts.password or ""), cookie)

    @property
    def name(self) -> str:
        """Host and port, for people and for the Host header."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def authorization(self) -> str:
        """The header's value. Raises NodeDenied where the cookie cannot be read."""
        words = f"{self.user}:{self.password}"
        if self.cookie is not None:
            try:
                words = self.cookie.read_text(encoding="ascii").strip()
            except (OSError, UnicodeDecodeError) as error:
                raise NodeDenied(f"node {self.name}: cookie {self.cookie}: {error}; is the node running?") from error
        return "Basic " + base64.b64encode(words.encode()).decode("ascii")


class NodeRpc:
    """One node. See ``ports.Node``."""

    scorecard = SCORECARD

    def __init__(self, address: NodeAddress) -> None:
        self.name = address.name
        self._address = address
        self.signer = Signer(address.name, address.authorization)
        self._asking, self._waiting = self._line(), self._line()
        self._ready = ReadyLink(address.name, address.host, address.port)

    async def info(self) -> ChainInfo:
        """``getblockchaininfo``."""
        return await self._ask("getblockchaininfo", [], ChainInfo, quick=True)

    async def header(self, block_hash: str) -> HeaderInfo:
        """``getblockheader``."""
        return await self._ask("getblockheader", [block_hash, True], HeaderInfo, quick=True)

    async def raw_header(self, block_hash: str) -> bytes:
        """``getblockheader`` without ``verbose``."""
        text = await self._ask("getblockheader", [block_hash, False], str, quick=True)
        try:
            return bytes.fromhex(text)
        except ValueError as error:
            raise NodeGarbled(f"node {self.name}: header {text[:40]!r}: expected hex") from error

    async def confirmations(self, block_hash: str) -> int | None:
        """How deep a block lies in the node's best chain, 1 for its tip; -1 beside it, None where it is not known."""
        try:
            header = await self.header(block_hash)
            if header.confirmations < 1:
                return -1
            there = await self._ask("getblockhash", [header.height], str, quick=True)
        except NodeRefused as error:
            if error.code == _HEIGHT_OUT_OF_RANGE:
                return -1
            if error.code in _BLOCK_NOT_FOUND and "not found" in str(error):
                return None
            raise
        return header.confirmations if there == block_hash else -1

    async def template(self) -> BlockTemplate:
        """``getblocktemplate``; from then on a connection stands ready for found blocks."""
        self.keep_ready()
        return await self._ask("getblocktemplate", [_RULES], BlockTemplate)

    async def next_template(self, long_poll_id: str) -> BlockTemplate:
        """``getblocktemplate`` with ``longpollid``; after LONG_POLL_S_MAX the present one."""
        body = bitcoind.question("getblocktemplate", [_RULES | {"longpollid": long_poll_id}])
        try:
            response = await self._waiting.exchange([body], LONG_POLL_S_MAX)
        except NodeSilent:
            return await self.template()
        return self._read(response, BlockTemplate)

    async def propose(self, block_hex: Sequence[bytes]) -> str | None:
        """``getblocktemplate`` in proposal mode (BIP 23)."""
        proposal = _RULES | {"mode": "proposal", "data": b"".join(block_hex).decode("ascii")}
        return await self._ask("getblocktemplate", [proposal], str | None)  # type: ignore[arg-type]

    def submit(self, block_hex: Sequence[bytes]) -> "_Submission":
        """``submitblock``. Its first bytes have left when this returns, if a connection stood ready."""
        parts = bitcoind.submit_parts(block_hex)
        link = self._ready.take()
        self.keep_ready()
        return _Submission(self, parts, link)

    def keep_ready(self) -> None:
        """Have a connection stand ready for found blocks from now on."""
        self._ready.keep()

    async def close(self) -> None:
        """Break all connections."""
        for line in (self._asking, self._waiting):
            line.close()
        self._ready.close()

    async def call(self, method: str, *arguments: Any) -> Any:
        """Any other question, for tests and for people."""
        return await self._ask(method, list(arguments), Any)

    async def handed_over(self, parts: Sequence[bytes]) -> str | None:
        """The node's word on a block, over a connection that is opened now."""
        line = self._line()
        try:
            return self.verdict(await line.exchange(parts, ANSWER_S_MAX))
        finally:
            line.close()

    def verdict(self, response: Response) -> str | None:
        """What an answer to ``submitblock`` says. Raises NodeError."""
        found = self._read(response, str | None)  # type: ignore[arg-type]
        # bcoin writes "rejected: " before its reasons.
        reason = found.removeprefix("rejected: ") if found is not None else None
        return None if reason in KNOWN_ALREADY else reason

    async def _ask(self, method: str, arguments: list[Any], kind: type[Document], *, quick: bool = False) -> Document:
        limit_s = min(ANSWER_S_MAX, QUICK_S_MAX) if quick else ANSWER_S_MAX
        return self._read(await self._asking.exchange([bitcoind.question(method, arguments)], limit_s), kind)

    def _line(self) -> Line:
        return Line(self.name, self._address.host, self._address.port, self.signer)

    def _read(self, response: Response, kind: type[Document]) -> Document:
        if response.status == UNAUTHORIZED:
            raise NodeDenied(f"node {self.name}: HTTP 401: user and password are not accepted")
        if response.status == 403:
            raise NodeDenied(f"node {self.name}: HTTP 403: our address may not ask (Bitcoin Core: rpcallowip)")
        if response.status == 503:
            raise NodeSilent(f"node {self.name}: HTTP 503: too busy to take a question (Bitcoin Core: rpcworkqueue)")
        try:
            return bitcoind.answer(response.body, kind)
        except RpcFault as error:
            if error.code == bitcoind.WARMING_UP:
                raise NodeWarmingUp(f"node {self.name}: {error}") from error
            raise NodeRefused(f"node {self.name}: {error}", error.code) from error
        except WireError as error:
            raise NodeGarbled(f"node {self.name}: HTTP {response.status}: {error}") from error


class _Submission:
    """A block on its way over the connection that stood ready; over a new one where none did, or it proves closed."""

    def __init__(self, node: NodeRpc, parts: Sequence[bytes], link: NodeLink | None) -> None:
        self._node, self._parts, self._link = node, parts, link
        self._unsent = list(parts)
        self._answer: asyncio.Future[Response] | None = None
        if link is not None:
            try:
                # The question's frame and the block's header, which the node can begin with.
                self._answer = link.write([b"".join(node.signer.message(parts)[:2])])
            except NodeDenied:  # no cookie; the same will be raised when the word is awaited
                link.close()
        del self._unsent[:2]

    def send_rest(self) -> None:
        """Send what follows the first bytes."""
        unsent, self._unsent = self._unsent, []
        if self._link is not None and self._answer is not None:
            self._link.write_more(b"".join(unsent))

    def __await__(self) -> Generator[Any, None, str | None]:
        """The node's word."""
        return self._word().__await__()

    async def _word(self) -> str | None:
        self.send_rest()
        if self._link is None or self._answer is None:
            return await self._node.handed_over(self._parts)
        try:
            response = await within(ANSWER_S_MAX, self._node.name, self._link.answered(self._answer))
        except StaleLinkError:  # the node closed the idle connection as we wrote
            return await self._node.handed_over(self._parts)
        finally:
            self._link.close()
        if response.status == UNAUTHORIZED and self._node.signer.refreshed():
            return await self._node.handed_over(self._parts)
        return self._node.verdict(response)
