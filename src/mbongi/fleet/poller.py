"""The poller: asks every machine in tiers, with bounded workers, and says what came of it, rack by rack.

Fast, slow and static tiers are asked every ``fast_s``, ``slow_s`` and ``static_s``. Racks start staggered over the
fast period, slow and static polls staggered over theirs, so the load is even. A machine that does not answer is asked
ever less often, at most a slow period apart. A hung one costs one worker for ``timeout_s`` at most.
"""

import asyncio
import contextlib
import heapq
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import msgspec

from mbongi.base.clock import monotonic_s, now_ms
from mbongi.base.config import Fleet
from mbongi.base.ids import MachineId
from mbongi.base.log import get_log
from mbongi.fleet.adapters.links import always
from mbongi.fleet.adapters.registry import adapter_of
from mbongi.fleet.adapters.session import Access, Session, SlowFigures
from mbongi.fleet.device_errors import DeniedError, DeviceError, GarbledError, MissingPageError, StrangerError
from mbongi.fleet.identifying import can_be_known, prove
from mbongi.fleet.noticing import has_restarted, noticed
from mbongi.fleet.open_files import raise_open_files
from mbongi.fleet.ports import OnBatch, OnDetails, OnStates, OnStrangers
from mbongi.fleet.reading import DetailReport, MachineDetail, MachineReading, StateChange, Target, Verdict
from mbongi.fleet.rules.figures import complete
from mbongi.fleet.rules.identity import Continuity
from mbongi.fleet.values import MachineState

log = get_log(__name__)

STATES_EVERY_S = 0.2
"""Changes of state and details are handed over together, this often at most."""
SOON_S = 2.0
"""Machines that are to be asked at once get their first question within this time, evenly, so that no wave breaks."""
_GOLDEN = 0.6180339887498949
_SLOW_TIER_ERRORS = (GarbledError, MissingPageError, DeniedError)


@dataclass(slots=True)
class PollStatistics:
    """Counts since the start."""

    polls: int = 0
    failures: int = 0
    rounds: int = 0
    rounds_late: int = 0
    """Rounds of a rack left out because its last was not over: too few workers, or too short a period."""


class _Machine:
    """One target between its polls."""

    __slots__ = (
        "adapter",
        "busy",
        "continuity",
        "failures",
        "last_s",
        "next_slow_s",
        "next_static_s",
        "next_try_s",
        "phase",
        "session",
        "state",
        "target",
        "warned",
    )

    def __init__(self, target: Target, session: Session) -> None:
        self.target, self.session, self.adapter = target, session, adapter_of(target.family)
        self.phase = target.machine_id * _GOLDEN % 1.0
        self.state: MachineState | None = None
        self.last_s: int | None = None
        self.failures = 0
        self.next_try_s = self.next_slow_s = self.next_static_s = 0.0
        self.busy = self.warned = False
        self.continuity = Continuity()


class _Rack:
    """Machines that are asked together."""

    __slots__ = ("due_s", "machines", "name", "once", "pending", "readings")

    def __init__(self, name: str, due_s: float, *, once: bool = False) -> None:
        self.name, self.due_s, self.once = name, due_s, once
        self.machines: list[_Machine] = []
        self.readings: list[MachineReading] = []
        self.pending = 0


