"""This process's share of the machines: all of them, or the slots that it has leased. The rules are in rules/leases.

While the bus is away nobody can take anything, so whoever holds a lease at that moment may go on: it takes the keep
lock together with others before its lease ends by time. Those who reach the bus take nothing as long as it is held.
"""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Collection
from typing import Protocol

import msgspec

from mbongi.base.clock import monotonic_s
from mbongi.base.ids import MachineId
from mbongi.base.log import get_log
from mbongi.core.bus.cells import CellConflict
from mbongi.core.bus.errors import BusError
from mbongi.fleet.rules.leases import (
    ALL_SLOTS,
    HOLD_S,
    RENEW_S,
    Fence,
    Member,
    Sightings,
    Table,
    beaten,
    given,
    has_orphans,
    reasserted,
    shared_out,
    slot_of,
    struck,
    surplus,
)

log = get_log(__name__)

WATCH_S = 0.25
KEEP_LEFT_S = HOLD_S - 2.5
"""With this much of the lease left the bus counts as away, and the keep lock is tried."""
TRIES_MAX = 5
"""Attempts at one write when others are quicker; the next turn comes a second later."""
ALONE_TRIES = 10
ALONE_PAUSE_S = 0.02
LEAVE_S = 2.0


class Store(Protocol):
    """Where the table stands (``core.bus.cells.Cell``)."""

    async def read(self) -> tuple[int, bytes]:
        """Revision and value."""

    async def write(self, value: bytes, revision: int) -> None:
        """Compare and set."""


class Keeper(Protocol):
    """The keep lock."""

    def share(self) -> bool:
        """Hold it with others."""

    def alone(self) -> bool:
        """Hold it alone."""

    def release(self) -> None:
        """Let go of it."""


class Share:
    """What this process holds at the moment; everybody who asks machines looks here first."""

    def __init__(self, *, whole: bool, clock: Callable[[], float] = monotonic_s) -> None:
        self._clock, self._whole = clock, whole
        self.fence = Fence()
        self.slots: frozenset[int] = ALL_SLOTS if whole else frozenset()
        """Whose machines are polled."""
        self.closing: frozenset[int] = frozenset()
        """Slots about to be given away, for which nothing new is begun."""
        self.leads = whole

    def may_ask(self) -> bool:
        """Whether a question may be sent to a machine at this moment."""
        return self._whole or self.fence.holds(self._clock())

    def has(self, machine_id: MachineId | int) -> bool:
        """Whether a machine is this process's."""
        return slot_of(machine_id) in self.slots and self.may_ask()

    @property
    def open_slots(self) -> frozenset[int] | None:
        """Slots in which actions may be begun; None: all."""
        return None if self._whole else (self.slots - self.closing if self.may_ask() else frozenset())


