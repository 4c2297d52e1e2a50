"""Asks every device by its period: staggered, so many at a time, each for itself.

A device that hangs holds one place for a few of its time limits, and one that stays silent is asked ever less often,
up to BACKOFF_S_MAX; neither delays another. A value that is not renewed in time is told once more, as stale.
"""

import asyncio
import contextlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from mbongi.base.clock import monotonic_s, now_ms
from mbongi.base.log import get_log
from mbongi.facility.adapters.registry import Wiring
from mbongi.facility.device_board import DeviceState
from mbongi.facility.device_errors import DeviceError
from mbongi.facility.ports import DeviceReader, DeviceTarget
from mbongi.facility.rules.point_maps import MapError
from mbongi.facility.values import Found, Observation, Point, Quality, point_number

log = get_log(__name__)

AT_ONCE = 100
"""Devices asked at the same time, at most."""
BACKOFF_S_MAX = 300.0
FIRST_S_MAX = 5.0
"""A new device is asked within so long, whatever its period."""
STALE_PERIODS = 3.0
"""A value older than so many periods, and the time limit, is stale."""
SWEEP_S = 1.0
LIMITS_MAX = 4
GRACE_S = 1.0
"""A reader that goes on for so many of its time limits, and so long, is broken off: a map takes several questions, and
units behind one gateway wait for each other."""
DETAIL_MAX = 300
OnObservations = Callable[[Sequence[Observation]], None]


@dataclass
class _Device:
    """A device, what was heard of it, and how asking it goes."""

    target: DeviceTarget
    reader: DeviceReader | None = None
    state: DeviceState = field(init=False)
    known: dict[Point, Observation] = field(default_factory=dict)
    task: asyncio.Task[None] | None = None

    def __post_init__(self) -> None:
        target = self.target
        self.state = DeviceState(id=target.id, tag=target.tag, protocol=target.protocol)

    @property
    def stale_ms(self) -> float:
        """The age [ms] from which a value is stale."""
        return 1000.0 * (STALE_PERIODS * self.target.period_s + self.target.timeout_s)