class Poller:
    """Polls its targets while ``run`` runs. For one event loop; every call comes from that loop.

    ``may_ask`` is looked at before every question; while it says no, nothing is sent and nothing is said of machines.
    ``access_of`` gives a machine's ports and passwords; None: the configuration's. ``on_strangers`` hears of
    machines at whose address another one answers; nothing of what that says is credited to them.
    """

    def __init__(
        self,
        config: Fleet,
        targets: Iterable[Target] = (),
        *,
        may_ask: Callable[[], bool] = always,
        access_of: Callable[[MachineId], Access] | None = None,
        on_strangers: OnStrangers | None = None,
    ) -> None:
        self.config, self._may_ask = config, may_ask
        self._on_strangers = on_strangers
        self.statistics = PollStatistics()
        self._common = Access.of(config)
        self._access_of = access_of or (lambda _machine_id: self._common)
        self._machines: dict[MachineId, _Machine] = {}
        self._racks: dict[str, _Rack] = {}
        self._schedule: list[tuple[float, int, _Rack]] = []
        self._serial = 0
        self._queue: deque[tuple[_Rack, _Machine]] = deque()
        self._workers: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._stopping = False
        self._changes: list[StateChange] = []
        self._details: list[DetailReport] = []
        self._on_batch: OnBatch = lambda _rack, _readings: None
        self._on_states: OnStates = lambda _changes: None
        self._on_details: OnDetails | None = None
        self._flush_timer: asyncio.TimerHandle | None = None
        self._keep_links_max = raise_open_files() - config.workers
        self.set_targets(targets)

    # What to poll.

    def set_targets(self, targets: Iterable[Target], *, soon: bool = False) -> None:
        """Replace the targets. Machines that stay keep their connections, challenges, states and schedule.

        Machines that go are asked nothing more from now on. ``soon``: new ones are asked within SOON_S once, before
        their racks' turns.
        """
        wanted = {target.machine_id: target for target in targets}
        new: list[_Machine] = []
        for machine_id in self._machines.keys() - wanted.keys():
            self._machines.pop(machine_id).session.end()
        keep = len(wanted) <= self._keep_links_max
        for machine_id, target in wanted.items():
            machine, access = self._machines.get(machine_id), self._access_of(machine_id)
            if machine is None or not _is_as_before(machine, target, access):
                if machine is not None:
                    machine.session.end()
                session = Session(target.address, access, keep_links=keep, may_ask=self._may_ask)
                self._machines[machine_id] = machine = _Machine(target, session)
                new.append(machine)
            else:
                machine.target, machine.session.keep_links = target, keep
        self._set_racks()
        if soon:
            self._plan_once(new)
        self._wake.set()

    def _plan_once(self, machines: list[_Machine]) -> None:
        racks: dict[str, _Rack] = {}
        for machine in machines:
            racks.setdefault(machine.target.rack, _Rack(machine.target.rack, 0.0, once=True)).machines.append(machine)
        now, spread_s = monotonic_s(), min(SOON_S, self.config.fast_s)
        for place, rack in enumerate(racks.values()):
            self._plan(rack, now + spread_s * place / len(racks))

    def _set_racks(self) -> None:
        """Sort the machines into racks; a new rack's first round falls into its place in the fast period."""
        for rack in self._racks.values():
            rack.machines = []
        new: list[_Rack] = []
        for machine in self._machines.values():
            name = machine.target.rack
            if name not in self._racks:
                self._racks[name] = _Rack(name, 0.0)
                new.append(self._racks[name])
            rack = self._racks[name]
            rack.machines.append(machine)
        self._racks = {name: rack for name, rack in self._racks.items() if rack.machines}
        now = monotonic_s()
        for place, rack in enumerate(new):
            self._plan(rack, now + self.config.fast_s * place / len(new))

    def poll_soon(self, machine_ids: Iterable[MachineId], *, wholly: bool = False) -> None:
        """Ask these machines' slow tier at once, after an action for instance; ``wholly``: their static tier too.

        Unknown ids are passed over. Their racks keep their turns: thousands of machines that are written one after the
        other would else have every rack polled without a pause. One that is being polled is asked in its next turn.
        """
        found: list[_Machine] = []
        for machine_id in machine_ids:
            machine = self._machines.get(machine_id)
            if machine is None:
                continue
            machine.next_slow_s = machine.next_try_s = 0.0
            if wholly:
                machine.next_static_s = 0.0
            if not machine.busy:
                found.append(machine)
        self._plan_once(found)
        self._wake.set()

    def vouches(self, machine_id: MachineId) -> bool:
        """Whether it answered as the known machine when it was last asked, two fast periods ago at most."""
        machine = self._machines.get(machine_id)
        if machine is None or machine.failures or machine.continuity.doubted or machine.last_s is None:
            return False
        return now_ms() // 1000 - machine.last_s <= 1 + 2 * self.config.fast_s

    def _plan(self, rack: _Rack, due_s: float) -> None:
        rack.due_s = due_s
        self._serial += 1
        heapq.heappush(self._schedule, (due_s, self._serial, rack))

    # The run.

    async def run(self, on_batch: OnBatch, on_states: OnStates, on_details: OnDetails | None = None) -> None:
        """Poll until ``stop`` is called or the task is cancelled.

        ``on_batch`` gets one reading of each machine of a rack after each round, also of those that did not answer;
        ``on_states`` what changed, and each machine's first word; ``on_details`` the slower facts when they were read.
        """
        self._on_batch, self._on_states, self._on_details = on_batch, on_states, on_details
        self._stopping = False
        try:
            while not self._stopping:
                wait_s = self._start_due()
                self._wake.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait_s):
                        await self._wake.wait()
        finally:
            await self._end()

    def stop(self) -> None:
        """End ``run``; polls that are under way are given up."""
        self._stopping = True
        self._wake.set()

    async def _end(self) -> None:
        self._queue.clear()
        workers = list(self._workers)
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
        self._flush()
        if self._flush_timer is not None:
            self._flush_timer.cancel()
            self._flush_timer = None
        for rack in self._racks.values():
            rack.pending, rack.readings = 0, []
        for machine in self._machines.values():
            machine.busy = False
            machine.session.close()

    def _start_due(self) -> float:
        """Start every rack that is due; how long until the next is."""
        now = monotonic_s()
        while self._schedule and self._schedule[0][0] <= now:
            due_s, _, rack = heapq.heappop(self._schedule)
            if rack.once:
                self._start_round(rack, now)
                continue
            if rack.due_s != due_s or self._racks.get(rack.name) is not rack:
                continue  # planned anew, or gone, since this entry was made
            if rack.pending:
                self.statistics.rounds_late += 1
            else:
                self._start_round(rack, now)
            # A late start does not shift the rhythm, and missed rounds are not made up for.
            missed = int((now - due_s) / self.config.fast_s)
            self._plan(rack, due_s + (missed + 1) * self.config.fast_s)
        return max(self._schedule[0][0] - now, 0.0) if self._schedule else self.config.fast_s

    def _start_round(self, rack: _Rack, now: float) -> None:
        self.statistics.rounds += 1
        rack.readings = []
        asked: list[_Machine] = []
        for machine in rack.machines:
            if machine.next_try_s <= now and not machine.busy:
                machine.busy = True
                asked.append(machine)
            elif machine.state is not None:
                rack.readings.append(self._spanned(machine, self._unasked(machine)))
        rack.pending = len(asked)
        self._queue.extend((rack, machine) for machine in asked)
        if not asked:
            self._finish_round(rack)
        for _ in range(min(len(asked), self.config.workers - len(self._workers))):
            self._start_worker()

    def _start_worker(self) -> None:
        worker = asyncio.get_running_loop().create_task(self._work())
        self._workers.add(worker)
        worker.add_done_callback(self._workers.discard)

    async def _work(self) -> None:
        while self._queue:
            rack, machine = self._queue.popleft()
            try:
                reading = await self._poll(machine) if self._asks(machine) else None
                if reading is not None:
                    rack.readings.append(self._spanned(machine, reading))
            finally:
                machine.busy = False
            rack.pending -= 1
            if rack.pending == 0:
                self._finish_round(rack)

    def _finish_round(self, rack: _Rack) -> None:
        readings, rack.readings = rack.readings, []
        if readings:
            self._on_batch(rack.name, readings)

    def _spanned(self, machine: _Machine, reading: MachineReading) -> MachineReading:
        """Say how long the row stands for; in whole seconds of the clock, so that spans add up to what passed."""
        at_s, fast_s = reading.ts // 1000, max(1, round(self.config.fast_s))
        passed = fast_s if machine.last_s is None else at_s - machine.last_s
        reading.span_s = float(min(max(passed, 0), 3 * fast_s))
        machine.last_s = at_s
        return reading

    # One poll.

    def _asks(self, machine: _Machine) -> bool:
        return self._may_ask() and self._machines.get(machine.target.machine_id) is machine

    async def _poll(self, machine: _Machine) -> MachineReading | None:
        """Ask one machine what is due; whatever happens, a reading with its state comes back.

        None: meanwhile it became another's to ask, and a broken poll says nothing of the machine.
        """
        self.statistics.polls += 1
        reading, started = _blank(machine), monotonic_s()
        try:
            async with asyncio.timeout(self.config.timeout_s):
                found = await self._ask(machine, reading, started)
        except TimeoutError:
            machine.session.close()
            found = Verdict(MachineState.UNKNOWN, f"no answer within {self.config.timeout_s:g} s")
            reading = self._failed(machine, found)
        except DeviceError as error:
            if isinstance(error, StrangerError):
                self._strange(machine)
            found = Verdict(error.state, str(error))
            reading = self._failed(machine, found)
        except Exception as error:  # one machine's odd reply must not stop the poller
            if not machine.warned:
                machine.warned = True
                log.exception("machine_poll_broke", machine_id=machine.target.machine_id)
            machine.session.close()
            found = Verdict(MachineState.UNKNOWN, f"{type(error).__name__} while reading the reply")
            reading = self._failed(machine, found)
        else:
            machine.failures, machine.next_try_s = 0, 0.0
            ended = monotonic_s()
            reading.poll_ms = (ended - started) * 1000.0
            machine.session.slow.put_into(reading, ended)
            complete(reading)
        if not self._asks(machine):
            machine.session.close()
            return None
        reading.state = found.state.value
        self._note_state(machine, found)
        if (detail := noticed(machine.session, machine.target.family)) is not None:
            self._tell(machine, detail)
        if has_restarted(machine.session, reading.uptime_s):
            machine.next_static_s = 0.0  # It may have another firmware now.
        return reading

    async def _ask(self, machine: _Machine, reading: MachineReading, now: float) -> Verdict:
        session, config = machine.session, self.config
        if now < machine.next_slow_s and now < machine.next_static_s:
            found = await machine.adapter.poll_fast(session, reading)
            machine.continuity.note(reading.uptime_s, monotonic_s(), session.dialled)
            if machine.continuity.doubted:
                await self._prove(machine)
            reading.ts = now_ms()
            return found
        static = now >= machine.next_static_s
        detail = msgspec.structs.replace(session.detail)
        ask = machine.adapter.poll_static if static else machine.adapter.poll_slow
        first = machine.next_slow_s == 0.0
        machine.next_slow_s = now + config.slow_s * (machine.phase or 1.0 if first else 1.0)
        try:
            found = await ask(session, reading, detail)
            machine.continuity.note(reading.uptime_s, monotonic_s(), session.dialled)
            await self._prove(machine)
        except _SLOW_TIER_ERRORS as error:
            # One page that this firmware lacks must not cost the figures that it has.
            machine.next_static_s = now + config.slow_s
            found = await machine.adapter.poll_fast(session, reading)
            await self._prove(machine)
            if not machine.warned:
                machine.warned = True
                log.warning("machine_slow_poll_failed", machine_id=machine.target.machine_id, reason=str(error))
        else:
            if static:
                share = machine.phase if machine.next_static_s == 0.0 else 1.0
                machine.next_static_s = now + max(config.static_s * share, config.slow_s)
            session.detail = detail
            self._tell(machine, detail)
        reading.ts = now_ms()
        return found

    async def _prove(self, machine: _Machine) -> None:
        """Have the machine say who it is. Raises StrangerError where it is another one than the target.

        Where only its own password opens that, and it was doubted, refusing that password makes it another one.
        """
        if can_be_known(machine.target):
            continuity, own = machine.continuity, machine.session.access != self._common
            is_proven = await prove(machine.session, machine.target, must=own and continuity.doubted)
            continuity.doubted = continuity.doubted and own and not is_proven

    def _strange(self, machine: _Machine) -> None:
        """Forget what a stranger may have said, and have somebody look at who is there."""
        machine.session.close()
        machine.session.slow = SlowFigures()
        if self._on_strangers is not None:
            self._on_strangers([machine.target.machine_id])

    def _failed(self, machine: _Machine, found: Verdict) -> MachineReading:
        """Put off the next try: the next round first, then twice as long each time, a slow period at most."""
        self.statistics.failures += 1
        machine.failures += 1
        now, fast_s = monotonic_s(), self.config.fast_s
        if machine.failures > 1:
            delay_s = min(fast_s * 2 ** min(machine.failures - 1, 16), max(self.config.slow_s - fast_s, 0.0))
            # Rounds come a fast period apart: half a period less meets the round that is meant.
            machine.next_try_s = now + max(delay_s - 0.5 * fast_s, 0.0)
        machine.next_slow_s, machine.continuity.doubted = 0.0, True
        reading = _blank(machine)
        reading.state = found.state.value
        return reading

    def _unasked(self, machine: _Machine) -> MachineReading:
        reading = _blank(machine)
        reading.state = (machine.state or MachineState.UNKNOWN).value
        return reading

    def _note_state(self, machine: _Machine, found: Verdict) -> None:
        if found.state is machine.state:
            return
        self._changes.append(
            StateChange(
                machine_id=machine.target.machine_id,
                state=found.state,
                before=machine.state,
                at_ms=now_ms(),
                reason=found.reason,
            )
        )
        machine.state = found.state
        self._flush_soon()

    def _tell(self, machine: _Machine, detail: MachineDetail) -> None:
        self._details.append(DetailReport(machine_id=machine.target.machine_id, detail=detail))
        self._flush_soon()

    def _flush_soon(self) -> None:
        if self._flush_timer is None:
            self._flush_timer = asyncio.get_running_loop().call_later(STATES_EVERY_S, self._flush)

    def _flush(self) -> None:
        self._flush_timer = None
        changes, self._changes = self._changes, []
        details, self._details = self._details, []
        if changes:
            self._on_states(changes)
        if details and self._on_details is not None:
            self._on_details(details)

    def states(self) -> dict[MachineId, MachineState | None]:
        """The newest state of each target; None before its first poll."""
        return {machine_id: machine.state for machine_id, machine in self._machines.items()}


def _is_as_before(machine: _Machine, target: Target, access: Access) -> bool:
    """Whether a machine's connections, and what was learnt over them, are still good."""
    before = machine.target
    return (before.address, before.family) == (target.address, target.family) and machine.session.access == access


def _blank(machine: _Machine) -> MachineReading:
    target = machine.target
    return MachineReading(
        ts=now_ms(),
        machine_id=target.machine_id,
        tenant_id=target.tenant_id,
        rack=target.rack,
        model=machine.session.detail.model or target.model,
    )
