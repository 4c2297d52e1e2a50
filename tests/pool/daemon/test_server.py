"""The server and its Stratum V1 connections, in one process with their clients; work is made by hand."""

import asyncio
import contextlib
import itertools
import json
import os
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from mbongi.pool.daemon.gate import Limits
from mbongi.pool.daemon.server import JOB_S_MAX, Difficulty, PoolServer
from mbongi.pool.daemon.share_log import ShareLog, files_of, read_shares
from mbongi.pool.daemon.steady_clock import SteadyClock
from mbongi.pool.rules.generations import GENERATIONS
from mbongi.pool.rules.job import Job, coinbase_of
from mbongi.pool.rules.template import empty_template
from mbongi.pool.values import Reject
from mbongi.wire.bitcoin.transaction import TxOut
from tests.pool.practice import Miner

EASY = 2.0**-24
NUMBERS = itertools.count(1)


def job(server: PoolServer, *, tip: int = 1, height: int = 500) -> Job:
    """Work on a made-up tip. Its target is out of reach, so that no share is a block."""
    template = empty_template(
        height=height,
        previous_hash=bytes([tip]) * 32,
        version=0x2000_0000,
        bits=0x1D00FFFF,
        time_s=int(server.now_s()),
        time_min_s=int(server.now_s()) - 600,
        subsidy_sat=625_000_000,
    )
    outputs = [TxOut(625_000_000, bytes.fromhex("0014751e76e8199196d454941c45d1b3a323f1433bd6"))]
    number = next(NUMBERS)
    return Job(number, template, coinbase_of(template, outputs, b"/test/", number), made_at_s=server.now_s())


