"""What the pool keeps of its workers, through a real bus, ingester and store, and read again."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from mbongi.core.bus.client import Bus
from mbongi.core.bus.errors import BusUnavailable
from mbongi.core.telemetry.outgoing import Outgoing
from mbongi.pool import telemetry
from mbongi.pool.daemon.reporting import Reporter
from mbongi.pool.rules.vardiff import HASHES_PER_DIFFICULTY
from mbongi.pool.status import STATUS_SUBJECT, PoolStatus, merged
from mbongi.pool.telemetry import WORKER, worker_number
from tests.core.data_plane import DataPlane
from tests.pool.daemon.test_server import Bed, Miner

pytestmark = pytest.mark.system

MINUTES = 180
NOW = datetime.now(UTC).replace(second=0, microsecond=0)
HS = HASHES_PER_DIFFICULTY / 60


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DataPlane]:
    with DataPlane(tmp_path_factory.mktemp("pool-telemetry")) as running:
        yield running


@pytest.fixture(scope="module")
def kept(plane: DataPlane) -> DataPlane:
    """Two workers for three hours, a third for one minute an hour ago."""
    asyncio.run(_publish(plane))
    plane.wait_stored(2 * MINUTES + 1, WORKER)
    return plane


async def _publish(plane: DataPlane) -> None:
    outgoing = Outgoing(WORKER, "test")
    for minute in range(1, MINUTES + 1):
        at = NOW - timedelta(minutes=minute)
        rows = [
            _row(at, "north.one", "cgminer/4.12", shares=6, difficulty=1024.0, rejected_stale=1),
            _row(at, "south.two", "bosminer/24.1", shares=2, difficulty=2048.0, best=1e6 + minute),
        ]
        if minute == 60:
            rows.append(_row(at, "south.odd%_'", "cgminer/4.12", shares=0, difficulty=512.0, rejected_duplicate=3))
        outgoing.put(rows)
    bus = await Bus.open(plane.config, name="test")
    await outgoing.drain(bus, 30)
    await bus.close()


def _row(at: datetime, worker: str, agent: str, *, shares: int, difficulty: float, best: float = 0.0, **rejects: int):
    return {
        "ts": at,
        "machine_id": worker_number(worker),
        "tenant_id": 0,
        "worker": worker,
        "account": worker.partition(".")[0],
        "agent": agent,
        "protocol": 1,
        "shard": 0,
        "shares": shares,
        "work": shares * difficulty,
        "work_squared": shares * difficulty**2,
        "hardest": difficulty,
        "best": best,
        "blocks": 0,
        "expected_blocks": 0.001,
        "rejected": sum(rejects.values()),
        **{f"rejected_{reason}": 0 for reason in telemetry.REASONS},
        **rejects,
        "covered_s": 60.0,
    }


def test_the_pools_series_adds_workers_up_and_states_its_interval(kept: DataPlane) -> None:
    found = telemetry.series(kept.store(), hours=1, now=NOW)
    assert len(found.at) == 60
    assert found.step_s == 60
    assert found.value.tolist() == pytest.approx([(6 * 1024 + 2 * 2048) * HS] * 60)
    assert (found.low < found.value).all()
    assert (found.high > found.value).all()
    assert found.newest_at == NOW


def test_a_young_pool_gets_fine_steps_and_an_old_one_few_points(kept: DataPlane) -> None:
    day = telemetry.series(kept.store(), hours=24, now=NOW)
    assert (day.step_s, len(day.at)) == (60, MINUTES)
    assert [telemetry.step_of(hours) for hours in (1, 6, 24, 168, 744)] == [60, 60, 300, 1800, 21_600]
    later = telemetry.series(kept.store(), hours=24, now=NOW + timedelta(hours=20))
    assert later.step_s == 300
    assert later.value[5] == pytest.approx(day.value[5])
    assert (later.high[5] - later.low[5]) < (day.high[5] - day.low[5]) / 2


def test_accounts_narrow_every_answer(kept: DataPlane) -> None:
    store, north = kept.store(), ["north"]
    assert telemetry.series(store, hours=1, accounts=north, now=NOW).value[0] == pytest.approx(6 * 1024 * HS)
    assert [row.worker for row in telemetry.workers(store, accounts=north, now=NOW).rows] == ["north.one"]
    assert [row.agent for row in telemetry.rejects(store, accounts=north, now=NOW)] == ["cgminer/4.12"]
    assert telemetry.totals(store, accounts=north, hours=1, now=NOW).tally.shares == 360
    assert telemetry.workers(store, accounts=[], now=NOW).rows == []
    assert telemetry.totals(store, accounts=[], now=NOW).newest_at is None


def test_workers_are_found_sorted_and_paged(kept: DataPlane) -> None:
    store = kept.store()
    page = telemetry.workers(store, sort="-hashrate", now=NOW)
    assert page.total == 3
    assert [row.worker for row in page.rows] == ["north.one", "south.two", "south.odd%_'"]
    first, second, third = page.rows
    assert first.hour.value == pytest.approx(6 * 1024 * HS)
    assert (first.shares, first.rejected, first.reject_pct) == (1080, 180, pytest.approx(100 / 7))
    assert second.best == 1e6 + MINUTES
    assert third.last_share_at is None
    assert third.day.high > 0
    assert [row.worker for row in telemetry.workers(store, text="%_'", now=NOW).rows] == ["south.odd%_'"]
    assert [row.worker for row in telemetry.workers(store, sort="worker", limit=1, offset=1, now=NOW).rows] == [
        "south.odd%_'"
    ]
    assert [row.worker for row in telemetry.workers(store, worker="south.two", now=NOW).rows] == ["south.two"]


def test_rejects_are_told_by_firmware_and_reason(kept: DataPlane) -> None:
    cgminer, bosminer = telemetry.rejects(kept.store(), now=NOW)
    assert (cgminer.agent, cgminer.accepted, cgminer.rejected) == ("cgminer/4.12", 1080, 183)
    assert cgminer.reasons == {"stale": 180, "unknown_job": 0, "duplicate": 3, "low_difficulty": 0, "other": 0}
    assert (bosminer.rejected, bosminer.pct) == (0, 0.0)


@pytest.fixture
async def bed(tmp_path: Path) -> AsyncIterator[Bed]:
    async with Bed(tmp_path) as made:
        yield made


async def until(is_so: Callable[[], bool]) -> None:
    """Wait for a condition that nothing announces."""
    async with asyncio.timeout(30):
        while not is_so():  # noqa: ASYNC110
            await asyncio.sleep(0.05)


def reporter(bed: Bed, connect) -> Reporter:
    return Reporter(
        bed.server,
        connect=connect,
        nodes=lambda: (),
        newest_fees_sat=lambda: 7_000,
        template_age_s=lambda: 1.5,
        is_template_stale=lambda: False,
        trouble=lambda: "",
    )


async def test_a_pool_process_tells_its_state_and_its_workers_minutes(bed: Bed, plane: DataPlane) -> None:
    heard: list[PoolStatus] = []
    ear = await Bus.open(plane.config, name="ear")
    await ear.hear(f"{STATUS_SUBJECT}.*", lambda data: heard.append(msgspec.json.decode(data, type=PoolStatus)))

    async def connect() -> Bus:
        bus = await Bus.open(plane.config, name="pool")
        await bus.ensure_streams(plane.config)
        return bus

    telling = reporter(bed, connect)
    work = asyncio.create_task(telling.run())
    miner = await Miner.connect(bed.port, worker="east.nine")
    for number in range(3):
        await miner.submit(miner.solve(extranonce2=number), "east.nine")
    await miner.submit(["ffff00", "00" * 8, "00000000", "00000000"], "east.nine")
    await until(lambda: bool(heard and heard[-1].accepted == 3 and heard[-1].workers == 1 and heard[-1].best))
    status = merged(heard[-1:])
    assert status is not None
    assert (status.v1_connections, status.v2_connections, status.rejected) == (1, 0, {"unknown_job": 1})
    assert status.best is not None
    assert status.best.worker == "east.nine"
    assert status.template is not None
    assert (status.template.best_fees_sat, status.template.age_s) == (7_000, 1.5)
    miner.close()
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)
    await telling.close()
    await ear.close()
    store = plane.store()
    await until(lambda: bool(telemetry.workers(store, text="east.").rows))
    found = telemetry.workers(store, text="east.").rows
    assert [(row.worker, row.agent, row.shares, row.rejected) for row in found] == [("east.nine", "test/1.0", 3, 1)]


async def test_miners_notice_nothing_of_a_bus_that_is_away(bed: Bed) -> None:
    async def connect() -> Bus:
        raise BusUnavailable("nobody there")

    telling = reporter(bed, connect)
    work = asyncio.create_task(telling.run())
    miner = await Miner.connect(bed.port)
    assert (await miner.submit(miner.solve()))["result"] is True
    await until(lambda: telling.status(bed.server.now_s()).best is not None)
    assert not work.done()
    miner.close()
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)
    await telling.close()
