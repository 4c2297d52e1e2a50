"""Several processes, one table: whatever is delayed, lost, stopped, killed or cut off, no slot is used by two."""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mbongi.core.bus.cells import CellConflict
from mbongi.core.bus.errors import BusUnavailable
from mbongi.fleet.daemon.keep_lock import KeepLock
from mbongi.fleet.daemon.leasing import Leasing, Share
from mbongi.fleet.rules.leases import ALL_SLOTS, HOLD_S, SLOTS
from tests.fleet.daemon.virtual_time import run_virtually

CALL_S = 1.5
LOOK_S = 0.02
QUICK_S = 0.01
"""Delays of a bus in good health; where they are longer, some are longer than anybody waits."""


class Server:
    """The bus's one value, and the folder's one lock."""

    def __init__(self) -> None:
        self.value, self.revision, self.is_up = b"", 0, True
        self.sharers: set[int] = set()
        self.alone: int | None = None

    def write(self, value: bytes, revision: int) -> None:
        if not self.is_up:
            raise BusUnavailable("down")
        if revision != self.revision:
            raise CellConflict("not the newest")
        self.value, self.revision = value, self.revision + 1


class Process:
    """One process: its link to the server may be cut, it may be stopped, go on, and die."""

    def __init__(self, server: Server, number: int, *, seed: int = 0, delay_s_max: float = QUICK_S) -> None:
        self.server, self.number, self.random, self.delay_s_max = server, number, random.Random(seed), delay_s_max
        self.rate = self.random.uniform(0.95, 1.05)
        self.is_cut = False
        self.going = asyncio.Event()
        self.going.set()
        self.busy: set[int] = set()
        self.share = Share(whole=False, clock=self.clock)
        self.leasing = Leasing(
            self.share,
            self,
            number,
            on_change=lambda: None,
            busy_slots=lambda: self.busy,
            clock=self.clock,
            sleep=self.sleep,
        )
        self._late: set[asyncio.Task[None]] = set()
        self.task = asyncio.create_task(self.leasing.run(self))

    def clock(self) -> float:
        return asyncio.get_running_loop().time() * self.rate

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self.going.wait()

    @property
    def used(self) -> frozenset[int]:
        """The slots whose machines it could ask a question at this moment."""
        return self.share.slots if self.going.is_set() and self.share.may_ask() else frozenset()

    # The table, over a bad link.

    async def read(self) -> tuple[int, bytes]:
        async def at_the_server() -> tuple[int, bytes]:
            if not self.server.is_up:
                raise BusUnavailable("down")
            return self.server.revision, self.server.value

        return await self._asked(at_the_server)

    async def write(self, value: bytes, revision: int) -> None:
        async def at_the_server() -> None:
            self.server.write(value, revision)

        await self._asked(at_the_server)

    async def _asked(self, question: Callable[[], Awaitable[object]]) -> object:
        """Both ways may take long; a question whose answer is too late is answered all the same."""
        if self.is_cut:
            await asyncio.sleep(CALL_S)
            await self.going.wait()
            raise BusUnavailable("no answer")

        async def travel() -> object:
            await asyncio.sleep(self._delay_s())
            return await question()

        there = asyncio.create_task(travel())
        self._late.add(there)
        there.add_done_callback(self._forget)
        try:
            async with asyncio.timeout(CALL_S):
                found = await asyncio.shield(there)
                await asyncio.sleep(self._delay_s())
        except TimeoutError as error:
            await self.going.wait()
            raise BusUnavailable("no answer in time") from error
        finally:
            await self.going.wait()
        return found

    def _delay_s(self) -> float:
        is_odd = self.delay_s_max > QUICK_S and self.random.random() < 0.1
        return self.random.uniform(0, 4.0 if is_odd else self.delay_s_max)

    def _forget(self, task: "asyncio.Task[object]") -> None:
        self._late.discard(task)
        with contextlib.suppress(BaseException):
            task.exception()

    # The lock, as flock(2) has it: one hold of a process changes into the other.

    def share_lock(self) -> bool:
        if self.server.alone not in {None, self.number}:
            return False
        self.server.alone = None
        self.server.sharers.add(self.number)
        return True

    def alone(self) -> bool:
        if self.server.alone not in {None, self.number} or self.server.sharers - {self.number}:
            return False
        self.server.sharers.discard(self.number)
        self.server.alone = self.number
        return True

    def release(self) -> None:
        self.server.sharers.discard(self.number)
        if self.server.alone == self.number:
            self.server.alone = None

    # Its fate.

    async def kill(self) -> None:
        self.task.cancel()
        self.going.set()
        await asyncio.gather(self.task, return_exceptions=True)
        self.share.slots = frozenset()
        self.release()

    async def leave(self) -> None:
        self.task.cancel()
        self.going.set()
        await asyncio.gather(self.task, return_exceptions=True)
        await self.leasing.leave(self)