class Polling:
    """``set_devices`` says whom to ask; ``run`` asks until it is cancelled."""

    def __init__(self, on_observations: OnObservations, *, at_once: int = AT_ONCE) -> None:
        self._on_observations = on_observations
        self._places = asyncio.Semaphore(at_once)
        self._devices: dict[int, _Device] = {}
        self._gone: set[asyncio.Task[None]] = set()
        self.wiring = Wiring()

    def states(self) -> list[DeviceState]:
        """How asking each device goes."""
        return [device.state for device in self._devices.values()]

    def observations(self) -> list[Observation]:
        """The newest of every point."""
        return [one for device in self._devices.values() for one in device.known.values()]

    def target(self, device_id: int) -> DeviceTarget | None:
        """A device that is asked; None where it is not."""
        device = self._devices.get(device_id)
        return None if device is None else device.target

    def set_devices(self, targets: Sequence[DeviceTarget]) -> None:
        """Ask these from now on; what did not change goes on as it was."""
        wanted = {target.id: target for target in targets}
        for device_id, device in list(self._devices.items()):
            if wanted.get(device_id) != device.target:
                del self._devices[device_id]
                self._end(device)
        for device_id, target in wanted.items():
            if device_id not in self._devices:
                device = self._devices[device_id] = _Device(target)
                device.task = asyncio.create_task(self._keep(device))

    async def run(self) -> None:
        """Look for what grows stale, until cancelled; then end all."""
        try:
            while True:
                await asyncio.sleep(SWEEP_S)
                self.sweep(now_ms())
        finally:
            for device in self._devices.values():
                self._end(device)
            self._devices.clear()
            await asyncio.gather(*self._gone, return_exceptions=True)
            await self.wiring.close()

    def sweep(self, at_ms: int) -> None:
        """Tell the values that nobody renewed in time once more, as stale."""
        stale = []
        for device in self._devices.values():
            for point, one in device.known.items():
                if one.quality is not Quality.STALE and at_ms - one.received_ms > device.stale_ms:
                    device.known[point] = old = Observation(*point, one.value, Quality.STALE, one.at_ms, at_ms)
                    stale.append(old)
        if stale:
            self._on_observations(stale)

    def _end(self, device: _Device) -> None:
        if device.task is not None:
            device.task.cancel()
            self._gone.add(device.task)
            device.task.add_done_callback(self._gone.discard)

    async def _keep(self, device: _Device) -> None:
        """Ask one device again and again."""
        target = device.target
        phase = point_number(target.tag, target.protocol) % 1000 / 1000
        due_s = monotonic_s() + phase * min(target.period_s, FIRST_S_MAX)
        try:
            while True:
                await asyncio.sleep(max(0.0, due_s - monotonic_s()))
                async with self._places:
                    await self._ask(device)
                wait_s = self._wait_s(device)
                # A late start does not shift the rhythm, and missed rounds are not made up for.
                missed = max(0, math.floor((monotonic_s() - due_s) / wait_s))
                due_s += (missed + 1) * wait_s
                self._note(device, next_ms=now_ms() + int(1000 * (due_s - monotonic_s())))
        finally:
            await self._close(device)

    @staticmethod
    def _wait_s(device: _Device) -> float:
        """Twice as long after each failure but the first."""
        period_s = device.target.period_s
        doubled = period_s * 2.0 ** min(max(device.state.failures - 1, 0), 16)
        return min(doubled, max(period_s, BACKOFF_S_MAX))

    async def _ask(self, device: _Device) -> None:
        began_s = monotonic_s()
        try:
            async with asyncio.timeout(LIMITS_MAX * device.target.timeout_s + GRACE_S):
                if device.reader is None:
                    device.reader = self.wiring.reader(device.target, lambda found: self._take(device, found))
                found = await device.reader.read()
        except TimeoutError as error:
            # A SilentError is a TimeoutError too, and knows more.
            kind = error.kind if isinstance(error, DeviceError) else "silent"
            await self._failed(device, kind, str(error) or "it was waited for several times its time limit")
        except DeviceError as error:
            await self._failed(device, error.kind, str(error))
        except MapError as error:
            await self._failed(device, "map", str(error))
        except Exception as error:  # one device's odd answer must not end the others
            if device.state.error != "broken":
                log.exception("device_reading_broke", tag=device.target.tag, protocol=device.target.protocol.value)
            await self._failed(device, "broken", f"{type(error).__name__}: {error}")
        else:
            self._answered(device, found, 1000.0 * (monotonic_s() - began_s))

    def _answered(self, device: _Device, found: Sequence[Found], took_ms: float) -> None:
        if device.state.error:
            log.info("device_answers_again", tag=device.target.tag, failures=device.state.failures)
        reads = device.state.reads + 1
        self._note(device, reads=reads, failures=0, good_ms=now_ms(), read_ms=took_ms, error="", detail="")
        self._take(device, found)

    async def _failed(self, device: _Device, kind: str, detail: str) -> None:
        if not device.state.error:
            log.warning("device_does_not_answer", tag=device.target.tag, kind=kind, reason=detail)
        self._note(device, failures=device.state.failures + 1, error=kind, detail=detail[:DETAIL_MAX])
        await self._close(device)

    def _take(self, device: _Device, found: Sequence[Found]) -> None:
        """Values that a device gave, asked or unasked."""
        if self._devices.get(device.target.id) is not device:
            return
        at_ms = now_ms()
        taken = [_observed(device.target.tag, one, at_ms) for one in found]
        for one in taken:
            device.known[one.point] = one
        if taken:
            self._on_observations(taken)

    @staticmethod
    def _note(device: _Device, **changes: object) -> None:
        fields = {name: getattr(device.state, name) for name in DeviceState.__struct_fields__}
        device.state = DeviceState(**(fields | changes))

    @staticmethod
    async def _close(device: _Device) -> None:
        reader, device.reader = device.reader, None
        if reader is not None:
            with contextlib.suppress(DeviceError, OSError):
                await reader.close()


def _observed(tag: str, found: Found, at_ms: int) -> Observation:
    """None of these protocols gives a time of its own, so the source's time is when it was heard."""
    known = math.isfinite(found.value)
    quality = found.quality if known or found.quality is not Quality.GOOD else Quality.BAD
    return Observation(tag, found.quantity, found.value if known else math.nan, quality, at_ms, at_ms)
