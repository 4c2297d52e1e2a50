"""What is asked of a node, where Bitcoin Core and bcoin differ, and where an address is odd."""

import asyncio
import json

import pytest

from mbongi.pool.adapters import node_rpc
from mbongi.pool.adapters.node_rpc import NodeAddress, NodeRpc
from mbongi.pool.errors import NodeDenied, NodeError, NodeGarbled, NodeRefused, NodeSilent
from tests.pool.adapters.stub_node import INFO, Stub, http

BLOCK = "11" * 32
TEMPLATE = {
    "version": 0x20000000,
    "previousblockhash": BLOCK,
    "transactions": [],
    "coinbasevalue": 625_000_000,
    "curtime": 2,
    "mintime": 1,
    "bits": "207fffff",
    "height": 451,
    "longpollid": "poll-1",
}


def said(result: object) -> bytes:
    return http(json.dumps({"result": result, "error": None, "id": 0}).encode())


def refused(code: int, message: str) -> bytes:
    return http(json.dumps({"result": None, "error": {"code": code, "message": message}, "id": 0}).encode())


def header(confirmations: int) -> bytes:
    fields = {"hash": BLOCK, "height": 450, "version": 1, "time": 2, "mediantime": 1, "bits": "207fffff"}
    return said(fields | {"confirmations": confirmations})


def asked(stub: Stub) -> list[tuple[str, list[object]]]:
    bodies = [json.loads(each.partition(b"\r\n\r\n")[2]) for each in stub.requests]
    return [(body["method"], body["params"]) for body in bodies]


async def node(stub: Stub, *answers: bytes) -> NodeRpc:
    stub.answers = list(answers)
    return NodeRpc(NodeAddress("127.0.0.1", stub.port))


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([header(3), said(BLOCK)], 3),
        ([header(-1)], -1),
        ([header(3), said("22" * 32)], -1),
        ([header(3), refused(-8, "Block height out of range")], -1),
        ([refused(-5, "Block not found")], None),
        ([refused(-1, "Block not found")], None),
    ],
    ids=["in the chain", "Core: beside it", "bcoin: beside it", "of a higher fork", "Core: unknown", "bcoin: unknown"],
)
async def test_a_block_in_the_chain_beside_it_and_unknown_are_told_apart(
    stub: Stub, answers: list[bytes], expected: int | None
) -> None:
    rpc = await node(stub, *answers)
    assert await rpc.confirmations(BLOCK) == expected
    await rpc.close()


async def test_a_refusal_for_another_reason_says_nothing_of_the_block(stub: Stub) -> None:
    rpc = await node(stub, refused(-1, "getblockheader hash ( verbose )"))
    with pytest.raises(NodeRefused) as error:
        await rpc.confirmations(BLOCK)
    assert error.value.code == -1
    await rpc.close()


async def test_templates_are_asked_for_with_the_rules_of_every_network(stub: Stub) -> None:
    rpc = await node(stub, said(TEMPLATE))
    assert (await rpc.template()).height == 451
    assert (await rpc.next_template("poll-1")).longpollid == "poll-1"
    await rpc.close()
    rules = ["segwit", "signet"]
    assert asked(stub) == [
        ("getblocktemplate", [{"rules": rules}]),
        ("getblocktemplate", [{"rules": rules, "longpollid": "poll-1"}]),
    ]


async def test_a_long_poll_without_an_answer_ends_with_the_present_template(
    stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node_rpc, "LONG_POLL_S_MAX", 0.1)
    rpc = await node(stub, b"silence", said(TEMPLATE))
    assert (await rpc.next_template("poll-1")).height == 451
    await rpc.close()


async def test_other_questions_do_not_wait_for_the_long_poll(stub: Stub) -> None:
    rpc = await node(stub, b"silence", http(INFO))
    waiting = asyncio.ensure_future(rpc.next_template("poll-1"))
    while not stub.requests:  # noqa: ASYNC110 -- the stub's state
        await asyncio.sleep(0.005)
    assert (await rpc.info()).blocks == 7
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await rpc.close()


async def test_a_cancelled_question_leaves_nothing_for_the_next(stub: Stub) -> None:
    rpc = await node(stub, b"silence", http(INFO))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await rpc.template()
    assert (await rpc.info()).blocks == 7
    await rpc.close()


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (http(b"", status=b"403 Forbidden"), NodeDenied, "rpcallowip"),
        (http(b"Work queue depth exceeded", status=b"503 Service Unavailable"), NodeSilent, "too busy"),
        (said("zz"), NodeGarbled, "expected hex"),
        (http(b"x" * 10, extra=b"Transfer-Encoding: chunked\r\n"), NodeGarbled, "http response"),
    ],
)
async def test_refusals_before_the_rpc_say_what_they_mean(
    stub: Stub, answer: bytes, kind: type[NodeError], words: str
) -> None:
    rpc = await node(stub, answer)
    with pytest.raises(kind, match=words):
        await rpc.raw_header(BLOCK)
    await rpc.close()


async def test_an_answer_above_the_limit_is_not_read_on(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mbongi.pool.adapters.node_link.ANSWER_BYTES_MAX", 1000)
    rpc = await node(stub, http(b" " * 2000))
    with pytest.raises(NodeGarbled, match="more than 1000 bytes"):
        await rpc.info()
    await rpc.close()


def test_escapes_in_an_address_are_undone_and_ipv6_is_bracketed() -> None:
    address = NodeAddress.of_url("http://us%40er:p%2Fw%3A@[::1]:18443")
    assert (address.host, address.port, address.user, address.password) == ("::1", 18443, "us@er", "p/w:")
    assert address.name == "[::1]:18443"


@pytest.mark.parametrize("url", ["ftp://u:hush@h:1", "http://u:hush@", "http://u:hush@h:99999", "http://u:hush@a..b"])
def test_an_address_that_is_refused_shows_no_password(url: str) -> None:
    with pytest.raises(ValueError, match="expected http://") as error:
        NodeAddress.of_url(url)
    assert "hush" not in str(error.value)