class Keeper:
    """A process's lock under the names that ``Leasing`` wants."""

    def __init__(self, process: Process) -> None:
        self.share, self.alone, self.release = process.share_lock, process.alone, process.release


class Bed:
    """Processes by their numbers, watched all the time."""

    def __init__(self, count: int, *, seed: int = 0, delay_s_max: float = QUICK_S) -> None:
        self.server, self.seed, self.delay_s_max = Server(), seed, delay_s_max
        self.processes: dict[int, Process] = {}
        for number in range(count):
            self.start(number)
        self._watching = asyncio.create_task(self._watch())

    def start(self, number: int) -> None:
        self.seed += 1
        process = Process(self.server, number, seed=self.seed, delay_s_max=self.delay_s_max)
        process.leasing._keeper = Keeper(process)
        self.processes[number] = process

    async def _watch(self) -> None:
        while True:
            seen: dict[int, int] = {}
            for number, process in self.processes.items():
                for slot in process.used:
                    assert slot not in seen, f"slot {slot}: used by {seen[slot]} and {number}"
                    seen[slot] = number
            await asyncio.sleep(LOOK_S)

    def used(self) -> dict[int, int]:
        return {number: len(process.used) for number, process in self.processes.items()}

    async def until(self, what: Callable[[], bool], limit_s: float = 60.0) -> float:
        """Wait, looking all the time; how long it took."""
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        while not what():
            assert loop.time() - began_s < limit_s, f"not within {limit_s} s: {self.used()}"
            await self.pass_s(LOOK_S)
        return loop.time() - began_s

    async def pass_s(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        if self._watching.done():
            self._watching.result()
        for process in self.processes.values():
            if process.task.done() and not process.task.cancelled():
                process.task.result()

    def is_fair(self) -> bool:
        counts = self.used().values()
        leads = sum(process.share.leads for process in self.processes.values())
        return sum(counts) == SLOTS and max(counts) - min(counts) <= 1 and leads == 1

    async def end(self) -> None:
        self._watching.cancel()
        for process in self.processes.values():
            await process.kill()


def in_bed(count: int, story: Callable[[Bed], Awaitable[None]], **options: float) -> None:
    async def told() -> None:
        bed = Bed(count, **options)  # type: ignore[arg-type]
        await bed.until(bed.is_fair)
        await story(bed)
        await bed.pass_s(0)
        await bed.end()

    run_virtually(told())


def test_a_killed_process_loses_its_slots_to_the_others_within_eleven_seconds() -> None:
    async def story(bed: Bed) -> None:
        await bed.processes.pop(1).kill()
        assert await bed.until(bed.is_fair) <= 11.0

    in_bed(3, story)


def test_a_process_that_leaves_hands_over_at_its_next_owners_turn() -> None:
    async def story(bed: Bed) -> None:
        await bed.processes.pop(0).leave()
        assert await bed.until(bed.is_fair) <= 3.0

    in_bed(3, story)


def test_a_newcomer_is_given_its_share_without_a_slot_in_nobodys_hands_for_long() -> None:
    async def story(bed: Bed) -> None:
        bed.start(7)
        assert await bed.until(bed.is_fair) <= 8.0

    in_bed(2, story)


def test_a_slot_is_given_away_once_what_is_under_way_in_it_has_ended() -> None:
    async def story(bed: Bed) -> None:
        bed.processes[0].busy = set(ALL_SLOTS)
        bed.start(1)
        await bed.pass_s(10.0)
        assert bed.used() == {0: 64, 1: 0}
        assert len(bed.processes[0].share.closing) == 32
        assert bed.processes[0].share.open_slots == ALL_SLOTS - bed.processes[0].share.closing
        bed.processes[0].busy = set()
        await bed.until(bed.is_fair)

    in_bed(1, story)


def test_a_process_that_was_stopped_for_long_uses_nothing_when_it_goes_on_and_then_gets_a_share_again() -> None:
    async def story(bed: Bed) -> None:
        stopped = bed.processes[2]
        stopped.going.clear()
        await bed.until(lambda: sum(bed.used().values()) == SLOTS, 12.0)
        assert bed.used()[2] == 0

        stopped.going.set()

        assert not stopped.used
        assert not stopped.share.may_ask()
        await bed.until(bed.is_fair)

    in_bed(3, story)


def test_everybody_goes_on_while_the_bus_is_away_and_nobody_takes_what_a_dead_one_had_until_it_is_back() -> None:
    async def story(bed: Bed) -> None:
        bed.server.is_up = False
        await bed.pass_s(120.0)
        assert bed.is_fair()
        await bed.processes.pop(2).kill()
        await bed.pass_s(60.0)
        assert sum(bed.used().values()) < SLOTS
        bed.server.is_up = True
        await bed.until(bed.is_fair, 20.0)

    in_bed(3, story)


def test_a_bus_that_comes_back_empty_is_told_who_has_what() -> None:
    async def story(bed: Bed) -> None:
        before = {number: process.share.slots for number, process in bed.processes.items()}
        bed.server.is_up = False
        await bed.pass_s(30.0)
        bed.server.value, bed.server.revision, bed.server.is_up = b"", 0, True
        await bed.pass_s(20.0)
        assert {number: process.share.slots for number, process in bed.processes.items()} == before
        assert bed.is_fair()

    in_bed(3, story)


def test_one_that_alone_does_not_reach_the_bus_goes_on_and_the_others_take_nothing_of_it() -> None:
    async def story(bed: Bed) -> None:
        before = bed.processes[1].share.slots
        bed.processes[1].is_cut = True
        await bed.pass_s(60.0)
        assert bed.processes[1].used == before
        bed.processes[1].is_cut = False
        await bed.pass_s(10.0)
        assert bed.is_fair()

    in_bed(3, story)


def test_a_process_started_again_under_its_number_has_its_slots_at_once() -> None:
    async def story(bed: Bed) -> None:
        await bed.processes.pop(1).kill()
        bed.start(1)
        assert await bed.until(bed.is_fair) < HOLD_S

    in_bed(3, story)


@pytest.mark.parametrize("stop_s", [step / 4 for step in range(18, 44)])
def test_however_long_a_process_is_stopped_it_never_uses_what_another_has(stop_s: float) -> None:
    async def story(bed: Bed) -> None:
        for process in list(bed.processes.values()):
            process.going.clear()
            await bed.pass_s(stop_s)
            process.going.set()
            await bed.until(bed.is_fair)

    in_bed(2, story, seed=int(stop_s * 4))


EVENTS = st.tuples(
    st.sampled_from(["kill", "stop", "go", "cut", "join", "start", "leave", "down", "up", "wipe", "busy", "idle"]),
    st.integers(0, 4),
    st.floats(0, 4) | st.floats(5.5, 10),
)


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**32), events=st.lists(EVENTS, max_size=14), delay_s_max=st.sampled_from([QUICK_S, 0.3, 1.2])
)
def test_whatever_happens_no_slot_is_used_by_two_and_in_the_end_all_is_well(
    seed: int, events: list[tuple[str, int, float]], delay_s_max: float
) -> None:
    async def told() -> None:
        bed = Bed(3, seed=seed, delay_s_max=delay_s_max)
        for event, number, seconds in events:
            await _happen(bed, event, number)
            await bed.pass_s(seconds)
        bed.server.is_up = True
        for process in bed.processes.values():
            process.is_cut, process.busy, process.delay_s_max = False, set(), QUICK_S
            process.going.set()
        if not bed.processes:
            bed.start(0)
        await bed.until(bed.is_fair, 90.0)
        await bed.end()

    run_virtually(told())


