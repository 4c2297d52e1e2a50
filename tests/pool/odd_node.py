"""Stands between the pool and a real node, and passes on what the node says, or something else, or nothing."""

import asyncio
import contextlib
import json
from collections.abc import Callable
from typing import Any

from mbongi.pool.adapters.node_rpc import NodeAddress, NodeRpc
from mbongi.pool.errors import NodeRefused

Bend = Callable[[dict[str, Any]], dict[str, Any]]


class OddNode:
    """``url`` goes into the pool's configuration. ``bend`` changes templates; while ``stalls`` none is given at all."""

    def __init__(self, real: NodeAddress) -> None:
        self._real = real
        self._server: asyncio.Server | None = None
        self.port = 0
        self.bend: Bend | None = None
        self.stalls = False
        self.proposals: list[Any] = []
        """What the real node said of proposed blocks."""
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"http://x:y@127.0.0.1:{self.port}"

    async def __aenter__(self) -> "OddNode":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        """Gone, with all connections."""
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        rpc = NodeRpc(self._real)  # one each, for a long poll must not hold the others up
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                size = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
                question = json.loads(await reader.readexactly(size))
                body = json.dumps(await self._answer(rpc, question["method"], question["params"])).encode()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.transport.abort()
            with contextlib.suppress(asyncio.CancelledError):
                await rpc.close()

    async def _answer(self, rpc: NodeRpc, method: str, params: list[Any]) -> dict[str, Any]:
        asks_template = method == "getblocktemplate"
        is_proposal = asks_template and params[0].get("mode") == "proposal"
        if asks_template and self.stalls:
            await asyncio.Event().wait()
        try:
            result = await rpc.call(method, *params)
        except NodeRefused as error:
            return {"result": None, "error": {"code": error.code, "message": str(error)}, "id": 0}
        if is_proposal:
            self.proposals.append(result)
        elif asks_template and self.bend is not None:
            result = self.bend(result)
        return {"result": result, "error": None, "id": 0}
