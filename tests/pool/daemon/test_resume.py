"""Sessions and work over a restart of the process: the same folder, another server."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from mbongi.pool.daemon.counters import EXTRANONCE_NUMBERS, DurableCounter, Extranonces
from mbongi.pool.daemon.job_store import JobStore, marks_of
from mbongi.pool.daemon.sessions import RESUME_S_MAX, Kept, Sessions, shard_of
from tests.pool.daemon.test_server import EASY, Bed, error_of, job
from tests.pool.practice import Miner


class Process(Bed):
    """A server that takes up what the one before it left in the folder, as ``run`` has it do."""

    def __init__(self, folder: Path, **options: Any) -> None:
        numbers = DurableCounter(folder / "extranonces", below=EXTRANONCE_NUMBERS, step=16)
        super().__init__(folder / "shares", extranonces=Extranonces(3, numbers), shard=3, **options)
        self.file, self.jobs = folder / "sessions", JobStore(folder / "jobs")
        server = self.server
        server.expect(marks_of(self.folder, since_unix_s=0.0))
        server.resumable.read(self.file)
        server.restore(self.jobs.newest(unix_s=server.clock.unix_s(), now_s=server.now_s(), age_s_max=600.0))

    async def __aenter__(self) -> "Process":
        if self.server.current_job is None:
            first = job(self.server)
            self.jobs.keep(first)
            self.server.publish(first)
        self.port = await self.server.listen("127.0.0.1", 0)
        self._upkeep = asyncio.create_task(self.server.run())
        return self

    async def save(self) -> None:
        await self.server.save_sessions(self.file)


@pytest.fixture
async def first(tmp_path: Path) -> AsyncIterator[Process]:
    async with Process(tmp_path) as made:
        yield made


async def test_a_miner_goes_on_where_it_was_when_the_process_is_another(first: Process, tmp_path: Path) -> None:
    miner = await Miner.connect(first.port)
    await miner.ask("mining.suggest_difficulty", [EASY * 8])
    await miner.drain()
    counted, found_meanwhile = miner.solve(), miner.solve(extranonce2=1)
    assert (await miner.submit(counted))["result"] is True
    await first.save()

    async with Process(tmp_path) as second:
        again = await Miner.connect(second.port, session=miner.session)
        await again.drain()
        accepted = await again.submit(found_meanwhile)
        replayed = [await error_of(again, fields) for fields in (counted, found_meanwhile)]
        again.close()

        assert (again.session, again.extranonce1) == (miner.session, miner.extranonce1)
        assert again.difficulty == EASY * 8
        assert accepted["result"] is True
        assert [each[0] for each in replayed] == [22, 22]
        assert second.kept() == [("acct.one", EASY * 8)] * 2
    miner.close()


async def test_a_session_is_taken_up_once(first: Process, tmp_path: Path) -> None:
    miner = await Miner.connect(first.port)
    await first.save()

    async with Process(tmp_path) as second:
        one = await Miner.connect(second.port, session=miner.session)
        two = await Miner.connect(second.port, session=miner.session)

        assert one.extranonce1 == two.extranonce1 == miner.extranonce1
        with pytest.raises(ConnectionResetError):
            await one.read_on()
        assert (await two.submit(two.solve()))["result"] is True
        for each in (one, two):
            each.close()
    miner.close()


async def test_after_a_kill_nobody_gets_a_part_of_the_search_space_that_another_had(
    first: Process, tmp_path: Path
) -> None:
    known = [await Miner.connect(first.port) for _ in range(3)]
    await first.save()
    unknown = [await Miner.connect(first.port) for _ in range(3)]  # these came after the file was written

    async with Process(tmp_path) as second:
        new = [await Miner.connect(second.port, session=each.session) for each in unknown]
        resumed = [await Miner.connect(second.port, session=each.session) for each in known]

        parts = [each.extranonce1 for each in (*known, *unknown, *new)]
        assert len(set(parts)) == 9
        assert {part[0] for part in parts} == {3}
        assert [each.extranonce1 for each in resumed] == [each.extranonce1 for each in known]
        for each in (*new, *resumed):
            each.close()
    for each in (*known, *unknown):
        each.close()


async def test_shares_for_work_that_was_not_kept_are_unknown_and_not_counted(first: Process, tmp_path: Path) -> None:
    miner = await Miner.connect(first.port)
    fields = miner.solve()
    await first.save()
    for path in (tmp_path / "jobs").glob("*.job"):
        path.write_bytes(path.read_bytes()[:-1])

    async with Process(tmp_path) as second:
        again = await Miner.connect(second.port, session=miner.session)
        answer = await error_of(again, fields)
        again.close()

        assert answer[0] == 21
        assert second.kept() == []
    miner.close()


async def test_miners_are_asked_to_reconnect_and_get_their_last_answers(first: Process) -> None:
    miner = await Miner.connect(first.port)
    parting = asyncio.create_task(first.server.part(within_s=10.0))
    answer = await miner.submit(miner.solve())
    await miner.drain()
    asked = [each for each in miner.notices if each["method"] == "client.reconnect"]
    miner.close()
    await parting

    assert answer["result"] is True
    assert [each["params"] for each in asked] == [[]]
    with pytest.raises(OSError, match="111"):
        await Miner.connect(first.port)


@pytest.mark.parametrize("junk", [b"", b"\x93", b"nonsense" * 100])
async def test_a_damaged_file_of_sessions_only_means_new_sessions(tmp_path: Path, junk: bytes) -> None:
    (tmp_path / "sessions").write_bytes(junk)
    async with Process(tmp_path) as bed:
        (await Miner.connect(bed.port)).close()


def test_what_was_lost_long_ago_is_forgotten_and_its_part_is_free() -> None:
    now_s = [1_000_000.0]
    parts = Extranonces(0, iter([1, 1, 1]))
    sessions = Sessions(0, parts, lambda: now_s[0])
    name = sessions.new_id()
    taken = parts.take()
    sessions.lose(kept_session(name, taken, now_s[0]))
    now_s[0] += RESUME_S_MAX + 1

    assert sessions.take(name) is None
    assert parts.take() == taken


def test_a_session_names_the_process_that_keeps_it() -> None:
    assert shard_of(Sessions(171, Extranonces(171, iter(())), lambda: 0.0).new_id()) == 171
    assert [shard_of(text) for text in ("", "deadbeef", "z" * 18, "00" * 9)] == [None, None, None, 0]


def kept_session(name: str, extranonce1: bytes, lost_at_s: float) -> Kept:
    return Kept(name, extranonce1, ((1, 1.0, 0, 1 << 62),), 0, 0, ("acct.one",), lost_at_s)
