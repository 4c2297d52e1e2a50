"""Following machines that move: where strangers answer, somebody looks soon, and not again and again."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from mbongi.base.config import Fleet
from mbongi.base.ids import MachineId
from mbongi.base.log import get_log
from mbongi.fleet.reading import Target

log = get_log(__name__)

GATHER_S = 0.5
"""Strangers that are met within so long are looked at together: a whole rack moves at once."""


class Following:
    """Calls ``look`` with the machines at whose addresses strangers answer; at most every fast period."""

    def __init__(self, look: Callable[[set[MachineId]], Awaitable[None]], config: Fleet) -> None:
        self._look, self._pause_s = look, max(config.fast_s, GATHER_S)
        self._met: set[MachineId] = set()
        self._wake = asyncio.Event()

    def strangers(self, ids: Sequence[MachineId]) -> None:
        """Strangers answer where these machines should be."""
        self._met.update(ids)
        self._wake.set()

    async def run(self) -> None:
        """Look where it is needed, until cancelled."""
        while True:
            await self._wake.wait()
            await asyncio.sleep(GATHER_S)
            self._wake.clear()
            ids, self._met = self._met, set()
            log.info("strangers_met", machines=len(ids))
            try:
                await self._look(ids)
            except Exception:
                log.exception("strangers_not_looked_at")
            await asyncio.sleep(self._pause_s)


def around(targets: Sequence[Target], ids: set[MachineId]) -> list[str]:
    """The addresses of these machines, of their racks, and of all whose address begins as theirs does."""
    met = [target for target in targets if target.machine_id in ids]
    racks, near = {target.rack for target in met} - {""}, {_network_of(target.address) for target in met}
    return [each.address for each in targets if each.rack in racks or _network_of(each.address) in near]


def _network_of(address: str) -> str:
    return address.rpartition(".")[0]