async def _happen(bed: Bed, event: str, number: int) -> None:
    process = bed.processes.get(number)
    match event:
        case "down" | "up":
            bed.server.is_up = event == "up"
        case "wipe":
            if not bed.server.is_up:
                # A bus that comes back empty was away for longer than what was on its way to it.
                await bed.pass_s(HOLD_S)
                bed.server.value, bed.server.revision = b"", 0
        case "start" if process is None:
            bed.start(number)
        case "kill" if process is not None:
            await bed.processes.pop(number).kill()
        case "leave" if process is not None and process.going.is_set():
            await bed.processes.pop(number).leave()
        case "stop" | "go" if process is not None:
            (process.going.clear if event == "stop" else process.going.set)()
        case "cut" | "join" if process is not None:
            process.is_cut = event == "cut"
        case "busy" | "idle" if process is not None:
            process.busy = set(ALL_SLOTS) if event == "busy" else set()


def test_the_keep_lock_is_held_by_one_alone_or_by_many_together(tmp_path: pytest.TempPathFactory) -> None:
    one, other, third = (KeepLock(tmp_path) for _ in range(3))  # type: ignore[arg-type]
    assert one.alone()
    assert not other.share()
    one.release()
    assert other.share()
    assert third.share()
    assert not one.alone()
    other.release()
    third.release()
    assert one.alone()
    for each in (one, other, third):
        each.close()
