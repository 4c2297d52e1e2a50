"""Repairs verified by what the machines do: the fleet process hands its readings over."""

import asyncio
import contextlib
from collections.abc import Sequence

from mbongi.base.ids import MachineId
from mbongi.fleet import work_orders
from mbongi.fleet.daemon.persistence import AWAY, Database
from mbongi.fleet.reading import MachineReading
from mbongi.fleet.rules.recovery import Proof, Recovered, Recovery

PROOF = Proof()
LOOK_S = 10.0
"""How often the list of repairs is read and what was proved is written."""


class Verifier:
    """Watches the machines whose orders are fixed. After a restart the proof begins anew."""

    def __init__(self, database: Database, proof: Proof = PROOF, *, look_s: float = LOOK_S) -> None:
        self._database = database
        self._recovery = Recovery(proof)
        self._proved: dict[MachineId, Recovered] = {}
        self._look_s = look_s

    def readings(self, readings: Sequence[MachineReading]) -> None:
        """New readings; costs a look-up for a machine that nobody repaired."""
        for one in readings:
            machine_id = MachineId(one.machine_id)
            proved = self._recovery.see(machine_id, one.ts, one.hashrate_ths, one.hashrate_nominal_ths)
            if proved is not None:
                self._proved[machine_id] = proved

    async def run(self) -> None:
        """Until cancelled. While the database is away, what was proved waits."""
        while True:
            with contextlib.suppress(*AWAY):
                await self.look()
            await asyncio.sleep(self._look_s)

    async def look(self) -> None:
        """Write what was proved, then learn what is to be watched. Raises while the database is away."""
        for machine_id, proved in list(self._proved.items()):
            await self._database.call(work_orders.verify, proved)
            self._proved.pop(machine_id, None)
        self._recovery.watch(await self._database.call(work_orders.fixed_orders))
