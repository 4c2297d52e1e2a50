"""What the plant's devices last measured, and how asking them goes. Written by the bus's task, read by pages."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import msgspec

from mbongi.base.clock import utc_now
from mbongi.facility.device_board import TOLD_S, DeviceState, DevicesTold, Observed
from mbongi.facility.values import Observation, Quality, Quantity

SILENT_S: Final = 15 * TOLD_S
"""A facility process that has told nothing for so long is away."""
POINTS_MAX: Final = 200_000
"""Points that are kept, at most; further ones are not taken."""


@dataclass(frozen=True, slots=True)
class PointNow:
    """A point's newest value; None where it is not known. ``is_stale``: it may no longer be believed."""

    quantity: Quantity
    value: float | None
    quality: Quality
    at: datetime
    is_stale: bool


class PlantBoard:
    """The newest word of the facility process."""

    def __init__(self, clock: Callable[[], float] = lambda: utc_now().timestamp()) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._points: dict[str, dict[Quantity, Observation]] = {}
        self._count = 0
        self._devices: dict[int, DeviceState] = {}
        self._told_s = 0.0

    def hear_observed(self, data: bytes) -> None:
        """Take observations. Raises msgspec.DecodeError for what is none."""
        with self._lock:
            for one in msgspec.msgpack.decode(data, type=Observed).observations:
                of_tag = self._points.setdefault(one.tag, {})
                if one.quantity in of_tag or self._count < POINTS_MAX:
                    self._count += one.quantity not in of_tag
                    of_tag[one.quantity] = one

    def hear_devices(self, data: bytes) -> None:
        """Take how asking the devices goes; elements without any are forgotten. Raises msgspec.DecodeError."""
        told = msgspec.msgpack.decode(data, type=DevicesTold)
        with self._lock:
            self._devices, self._told_s = {one.id: one for one in told.devices}, self._clock()
            tags = {one.tag for one in told.devices}
            self._points = {tag: points for tag, points in self._points.items() if tag in tags}
            self._count = sum(map(len, self._points.values()))

    @property
    def heard_at(self) -> datetime | None:
        """When the process told something last; None before."""
        return datetime.fromtimestamp(self._told_s, UTC) if self._told_s else None

    @property
    def is_away(self) -> bool:
        """Whether the process has told nothing for too long."""
        return self._clock() - self._told_s > SILENT_S

    def state(self, device_id: int) -> DeviceState | None:
        """How asking a device goes; None where it is not asked."""
        with self._lock:
            return self._devices.get(device_id)

    def tags(self) -> list[str]:
        """The elements of which something is known."""
        with self._lock:
            return list(self._points)

    def points(self, tag: str) -> list[PointNow]:
        """All that is known of an element, in the order of ``Quantity``."""
        is_away = self.is_away
        with self._lock:
            of_tag = list(self._points.get(tag, {}).values())
        order = {quantity: place for place, quantity in enumerate(Quantity)}
        return [_now(one, is_away=is_away) for one in sorted(of_tag, key=lambda one: order[one.quantity])]


def _now(one: Observation, *, is_away: bool) -> PointNow:
    known = one.value if one.value == one.value else None
    at = datetime.fromtimestamp(one.at_ms / 1000, UTC)
    return PointNow(one.quantity, known, one.quality, at, is_away or one.quality is Quality.STALE)


PLANT = PlantBoard()
"""This process's board. The source feeds it; tests fill it themselves."""
