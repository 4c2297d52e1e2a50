"""Healing in the fleet process: the leading one asks the rules; each sees whether its own machines recovered.

All that is decided is in the database. After a restart machines are watched for WARM_UP_S before a rule is asked, as
what the record says of them may be old by then, and a recovery is proved anew.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from datetime import datetime

from mbongi.base.clock import utc_now
from mbongi.base.config import Config
from mbongi.base.ids import MachineId
from mbongi.base.log import get_log
from mbongi.fleet import healing, healing_work, waking
from mbongi.fleet.daemon.persistence import AWAY, Database
from mbongi.fleet.daemon.replaying import Replaying
from mbongi.fleet.healing_work import ToProve
from mbongi.fleet.reading import MachineReading
from mbongi.fleet.rules.conditions import RuleFigure
from mbongi.fleet.rules.recovery import Recovered, Recovery

log = get_log(__name__)

LOOK_S = 5.0
"""Between two looks of the rules at the machines."""
PROVE_LOOK_S = 5.0
WARM_UP_S = 60.0


class Healing:
    """All of healing in a fleet process: what each one does, and what the leading one does too."""

    def __init__(
        self,
        config: Config,
        database: Database,
        on_begin: Callable[[], None],
        on_figures: Callable[[Sequence[RuleFigure]], None],
    ) -> None:
        """As ``Healer`` and ``Prover`` are told."""
        self.prover, self.healer = Prover(database, on_figures), Healer(database, on_begin)
        self.replaying = Replaying(config, database)
        self.readings, self.run = self.prover.readings, self.prover.run

    async def lead(self) -> None:
        """Ask the rules and make replays, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.healer.run())
            group.create_task(self.replaying.run())


class Healer:
    """Asks the rules, on the leading process. ``on_begin`` is called where operations were begun."""

    def __init__(self, database: Database, on_begin: Callable[[], None], *, warm_up_s: float = WARM_UP_S) -> None:
        self._database, self._on_begin, self._warm_up_s = database, on_begin, warm_up_s

    async def run(self) -> None:
        """Until cancelled. While the database is away nothing is decided."""
        watching_since = utc_now()
        await self._database.insist(healing.ensure_built_in)
        await asyncio.sleep(self._warm_up_s)
        while True:
            with contextlib.suppress(*AWAY):
                await self.look(watching_since)
            await asyncio.sleep(LOOK_S)

    async def look(self, watching_since: datetime) -> None:
        """One look."""
        await self._database.call(waking.look)
        done = await self._database.call(healing_work.look, watching_since=watching_since)
        if done.begun or done.ordered or done.ended:
            log.info("healing", begun=done.begun, ordered=done.ordered, ended=done.ended)
        if done.begun:
            self._on_begin()


class Prover:
    """Sees whether machines of this process recover after an attempt, and watches the figures of rules."""

    def __init__(self, database: Database, on_figures: Callable[[Sequence[RuleFigure]], None]) -> None:
        """``on_figures`` is told the figures that rules go by whenever they are read."""
        self._database, self._on_figures = database, on_figures
        self._watched: dict[MachineId, tuple[ToProve, Recovery]] = {}
        self._proved: dict[int, Recovered] = {}

    def readings(self, readings: Sequence[MachineReading]) -> None:
        """New readings; costs a look-up for a machine on which nothing was tried."""
        for one in readings:
            watched = self._watched.get(MachineId(one.machine_id))
            if watched is None:
                continue
            tried, recovery = watched
            proved = recovery.see(MachineId(one.machine_id), one.ts, one.hashrate_ths, one.hashrate_nominal_ths)
            if proved is not None:
                self._proved.setdefault(tried.attempt_id, proved)

    async def run(self) -> None:
        """Until cancelled. While the database is away, what was proved waits."""
        while True:
            with contextlib.suppress(*AWAY):
                await self.look()
            await asyncio.sleep(PROVE_LOOK_S)

    async def look(self) -> None:
        """Write what was proved, then learn what is to be watched. Raises while the database is away."""
        for attempt_id, proved in list(self._proved.items()):
            await self._database.call(healing_work.prove, attempt_id, proved)
            self._proved.pop(attempt_id, None)
        former, self._watched = self._watched, {}
        for each in await self._database.call(healing_work.to_prove):
            machine_id = MachineId(each.machine_id)
            known = former.get(machine_id)
            is_same = known is not None and known[0] == each
            self._watched[machine_id] = known if known is not None and is_same else (each, _recovery(each))
        self._on_figures(await self._database.call(healing_work.rule_figures))


def _recovery(each: ToProve) -> Recovery:
    recovery = Recovery(each.proof)
    recovery.watch({MachineId(each.machine_id): each.since_ms})
    return recovery
