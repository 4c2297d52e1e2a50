"""The facility process on a real bus: what it tells and answers, and what it keeps while the bus is away."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mbongi.core.bus.client import Bus
from mbongi.core.telemetry.batches import decode_batch
from mbongi.facility import device_rows
from mbongi.facility.daemon.process import FacilityProcess
from mbongi.facility.device_board import (
    DEVICES_SUBJECT,
    OBSERVED_SUBJECT,
    STATUS_SUBJECT,
    TRY_SUBJECT,
    FacilityStatus,
    TryReply,
    TryRequest,
)
from mbongi.facility.device_errors import DeniedError
from mbongi.facility.telemetry import POINT
from mbongi.facility.values import Observation, Protocol, Quality, Quantity
from mbongi.web.live.plant_board import PlantBoard
from tests.core.data_plane import DataPlane
from tests.facility.fake_devices import Plant, target

pytestmark = pytest.mark.system
STREAM = "TELEMETRY"


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[DataPlane]:
    with DataPlane(tmp_path, processes=("bus",)) as running:
        yield running


class Record:
    """Stands for the thread bridge: the record of devices without a database."""

    async def call(self, function: Callable[..., Any], *_args: object) -> object:
        return (1, None) if function is device_rows.version else [target(1, period_s=0.1), target(2, period_s=0.1)]


@contextlib.asynccontextmanager
async def process(plane: DataPlane, plant: Plant, *watches: "Keeping") -> AsyncIterator[FacilityProcess]:
    made = FacilityProcess(plane.config, Record(), listeners=[plant.take], watches=watches)  # type: ignore[arg-type]
    made.polling.wiring = plant  # type: ignore[assignment]
    stop = asyncio.Event()
    running = asyncio.create_task(made.run(stop))
    try:
        yield made
    finally:
        stop.set()
        await running


class Keeping:
    """A watch whose disk is full at first."""

    def __init__(self) -> None:
        self.kept: list[Observation] = []
        self.refusals = 2
        self.is_open = self.is_run = False

    async def open(self) -> None:
        self.is_open = True

    async def run(self) -> None:
        self.is_run = True
        await asyncio.Event().wait()

    async def observe(self, batch: Sequence[Observation]) -> None:
        if self.refusals:
            self.refusals -= 1
            raise OSError("no space left on device")
        self.kept += batch


async def stored(bus: Bus) -> list[tuple[str, float]]:
    """Every row that reached the stream of telemetry, by tag and value."""
    _epoch, last = await bus.stream_position(STREAM)
    found: list[tuple[str, float]] = []
    for number in range(1, last + 1):
        message = await bus.js.get_msg(STREAM, number)
        assert message.data is not None
        batch = decode_batch(POINT, message.data)
        found += zip(batch.texts(POINT, "tag"), batch.array(POINT, "value").tolist(), strict=True)
    return found


async def test_nothing_is_lost_while_the_bus_is_away_and_who_looks_later_knows_all(plane: DataPlane) -> None:
    plant = Plant()
    plant.what = {"M-1": 5.0, "M-2": DeniedError("a wrong secret")}
    async with process(plane, plant) as made:
        await plant.until(lambda: plant.asked.get("M-1", 0) >= 3)
        await asyncio.to_thread(plane.kill, "bus")
        asked = plant.asked["M-1"]
        await plant.until(lambda: plant.asked["M-1"] >= asked + 15 and len(made.outgoing) > 0)
        await asyncio.to_thread(plane.start, "bus")
        await plant.until(lambda: len(made.outgoing) == 0)
        async with asyncio.timeout(20.0):
            await _looked_at(plane)
    bus = await Bus.open(plane.config, name="test")
    rows = [value for _tag, value in await stored(bus)]
    await bus.close()
    assert len(rows) == len(plant.heard)
    assert set(rows) == {5.0}


async def test_a_watch_is_handed_every_observation_and_tried_again_when_it_could_keep_none(plane: DataPlane) -> None:
    plant, watch = Plant(), Keeping()
    async with process(plane, plant, watch):
        await plant.until(lambda: len(watch.kept) >= 5)
    assert watch.is_open
    assert watch.is_run
    first = plant.heard.index(watch.kept[0])
    assert watch.kept == plant.heard[first : first + len(watch.kept)]


async def _looked_at(plane: DataPlane) -> None:
    """What a page sees that is opened later, and what the process answers."""
    board, bus = PlantBoard(), await Bus.open(plane.config, name="page")
    news = asyncio.Event()

    def heard(take: Callable[[bytes], None], data: bytes) -> None:
        take(data)
        news.set()

    await bus.hear(OBSERVED_SUBJECT, lambda data: heard(board.hear_observed, data))
    await bus.hear(DEVICES_SUBJECT, lambda data: heard(board.hear_devices, data))
    while board.state(2) is None or not board.points("M-1"):
        news.clear()
        await news.wait()
    [point] = board.points("M-1")
    assert (point.quantity, point.value, point.is_stale) == (Quantity.POWER_W, 5.0, False)
    state = board.state(2)
    assert state is not None
    assert (state.error, state.detail) == ("denied", "a wrong secret")
    status = msgspec.json.decode(await bus.request(STATUS_SUBJECT, b""), type=FacilityStatus)
    assert (status.devices, status.answering) == (2, 1)
    asked = TryRequest(
        tag="M-9",
        protocol=Protocol.NUT,
        host="127.0.0.1",
        port=1,
        selector="ups",
        map_name="nut-ups",
        timeout_s=1.0,
        user="",
        sealed="",
    )
    reply = msgspec.json.decode(await bus.request(TRY_SUBJECT, msgspec.json.encode(asked)), type=TryReply)
    assert [(one.quantity, one.value, one.quality) for one in reply.values] == [
        (Quantity.POWER_W, 1.0, Quality.GOOD),
    ]
    await bus.close()
