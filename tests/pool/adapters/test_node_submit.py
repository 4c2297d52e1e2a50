"""Found blocks on their way to a node: over a connection that stands ready, else a new one, none behind another."""

import asyncio
import base64
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import uvloop

from mbongi.pool.adapters import node_link
from mbongi.pool.adapters.node_rpc import NodeAddress, NodeRpc
from mbongi.pool.errors import NodeDenied, NodeUnreachable
from tests.pool.adapters.stub_node import INFO, Stub, http

TAKEN = http(b'{"result":null,"error":null,"id":0}')


@contextlib.asynccontextmanager
async def rpc(stub: Stub, *answers: bytes, cookie: Path | None = None) -> AsyncIterator[NodeRpc]:
    stub.answers = list(answers)
    node = NodeRpc(NodeAddress("127.0.0.1", stub.port, "user", "secret", cookie))
    try:
        yield node
    finally:
        await node.close()


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not is_so():  # noqa: ASYNC110 -- the other end's state
            await asyncio.sleep(0.005)


async def _first_bytes_leave_before_anything_is_awaited() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        node = NodeRpc(NodeAddress("127.0.0.1", listener.getsockname()[1]))
        node.keep_ready()
        connection = await asyncio.to_thread(lambda: listener.accept()[0])
        connection.settimeout(5)
        await until(lambda: node._ready.is_ready)

        answer = asyncio.ensure_future(node.submit([b"00" * 80, b"ff"]))

        received = connection.recv(65_536)  # this blocks the loop, so nothing else can have sent it
        assert received.startswith(b"POST / HTTP/1.1\r\n")
        await asyncio.to_thread(connection.sendall, TAKEN)
        assert await answer is None
        connection.close()
        await node.close()


def test_a_blocks_first_bytes_have_left_when_the_call_returns() -> None:
    asyncio.run(_first_bytes_leave_before_anything_is_awaited())
    uvloop.run(_first_bytes_leave_before_anything_is_awaited())


async def test_a_whole_block_arrives_as_it_is(stub: Stub) -> None:
    parts = [b"0123456789abcdef" * 200_000, b"fe" * 2_000_000]
    async with rpc(stub, TAKEN) as node:
        assert await node.submit(parts) is None
        assert await node.submit(parts) is None
    body = b'{"jsonrpc":"1.0","id":0,"method":"submitblock","params":["%b"]}' % b"".join(parts)
    assert all(each.endswith(b"\r\n\r\n" + body) for each in stub.requests)
    assert b"Content-Length: %d\r\n" % len(body) in stub.requests[0]


async def test_two_blocks_do_not_wait_for_each_other(stub: Stub) -> None:
    async with rpc(stub, b"silence", TAKEN) as node:
        node.keep_ready()
        await until(lambda: node._ready.is_ready)
        first = asyncio.ensure_future(node.submit([b"00"]))
        await until(lambda: len(stub.requests) == 1)
        async with asyncio.timeout(5):
            assert await node.submit([b"01"]) is None
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)


async def test_a_ready_connection_that_the_node_closes_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_link, "REOPEN_S", 0.01)
    writers: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _reader, writer: writers.append(writer), "127.0.0.1", 0)
    node = NodeRpc(NodeAddress("127.0.0.1", server.sockets[0].getsockname()[1]))
    node.keep_ready()
    await until(lambda: len(writers) == 1 and node._ready.is_ready)
    writers[0].close()
    await until(lambda: len(writers) == 2 and node._ready.is_ready)
    writers[1].close()
    await until(lambda: len(writers) == 3 and node._ready.is_ready)
    await node.close()
    for writer in writers:
        writer.close()
    server.close()


async def test_a_node_that_comes_up_later_gets_its_ready_connection(
    monkeypatch: pytest.MonkeyPatch, free_port: int
) -> None:
    monkeypatch.setattr(node_link, "REOPEN_S", 0.01)
    node = NodeRpc(NodeAddress("127.0.0.1", free_port))
    node.keep_ready()
    with pytest.raises(NodeUnreachable):
        await node.submit([b"00"])
    stub = Stub()
    server = await asyncio.start_server(stub.serve, "127.0.0.1", free_port)
    await until(lambda: node._ready.is_ready)
    await node.close()
    server.close()


async def test_a_block_whose_ready_connection_proves_closed_goes_over_a_new_one(stub: Stub) -> None:
    async with rpc(stub, b"", TAKEN) as node:
        node.keep_ready()
        await until(lambda: node._ready.is_ready)
        assert await node.submit([b"00"]) is None
    assert len(stub.requests) == 2


async def test_a_block_is_signed_with_the_new_cookie_of_a_node_that_was_started_again(
    stub: Stub, tmp_path: Path
) -> None:
    cookie = tmp_path / ".cookie"
    cookie.write_text("__cookie__:old")
    async with rpc(stub, http(INFO), http(b"", status=b"401 Unauthorized"), TAKEN, cookie=cookie) as node:
        await node.info()
        node.keep_ready()
        await until(lambda: node._ready.is_ready)
        cookie.write_text("__cookie__:new")
        assert await node.submit([b"00"]) is None
    signed = [base64.b64encode(b"__cookie__:" + word) for word in (b"old", b"new")]
    assert signed[0] in stub.requests[1]
    assert signed[1] in stub.requests[2]


async def test_a_password_that_is_wrong_is_tried_once(stub: Stub) -> None:
    async with rpc(stub, http(b"", status=b"401 Unauthorized")) as node:
        with pytest.raises(NodeDenied, match="HTTP 401"):
            await node.submit([b"00"])
    assert len(stub.requests) == 1


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("rejected: duplicate", None),
        ("inconclusive", None),
        ("duplicate-invalid", "duplicate-invalid"),
        ("rejected: bad-txnmrklroot", "bad-txnmrklroot"),
        ("prev-blk-not-found", "prev-blk-not-found"),
    ],
)
async def test_what_nodes_answer_to_a_block_is_told_apart(stub: Stub, said: str, expected: str | None) -> None:
    async with rpc(stub, http(b'{"result":"%b","error":null}' % said.encode())) as node:
        assert await node.submit([b"00"]) == expected
