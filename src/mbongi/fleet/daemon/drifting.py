"""Holds what machines state against their profiles, as their polls come in, and counts what goes to foreign pools."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from mbongi.base.ids import MachineId
from mbongi.base.log import get_log
from mbongi.fleet import drift, group_rows
from mbongi.fleet.adapters.registry import adapter_of
from mbongi.fleet.daemon.persistence import AWAY, Database
from mbongi.fleet.reading import DetailReport, MachineReading, Stated, Target
from mbongi.fleet.rules.conditions import Watch
from mbongi.fleet.rules.desired import Wanted
from mbongi.fleet.rules.diversion import Diversions
from mbongi.fleet.rules.drift import InUse, drift_of, in_use, is_wanted
from mbongi.fleet.rules.stated import stated_of
from mbongi.fleet.values import ConditionChange, Family, SignIn

log = get_log(__name__)

FLUSH_S = 2.0
"""How often what was counted is written: so much is lost by ``kill -9``, at most."""
ROWS_MAX = 500


@dataclass(frozen=True, slots=True)
class _Word:
    """What a machine stated last."""

    stated: Stated
    used: InUse | None
    sign: SignIn


class Drifting:
    """One per fleet process, for the machines that it polls. Its inputs never block and never raise."""

    def __init__(self, database: Database, watch: Watch, note: Callable[[list[ConditionChange]], None]) -> None:
        self._database, self._watch, self._note = database, watch, note
        self._wanted: Mapping[MachineId, Wanted] = {}
        self._families: dict[MachineId, Family] = {}
        self._words: dict[MachineId, _Word] = {}
        self._diversions = Diversions()

    async def reload(self, targets: Sequence[Target], new: set[MachineId], at_ms: int) -> None:
        """Read what profiles want of these machines; ``new`` ones are taken over with what is recorded of them.

        Raises while the database is away.
        """
        if new:
            self._diversions.adopt(new, await self._database.call(drift.open_diversions))
        wanted = await self._database.call(group_rows.wanted_by_machine)
        changed = {
            machine_id
            for machine_id in wanted.keys() | self._wanted.keys()
            if wanted.get(machine_id) != self._wanted.get(machine_id)
        }
        self._wanted, self._families = wanted, {target.machine_id: target.family for target in targets}
        self._judge([machine_id for machine_id in changed if machine_id in self._words], at_ms)

    def details(self, reports: Sequence[DetailReport], at_ms: int) -> None:
        """What machines state of their settings."""
        for report in reports:
            detail = report.detail
            self._words[report.machine_id] = _Word(stated_of(detail), in_use(detail), SignIn(detail.sign_in))
        self._judge([report.machine_id for report in reports], at_ms)

    def readings(self, readings: Sequence[MachineReading]) -> None:
        """New figures: what a diverted machine hashes is counted."""
        self._diversions.count(readings)

    def keep_only(self, machine_ids: set[MachineId]) -> None:
        """Forget machines that are no longer asked."""
        for machine_id in self._words.keys() - machine_ids:
            del self._words[machine_id]
        self._diversions.keep_only(machine_ids)

    def _judge(self, machine_ids: Sequence[MachineId], at_ms: int) -> None:
        sights = []
        for machine_id in machine_ids:
            family = self._families.get(machine_id)
            if family is None:
                continue
            word, wanted = self._words[machine_id], self._wanted.get(machine_id)
            abilities = adapter_of(family).abilities
            sights.append(drift_of(machine_id, wanted, word.stated, word.used, abilities, word.sign))
            self._divert(machine_id, word.used, wanted, at_ms)
        self._note(self._watch.drift(sights, at_ms))

    def _divert(self, machine_id: MachineId, used: InUse | None, wanted: Wanted | None, at_ms: int) -> None:
        if wanted is None or not wanted.desired.pools:
            self._diversions.judge(machine_id, None, wanted=None, at_ms=at_ms)
            return
        is_ours = False if used is None else is_wanted(used, wanted)
        if is_ours is not None:  # A name that cannot be filled in says nothing.
            self._diversions.judge(machine_id, used, wanted=is_ours, at_ms=at_ms)

    async def run(self) -> None:
        """Write what was counted until cancelled; while the database is away it waits."""
        while True:
            await asyncio.sleep(FLUSH_S)
            await self.flush()

    async def flush(self) -> bool:
        """Write what waits; False where the database went away before the end."""
        told = self._diversions.take()
        while told:
            part, told = told[:ROWS_MAX], told[ROWS_MAX:]
            try:
                news = await self._database.call(drift.record_diversions, part)
            except AWAY:
                self._diversions.put_back(part + told)
                return False
            if news:
                log.info("diversions_changed", machines=news)
        return True
