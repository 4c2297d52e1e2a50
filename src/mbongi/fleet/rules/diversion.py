"""Work that goes to a pool, or for a worker, that the group's profile does not name. Pure: no sockets, no clock.

    hashes [TH] = sum over readings of hashrate [TH/s] * span [s]

over the readings of a machine that mines while the last word on its pool was a foreign one. A reading's span is what
the poller says that it stands for, so times when nobody could look at the machine, when it sleeps or is off, count
nothing: what was not seen is not guessed.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from mbongi.base.ids import MachineId
from mbongi.fleet.reading import MachineReading
from mbongi.fleet.rules.drift import InUse, shown_url
from mbongi.fleet.values import MachineState

USER_MAX = 200


@dataclass(frozen=True, slots=True)
class Diverted:
    """A diversion so far. ``until_ms`` is None while it lasts; ``hashes_th`` is all that was counted since then."""

    machine_id: MachineId
    url: str
    user: str
    since_ms: int
    hashes_th: float = 0.0
    seen_ms: int = 0
    until_ms: int | None = None


@dataclass(slots=True)
class _Open:
    url: str
    user: str
    since_ms: int
    hashes_th: float
    seen_ms: int

    def told(self, machine_id: MachineId, until_ms: int | None = None) -> Diverted:
        return Diverted(machine_id, self.url, self.user, self.since_ms, self.hashes_th, self.seen_ms, until_ms)


@dataclass(frozen=True, slots=True)
class Spell:
    """A diversion from one moment to another [s], for the picture of many."""

    url: str
    since_s: float
    until_s: float
    hashes_th: float


def over_time(spells: Iterable[Spell], start_s: float, step_s: float, steps: int) -> dict[str, list[float]]:
    """The diverted hashrate [TH/s] of each pool in each step: what a spell did is spread evenly over it.

    That is exact for a machine that hashed steadily, and the best that its two ends and its sum say of any other.
    """
    found: dict[str, list[float]] = {}
    for spell in spells:
        line = found.setdefault(spell.url, [0.0] * steps)
        lasted_s = spell.until_s - spell.since_s
        if lasted_s <= 0:
            continue
        first = max(0, int((spell.since_s - start_s) // step_s))
        last = min(steps - 1, int((spell.until_s - start_s) // step_s))
        for step in range(first, last + 1):
            begin_s = start_s + step * step_s
            inside_s = min(spell.until_s, begin_s + step_s) - max(spell.since_s, begin_s)
            line[step] += spell.hashes_th / lasted_s * max(inside_s, 0.0) / step_s
    return found


class Diversions:
    """The diversions that last. What changed since the last ``take`` waits to be written down."""

    def __init__(self) -> None:
        self._open: dict[MachineId, _Open] = {}
        self._told: dict[tuple[MachineId, int], Diverted] = {}

    def adopt(self, machine_ids: Collection[MachineId], recorded: Iterable[Diverted]) -> None:
        """Take machines over with those recorded diversions that are theirs; counting goes on where it stopped."""
        for each in recorded:
            if each.machine_id in machine_ids and each.until_ms is None:
                self._open[each.machine_id] = _Open(each.url, each.user, each.since_ms, each.hashes_th, each.seen_ms)

    def keep_only(self, machine_ids: set[MachineId]) -> None:
        """Forget machines that are no longer asked; what was counted of them is still written."""
        for machine_id in self._open.keys() - machine_ids:
            del self._open[machine_id]

    def judge(self, machine_id: MachineId, used: InUse | None, *, wanted: bool | None, at_ms: int) -> None:
        """A machine stated the pool that it works for, or (None) did not say; then what was known goes on.

        ``wanted``: whether that pool and worker are the profile's; None: no profile speaks of its pools any more, which
        ends a diversion.
        """
        now = self._open.get(machine_id)
        if wanted is None or (wanted and used is not None):
            if now is not None:
                self._close(machine_id, at_ms)
            return
        if used is None or wanted:
            return
        url, user = shown_url(used.url), used.user[:USER_MAX]
        if now is not None and (now.url, now.user) == (url, user):
            return
        if now is not None:
            self._close(machine_id, at_ms)
        # Two diversions of one machine never begin at one moment, by which they are told apart.
        since_ms = at_ms if now is None else max(at_ms, now.since_ms + 1)
        opened = self._open[machine_id] = _Open(url, user, since_ms, 0.0, since_ms)
        self._told[machine_id, since_ms] = opened.told(machine_id)

    def _close(self, machine_id: MachineId, at_ms: int) -> None:
        now = self._open.pop(machine_id)
        self._told[machine_id, now.since_ms] = now.told(machine_id, max(at_ms, now.since_ms))

    def count(self, readings: Sequence[MachineReading]) -> None:
        """New readings; costs a look-up for a machine that is not diverted."""
        for reading in readings:
            now = self._open.get(MachineId(reading.machine_id))
            if now is None or reading.state != MachineState.MINING.value or reading.ts <= now.seen_ms:
                continue
            hashes_th = reading.hashrate_ths * reading.span_s
            if hashes_th > 0:  # NaN is not
                now.hashes_th += hashes_th
                now.seen_ms = reading.ts
                machine_id = MachineId(reading.machine_id)
                self._told[machine_id, now.since_ms] = now.told(machine_id)

    def take(self) -> list[Diverted]:
        """What changed, in the order in which it began; it is the caller's to write down, or to ``put_back``."""
        told = sorted(self._told.values(), key=lambda each: (each.since_ms, each.machine_id))
        self._told.clear()
        return told

    def put_back(self, told: Iterable[Diverted]) -> None:
        """What could not be written waits on, unless it has changed since."""
        for each in told:
            self._told.setdefault((each.machine_id, each.since_ms), each)

    def __len__(self) -> int:
        return len(self._open)