class Leasing:
    """Keeps a ``Share`` up to date with the table. ``on_change`` is called, within the turn, when it became another."""

    def __init__(
        self,
        share: Share,
        keeper: Keeper,
        number: int,
        *,
        on_change: Callable[[], None],
        busy_slots: Callable[[], Collection[int]] = frozenset,
        clock: Callable[[], float] = monotonic_s,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """``busy_slots``: those whose machines are being written, which are given away afterwards."""
        self.share, self._keeper, self.number = share, keeper, number
        self._on_change, self._busy_slots, self._clock, self._sleep = on_change, busy_slots, clock, sleep
        self._incarnation, self._beat = uuid.uuid4().hex[:12], 0
        self._sightings = Sightings()
        self._held: frozenset[int] = frozenset()
        self._offered: frozenset[int] = frozenset()
        """Slots in a write that gives them away and whose fate is not known yet; they stay unused until it is."""
        self._is_away = self._is_alone = False

    async def run(self, store: Store) -> None:
        """Renew, take and give until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch())
            group.create_task(self._renew(store))

    async def _renew(self, store: Store) -> None:
        while True:
            began_s = self._clock()
            try:
                await self.turn(store)
            except BusError as error:
                if not self._is_away:
                    self._is_away = True
                    log.warning("leases_not_renewed", error=str(error))
            else:
                if self._is_away:
                    self._is_away = False
                    log.info("leases_renewed_again")
            await self._sleep(max(0.1, RENEW_S - (self._clock() - began_s)))

    async def _watch(self) -> None:
        while True:
            self.look()
            await self._sleep(WATCH_S)

    def look(self) -> None:
        """Before the lease ends by time: try to keep it, as the bus is away; at its end: drop everything."""
        fence = self.share.fence
        if not self._held or fence.is_kept:
            return
        if not self._is_alone and fence.left_s(self._clock()) <= KEEP_LEFT_S and self._keeper.share():
            # From here nobody takes anything. Only a lease that has not ended before may be kept.
            if fence.holds(self._clock()):
                fence.is_kept = True
                log.warning("leases_kept_without_bus", slots=len(self._held))
                return
            self._keeper.release()
        if not fence.holds(self._clock()):
            log.warning("leases_lost", slots=len(self._held))
            self._drop()

    async def turn(self, store: Store) -> None:
        """Read the table, write it anew with this process's beat, and adopt what the written one says.

        Raises BusUnavailable; what is held then stays held as long as the fence says.
        """
        for _ in range(TRIES_MAX):
            revision, data = await store.read()
            table = msgspec.json.decode(data, type=Table) if data else Table()
            self._sightings.see(table, self._clock())
            unknown = self._offered
            wanted = self._continued(table)
            await self._alone_if_needed(wanted)
            try:
                if self._is_alone:
                    lapsed = self._sightings.lapsed(self._clock()) - {self.number}
                    wanted = shared_out(struck(wanted, lapsed))
                sent_s = self._clock()
                await store.write(msgspec.json.encode(wanted), revision)
                self._adopt(wanted, sent_s)
            except CellConflict:
                self._offered = unknown
                continue
            finally:
                if self._is_alone:
                    self._is_alone = False
                    self._keeper.release()
            return

    def _continued(self, table: Table) -> Table:
        """The table with this process's beat, its own slots, and without what it gives away."""
        share, known = self.share, table.members.get(self.number)
        if self._held and (known is None or known.incarnation != self._incarnation):
            if share.fence.is_kept:
                table = reasserted(table, self.number, share.slots)
            else:
                log.warning("leases_taken_by_others", slots=len(self._held))
                self._drop()
        self._beat += 1
        table = beaten(table, self.number, Member(self._incarnation, self._beat))
        if self._held - table.slots_of(self.number):
            self._hold(self._held & table.slots_of(self.number), leads=share.leads)
        gifts = {slot: to for slot, to in surplus(table, self.number).items() if slot in self._held}
        busy = frozenset(self._busy_slots())
        share.closing = frozenset(gifts)
        ready = {slot: to for slot, to in gifts.items() if slot not in busy}
        # Their machines are left alone before anybody else can read that they are his.
        self._offered |= ready.keys()
        self._use(self._held - self._offered, leads=share.leads)
        return given(table, ready)

    async def _alone_if_needed(self, wanted: Table) -> None:
        """Hold the keep lock alone where this turn takes something, unless somebody goes on without the bus."""
        lapsed = self._sightings.lapsed(self._clock()) - {self.number}
        gains = wanted.slots_of(self.number) - self._held
        leads = wanted.lead == self.number and not self.share.leads
        if not (lapsed or gains or leads or has_orphans(wanted)):
            return
        for _ in range(ALONE_TRIES):
            if self.share.fence.is_kept:
                return
            if self._keeper.alone():
                self._is_alone = True
                return
            await self._sleep(ALONE_PAUSE_S)

    def _adopt(self, table: Table, sent_s: float) -> None:
        """The written table holds. What is new in it is taken up only under the keep lock: an earlier write whose
        answer was lost may have struck somebody who goes on since then."""
        fence, mine = self.share.fence, table.slots_of(self.number)
        fence.confirmed(sent_s)
        if not fence.holds(self._clock()):
            return  # The answer came too late; the watch drops what is held.
        if fence.is_kept:
            fence.is_kept = False
            self._keeper.release()
            log.info("leases_renewed", slots=len(self._held))
        leads = table.lead == self.number and (self._is_alone or self.share.leads)
        self._offered = frozenset()
        self._hold(mine if self._is_alone else mine & self._held, leads=leads)

    def _hold(self, slots: frozenset[int], *, leads: bool) -> None:
        self._held = slots
        self._use(slots - self._offered, leads=leads)

    def _use(self, slots: frozenset[int], *, leads: bool) -> None:
        share = self.share
        if (slots, leads) != (share.slots, share.leads):
            share.slots, share.leads = slots, leads
            self._on_change()

    def _drop(self) -> None:
        if self.share.fence.is_kept:
            self._keeper.release()
        self.share.fence.drop()
        self._offered = frozenset()
        self.share.closing = frozenset()
        self._hold(frozenset(), leads=False)

    async def leave(self, store: Store) -> None:
        """Hand everything over, once no machine is asked any more. Without the bus the others wait for the silence."""
        self._drop()
        try:
            async with asyncio.timeout(LEAVE_S):
                for _ in range(TRIES_MAX):
                    revision, data = await store.read()
                    table = msgspec.json.decode(data, type=Table) if data else Table()
                    if table.members.get(self.number, Member("", 0)).incarnation != self._incarnation:
                        return
                    try:
                        left = shared_out(struck(table, {self.number}))
                        await store.write(msgspec.json.encode(left), revision)
                    except CellConflict:
                        continue
                    return
        except (BusError, TimeoutError) as error:
            log.warning("leases_not_handed_over", error=str(error))
