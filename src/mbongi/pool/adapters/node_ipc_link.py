"""One connection to Bitcoin Core's mining interface: Cap'n Proto over a unix socket.

Its words are in ``node_ipc_schema``, as each version of Bitcoin Core has them. Every method is called within
``capnp.kj_loop``.
"""

import asyncio
import itertools
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import capnp

from mbongi.base.log import get_log
from mbongi.pool.adapters.node_beside import SOLVABLE
from mbongi.pool.errors import NodeError, NodeGarbled, NodeRefused, NodeSilent, NodeUnreachable, NodeWarmingUp
from mbongi.wire.bitcoin.header import Header

log = get_log(__name__)

capnp.remove_import_hook()  # schemas are loaded below, never found by the names of modules

_SCHEMAS: Final = Path(__file__).parent / "node_ipc_schema"


class Words:
    """The schemas of one version of Bitcoin Core; versions share ids, so each has a parser of its own."""

    def __init__(self, version: int) -> None:
        self.version = version
        parser = capnp.SchemaParser()
        folder = _SCHEMAS / f"v{version}"
        self.proxy = parser.load(str(_SCHEMAS / "proxy.capnp"))
        self.init, self.mining = (parser.load(str(folder / f"{name}.capnp")) for name in ("init", "mining"))

    def create_new_block(self, mining: Any, context: Any, options: Any) -> Any:
        """The call. From 31 on a thread of the node answers it; the node would have it wait through the first download,
        and forever on a test chain at rest, where RPC tells us the same and we would rather be refused."""
        if self.version < 31:
            return mining.createNewBlock(options)
        return mining.createNewBlock(context, options, cooldown=False)


VERSIONS: Final = (Words(31), Words(30))
"""The newest first: it calls ``makeMining`` by a number that older ones lack."""

ANSWER_S_MAX: Final = 10.0
WAIT_MS: Final = 2_000
"""Of one wait for a template. Short, as closing lets it end first: Bitcoin Core 30 may stop when a client leaves a wait
that then finds something (its issue 34250)."""
FEES_EVERY_S: Final = 10.0
"""A template of the same tip is followed by another no sooner; one of a new tip at once."""
FEE_RISE_SAT: Final = 1_000
"""By so much another template of the same tip must pay more."""
FEE_NEVER_SAT: Final = 21_000_000 * 100_000_000
"""Waits for a new tip alone. Source: Bitcoin Core, MAX_MONEY."""
RESERVED_WEIGHT: Final = 8_000
"""Room for the header and our coinbase; Bitcoin Core's default."""
RESERVED_SIGOPS: Final = 400
_NEEDED: Final = f"expected the mining interface of Bitcoin Core {' or '.join(str(w.version) for w in VERSIONS[::-1])}"


@dataclass(frozen=True, slots=True)
class Offered:
    """A template: its block with the node's coinbase, each other transaction's fee, the way to the merkle root."""

    template_id: int
    block: bytes
    fees_sat: list[int]
    path: list[bytes]


