"""Measuring the site's power goes on whatever the database does; a meter is walked no further than its registers go."""

import asyncio
import math
from typing import Any

import pytest

from mbongi.fleet.adapters.sunspec_meter import SunSpecMeter
from mbongi.fleet.daemon import metering
from mbongi.fleet.daemon.metering import Metering
from mbongi.fleet.power_figures import PowerFigures
from mbongi.fleet.rules.metering import Measured, MeterTrouble
from mbongi.wire import sunspec
from mbongi.wire.sunspec import SunSpecError

OFTEN = 4


class StuckDatabase:
    """Takes one call and never ends it."""

    def __init__(self) -> None:
        self.calls = 0

    async def call(self, *_: Any, **__: Any) -> None:
        self.calls += 1
        await asyncio.Event().wait()


class FakeMeter:
    """Reads more each time, or always the same."""

    name = "fake"

    def __init__(self, power_w: float, *, moves: bool = True) -> None:
        self.reads, self.power_w, self.moves = 0, power_w, moves
        self.read_often = asyncio.Event()

    async def read(self) -> Measured:
        self.reads += 1
        if self.reads == OFTEN:
            self.read_often.set()
        number = self.reads if self.moves else 0
        return Measured(self.power_w + number, 50.0, (203, number))

    def close(self) -> None:
        pass


def metering_of(database: StuckDatabase, *meters: FakeMeter) -> Metering:
    addresses = [f"127.0.0.1:{number}" for number in range(1, len(meters) + 1)]
    found = Metering(addresses, database, PowerFigures(), fast_s=10.0, is_whole=lambda: True)  # type: ignore[arg-type]
    found._meters = list(meters)
    return found


async def test_the_meter_is_read_although_the_database_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metering, "PERIOD_S", 0.0)
    database, meter = StuckDatabase(), FakeMeter(100e3)
    running = asyncio.create_task(metering_of(database, meter).run())
    try:
        async with asyncio.timeout(5):
            await meter.read_often.wait()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    assert database.calls == 1


async def test_one_of_two_meters_that_stands_still_leaves_the_power_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter(range(100))
    monkeypatch.setattr(metering, "monotonic_s", lambda: float(next(seconds)))
    found = metering_of(StuckDatabase(), FakeMeter(100e3), FakeMeter(50e3, moves=False))

    readings = [await found._measure() for _reading in range(5)]

    assert readings[0].power_w == pytest.approx(150e3, rel=1e-3)
    assert readings[4].power_w is None
    assert readings[4].trouble == MeterTrouble.FROZEN
    assert math.isnan(found.sight().power_w)


async def test_a_feeder_that_is_switched_off_is_no_meter_that_stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter(range(100))
    monkeypatch.setattr(metering, "monotonic_s", lambda: float(next(seconds)))
    found = metering_of(StuckDatabase(), FakeMeter(100e3), FakeMeter(0.0, moves=False))

    readings = [await found._measure() for _reading in range(8)]

    assert readings[7].power_w == pytest.approx(100e3, rel=1e-3)


async def test_a_length_that_leads_beyond_the_last_register_is_no_meter(monkeypatch: pytest.MonkeyPatch) -> None:
    meter = SunSpecMeter("127.0.0.1:1")

    async def registers(address: int, count: int) -> tuple[int, ...]:
        assert address + count <= 1 << 16
        return sunspec.MARK if address == sunspec.BASES[0] else (1, 0xFFF0)

    monkeypatch.setattr(meter, "_registers", registers)
    with pytest.raises(SunSpecError):
        await meter._find()
