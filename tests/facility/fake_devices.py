"""Devices made of plain objects, for the poller and the process."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence

from mbongi.facility.ports import DeviceTarget
from mbongi.facility.values import Found, Observation, Protocol, Quantity


class Plant:
    """Readers by tag; each answers, hangs or raises as ``what`` says."""

    def __init__(self) -> None:
        self.what: dict[str, object] = {}
        self.asked: dict[str, int] = {}
        self.open: set[str] = set()
        self.told: dict[str, Callable[[Sequence[Found]], None]] = {}
        self.heard: list[Observation] = []
        self.at_once = self.at_once_max = 0
        self.news = asyncio.Event()

    def take(self, observations: Sequence[Observation]) -> None:
        self.heard += observations
        self.news.set()

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(10.0):
            while not true():
                self.news.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.02):
                        await self.news.wait()

    def reader(self, target: DeviceTarget, on_found: Callable[[Sequence[Found]], None]) -> "Reader":
        self.told[target.tag] = on_found
        self.open.add(target.tag)
        return Reader(self, target.tag)

    async def close(self) -> None:
        pass


class Reader:
    def __init__(self, plant: Plant, tag: str) -> None:
        self.plant, self.tag = plant, tag

    async def read(self) -> list[Found]:
        plant = self.plant
        plant.asked[self.tag] = plant.asked.get(self.tag, 0) + 1
        plant.at_once += 1
        plant.at_once_max = max(plant.at_once_max, plant.at_once)
        try:
            found = plant.what.get(self.tag, 1.0)
            if found == "hang":
                await asyncio.sleep(3600)
            await asyncio.sleep(0)
            if isinstance(found, Exception):
                raise found
            return [Found(Quantity.POWER_W, float(found))]  # type: ignore[arg-type]
        finally:
            plant.at_once -= 1

    async def close(self) -> None:
        self.plant.open.discard(self.tag)


def target(number: int, *, period_s: float = 0.02, timeout_s: float = 0.05) -> DeviceTarget:
    return DeviceTarget(
        f"M-{number}", Protocol.MODBUS, "10.9.0.4", 502, id=number, period_s=period_s, timeout_s=timeout_s
    )
