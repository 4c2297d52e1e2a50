"""Templates over Bitcoin Core's mining interface, which a stub plays, beside its RPC, which another stub plays."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mbongi.pool.adapters import node_beside, node_ipc_link
from mbongi.pool.adapters.node_ipc import NodeIpc
from mbongi.pool.adapters.node_ipc_link import VERSIONS
from mbongi.pool.rules.job import EXTRANONCE_BYTES, Job, coinbase_of
from mbongi.pool.rules.share import header_of
from mbongi.pool.rules.template import require_on_chain, template_of
from mbongi.wire.bitcoin.block import Block
from mbongi.wire.bitcoin.transaction import Transaction, TxOut
from mbongi.wire.bitcoind import BlockTemplate
from tests.pool.adapters.stub_core import SUBSIDY, TIME_S, StubCore, block_of
from tests.pool.adapters.stub_provider import spend
from tests.pool.adapters.test_template_provider import SCRIPT, TipNode

# bitcoin/bitcoin, src/ipc/capnp/*.capnp, of Bitcoin Core 30 and 31, and libmultiprocess, proxy.capnp.
IDS = {
    "init": "f2c5cfa319406aa6",
    "mining": "c77d03df6a41b505",
    "common": "cd2c6232cb484a28",
    "proxy": "cc316e3f71a040fb",
}
SAME = {"construct": 0, "getTip": 2, "createNewBlock": 4, "destroy": 0, "getBlock": 2, "getTxFees": 3}
METHODS = {
    "v30": SAME | {"makeMining": 2, "getCoinbaseMerklePath": 8, "submitSolution": 9, "waitNext": 10},
    "v31": SAME | {"makeMining": 3, "getCoinbaseMerklePath": 6, "submitSolution": 7, "waitNext": 8},
}


@pytest.fixture(params=VERSIONS, ids=lambda words: f"v{words.version}")
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[StubCore]:
    monkeypatch.setattr(node_beside, "BEHIND_S_MAX", 0.3)
    monkeypatch.setattr(node_beside, "RETRY_S", 0.05)
    monkeypatch.setattr(node_ipc_link, "FEES_EVERY_S", 0.0)
    monkeypatch.setattr(node_ipc_link, "WAIT_MS", 200)
    with StubCore(tmp_path / "node.sock", request.param) as made:
        made.tell(transactions=[spend(1), spend(2)], fees_sat=[700, 300])
        yield made


@pytest.fixture
async def node() -> TipNode:
    return TipNode(1)


@pytest.fixture
async def ipc(stub: StubCore, node: TipNode) -> AsyncIterator[NodeIpc]:
    made = NodeIpc(node, stub.path)
    yield made
    await made.close()


async def theirs(ipc: NodeIpc) -> BlockTemplate:
    """The first template that came over the socket."""
    found = await ipc.template()
    async with asyncio.timeout(20):
        while found.longpollid == "own":
            found = await ipc.template()
    return found


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 -- the stub's state
            await asyncio.sleep(0.01)


def a_job(found: BlockTemplate) -> Job:
    template = template_of(found)
    return Job(1, template, coinbase_of(template, [TxOut(template.value_sat, SCRIPT)], b"/t/", 1), made_at_s=0.0)


@pytest.mark.parametrize("version", ["v30", "v31"])
def test_ids_and_ordinals_are_bitcoin_cores(version: str) -> None:
    folder = Path(node_ipc_link.__file__).parent / "node_ipc_schema"
    paths = [*folder.glob("*.capnp"), *(folder / version).glob("*.capnp")]
    texts = {path.stem: path.read_text() for path in paths}
    ids = {name: re.findall(r"^@0x(\w+);", text, re.MULTILINE) for name, text in texts.items()}
    said = re.findall(r"^ +(\w+) @(\d+) \(", "\n".join(texts.values()), re.MULTILINE)
    called = {name: int(ordinal) for name, ordinal in said if not name.startswith("notCalled")}

    assert ids == {name: [value] for name, value in IDS.items()}
    assert called == {**METHODS[version], "makeThread": 0, "getName": 0}


async def test_a_template_is_whole_with_its_fees_and_passes_the_pools_own_checks(ipc: NodeIpc, stub: StubCore) -> None:
    found = await theirs(ipc)
    job = a_job(found)
    template = job.template
    header, _ = header_of(job, extranonce=bytes(EXTRANONCE_BYTES), version=4, time_s=template.time_s, nonce=0)
    block = Block.parse(bytes.fromhex(b"".join(job.block_hex(header, bytes(EXTRANONCE_BYTES))).decode()))
    coinbase = Transaction.parse(block.transactions[0])

    assert (found.height, found.previousblockhash, found.bits) == (500, "01" * 32, "207fffff")
    assert (template.value_sat, template.fees_sat, template.time_s) == (SUBSIDY + 1000, 1000, TIME_S)
    assert block.transactions[1:] == (spend(1), spend(2))
    assert (coinbase.inputs[0].sequence, coinbase.lock_time) == (0xFFFF_FFFE, 499)
    assert template.weight == sum(Transaction.parse(each).weight for each in (spend(1), spend(2)))
    assert stub.options == [(True, 8000, 400)]
    block.require_commitments()
    require_on_chain(template, height=500, work_least=1, halving_blocks=1_500, now_s=TIME_S)


async def test_more_fees_and_a_new_tip_end_the_long_poll(ipc: NodeIpc, stub: StubCore, node: TipNode) -> None:
    found = await theirs(ipc)
    better = asyncio.create_task(ipc.next_template(found.longpollid))
    stub.tell(transactions=[spend(1), spend(2), spend(3)], fees_sat=[700, 300, 999])
    await until(lambda: len(stub.thresholds) > 2)
    too_little = better.done()
    stub.tell(fees_sat=[700, 300, 1000])
    second = await better
    moved = asyncio.create_task(ipc.next_template(second.longpollid))
    node.tip = bytes([2]) * 32
    stub.tell(tip=node.tip, height=501, transactions=[], fees_sat=[])
    third = await moved

    assert not too_little
    assert [len(each.transactions) for each in (found, second, third)] == [2, 3, 0]
    assert [sum(each.fee for each in found.transactions) for found in (found, second, third)] == [1000, 2000, 0]
    assert (third.previousblockhash, third.height, template_of(third).value_sat) == ("02" * 32, 501, SUBSIDY)
    assert set(stub.thresholds) == {1000}


async def test_young_work_waits_for_a_new_tip_alone(
    ipc: NodeIpc, stub: StubCore, node: TipNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node_ipc_link, "FEES_EVERY_S", 1e6)
    found = await theirs(ipc)
    moved = asyncio.create_task(ipc.next_template(found.longpollid))
    stub.tell(fees_sat=[10_000, 10_000])
    await until(lambda: len(stub.thresholds) > 2)
    node.tip = bytes([2]) * 32
    stub.tell(tip=node.tip, height=501)

    assert (await moved).height == 501
    assert set(stub.thresholds) == {21_000_000 * 10**8}


async def test_a_node_that_goes_away_is_asked_by_rpc_until_its_socket_is_back(
    ipc: NodeIpc, stub: StubCore, node: TipNode
) -> None:
    await theirs(ipc)
    stub.__exit__()
    await until(lambda: ipc._current is None)
    away = [await ipc.template() for _ in range(2)]
    with stub:
        back = await theirs(ipc)
        stub.hang_up()
        await until(lambda: stub.connections > 2)
        again = await theirs(ipc)
        await ipc.close()
    stub.__enter__()

    assert [each.longpollid for each in away] == ["own", "own"]
    assert back.height == again.height == 500
    assert node.own >= 2


async def test_a_node_that_is_behind_by_its_socket_is_asked_by_rpc(ipc: NodeIpc, stub: StubCore, node: TipNode) -> None:
    await theirs(ipc)
    node.tip = bytes([2]) * 32
    behind = await ipc.template()
    stub.tell(tip=node.tip, height=501)

    assert behind.longpollid == "own"
    assert (await theirs(ipc)).height == 501


ODD = bytes([9]) * 32
WHOLE = block_of(bytes([1]) * 32, 500, [spend(1), spend(2)], [700, 300])


def coinbase_with(**changes: Any) -> bytes:
    """The block, its coinbase changed."""
    old = Transaction.parse(WHOLE.transactions[0])
    script = changes.pop("script", old.inputs[0].script)
    inputs = (type(old.inputs[0])(outpoint=old.inputs[0].outpoint, script=script, witness=(bytes(32),)),)
    fields = {"inputs": inputs, "outputs": old.outputs, **changes}
    return Block(header=WHOLE.header, transactions=(Transaction(**fields).encode(), *WHOLE.transactions[1:])).encode()


@pytest.mark.parametrize(
    "changes",
    [
        {"path": [ODD, ODD]},
        {"path": [b"short"]},
        {"fees": [700]},
        {"block": b""},
        {"block": b"garbage" * 99},
        {"block": WHOLE.encode()[:-1]},
        {"block": WHOLE.encode() + b"\0"},
        {"block": WHOLE.encode()[:80] + b"\xfe\xff\xff\xff\xff" + WHOLE.encode()[81:]},
        {"block": Block(header=WHOLE.header, transactions=(spend(1), spend(2))).encode()},
        {"block": coinbase_with(script=b"\x03\xf4\x01\x00")},
        {"block": coinbase_with(script=b"\x4c")},
        {"block": coinbase_with(script=b"\x02\xf4\x01\x51")},
        {"block": coinbase_with(outputs=(TxOut(1, b"\x51"), TxOut(1, b"\x52")))},
        {"block": coinbase_with(outputs=(*Transaction.parse(WHOLE.transactions[0]).outputs, TxOut(0, b"\x51")))},
    ],
)
async def test_a_template_that_contradicts_itself_or_is_beyond_us_is_never_given_on(
    ipc: NodeIpc, stub: StubCore, changes: dict[str, Any]
) -> None:
    stub.tell(changes=changes)
    asked = [await ipc.template()]
    await until(lambda: stub.connections >= 2)
    asked.append(await ipc.template())
    stub.tell(changes={})

    assert [each.longpollid for each in asked] == ["own", "own"]
    assert (await theirs(ipc)).height == 500


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"newer": True}, "Old mining interface.*expected the mining interface of Bitcoin Core 30 or 31"),
        ({"other": True}, "expected the mining interface of Bitcoin Core 30 or 31"),
        ({"no_tip": True}, "no tip yet"),
    ],
)
async def test_another_version_or_a_node_without_a_tip_is_refused_with_its_reason(
    ipc: NodeIpc, stub: StubCore, changes: dict[str, Any], said: str
) -> None:
    stub.tell(changes=changes)
    own = await ipc.template()
    await until(lambda: bool(ipc._trouble))

    assert own.longpollid == "own"
    assert re.search(said, ipc._trouble), ipc._trouble


async def test_a_socket_that_is_not_there_or_speaks_otherwise_leaves_the_nodes_own_templates(
    tmp_path: Path, node: TipNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node_beside, "BEHIND_S_MAX", 0.3)
    monkeypatch.setattr(node_beside, "RETRY_S", 0.05)
    monkeypatch.setattr(node_ipc_link, "ANSWER_S_MAX", 1.0)
    path, connections = tmp_path / "node.sock", 0
    said = [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\0" * 64, b"\xff" * 64, b""]

    async def babble(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        writer.write(said[connections % len(said)])
        connections += 1
        writer.close()

    ipc = NodeIpc(node, str(path))
    absent = await ipc.template()
    await until(lambda: bool(ipc._trouble))
    reason = ipc._trouble
    async with await asyncio.start_unix_server(babble, path):
        await until(lambda: connections > 2 * len(said))
        babbled = await ipc.template()
        await ipc.close()

    assert (absent.longpollid, babbled.longpollid) == ("own", "own")
    assert "node.sock: connect: " in reason


async def test_a_node_that_says_nothing_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, node: TipNode
) -> None:
    monkeypatch.setattr(node_beside, "BEHIND_S_MAX", 0.1)
    monkeypatch.setattr(node_ipc_link, "ANSWER_S_MAX", 0.2)
    gone = asyncio.Event()

    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        gone.set()

    ipc = NodeIpc(node, str(tmp_path / "node.sock"))
    async with await asyncio.start_unix_server(swallow, tmp_path / "node.sock"):
        await ipc.template()
        async with asyncio.timeout(20):
            await gone.wait()
        await until(lambda: bool(ipc._trouble))
        await ipc.close()

    assert "construct: no answer within" in ipc._trouble


async def test_a_found_block_goes_out_by_rpc_and_by_the_socket_with_its_coinbase_whole(
    ipc: NodeIpc, stub: StubCore, node: TipNode
) -> None:
    job = a_job(await theirs(ipc))
    extranonce = bytes(range(EXTRANONCE_BYTES))
    header, _ = header_of(job, extranonce=extranonce, version=0x2345_6780, time_s=TIME_S + 9, nonce=77)
    await ipc.submit(job.block_hex(header, extranonce))
    await until(lambda: bool(stub.solutions))
    await ipc.submit([b"00" * 80])
    await ipc.submit([b"zz"])

    [(tip, version, time_s, nonce, coinbase)] = stub.solutions
    block = Block.parse(bytes.fromhex(node.taken[0].decode()))
    assert (tip, version, time_s, nonce) == (bytes([1]) * 32, 0x2345_6780, TIME_S + 9, 77)
    assert coinbase == block.transactions[0]
    assert Transaction.parse(coinbase).has_witness
    assert node.submits == 3


async def test_old_templates_are_given_back_to_the_node(ipc: NodeIpc, stub: StubCore) -> None:
    found = await theirs(ipc)
    for number in range(node_beside.SOLVABLE + 2):
        waiting = asyncio.create_task(ipc.next_template(found.longpollid))
        stub.tell(fees_sat=[700, 2300 + number * 2000])
        found = await waiting
    await until(lambda: stub.destroyed == 3)

    assert stub.given == node_beside.SOLVABLE + 3


async def test_closing_lets_a_wait_end_before_it_leaves(ipc: NodeIpc, stub: StubCore) -> None:
    await theirs(ipc)
    await until(lambda: stub.waiting == 1)
    await ipc.close()
    await until(lambda: stub.waiting == 0)

    assert stub.left_waits == 0
