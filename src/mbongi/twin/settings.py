"""What is set on a virtual machine, and the one door through which every write of every family goes.

A firmware reads ``machine.settings`` and asks ``machine.change`` for others; the machine's write fault decides what
comes of it (``write_faults.taken``). One request is one ``change``. What the fault does to the answer waits in
the machine until the listener takes it (``take_aftermath``).
"""

import hashlib
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Final

from mbongi.twin.errors import WriteRefusedError
from mbongi.twin.values import COMMON, POOL_COUNT, MachineSettings, PoolEntry
from mbongi.twin.write_faults import Answer, Taken, WriteFault, taken

WRITES_MAX: Final = 32
"""How many writes of a machine are remembered."""

SimClock = Callable[[], float]
"""Unix seconds of the virtual site; runs faster than the world's where ``time_scale`` is above 1."""
Then = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Write:
    """One write, as the record of a drill: settings by name, their secrets as digests."""

    at: float
    """Unix seconds of the virtual site."""
    what: str
    wanted: dict[str, Any]
    taken: dict[str, Any]
    """At once; what comes later is not in it."""
    fault: WriteFault
    answered: Answer


@dataclass(frozen=True, slots=True)
class Aftermath:
    """What is left to the listener of a request's write: whether its answer is kept back, what is done after it."""

    is_withheld: bool = False
    then: Then | None = None


@dataclass(frozen=True, slots=True)
class _Later:
    at: float
    settings: Mapping[str, Any]
    restarts: bool
    then: Then | None


