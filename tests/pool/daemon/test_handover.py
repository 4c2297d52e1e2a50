"""Two servers that share a port, as two processes would: a miner's session is taken up by the one that keeps it."""

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from mbongi.pool.daemon import handover
from mbongi.pool.daemon.gate import Limits
from mbongi.pool.daemon.handover import Handover
from mbongi.pool.daemon.server import Difficulty, PoolServer
from mbongi.pool.daemon.sessions import shard_of
from mbongi.pool.daemon.share_log import ShareLog
from tests.pool.daemon.proxy.bed import until
from tests.pool.daemon.test_server import EASY, error_of, job
from tests.pool.practice import Miner


class Shards:
    """Servers 0 and 1 with one job; each listens on a port of its own, so that the test chooses who is reached."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.servers: dict[int, PoolServer] = {}
        self.ports: dict[int, int] = {}
        self._blueprint: Any = None

    async def start(self, shard: int) -> PoolServer:
        server = PoolServer(
            ShareLog(self._folder / str(shard)),
            on_block=lambda *_: None,
            difficulty=Difficulty(start=EASY, minimum=EASY, shares_per_minute=60.0),
            shard=shard,
        )
        server.handover = Handover(self._folder / "sessions", shard, {0, 1} - {shard}, server.take_over)
        server.publish(job(server))
        self.servers[shard], self.ports[shard] = server, await server.listen("127.0.0.1", 0)
        return server

    def stop(self, shard: int) -> None:
        server = self.servers.pop(shard)
        assert server.handover is not None
        server.handover.close()
        server.gate.send_away("the test ends")
        server.log.close()


@pytest.fixture
async def shards(tmp_path: Path) -> AsyncIterator[Shards]:
    made = Shards(tmp_path)
    for shard in (0, 1):
        await made.start(shard)
    yield made
    for shard in list(made.servers):
        made.stop(shard)
    await asyncio.sleep(0.05)


async def test_a_miner_that_reaches_another_process_goes_on_where_it_was(shards: Shards) -> None:
    miner = await Miner.connect(shards.ports[0])
    await miner.ask("mining.suggest_difficulty", [EASY * 8])
    await miner.drain()
    counted, found_meanwhile = miner.solve(), miner.solve(extranonce2=1)
    assert (await miner.submit(counted))["result"] is True
    miner.close()

    again = await Miner.connect(shards.ports[1], session=miner.session)
    await again.drain()

    assert shard_of(miner.session) == 0
    assert (again.session, again.extranonce1, again.difficulty) == (miner.session, miner.extranonce1, EASY * 8)
    assert [(await error_of(again, counted))[0], (await again.submit(found_meanwhile))["result"]] == [22, True]
    assert [len(server.sessions) for server in shards.servers.values()] == [1, 0]
    again.close()


async def test_what_a_miner_says_in_one_breath_is_all_answered_in_its_order(shards: Shards) -> None:
    miner = await Miner.connect(shards.ports[0])
    miner.close()
    reader, writer = await asyncio.open_connection("127.0.0.1", shards.ports[1])
    rolling = {"version-rolling.mask": "1fffe000", "version-rolling.min-bit-count": 2}
    questions: list[tuple[str, list[Any]]] = [
        ("mining.configure", [["version-rolling"], rolling]),
        ("mining.subscribe", ["test/1.0", miner.session]),
        ("mining.authorize", ["acct.two", "x"]),
        ("mining.extranonce.subscribe", []),
    ]
    said = b"".join(
        json.dumps({"id": number, "method": method, "params": params}).encode() + b"\n"
        for number, (method, params) in enumerate(questions)
    )
    writer.write(said + b'{"id":9,"meth')
    await asyncio.sleep(0.5)
    writer.write(b'od":"mining.ping","params":[]}\n')
    answered = []
    async with asyncio.timeout(20):
        while 9 not in answered:
            line = json.loads(await reader.readline())
            answered += [line["id"]] if line.get("id") is not None else []
    [session] = shards.servers[0].sessions
    writer.close()

    assert answered == [0, 1, 2, 3, 9]
    assert list(session.workers) == ["acct.one", "acct.two"]  # type: ignore[attr-defined]
    assert session.version_mask == 0x1FFFE000  # type: ignore[attr-defined]


async def test_a_miner_waits_for_a_process_that_is_starting(shards: Shards) -> None:
    miner = await Miner.connect(shards.ports[0])
    miner.close()
    await asyncio.sleep(0.1)
    shards.stop(0)
    connecting = asyncio.create_task(Miner.connect(shards.ports[1], session=miner.session))
    await asyncio.sleep(0.5)
    await shards.start(0)
    again = await connecting

    assert shard_of(again.session) == 0, "a new session there, as this test keeps no file of sessions"
    again.close()


async def test_where_its_process_stays_away_a_miner_begins_anew(
    shards: Shards, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handover, "WAIT_S_MAX", 0.3)
    shards.stop(0)
    miner = await Miner.connect(shards.ports[1], session="00" * 9)

    assert shard_of(miner.session) == 1
    assert (await miner.submit(miner.solve()))["result"] is True
    miner.close()


async def test_a_miner_that_is_one_too_many_where_its_session_is_can_still_ask_for_it(shards: Shards) -> None:
    server = shards.servers[0]
    miner = await Miner.connect(shards.ports[0])
    miner.close()
    await until(lambda: bool(server.resumable.lost()))
    limits, server.gate.limits = server.gate.limits, Limits(connections_max=0)
    with pytest.raises(OSError, match=r"closed|reset"):
        await Miner.connect(shards.ports[1], session=miner.session)
    server.gate.limits = limits

    again = await Miner.connect(shards.ports[1], session=miner.session)
    assert again.extranonce1 == miner.extranonce1
    again.close()


async def test_sessions_of_no_process_here_are_simply_new(shards: Shards) -> None:
    miners = [await Miner.connect(shards.ports[1], session=each) for each in ("07" + "00" * 8, "x", "01" * 9)]
    assert {shard_of(each.session) for each in miners} == {1}
    for each in miners:
        each.close()


async def test_a_miner_that_gives_up_on_the_way_leaves_nothing_behind(
    shards: Shards, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handover, "WAIT_S_MAX", 1.0)
    shards.stop(0)
    for number in itertools.count():
        if number == 3:
            break
        _reader, writer = await asyncio.open_connection("127.0.0.1", shards.ports[1])
        writer.write(b'{"id":1,"method":"mining.subscribe","params":["x","%b"]}\n' % (b"00" * 9))
        await asyncio.sleep(0.05)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
    async with asyncio.timeout(20):
        while shards.servers[1].sessions:  # noqa: ASYNC110 -- the server's state
            await asyncio.sleep(0.05)