class IpcLink:
    """A connection; made by ``connect``. Errors are NodeErrors."""

    def __init__(self, path: str, stream: Any, words: Words) -> None:
        self._path, self._stream, self._words = path, stream, words
        self._client = capnp.TwoPartyClient(stream)
        self._threads: dict[str, Any] = {}
        self._mining: Any = None
        self._ids = itertools.count(1)
        self._templates: OrderedDict[int, Any] = OrderedDict()
        self._solving = asyncio.Lock()

    @classmethod
    async def connect(cls, path: str) -> "IpcLink":
        """Connect and ask for the mining interface, by the number of each version until one answers."""
        refusals = []
        for words in VERSIONS:
            try:
                return await cls._connect(path, words)
            except NodeRefused as error:
                refusals.append(f"{error} (as of version {words.version})")
        raise NodeRefused(f"{'; '.join(refusals)}; {_NEEDED}", 0)

    @classmethod
    async def _connect(cls, path: str, words: Words) -> "IpcLink":
        try:
            async with asyncio.timeout(ANSWER_S_MAX):
                stream = await capnp.AsyncIoStream.create_unix_connection(path)
        except OSError as error:
            raise NodeUnreachable(f"socket {path}: connect: {error or 'no answer'}") from error
        link = cls(path, stream, words)
        try:
            await link._begin()
        except BaseException:
            link.close()
            raise
        log.info("node_ipc_connected", version=words.version)
        return link

    async def _begin(self) -> None:
        first = self._client.bootstrap().cast_as(self._words.init.Init)
        threads = (await self._asked(first.construct(), "construct")).threadMap
        # Each thread of the node answers one call at a time, and a wait must hold up nothing else.
        for name in ("wait", "read", "solve"):
            thread = (await self._asked(threads.makeThread(f"mbongi-{name}"), "makeThread")).result
            self._threads[name] = self._words.proxy.Context.new_message(thread=thread)
        reading = self._threads["read"]
        self._mining = (await self._asked(first.makeMining(reading), "makeMining")).result
        tip = await self._asked(self._mining.getTip(reading), "getTip")
        if not tip.hasResult:
            raise NodeWarmingUp(f"socket {self._path}: the node has no tip yet")

    async def templates(self) -> AsyncIterator[Offered]:
        """The node's template, then each that is on a new tip or pays more."""
        options = self._words.mining.BlockCreateOptions.new_message(
            useMempool=True,
            blockReservedWeight=RESERVED_WEIGHT,
            coinbaseOutputMaxAdditionalSigops=RESERVED_SIGOPS,
        )
        call = self._words.create_new_block(self._mining, self._threads["read"], options)
        made = await self._asked(call, "createNewBlock")
        if not made._has("result"):  # noqa: SLF001 -- a public method of the library, whatever its name
            raise NodeWarmingUp(f"socket {self._path}: createNewBlock: no template")
        template = made.result
        while True:
            since_s = asyncio.get_running_loop().time()
            yield await self._read(template)
            template = await self._next(template, since_s)

    async def _read(self, template: Any) -> Offered:
        reading = self._threads["read"]
        block = (await self._asked(template.getBlock(reading), "getBlock")).result
        fees = (await self._asked(template.getTxFees(reading), "getTxFees")).result
        path = (await self._asked(template.getCoinbaseMerklePath(reading), "getCoinbaseMerklePath")).result
        offered = Offered(next(self._ids), bytes(block), list(fees), [bytes(each) for each in path])
        self._templates[offered.template_id] = template
        while len(self._templates) > SOLVABLE:
            _, oldest = self._templates.popitem(last=False)
            await self._asked(oldest.destroy(reading), "destroy")
        return offered

    async def _next(self, template: Any, since_s: float) -> Any:
        while True:
            is_young = asyncio.get_running_loop().time() - since_s < FEES_EVERY_S
            options = self._words.mining.BlockWaitOptions.new_message(
                timeout=float(WAIT_MS), feeThreshold=FEE_NEVER_SAT if is_young else FEE_RISE_SAT
            )
            call = template.waitNext(self._threads["wait"], options)
            waiting = asyncio.ensure_future(self._asked(call, "waitNext", WAIT_MS / 1000))
            try:
                answer = await asyncio.shield(waiting)
            except asyncio.CancelledError:
                await asyncio.wait({waiting}, timeout=2 * WAIT_MS / 1000)
                waiting.cancel()
                await asyncio.gather(waiting, return_exceptions=True)
                raise
            if answer._has("result"):  # noqa: SLF001
                return answer.result

    async def solve(self, template_id: int, header: Header, coinbase: bytes) -> bool:
        """Hand over the block of a template; whether the node took it. True where the template is not known any more,
        as the block has gone another way too."""
        template = self._templates.get(template_id)
        if template is None:
            return True
        async with self._solving:
            call = template.submitSolution(
                self._threads["solve"], header.version, header.time_s, header.nonce, coinbase
            )
            return bool((await self._asked(call, "submitSolution")).result)

    def close(self) -> None:
        """Break the connection; the node forgets what it made for it."""
        self._templates.clear()
        self._threads.clear()
        self._mining = None
        self._client.close()
        self._stream.close()

    async def _asked(self, call: Awaitable[Any], what: str, wait_s: float = 0.0) -> Any:
        limit_s = ANSWER_S_MAX + wait_s
        try:
            async with asyncio.timeout(limit_s):
                return await call
        except TimeoutError as error:
            raise NodeSilent(f"socket {self._path}: {what}: no answer within {limit_s:.0f} s") from error
        except capnp.KjException as error:
            raise self._error(error, what) from error

    def _error(self, error: Any, what: str) -> NodeError:
        said = f"socket {self._path}: {what}: {' '.join(str(error.description or error).split())[:300]}"
        if error.type == "DISCONNECTED":
            return NodeUnreachable(said)
        if error.type == "UNIMPLEMENTED":
            return NodeRefused(said, 0)
        # The library says FAILED both for the other side's exceptions and for bytes that are no message.
        return NodeRefused(said, 0) if "remote exception" in said else NodeGarbled(said)
