"""Jobs over a real bus, from the process that makes them to those that serve miners."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from mbongi.core.bus.client import Bus, bus_token
from mbongi.pool.daemon.job_stream import Beat, JobFeed, JobStream
from mbongi.pool.daemon.steady_clock import SteadyClock
from mbongi.pool.rules.job import Job, coinbase_of
from mbongi.pool.rules.template import KnownTransactions, empty_template, template_of
from mbongi.wire.bitcoin.transaction import TxOut
from tests.core.data_plane import DataPlane
from tests.pool.rules.test_template import SCRIPT, reply

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DataPlane]:
    with DataPlane(tmp_path_factory.mktemp("bus"), processes=("bus",)) as made:
        yield made


def job(number: int, *, tip: int = 1, full: bool = False) -> Job:
    if full:
        template = template_of(reply(previousblockhash=f"{tip:064x}"), known=KnownTransactions())
    else:
        template = empty_template(
            height=9,
            previous_hash=tip.to_bytes(32, "little"),
            version=4,
            bits=0x1D00FFFF,
            time_s=1000,
            time_min_s=900,
            subsidy_sat=50,
        )
    return Job(
        number, template, coinbase_of(template, [TxOut(template.value_sat, SCRIPT)], b"/t/", number), time.time()
    )


class End:
    """A process that serves miners, as far as jobs concern it."""

    def __init__(self, *, without_work_s: float = 60.0) -> None:
        self.tip = 0
        self.jobs: list[Job] = []
        self.restored: list[Job] = []
        self.troubles: list[str] = []
        self.feed = JobFeed(
            clock=SteadyClock(),
            on_job=self.jobs.append,
            restore=self.restored.extend,
            on_trouble=self.troubles.append,
            is_on_tip=lambda job: job.template.previous_hash == self.tip.to_bytes(32, "little"),
            without_work_s=without_work_s,
        )

    @property
    def numbers(self) -> list[int]:
        return [each.number for each in self.jobs]


class Bench:
    """Both ends on connections of their own."""

    def __init__(self, plane: DataPlane) -> None:
        self._plane = plane
        self._buses: list[Bus] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def bus(self) -> Bus:
        config = self._plane.config
        bus = await Bus.connect(config.bus_url, name="test", token=bus_token(config))
        await bus.ensure_streams(config)
        self._buses.append(bus)
        return bus

    async def stream(self, beat: Callable[[], Beat]) -> JobStream:
        stream = JobStream(beat)
        self._tasks.append(asyncio.create_task(stream.run(await self.bus())))
        return stream

    async def end(self, **options: float) -> End:
        end = End(**options)
        self._tasks.append(asyncio.create_task(end.feed.run(await self.bus())))
        return end

    async def stop(self, task: int = -1) -> None:
        self._tasks[task].cancel()
        await asyncio.gather(self._tasks.pop(task), return_exceptions=True)

    async def close(self) -> None:
        while self._tasks:
            await self.stop()
        for bus in self._buses:
            await bus.close()


@pytest.fixture
async def bench(plane: DataPlane) -> AsyncIterator[Bench]:
    made = Bench(plane)
    bus = await made.bus()
    await bus.js.purge_stream("JOBS")
    try:
        yield made
    finally:
        await made.close()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 -- another task's state
            await asyncio.sleep(0.02)


async def test_every_job_reaches_every_process_once_with_its_transactions(bench: Bench) -> None:
    ends = [await bench.end() for _ in range(2)]
    newest = [0]
    stream = await bench.stream(lambda: Beat(job=newest[0]))
    for made in (job(1), job(2, full=True), job(3, tip=2)):
        stream.publish(made)
        newest[0] = made.number
        await until(lambda number=made.number: all(number in end.numbers for end in ends))
    await asyncio.sleep(1.5)  # beats go on

    assert [end.numbers for end in ends] == [[1, 2, 3]] * 2
    assert ends[0].jobs[1].template == job(2, full=True).template
    assert [end.troubles for end in ends] == [[], []]


async def test_a_process_that_starts_late_has_the_newest_work_and_knows_that_before_it(bench: Bench) -> None:
    newest = [0]
    early, stream = await bench.end(), await bench.stream(lambda: Beat(job=newest[0]))
    for made in (job(5, tip=1), job(6, tip=2, full=True), job(7, tip=2), job(8, tip=2)):
        stream.publish(made)
        newest[0] = made.number
        await until(lambda number=made.number: number in early.numbers)
    await bench.stop()  # the process that makes work is dead

    late = await bench.end()
    await until(lambda: late.jobs)

    assert late.numbers == [8]
    assert [each.number for each in late.restored] == [6, 7], "the tip before is of no use"


async def test_a_job_that_the_bus_lost_is_sent_again_when_somebody_lacks_it(bench: Bench) -> None:
    stream = await bench.stream(lambda: Beat(job=4))
    early = await bench.end()
    stream.publish(job(4))
    await until(lambda: early.jobs)
    await (await bench.bus()).js.purge_stream("JOBS")

    late = await bench.end()
    await until(lambda: late.jobs)

    assert (late.numbers, early.numbers) == ([4], [4])


async def test_trouble_is_passed_on_and_its_end_too(bench: Bench) -> None:
    trouble = ["no node answers"]
    await bench.stream(lambda: Beat(job=0, trouble=trouble[0]))
    end = await bench.end()
    await until(lambda: end.troubles)
    trouble[0] = ""
    await until(lambda: len(end.troubles) == 2)

    assert end.troubles == ["no node answers", ""]


async def test_without_a_word_for_too_long_miners_are_sent_away_until_there_is_one(bench: Bench) -> None:
    await bench.stream(lambda: Beat(job=0))
    end = await bench.end(without_work_s=2.5)
    await until(lambda: end.feed.beat is not None)
    await bench.stop(0)
    await until(lambda: end.troubles)
    await bench.stream(lambda: Beat(job=0))
    await until(lambda: len(end.troubles) == 2)

    assert end.troubles[0].startswith("nothing heard for")
    assert end.troubles[1] == ""


async def test_work_that_is_seen_to_build_on_the_tip_goes_on_without_its_maker_until_the_tip_moves(
    bench: Bench,
) -> None:
    stream, end = await bench.stream(lambda: Beat(job=1)), await bench.end(without_work_s=1.5)
    end.tip = 1
    stream.publish(job(1, tip=1))
    await until(lambda: end.jobs)
    await bench.stop(0)
    await asyncio.sleep(4)
    before = list(end.troubles)
    end.tip = 2
    await until(lambda: end.troubles)

    assert before == []
    assert end.troubles[0].startswith("nothing heard for")


async def test_jobs_of_an_outage_of_the_bus_arrive_after_it(plane: DataPlane, bench: Bench) -> None:
    newest = [1]
    end, stream = await bench.end(), await bench.stream(lambda: Beat(job=newest[0]))
    stream.publish(job(1))
    await until(lambda: end.jobs)

    with contextlib.suppress(KeyError):
        plane.kill("bus")
    for number in (2, 3):
        newest[0] = number
        stream.publish(job(number))
        await asyncio.sleep(0.1)
    await asyncio.to_thread(plane.start, "bus")
    await until(lambda: 3 in end.numbers)

    assert end.numbers[-1] == 3


async def test_what_is_no_job_is_left_alone(bench: Bench, tmp_path: Path) -> None:
    end, bus = await bench.end(), await bench.bus()
    await asyncio.sleep(0.2)
    for junk in (b"", b"x" * 100, bytes(12)):
        await bus.tell("pool.job.0.0", junk)
    await bus.tell("pool.beat", b"{")
    stream = await bench.stream(lambda: Beat(job=1))
    stream.publish(job(1))
    await until(lambda: end.jobs)

    assert end.numbers == [1]
