"""What is to be written down about machines: gathered here, written in batches, kept while the database is away.

Everything is kept by machine, newest only, so its size is bounded by the number of machines however long the outage.
Of conditions every change is kept up to CONDITIONS_MAX, then only the newest of each condition.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from mbongi.base.clock import monotonic_s
from mbongi.base.ids import MachineId
from mbongi.base.log import get_log
from mbongi.fleet import services
from mbongi.fleet.daemon.persistence import AWAY, RETRY_S, Database
from mbongi.fleet.reading import DetailReport, MachineDetail, MachineReading, StateChange
from mbongi.fleet.services import Seen
from mbongi.fleet.values import ConditionChange, MachineState

log = get_log(__name__)

FLUSH_S = 0.25
SEEN_S = 30.0
"""How often the times of the last answers are written; every poll's own time is in the telemetry."""
DETAILS_PER_S_MAX = 100
"""A machine's details are written when something a person would notice changed, and else this many a second in all."""
DETAIL_S_MIN = 20.0
ROWS_MAX = 1000
"""Rows of one transaction, at most."""
CONDITIONS_MAX = 50_000

_SILENT = {MachineState.UNKNOWN.value, MachineState.OFF.value}
Row = TypeVar("Row")


class Recording:
    """Gathers and writes. Its inputs never block and never raise."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._states: dict[MachineId, StateChange] = {}
        self._details: dict[MachineId, DetailReport] = {}
        self._seen: dict[MachineId, Seen] = {}
        self._conditions: list[ConditionChange] = []
        self._known: dict[MachineId, tuple[float, tuple[Any, ...]]] = {}
        self._seen_due_s = monotonic_s() + SEEN_S
        self._wake = asyncio.Event()

    def __len__(self) -> int:
        return len(self._states) + len(self._details) + len(self._conditions)

    def states(self, changes: Sequence[StateChange]) -> None:
        """Machines whose state became another."""
        for change in changes:
            self._states[change.machine_id] = change
        self._wake.set()

    def seen(self, readings: Sequence[MachineReading]) -> None:
        """A rack's readings, of which those with an answer count."""
        for reading in readings:
            if reading.state not in _SILENT and reading.poll_ms == reading.poll_ms:  # not NaN: it was asked
                machine_id = MachineId(reading.machine_id)
                self._seen[machine_id] = Seen(machine_id, reading.ts)

    def details(self, reports: Sequence[DetailReport]) -> None:
        """What machines state about themselves; written now if a person would notice, else when its turn comes."""
        now = monotonic_s()
        every_s = max(DETAIL_S_MIN, len(self._known) / DETAILS_PER_S_MAX)
        for report in reports:
            told_at, told = self._known.get(report.machine_id, (-every_s, ()))
            notable = _notable(report.detail)
            if notable != told or now - told_at >= every_s:
                self._known[report.machine_id] = (now, notable)
                self._details[report.machine_id] = report
                self._wake.set()

    def conditions(self, changes: Sequence[ConditionChange]) -> None:
        """Conditions that opened or cleared."""
        self._conditions += changes
        if len(self._conditions) > CONDITIONS_MAX:
            newest = {(change.machine_id, change.kind, change.part): change for change in self._conditions}
            log.warning("conditions_folded", kept=len(newest), left_out=len(self._conditions) - len(newest))
            self._conditions = list(newest.values())
        if changes:
            self._wake.set()

    def keep_only(self, machine_ids: set[MachineId]) -> None:
        """Forget machines that are no longer asked."""
        for machine_id in self._known.keys() - machine_ids:
            del self._known[machine_id]

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            try:
                async with asyncio.timeout(max(0.0, self._seen_due_s - monotonic_s())):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            if not await self.flush():
                self._wake.set()
                await asyncio.sleep(RETRY_S)
            await asyncio.sleep(FLUSH_S)

    async def flush(self) -> bool:
        """Write all that waits; False when the database went away before the end, then the rest still waits."""
        try:
            await self._write_by_machine(self._states, services.record_states)
            while self._conditions:
                await self._write_conditions()
            await self._write_by_machine(self._details, services.record_details)
            if monotonic_s() >= self._seen_due_s:
                seen, self._seen = list(self._seen.values()), {}
                self._seen_due_s = monotonic_s() + SEEN_S
                await self._database.call(services.record_seen, seen)
        except AWAY:
            return False
        return True

    async def _write_conditions(self) -> None:
        part, self._conditions = self._conditions[:ROWS_MAX], self._conditions[ROWS_MAX:]
        try:
            await self._write(part, services.record_conditions)
        except AWAY:
            self._conditions = part + self._conditions
            raise

    async def _write_by_machine(
        self, waiting: dict[MachineId, Row], service: Callable[[Sequence[Row]], object]
    ) -> None:
        while waiting:
            rows = list(waiting.items())[:ROWS_MAX]
            await self._write([row for _machine_id, row in rows], service)
            for machine_id, row in rows:
                if waiting.get(machine_id) is row:  # A newer one may have come meanwhile; it still waits.
                    del waiting[machine_id]

    async def _write(self, rows: list[Row], service: Callable[[Sequence[Row]], object]) -> None:
        """Write rows together; where that fails for any reason but an outage, each by itself, bad ones left out."""
        try:
            await self._database.call(service, rows)
        except AWAY:
            raise
        except Exception as error:
            if len(rows) == 1:
                log.exception("row_left_out", service=getattr(service, "__name__", ""), error=str(error))
                return
            for row in rows:
                await self._write([row], service)


def _notable(detail: MachineDetail) -> tuple[Any, ...]:
    return (
        (detail.mac, detail.serial, detail.hostname, detail.firmware, detail.model, detail.work_mode, detail.light_on),
        (detail.image, detail.sign_in, detail.power_limit_w, detail.fan_auto, detail.fan_percent),
        [(pool.url, pool.user, pool.active) for pool in detail.pools],
        [(board.index, board.serial, board.chips) for board in detail.boards],
        [error.code for error in detail.errors],
    )