class Bed:
    """A server that listens, and its folder."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.folder = folder
        self.server = PoolServer(
            ShareLog(folder),
            on_block=lambda *_: None,
            difficulty=options.pop("difficulty", Difficulty(start=EASY, minimum=EASY, shares_per_minute=60.0)),
            **options,
        )
        self.port = 0
        self._upkeep: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Bed":
        self.server.publish(job(self.server))
        self.port = await self.server.listen("127.0.0.1", 0)
        self._upkeep = asyncio.create_task(self.server.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._upkeep is not None
        self._upkeep.cancel()
        await asyncio.gather(self._upkeep, return_exceptions=True)
        self.server.gate.send_away("the test ends")
        await asyncio.sleep(0.05)
        self.server.log.close()

    def kept(self) -> list[tuple[str, float]]:
        """Worker and difficulty of every share in the log."""
        return [(name, share.difficulty) for path in files_of(self.folder) for share, name in read_shares(path)]


@pytest.fixture
async def bed(tmp_path: Path) -> AsyncIterator[Bed]:
    async with Bed(tmp_path) as made:
        yield made


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 -- the server's state
            await asyncio.sleep(0.005)


async def error_of(miner: Miner, fields: list[str], worker: str = "acct.one") -> list[Any]:
    return (await miner.submit(fields, worker))["error"]


async def test_a_valid_share_is_accepted_and_kept(bed: Bed) -> None:
    miner = await Miner.connect(bed.port)

    answer = await miner.submit(miner.solve())

    assert answer["result"] is True
    assert answer["error"] is None
    assert bed.kept() == [("acct.one", EASY)]
    miner.close()


async def test_a_name_with_spaces_around_it_is_the_same_name_in_its_shares(bed: Bed) -> None:
    miner = await Miner.connect(bed.port, worker=" acct.one ")
    usual, odd = miner.solve(), miner.solve(extranonce2=1)

    assert (await miner.submit(usual, " acct.one "))["result"] is True
    assert (await miner.submit(["0x" + odd[0], *odd[1:2], "0x" + odd[2], odd[3]], "acct.one "))["result"] is True
    assert [name for name, _difficulty in bed.kept()] == ["acct.one"] * 2
    miner.close()


async def test_a_flood_of_names_is_refused_and_known_workers_are_not(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    first = await Miner.connect(bed.port)
    monkeypatch.setattr("mbongi.pool.daemon.share_log.NAMES_MAX", 1)

    assert bed.server.refusal("acct.one") == ""
    assert bed.server.refusal("acct.two") == "The pool has no room for more workers at present"
    again = await Miner.connect(bed.port)
    assert (await again.submit(again.solve()))["result"] is True

    monkeypatch.undo()
    assert bed.server.refusal("acct.two") == ""
    first.close()
    again.close()


async def test_sessions_are_saved_one_after_the_other(
    bed: Bed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once: list[int] = [0, 0]

    def slow(*_: Any) -> None:
        at_once[0] += 1
        at_once[1] = max(at_once)
        time.sleep(0.1)
        at_once[0] -= 1

    monkeypatch.setattr("mbongi.pool.daemon.server.write_sessions", slow)
    await asyncio.gather(*[bed.server.save_sessions(tmp_path / "sessions") for _ in range(3)])
    assert at_once == [0, 1]


async def test_the_same_share_twice_is_a_duplicate_and_counts_once(bed: Bed) -> None:
    miner = await Miner.connect(bed.port)
    fields = miner.solve()
    await miner.submit(fields)

    assert (await error_of(miner, fields))[0] == 22
    assert len(bed.kept()) == 1
    miner.close()


async def test_the_same_nonce_on_another_connection_is_other_work(bed: Bed) -> None:
    miners = [await Miner.connect(bed.port) for _ in range(2)]
    assert miners[0].extranonce1 != miners[1].extranonce1

    answers = [await miner.submit(miner.solve()) for miner in miners]

    assert [answer["result"] for answer in answers] == [True, True]
    for miner in miners:
        miner.close()


async def test_each_kind_of_bad_share_has_its_code(bed: Bed) -> None:
    miner = await Miner.connect(bed.port)
    assert miner.work is not None
    number, extranonce2, time_text, nonce = miner.solve()
    late = f"{int(bed.server.now_s()) + 7200:08x}"
    early = f"{int(bed.server.now_s()) - 700:08x}"
    worthless = [await error_of(miner, [number, "00" * 7 + "07", time_text, f"{each:08x}"]) for each in range(8)]

    codes = [
        (await error_of(miner, [number, extranonce2, time_text, nonce], worker="acct.other"))[0],
        (await error_of(miner, ["7fffffff00", extranonce2, time_text, nonce]))[0],
        (await error_of(miner, ["zz", extranonce2, time_text, nonce]))[0],
        (await error_of(miner, [number, extranonce2[2:], time_text, nonce]))[0],
        (await error_of(miner, [number, extranonce2, late, nonce]))[0],
        (await error_of(miner, [number, extranonce2, early, nonce]))[0],
        (await error_of(miner, [number, extranonce2, time_text, nonce, "00000001"]))[0],
        (await error_of(miner, [number]))[0],
    ]

    assert [23, "Low difficulty share", None] in worthless  # each of the eight has a chance of 1 in 256 to be good
    assert codes == [24, 21, 21, 20, 20, 20, 20, 20]
    assert bed.server.statistics.rejected[Reject.TIME_OUT_OF_RANGE] == 2
    assert bed.server.statistics.rejected[Reject.VERSION_OUT_OF_RANGE] == 1
    assert len(bed.kept()) == bed.server.statistics.accepted
    miner.close()


async def test_a_share_before_subscribing_is_told_so(bed: Bed) -> None:
    miner = Miner(*await asyncio.open_connection("127.0.0.1", bed.port))
    assert (await error_of(miner, ["1", "00" * 8, "00000000", "00000000"]))[0] == 25
    miner.close()


async def test_a_new_tip_makes_old_work_stale_and_a_refresh_does_not(bed: Bed) -> None:
    miner = await Miner.connect(bed.port)
    first, second = miner.solve(), miner.solve(extranonce2=1)

    bed.server.publish(job(bed.server))
    refreshed = await miner.submit(first)
    bed.server.publish(job(bed.server, tip=2))
    stale = await error_of(miner, second)
    await miner.drain()

    assert refreshed["result"] is True
    assert stale[0] == 21
    assert [each["params"][8] for each in miner.notices if each["method"] == "mining.notify"][-2:] == [False, True]
    miner.close()


async def test_a_share_of_a_tip_that_was_left_counts_no_second_time_once_the_tip_is_back(bed: Bed) -> None:
    miner = await Miner.connect(bed.port)
    fields = miner.solve()
    assert (await miner.submit(fields))["result"] is True

    bed.server.publish(job(bed.server, tip=2))
    bed.server.publish(job(bed.server))
    await miner.catch_up(bed.server.newest_number)
    assert miner.work is not None
    again = [miner.work.job, *fields[1:]]
    await miner.submit(again)

    assert again[0] != fields[0]
    hashes = [share.hash for path in files_of(bed.folder) for share, _ in read_shares(path)]
    assert len(set(hashes)) == len(hashes) >= 1
    miner.close()


async def test_a_new_difficulty_counts_for_the_work_told_with_it_and_not_before(bed: Bed) -> None:
    miner = await Miner.connect(bed.port)
    before = miner.solve()

    await miner.ask("mining.suggest_difficulty", [EASY * 16])
    await miner.drain()
    old = await miner.submit(before)
    new = await miner.submit(miner.solve(extranonce2=1))  # the same work: its first nonce may be the same share

    assert (old["result"], new["result"]) == (True, True)
    assert miner.difficulty == EASY * 16
    assert [difficulty for _worker, difficulty in bed.kept()] == [EASY, EASY * 16]
    miner.close()


async def test_a_minimum_difficulty_is_taken_on(bed: Bed) -> None:
    miner = await Miner.connect(bed.port)
    answer = await miner.ask("mining.configure", [["minimum-difficulty", "x"], {"minimum-difficulty.value": EASY * 4}])
    await miner.drain()

    assert answer["result"] == {"minimum-difficulty": True, "x": False}
    assert miner.difficulty == EASY * 4
    miner.close()


async def test_a_lost_connection_goes_on_where_it_was(bed: Bed) -> None:
    miner = await Miner.connect(bed.port)
    fields = miner.solve()
    miner.close()
    await asyncio.sleep(0.1)

    again = await Miner.connect(bed.port, session=miner.session)
    stranger = await Miner.connect(bed.port, session="0123456789abcdef")

    assert (again.session, again.extranonce1) == (miner.session, miner.extranonce1)
    assert stranger.extranonce1 != miner.extranonce1
    assert (await again.submit(fields))["result"] is True
    for each in (again, stranger):
        each.close()


async def test_while_the_log_cannot_be_written_no_share_is_accepted_and_none_is_lost(
    bed: Bed, monkeypatch: pytest.MonkeyPatch
) -> None:
    miner = await Miner.connect(bed.port)
    fields = miner.solve()
    write = os.write

    def full(descriptor: int, data: bytes) -> int:
        write(descriptor, data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mbongi.pool.daemon.share_log.os.write", full)
    refused = await error_of(miner, fields)
    monkeypatch.undo()
    answer = await miner.submit(fields)

    assert refused[:2] == [20, "Pool cannot keep shares at present"]
    assert answer["result"] is True
    assert bed.kept() == [("acct.one", EASY)]
    miner.close()


@pytest.mark.parametrize(
    "junk", [b"\xff\xfe\n" * 40, b"[]\n" * 40, b'{"id":1,"method":"no.such"}\n' * 40, b"x" * 20_000]
)
async def test_nonsense_ends_its_connection_and_leaves_others_alone(bed: Bed, junk: bytes) -> None:
    honest = await Miner.connect(bed.port)
    reader, writer = await asyncio.open_connection("127.0.0.1", bed.port)
    writer.write(junk)

    async with asyncio.timeout(10):
        with contextlib.suppress(ConnectionResetError):
            while await reader.read(65_536):
                pass
    writer.close()

    assert (await honest.submit(honest.solve()))["result"] is True
    honest.close()


async def test_a_reader_that_does_not_read_is_dropped_and_nobody_waits_for_it(bed: Bed) -> None:
    honest, slow = [await Miner.connect(bed.port) for _ in range(2)]
    lazy = next(session for session in bed.server.sessions if session.extranonce1 == slow.extranonce1)
    assert lazy.transport is not None
    slow._reader._transport.pause_reading()  # type: ignore[attr-defined]

    async with asyncio.timeout(120):
        while lazy.transport is not None:
            for _ in range(200):
                bed.server.publish(job(bed.server))
            await honest.catch_up(bed.server.newest_number)

    assert len(bed.server.sessions) == 1
    assert (await honest.submit(honest.solve()))["result"] is True
    for each in (honest, slow):
        each.close()


async def test_a_connection_that_cannot_be_answered_does_not_have_others_shares_kept_twice(
    bed: Bed, monkeypatch: pytest.MonkeyPatch
) -> None:
    miners = [await Miner.connect(bed.port) for _ in range(2)]
    first, second = [next(each for each in bed.server.sessions if each.extranonce1 == m.extranonce1) for m in miners]
    shares = [miner.solve(extranonce2=number) for number, miner in enumerate([miners[0], miners[1], miners[1]])]
    monkeypatch.setattr(type(first), "flush", _broken_for(first, type(first).flush))

    for session, fields in ((first, shares[0]), (second, shares[1])):  # in one turn of the loop
        session.data_received(
            json.dumps({"id": 9, "method": "mining.submit", "params": ["acct.one", *fields]}).encode() + b"\n"
        )
    async with asyncio.timeout(20):
        while (await miners[1].read()).get("id") != 9:
            pass
    assert (await miners[1].submit(shares[2]))["result"] is True

    assert len(bed.kept()) == 3
    for miner in miners:
        miner.close()


def _broken_for(one: Any, flush: Any) -> Any:
    def tried(session: Any, *, kept: bool) -> None:
        if session is one:
            session.out = []
            raise ValueError("what cannot be written")
        flush(session, kept=kept)

    return tried


async def test_one_connections_nonsense_counts_once_against_its_address(tmp_path: Path) -> None:
    async with Bed(tmp_path, limits=Limits(strikes_max=2)) as bed:
        reader, writer = await asyncio.open_connection("127.0.0.1", bed.port)
        writer.write(b"[]\n" * 200)
        with contextlib.suppress(ConnectionResetError):
            await reader.read()
        writer.close()

        (await Miner.connect(bed.port)).close()


async def test_an_address_has_its_share_of_connections(tmp_path: Path) -> None:
    async with Bed(tmp_path, limits=Limits(per_address_max=2)) as bed:
        miners = [await Miner.connect(bed.port) for _ in range(2)]
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            await Miner.connect(bed.port)
        assert bed.server.gate.refused == 1
        for each in miners:
            each.close()


async def test_who_misbehaves_often_is_shut_out_for_a_while(tmp_path: Path) -> None:
    async with Bed(tmp_path, limits=Limits(strikes_max=2, ban_s=0.6)) as bed:
        for _ in range(2):
            _reader, writer = await asyncio.open_connection("127.0.0.1", bed.port)
            writer.write(b"x" * 20_000)
            with contextlib.suppress(ConnectionResetError):
                await _reader.read()
            writer.close()
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            await Miner.connect(bed.port)
        await asyncio.sleep(0.7)
        (await Miner.connect(bed.port)).close()


async def test_odd_requests_get_answers(bed: Bed) -> None:
    miner = await Miner.connect(bed.port)
    answers = [
        await miner.ask("mining.ping", []),
        await miner.ask("mining.extranonce.subscribe", []),
        await miner.ask("mining.get_transactions", []),
        await miner.ask("mining.suggest_difficulty", ["x"]),
        await miner.ask("mining.suggest_difficulty", [1e300]),
        await miner.ask("mining.authorize", []),
    ]
    assert [answer["result"] for answer in answers[:3]] == ["pong", True, []]
    assert [answer["error"][0] for answer in answers[3:]] == [20, 20, 20]
    assert json.dumps(answers)
    miner.close()


async def test_shares_of_before_a_restart_are_known_while_their_jobs_may_come_and_no_longer(tmp_path: Path) -> None:
    now_s = [1_000_000.0]
    server = PoolServer(ShareLog(tmp_path), on_block=lambda *_: None, clock=SteadyClock(monotonic=lambda: now_s[0]))
    server.expect({7: {b"12345678"}, 8: {b"abcdefgh"}})
    now_s[0] += JOB_S_MAX + 1
    server._forget_old_marks()
    without_work = dict(server._marks)
    server.publish(job(server))
    server._forget_old_marks()
    server.log.close()

    assert set(without_work) == {7, 8}, "the newest job may still be one of them"
    assert server._marks == {}


async def test_the_share_of_a_block_is_answered_once_the_block_is_kept_and_others_shares_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Bed(tmp_path) as bed:
        keeping: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        bed.server._on_block = lambda *_: keeping
        miner, other = await Miner.connect(bed.port), await Miner.connect(bed.port, worker="acct.two")
        bed.server.found_block(job(bed.server), bytes(80), bytes(13), "acct.one")
        answers = [
            asyncio.create_task(each.submit(each.solve(), name))
            for each, name in ((miner, "acct.one"), (other, "acct.two"))
        ]
        await until(lambda: len(bed.server._held) == 2)
        before = bed.kept()
        keeping.set_result(None)
        told = [(await each)["result"] for each in answers]
        after = bed.kept()
        monkeypatch.setattr("mbongi.pool.daemon.server.KEEP_S_MAX", 0.05)
        hanging: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        bed.server._on_block = lambda *_: hanging
        bed.server.found_block(job(bed.server), bytes([1]) * 80, bytes(13), "acct.one")
        late = await miner.submit(miner.solve(rolled=1 << 13))
        for each in (miner, other):
            each.close()

    assert before == []
    assert told == [True, True]
    assert sorted(after) == [("acct.one", EASY), ("acct.two", EASY)]
    assert late["result"] is True, "a disk that hangs does not end the mining"


async def test_while_a_block_is_being_kept_new_work_follows_what_waits_and_others_are_answered(tmp_path: Path) -> None:
    async with Bed(tmp_path) as bed:
        keeping: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        bed.server._on_block = lambda *_: keeping
        miner, other = await Miner.connect(bed.port), await Miner.connect(bed.port, worker="acct.two")
        bed.server.found_block(job(bed.server), bytes(80), bytes(13), "acct.one")
        answer = asyncio.create_task(miner.submit(miner.solve()))
        await until(lambda: len(bed.server._held) == 1)
        [session] = bed.server._held
        session._retarget(EASY * 2)  # the new difficulty, with the work of the old tip, waits behind the answer
        newest = job(bed.server, tip=2, height=501)
        bed.server.publish(newest)
        refused = await error_of(other, other.solve(), "acct.unknown")
        keeping.set_result(None)
        kept = (await answer)["result"]
        await miner.ask("mining.ping", [])
        assert miner.work is not None
        works_on, difficulty = int(miner.work.job, 16) // GENERATIONS, miner.difficulty
        miner.close()
        other.close()

    assert refused is not None, "answered while the block was being kept"
    assert kept is True
    assert difficulty == EASY * 2
    assert works_on == newest.number, "the last work that the miner was told"
