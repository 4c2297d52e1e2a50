"""When a machine counts as repaired: it has mined near its nominal rate for a stated time without a gap. Pure.

What nobody saw proves nothing: a gap between readings begins the time anew, as does a restart of who watches.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

from mbongi.base.ids import MachineId


@dataclass(frozen=True, slots=True)
class Proof:
    """What must be seen: at least ``share_min`` of the nominal rate for ``hold_s``, no gap above ``gap_s``."""

    share_min: float = 0.9
    hold_s: float = 1800.0
    gap_s: float = 120.0


class Recovered(NamedTuple):
    """A machine held its rate. ``share`` is the mean of what it reached of its nominal rate meanwhile."""

    machine_id: MachineId
    since_ms: int
    until_ms: int
    share: float


@dataclass(slots=True)
class _Streak:
    since_ms: int
    last_ms: int
    total: float = 0.0
    count: int = 0


class Recovery:
    """Watches the machines whose orders say they are fixed."""

    def __init__(self, proof: Proof) -> None:
        self.proof = proof
        self._fixed_ms: dict[MachineId, int] = {}
        self._streaks: dict[MachineId, _Streak] = {}

    def watch(self, fixed_ms: dict[MachineId, int]) -> None:
        """Watch exactly these machines from now on: since when each is said to be fixed [ms since 1970, UTC]."""
        for machine_id, at_ms in fixed_ms.items():
            if self._fixed_ms.get(machine_id) != at_ms:
                self._streaks.pop(machine_id, None)
        self._fixed_ms = dict(fixed_ms)
        self._streaks = {one: streak for one, streak in self._streaks.items() if one in fixed_ms}

    def see(self, machine_id: MachineId, at_ms: int, hashrate_ths: float, nominal_ths: float) -> Recovered | None:
        """One reading; says once the machine has held its rate for long enough, and again at every reading after.

        NaN or a nominal rate of 0 is not known, and proves nothing. Readings older than the last one are passed over.
        """
        fixed_ms = self._fixed_ms.get(machine_id)
        if fixed_ms is None or at_ms < fixed_ms:
            return None
        streak = self._streaks.get(machine_id)
        if streak is not None and at_ms <= streak.last_ms:
            return None
        share = hashrate_ths / nominal_ths if nominal_ths > 0 else math.nan
        if not share >= self.proof.share_min or math.isinf(share):
            self._streaks.pop(machine_id, None)
            return None
        if streak is None or at_ms - streak.last_ms > self.proof.gap_s * 1000:
            streak = self._streaks[machine_id] = _Streak(at_ms, at_ms)
        streak.last_ms, streak.total, streak.count = at_ms, streak.total + share, streak.count + 1
        if at_ms - streak.since_ms < self.proof.hold_s * 1000:
            return None
        return Recovered(machine_id, streak.since_ms, at_ms, streak.total / streak.count)
