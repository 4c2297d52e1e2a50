"""The mining interface of either version of Bitcoin Core on a unix socket, which says what a test tells it to say.

It runs in a thread of its own, as the library has one loop for each thread.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Self

import capnp

from mbongi.pool.adapters.node_ipc_link import VERSIONS, Words
from mbongi.wire.bitcoin.block import Block
from mbongi.wire.bitcoin.hashing import coinbase_branch, merkle_root
from mbongi.wire.bitcoin.header import Header
from mbongi.wire.bitcoin.script import height_push
from mbongi.wire.bitcoin.transaction import OutPoint, Reader, Transaction, TxIn, TxOut
from tests.pool.adapters.stub_provider import commitment

SUBSIDY = 49_000
TIME_S = 1_700_000_000


def block_of(
    tip: bytes,
    height: int,
    transactions: list[bytes],
    fees_sat: list[int],
    *,
    subsidy_sat: int = SUBSIDY,
    time_s: int = TIME_S,
) -> Block:
    """The next block as the node makes it."""
    inputs = (
        TxIn(
            outpoint=OutPoint(bytes(32), 0xFFFF_FFFF),
            script=height_push(height) + b"\0",
            sequence=0xFFFF_FFFE,
            witness=(bytes(32),),
        ),
    )
    witness = TxOut.read(Reader(commitment(transactions)))
    outputs = (TxOut(subsidy_sat + sum(fees_sat), b"\x51"), witness)
    coinbase = Transaction(inputs=inputs, outputs=outputs, lock_time=height - 1)
    root = merkle_root([coinbase.txid, *(Transaction.parse(each).txid for each in transactions)])
    header = Header(version=0x2000_0000, previous_hash=tip, merkle_root=root, time_s=time_s, bits=0x207F_FFFF, nonce=0)
    return Block(header=header.encode(), transactions=(coinbase.encode(), *transactions))


class _Threads:
    def __init__(self, stub: "StubCore") -> None:
        self.stub = stub

    async def makeThread(self, name: str, _context: Any, **_: Any) -> Any:  # noqa: N802
        return type("_Thread", (self.stub.words.proxy.Thread.Server,), {})()


class _Template:
    def __init__(self, stub: "StubCore") -> None:
        self.stub, self.tip, self.fees_sat = stub, stub.tip, stub.fees_sat
        made = block_of(
            stub.tip,
            stub.height,
            stub.transactions,
            stub.fees_sat,
            subsidy_sat=stub.subsidy_sat,
            time_s=stub.time_s,
        )
        self.block = made.encode()
        self.path = coinbase_branch([Transaction.parse(each).txid for each in stub.transactions])

    async def getBlock(self, context: Any, _context: Any, **_: Any) -> bytes:  # noqa: N802
        changes: dict[str, Any] = self.stub.changes
        return bytes(changes.get("block", self.block))

    async def getTxFees(self, context: Any, _context: Any, **_: Any) -> list[int]:  # noqa: N802
        return list(self.stub.changes.get("fees", self.fees_sat))

    async def getCoinbaseMerklePath(self, context: Any, _context: Any, **_: Any) -> list[bytes]:  # noqa: N802
        return list(self.stub.changes.get("path", self.path))

    async def waitNext(self, context: Any, options: Any, _context: Any, **_: Any) -> Any:  # noqa: N802
        """As Bitcoin Core: a new tip at once; more fees where they are asked for; nothing when the time is over."""
        stub, threshold = self.stub, options.feeThreshold
        stub.thresholds.append(threshold)
        stub.waiting += 1
        try:
            async with asyncio.timeout(options.timeout / 1000):
                while stub.tip == self.tip and sum(stub.fees_sat) < sum(self.fees_sat) + threshold:
                    stub.news.clear()
                    await stub.news.wait()
        except TimeoutError:
            return None
        finally:
            stub.waiting -= 1
        return stub.made()

    async def submitSolution(  # noqa: N802
        self, context: Any, version: int, timestamp: int, nonce: int, coinbase: bytes, _context: Any, **_: Any
    ) -> bool:
        self.stub.solutions.append((self.tip, version, timestamp, nonce, bytes(coinbase)))
        return True

    async def destroy(self, context: Any, _context: Any, **_: Any) -> None:
        self.stub.destroyed += 1


class _Mining:
    def __init__(self, stub: "StubCore") -> None:
        self.stub = stub

    async def getTip(self, context: Any, _context: Any, **_: Any) -> Any:  # noqa: N802
        return {"hash": self.stub.tip, "height": self.stub.height - 1}, not self.stub.changes.get("no_tip")

    async def createNewBlock(self, options: Any, _context: Any, cooldown: bool = False, **_: Any) -> Any:  # noqa: N802
        assert not cooldown
        self.stub.options.append(
            (options.useMempool, options.blockReservedWeight, options.coinbaseOutputMaxAdditionalSigops)
        )
        return self.stub.made()


class _Init:
    def __init__(self, stub: "StubCore") -> None:
        self.stub = stub

    async def construct(self, threadMap: Any, _context: Any, **_: Any) -> Any:  # noqa: N803
        return self.stub.serving(_Threads, self.stub.words.proxy.ThreadMap)

    async def makeMining(self, context: Any, _context: Any, **_: Any) -> Any:  # noqa: N802
        if self.stub.changes.get("newer"):
            raise RuntimeError("Old mining interface (@3) not supported. Please update your client!")
        return self.stub.serving(_Mining, self.stub.words.mining.Mining)

    async def notCalled2(self, _context: Any, **_: Any) -> Any:  # noqa: N802 -- version 30's makeMining
        raise RuntimeError("Old mining interface (@2) not supported. Please update your client!")


class StubCore:
    """``tip``, ``height``, ``transactions`` and ``fees_sat`` are the node's; ``changes`` are what it gets wrong."""

    def __init__(self, path: Path, words: Words = VERSIONS[0]) -> None:
        self.path, self.words = str(path), words
        self.tip, self.height = bytes([1]) * 32, 500
        self.subsidy_sat, self.time_s = SUBSIDY, TIME_S
        self.transactions: list[bytes] = []
        self.fees_sat: list[int] = []
        self.changes: dict[str, Any] = {}
        self.options: list[tuple[bool, int, int]] = []
        self.thresholds: list[int] = []
        self.solutions: list[tuple[bytes, int, int, int, bytes]] = []
        self.connections = self.waiting = self.destroyed = self.given = self.left_waits = 0
        self.news: asyncio.Event
        self._streams: list[Any] = []
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._over: asyncio.Event

    def made(self) -> Any:
        self.given += 1
        return self.serving(_Template, self.words.mining.BlockTemplate)

    def serving(self, methods: type, interface: Any) -> Any:
        """An object of the interface, as its version has it."""
        return type(methods.__name__, (methods, interface.Server), {})(self)

    def __enter__(self) -> Self:
        Path(self.path).unlink(missing_ok=True)
        started: Future[None] = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run(started)))
        self._thread.start()
        started.result(20)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._loop is not None
        assert self._thread is not None
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(20)
        assert not self._thread.is_alive()
        Path(self.path).unlink(missing_ok=True)

    def tell(self, **changes: Any) -> None:
        """Change what the node knows; those that wait hear of it."""

        def change() -> None:
            for name, value in changes.items():
                setattr(self, name, value)
            self.news.set()

        self._do(change)

    def hang_up(self) -> None:
        """Break every connection."""
        self._do(lambda: [each.close() for each in self._streams])

    def _do(self, what: Callable[[], Any]) -> None:
        async def done() -> None:
            what()

        call: Coroutine[Any, Any, None] = done()
        assert self._loop is not None
        asyncio.run_coroutine_threadsafe(call, self._loop).result(20)

    async def _run(self, started: Future[None]) -> None:
        self._loop, self._over, self.news = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()
        async with capnp.kj_loop():
            server = await capnp.AsyncIoStream.create_unix_server(self._serve, self.path)
            started.set_result(None)
            await self._over.wait()
            server.close()
            for _turn in range(10):  # a connection may be half accepted, and nobody would close it then
                await asyncio.sleep(0)
            for each in self._streams:
                each.close()

    async def _serve(self, stream: Any) -> None:
        self.connections += 1
        self._streams.append(stream)
        first = (_Mining, self.words.mining.Mining) if self.changes.get("other") else (_Init, self.words.init.Init)
        await capnp.TwoPartyServer(stream, bootstrap=self.serving(*first)).on_disconnect()
        self.left_waits += self.waiting
