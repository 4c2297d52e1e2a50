"""The site's power, once a second: the meters where there are some, else what the machines state.

What a meter says is judged before it is used. While none may be believed, the machines' own figures stand in for it,
times what the meter used to read for each of their watts; that is said, and proves nothing.
"""

import asyncio
import contextlib
import math
import statistics
from collections import deque
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import NamedTuple

from mbongi.base.clock import monotonic_s, utc_now
from mbongi.base.log import get_log
from mbongi.fleet.adapters.sunspec_meter import SunSpecMeter
from mbongi.fleet.curtail_steps import PowerSight
from mbongi.fleet.daemon.persistence import AWAY, Database
from mbongi.fleet.device_errors import DeviceError, GarbledError
from mbongi.fleet.models import Curtailment, PowerReading
from mbongi.fleet.ports import Meter
from mbongi.fleet.power_figures import PowerFigures
from mbongi.fleet.rules.metering import Judged, Measured, MeterJudge, MeterTrouble, Standstill
from mbongi.fleet.values import OperationState

log = get_log(__name__)

PERIOD_S = 1.0
QUIET_EVERY = 5
"""While nothing is curtailed, one reading in so many is kept."""
KEEP = timedelta(days=14)
PRUNE_EVERY = 3600
METER_SETTLES_S = 3.0
"""How long after a machine was written the meter may not show it: its refresh, its lag, and the next reading."""
RATIOS = 60
WAITING_MAX = 60
"""Readings that wait to be kept, at most; the oldest are left out. Measuring does not wait for the database."""


class _Noted(NamedTuple):
    row: PowerReading
    prune: bool


class Metering:
    """Reads, judges and keeps. ``sight`` may be called from any thread."""

    def __init__(
        self,
        addresses: Sequence[str],
        database: Database,
        figures: PowerFigures,
        *,
        fast_s: float,
        is_whole: Callable[[], bool],
    ) -> None:
        """``is_whole``: whether this process polls every machine, so that its sum is the site's."""
        self._meters: list[Meter] = [SunSpecMeter(address) for address in addresses]
        self._stills = [Standstill() for _meter in self._meters]
        self._database, self._figures, self._is_whole = database, figures, is_whole
        self._settles_s = 2 * fast_s + METER_SETTLES_S
        self._judge, self._ratios = MeterJudge(), deque[float](maxlen=RATIOS)
        self._sight = PowerSight()
        self._trouble = MeterTrouble.NONE
        self._frequency = math.nan, -math.inf
        self._waiting, self._noted = deque[_Noted](maxlen=WAITING_MAX), asyncio.Event()
        self._is_busy = False

    def sight(self) -> PowerSight:
        """What is known of the site's power at this moment."""
        return self._sight

    @property
    def frequency(self) -> tuple[float, float]:
        """The grid's frequency as the meter stated it last, and the monotonic second of it; NaN before the first."""
        return self._frequency

    async def run(self) -> None:
        """Measure until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._keep_on())
                group.create_task(self._measure_on())
        finally:
            for meter in self._meters:
                meter.close()

    async def _measure_on(self) -> None:
        turn = 0
        while True:
            began_s = monotonic_s()
            row = await self._measure()
            if self._is_busy or turn % QUIET_EVERY == 0:
                self._waiting.append(_Noted(row, turn % PRUNE_EVERY == 0))
                self._noted.set()
            turn += 1
            await asyncio.sleep(max(0.05, PERIOD_S - (monotonic_s() - began_s)))

    async def _keep_on(self) -> None:
        while True:
            await self._noted.wait()
            self._noted.clear()
            noted = list(self._waiting)
            self._waiting.clear()
            with contextlib.suppress(*AWAY):
                rows, prune = [one.row for one in noted], any(one.prune for one in noted)
                self._is_busy = await self._database.call(_keep, rows, prune=prune)

    async def _measure(self) -> PowerReading:
        found = await self._read() if self._meters else None
        now_s = monotonic_s()
        machines_w, machines = self._figures.total(now_s) if self._is_whole() else (math.nan, 0)
        judged = self._judged(found, machines_w, now_s)
        if math.isfinite(judged.frequency_hz):
            self._frequency = judged.frequency_hz, now_s
        self._tell(judged.trouble)
        self._sight = self._seen(judged, machines_w)
        return PowerReading(
            at=utc_now(),
            power_w=_or_none(judged.power_w),
            machines_w=_or_none(machines_w),
            machines=machines,
            frequency_hz=_or_none(judged.frequency_hz),
            source="meter" if self._meters else "machines",
            trouble=judged.trouble,
        )

    async def _read(self) -> Measured | MeterTrouble:
        """All meters together; one that is in trouble leaves the sum unknown."""
        answers = await asyncio.gather(*(meter.read() for meter in self._meters), return_exceptions=True)
        measured: list[Measured] = []
        now_s = monotonic_s()
        for answer, still in zip(answers, self._stills, strict=True):
            if isinstance(answer, GarbledError):
                return MeterTrouble.GARBLED
            if isinstance(answer, DeviceError):
                return MeterTrouble.SILENT
            if isinstance(answer, BaseException):
                raise answer
            # A feeder that is switched off may well show the same for long; one under load does not.
            if still.is_still(answer.words, now_s) and answer.power_w != 0:
                return MeterTrouble.FROZEN
            measured.append(answer)
        return Measured(
            sum(one.power_w for one in measured),
            measured[0].frequency_hz,
            tuple(word for one in measured for word in one.words),
        )

    def _judged(self, found: Measured | MeterTrouble | None, machines_w: float, now_s: float) -> Judged:
        if found is None:
            trouble = MeterTrouble.NONE if math.isfinite(machines_w) else MeterTrouble.SILENT
            return Judged(machines_w, machines_w, math.nan, trouble)
        if isinstance(found, MeterTrouble):
            return self._judge.silent(found)
        return self._judge.judge(found, machines_w=machines_w, now_s=now_s)

    def _seen(self, judged: Judged, machines_w: float) -> PowerSight:
        if not self._meters:
            return PowerSight(judged.steady_w, self._settles_s, is_proof=True)
        if math.isfinite(judged.steady_w):
            if machines_w > 0:
                self._ratios.append(judged.steady_w / machines_w)
            return PowerSight(judged.steady_w, METER_SETTLES_S, is_proof=True)
        ratio = statistics.median(self._ratios) if self._ratios else math.nan
        return PowerSight(machines_w * ratio, self._settles_s, is_proof=False)

    def _tell(self, trouble: MeterTrouble) -> None:
        if trouble is not self._trouble:
            if trouble is MeterTrouble.NONE:
                log.info("meter_believed_again", before=self._trouble)
            else:
                log.warning("meter_not_believed", trouble=trouble)
        self._trouble = trouble


def _keep(rows: Sequence[PowerReading], *, prune: bool) -> bool:
    """Store readings; returns whether a curtailment is under way, so that each one is kept."""
    PowerReading.objects.bulk_create(rows, ignore_conflicts=True)
    if prune:
        PowerReading.objects.filter(at__lt=rows[-1].at - KEEP).delete()
    over = [state for state in OperationState if state.is_over]
    return Curtailment.objects.exclude(operation__state__in=over).exists()


def _or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None