class Settable(ABC):
    """The settings of a machine; a VirtualMachine says how it restarts and how its time moves."""

    def __init__(self, settings: MachineSettings, *, clock: SimClock) -> None:
        self.clock = clock
        self.settings = self.delivered = settings
        self.write_fault = WriteFault.NONE
        self.faulty_writes: int | None = None
        """How many more writes the fault holds for; None: until it is mended."""
        self.writes: deque[Write] = deque(maxlen=WRITES_MAX)
        self.write_count = 0
        self._later: list[_Later] = []
        self._aftermath = Aftermath()

    # What a machine does.

    @abstractmethod
    def advance(self) -> None:
        """Bring the state up to the present."""

    @abstractmethod
    def reboot(self) -> None:
        """Restart the whole machine."""

    @abstractmethod
    def _restart(self) -> None:
        """Restart the miner program at the moment that the state is at."""

    @abstractmethod
    def _take_effect(self, before: MachineSettings) -> None:
        """Called with the former settings when some have changed."""

    # What is set.

    @property
    def pools(self) -> tuple[PoolEntry, ...]:
        """Three; those that are not used are empty."""
        return self.settings.pools

    @property
    def asleep(self) -> bool:
        """Whether it is told to rest; its phase says whether it does."""
        return self.settings.asleep

    @property
    def power_mode(self) -> str:
        """``low``, ``normal`` or ``high``."""
        return self.settings.power_mode

    @property
    def power_limit_w(self) -> float:
        """At the wall."""
        return self.settings.power_limit_w

    @property
    def blinking(self) -> bool:
        """Whether its light shows where it stands."""
        return self.settings.blinking

    def deliver(self, **settings: Any) -> None:
        """What the maker has set, besides what every machine has; called by a firmware once, in its constructor."""
        common = {name: value for name, value in settings.items() if name in COMMON}
        odd = {name: value for name, value in settings.items() if name not in COMMON}
        bare = self.settings.changed(**common)
        self.settings = self.delivered = MachineSettings(
            **{name: bare.of(name) for name in COMMON}, extra={**bare.extra, **odd}
        )

    def change(self, *, restarts: bool = False, then: Then | None = None, after_s: float = 0.0, **wanted: Any) -> None:
        """Write settings, as a client asks for them: the one door, behind which the write fault stands.

        ``restarts``: the miner program starts anew with them. ``then``: done after the answer (a reboot, a move).
        ``after_s``: the machine waits so long with all of it [its seconds]. Raises WriteRefusedError, which the
        firmware answers in its own words; then nothing has changed.
        """
        self.advance()
        wanted = _whole(wanted)
        fault = self._next_fault()
        found = taken(fault, wanted, before=self.settings, delivered=self.delivered)
        what = [*sorted(wanted), *(["restart"] if restarts else []), *([_name(then)] if then else [])]
        self._record(", ".join(what), wanted, found, fault)
        if found.answer is Answer.REFUSED:
            raise WriteRefusedError(f"write {', '.join(what)}: found a machine that refuses (fault {fault})")
        after = None
        for part in found.parts:
            delay_s, part_then = after_s + part.after_s, None if part.is_undo else then
            if delay_s > 0:
                self._later.append(_Later(self.clock() + delay_s, part.settings, restarts, part_then))
            else:
                self._set(part.settings, restarts=restarts)
                after = part_then
        self._aftermath = Aftermath(found.answer is Answer.NOTHING, self.reboot if found.reboots else after)

    def apply(self, *, restarts: bool = False, **settings: Any) -> None:
        """Set what is really set, past every fault: the machine's own doing, drills, tests."""
        self.advance()
        self._set(_whole(settings), restarts=restarts)

    def sleep(self) -> None:
        """Stop hashing after the time that the model takes for it; stays asleep over reboots until ``wake``."""
        self.apply(asleep=True, restarts=True)

    def wake(self) -> None:
        """Start hashing again."""
        self.apply(asleep=False, restarts=True)

    def restart_miner(self) -> None:
        """Restart the miner program only: the network stays up, counters begin anew."""
        self.apply(restarts=True)

    # Behind the door.

    def set_write_fault(self, fault: WriteFault, *, times: int | None = None) -> None:
        """Make writes go wrong, the next ``times`` of them or (None) all; mend them with ``WriteFault.NONE``."""
        self.write_fault, self.faulty_writes = fault, times

    def take_aftermath(self) -> Aftermath:
        """What the write of the request just answered leaves to the listener; nothing the next time."""
        found, self._aftermath = self._aftermath, Aftermath()
        return found

    @property
    def next_change_at(self) -> float:
        """When the next setting that waits comes into force; infinite where none waits."""
        return min((later.at for later in self._later), default=float("inf"))

    def _take_due(self, now: float) -> _Later | None:
        due = min((later for later in self._later if later.at <= now), key=lambda later: later.at, default=None)
        if due is not None:
            self._later.remove(due)
        return due

    def _come_into_force(self, later: _Later) -> None:
        self._set(later.settings, restarts=later.restarts)
        if later.then is not None:
            later.then()

    def _set(self, settings: Mapping[str, Any], *, restarts: bool) -> None:
        before, self.settings = self.settings, self.settings.changed(**settings)
        self._take_effect(before)
        if restarts:
            self._restart()

    def _next_fault(self) -> WriteFault:
        fault = self.write_fault
        if self.faulty_writes is not None and fault is not WriteFault.NONE:
            self.faulty_writes -= 1
            if self.faulty_writes <= 0:
                self.set_write_fault(WriteFault.NONE)
        return fault

    def _record(self, what: str, wanted: Mapping[str, Any], found: Taken, fault: WriteFault) -> None:
        now = next((part.settings for part in found.parts if not part.after_s), {})
        self.write_count += 1
        self.writes.append(Write(self.clock(), what, stated(wanted), stated(now), fault, found.answer))


def stated(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by name as JSON can hold them; what is secret as the first 8 digits of its SHA-256."""
    return {name: _stated(name, value) for name, value in sorted(settings.items())}


def all_stated(settings: MachineSettings) -> dict[str, Any]:
    """All settings of a machine, ``stated``."""
    return stated({name: settings.of(name) for name in (*COMMON, *settings.extra)})


def _stated(name: str, value: Any) -> Any:
    match value:
        case str() if "password" in name:
            return hashlib.sha256(value.encode()).hexdigest()[:8] if value else ""
        case Mapping():
            return {str(key): _stated(f"{name}.{key}", each) for key, each in value.items()}
        case tuple() | list():
            return [_stated(name, each) for each in value]
        case PoolEntry():
            return {"url": value.url, "user": value.user, "password": _stated("password", value.password)}
        case _ if is_dataclass(value) and not isinstance(value, type):
            return stated({each.name: getattr(value, each.name) for each in fields(value)})
    return value


def _whole(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Pools as a machine holds them: three, at most, the missing ones empty."""
    whole = dict(settings)
    if "pools" in whole:
        whole["pools"] = (*whole["pools"], *(PoolEntry(),) * POOL_COUNT)[:POOL_COUNT]
    return whole


def _name(act: Then) -> str:
    return getattr(act, "__name__", "act")
