"""A node's RPC when the node misbehaves: a stub on loopback that answers whatever a test says."""

import base64
from pathlib import Path

import pytest

from mbongi.pool.adapters import node_rpc
from mbongi.pool.adapters.node_rpc import NodeAddress, NodeRpc
from mbongi.pool.errors import (
    NodeDenied,
    NodeError,
    NodeGarbled,
    NodeRefused,
    NodeSilent,
    NodeUnreachable,
    NodeWarmingUp,
)
from tests.pool.adapters.stub_node import INFO, Stub, http


async def ask(stub: Stub, *answers: bytes) -> NodeRpc:
    stub.answers = list(answers)
    return NodeRpc(NodeAddress("127.0.0.1", stub.port, "user", "secret"))


async def test_an_answer_is_read_and_the_password_is_sent_and_never_shown(stub: Stub) -> None:
    node = await ask(stub, http(INFO))

    info = await node.info()
    await node.info()
    await node.close()

    assert (info.chain, info.blocks, info.headers) == ("main", 7, 8)
    assert base64.b64encode(b"user:secret") in stub.requests[0]
    assert stub.connections == 1
    assert "secret" not in repr(NodeAddress("h", 1, "user", "secret")) + node.name


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (http(b"", status=b"401 Unauthorized"), NodeDenied),
        (http(b'{"result":null,"error":{"code":-28,"message":"Loading block index"}}'), NodeWarmingUp),
        (http(b'{"result":null,"error":{"code":-32601,"message":"Method not found"}}'), NodeRefused),
        (http(b'{"result":null,"error":"odd"}'), NodeRefused),
        (http(b"not json"), NodeGarbled),
        (http(b'{"result":{"chain":5}}'), NodeGarbled),
        (http(b'{"result":null,"error":null}'), NodeGarbled),
        (b"SSH-2.0-OpenSSH\r\n\r\n", NodeGarbled),
        (http(INFO)[:-30] + b"CUT", NodeGarbled),
        (b"", NodeUnreachable),
    ],
)
async def test_each_bad_answer_has_its_error_and_the_next_question_is_answered(
    stub: Stub, answer: bytes, kind: type[NodeError]
) -> None:
    node = await ask(stub, answer)
    with pytest.raises(kind, match=r"127\.0\.0\.1"):
        await node.info()

    stub.answers = [http(INFO)]
    assert (await node.info()).blocks == 7
    await node.close()


async def test_a_silent_node_costs_the_limit_and_no_more(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_rpc, "ANSWER_S_MAX", 0.2)
    node = await ask(stub, b"silence")
    with pytest.raises(NodeSilent, match=r"within 0\.2 s"):
        await node.info()
    await node.close()


async def test_nobody_there_is_unreachable(free_port: int) -> None:
    with pytest.raises(NodeUnreachable, match="Connect call failed"):
        await NodeRpc(NodeAddress("127.0.0.1", free_port)).info()


async def test_a_kept_connection_that_the_node_closed_is_opened_anew(stub: Stub) -> None:
    node = await ask(stub, http(INFO, extra=b"Connection: close\r\n"), http(INFO))
    assert (await node.info()).blocks == (await node.info()).blocks == 7
    assert stub.connections == 2
    await node.close()


@pytest.mark.parametrize(("said", "expected"), [("null", None), ('"duplicate"', None), ('"high-hash"', "high-hash")])
async def test_a_block_that_the_node_has_already_counts_as_taken(stub: Stub, said: str, expected: str | None) -> None:
    node = await ask(stub, http(b'{"result":%b,"error":null}' % said.encode()))
    assert await node.submit([b"00", b"ff"]) == expected
    assert stub.requests[0].endswith(b'"params":["00ff"]}')
    await node.close()


async def test_a_cookie_is_read_for_each_connection(stub: Stub, tmp_path: Path) -> None:
    cookie = tmp_path / ".cookie"
    stub.answers = [http(INFO, extra=b"Connection: close\r\n")]
    node = NodeRpc(NodeAddress("127.0.0.1", stub.port, cookie=cookie))
    with pytest.raises(NodeDenied, match="cookie"):
        await node.info()
    for word in ("__cookie__:one", "__cookie__:two"):
        cookie.write_text(word)
        await node.info()
        assert base64.b64encode(word.encode()) in stub.requests[-1]
    await node.close()


async def test_a_cookie_is_read_again_when_the_node_refuses_it_on_an_open_connection(
    stub: Stub, tmp_path: Path
) -> None:
    cookie = tmp_path / ".cookie"
    cookie.write_text("__cookie__:one")
    stub.answers = [http(INFO), http(b"", status=b"401 Unauthorized"), http(INFO)]
    node = NodeRpc(NodeAddress("127.0.0.1", stub.port, cookie=cookie))
    await node.info()
    cookie.write_text("__cookie__:two")
    assert (await node.info()).blocks == 7
    assert base64.b64encode(b"__cookie__:two") in stub.requests[-1]
    assert stub.connections == 1
    await node.close()


@pytest.mark.parametrize("url", ["https://x:y@h:1", "h:8332", "", "http://"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="expected http://"):
        NodeAddress.of_url(url)


def test_an_address_is_read() -> None:
    assert NodeAddress.of_url("http://u:p@10.0.0.5:18443") == NodeAddress("10.0.0.5", 18443, "u", "p")
