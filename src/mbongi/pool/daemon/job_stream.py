"""One stream of jobs for all pool processes: from the one that follows the nodes to those that serve miners.

A job goes out on the bus at once, in parts; the bus keeps the newest few, so that a process that starts has work and
knows the jobs that miners may still hand in shares for. Every second a beat says which job is the newest and whether
there is trouble; without beats the last work goes on for a while, longer where it is seen to build on the tip still,
then miners are sent away.
"""

import asyncio
import contextlib
import math
from collections.abc import Callable
from typing import Final

import msgspec

from mbongi.base.clock import monotonic_s
from mbongi.base.log import get_log
from mbongi.core.bus.client import Bus
from mbongi.core.bus.errors import BusError, BusUnavailable
from mbongi.core.bus.streams import JOBS
from mbongi.pool.daemon.job_store import KEPT_MAX
from mbongi.pool.daemon.server import JOB_S_MAX
from mbongi.pool.daemon.steady_clock import SteadyClock
from mbongi.pool.errors import JobError
from mbongi.pool.rules.job import Job
from mbongi.pool.rules.job_codec import PARTS_MAX, Assembly, decode_job, encode_job, parts_of
from mbongi.pool.status import NodeStatus

log = get_log(__name__)

BEAT_S: Final = 1.0
LOOK_S: Final = 0.25
ALONE_S_MAX: Final = JOB_S_MAX
"""So long work goes on at most that is seen to build on the tip, but of whose maker nothing is heard."""
KNOWN_MAX: Final = 64
"""Numbers of jobs that have come, remembered."""
BEAT_SUBJECT: Final = "pool.beat"
WANTED_SUBJECT: Final = "pool.wanted"
"""Whoever lacks the newest job, and does not find it kept, says so there."""
SOLUTION_SUBJECT: Final = "pool.solution"
"""The beginning of a found block in hex, its coinbase included: whoever makes the work hands it to where its templates
come from. To the nodes themselves it went before, from the process that found it."""
_JOB_SUBJECT: Final = "pool.job"


class Beat(msgspec.Struct, frozen=True, kw_only=True):
    """What the process that makes the work says every BEAT_S. ``job`` is the newest one's number; 0: none yet."""

    job: int = 0
    trouble: str = ""
    template_age_s: float = 0.0
    template_stale: bool = False
    newest_fees_sat: int = 0
    nodes: tuple[NodeStatus, ...] = ()


_read_beat = msgspec.json.Decoder(Beat).decode


class JobStream:
    """The sending end. ``beat`` gives what is to be said now; all for one event loop."""

    def __init__(self, beat: Callable[[], Beat]) -> None:
        self._beat = beat
        self._newest: Job | None = None
        self._sent: tuple[int, int] = (0, -1)
        self._wake = asyncio.Event()

    def publish(self, job: Job) -> None:
        """Send a job; while there is no bus, the newest is sent once there is."""
        self._newest = job
        self._wake.set()

    def say(self) -> None:
        """Beat at once: something has changed."""
        self._wake.set()

    async def run(self, bus: Bus) -> None:
        """Send, until cancelled."""
        await bus.hear(WANTED_SUBJECT, self._send_again)
        while True:
            self._wake.clear()
            job, state = self._newest, (self._newest.number if self._newest else 0, bus.generation)
            with contextlib.suppress(BusError):  # told once by the connection; what is not sent is tried with each beat
                if job is not None and state != self._sent:
                    await self._send(bus, job)
                    self._sent = state
                await bus.tell(BEAT_SUBJECT, msgspec.json.encode(self._beat()))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(BEAT_S):
                    await self._wake.wait()

    def _send_again(self, _data: bytes) -> None:
        self._sent = (0, -1)
        self._wake.set()

    async def _send(self, bus: Bus, job: Job) -> None:
        try:
            body = await asyncio.to_thread(encode_job, job) if job.template.transaction_count else encode_job(job)
        except JobError:
            return  # retired meanwhile: the next one waits
        for place, part in enumerate(parts_of(job.number, body)):
            await bus.tell(_subject(job.number, place), part)


class JobFeed:
    """The receiving end. ``on_job`` takes each new job, ``restore`` the ones before the newest when it starts or missed
    some, ``on_trouble`` why there is no work, and an empty text when there is again. ``is_on_tip`` says whether this
    process sees by itself that a job builds on the chain's tip."""

    def __init__(
        self,
        *,
        clock: SteadyClock,
        on_job: Callable[[Job], None],
        restore: Callable[[list[Job]], None],
        on_trouble: Callable[[str], None],
        is_on_tip: Callable[[Job], bool],
        without_work_s: float,
    ) -> None:
        self._clock, self._on_job, self._restore, self._on_trouble = clock, on_job, restore, on_trouble
        self._is_on_tip, self._without_work_s = is_on_tip, without_work_s
        self._assembly = Assembly()
        self._known: dict[int, None] = {}
        self._newest: Job | None = None
        self._newest_made_at_s = -math.inf
        self._missing_since_s: float | None = None
        self._heard_at_s = monotonic_s()
        self._trouble = ""
        self.beat = Beat()

    async def run(self, bus: Bus) -> None:
        """Listen, until cancelled."""
        await bus.hear(f"{_JOB_SUBJECT}.>", self._take_part)
        await bus.hear(BEAT_SUBJECT, self._take_beat)
        generation = -1
        while True:
            if bus.is_up and (generation != bus.generation or self._is_missing):
                was_missing, generation, self._missing_since_s = self._is_missing, bus.generation, None
                await self._catch_up(bus)
                if was_missing and self.beat.job not in self._known:
                    with contextlib.suppress(BusError):
                        await bus.tell(WANTED_SUBJECT, b"")
            self._look()
            await asyncio.sleep(LOOK_S)

    @property
    def _is_missing(self) -> bool:
        """Whether a job that beats speak of has not come for a while."""
        return self._missing_since_s is not None and monotonic_s() - self._missing_since_s > BEAT_S / 2

    def _look(self) -> None:
        silent_s = monotonic_s() - self._heard_at_s
        if silent_s > self._without_work_s and not (silent_s <= ALONE_S_MAX and self._builds_on_tip):
            self._say(f"nothing heard for {silent_s:.0f} s from the process that makes the work")

    @property
    def _builds_on_tip(self) -> bool:
        return self._newest is not None and self._is_on_tip(self._newest)

    def _say(self, trouble: str) -> None:
        if bool(trouble) != bool(self._trouble):
            self._on_trouble(trouble)
        self._trouble = trouble

    def _take_beat(self, data: bytes) -> None:
        try:
            self.beat = _read_beat(data)
        except msgspec.DecodeError as error:
            log.warning("beat_not_read", error=str(error))
            return
        self._heard_at_s = monotonic_s()
        if not self.beat.job or self.beat.job in self._known:
            self._missing_since_s = None
        elif self._missing_since_s is None:
            self._missing_since_s = monotonic_s()
        self._say(self.beat.trouble)

    def _take_part(self, part: bytes) -> None:
        try:
            body = self._assembly.add(part)
            if body is None:
                return
            job = decode_job(body, self._newest)
        except JobError as error:
            log.warning("job_not_read", error=str(error))
            return
        if job.number not in self._known:
            self._take(job)

    async def _catch_up(self, bus: Bus) -> None:
        """Take the jobs that the bus keeps: the newest as work, those before it to know them."""
        found: list[Job] = []
        for slot in range(KEPT_MAX):
            with contextlib.suppress(BusUnavailable, JobError):
                job = await self._kept(bus, slot)
                if job is not None and self._is_wanted(job):
                    found.append(job)
        if not found:
            return
        *before, newest = sorted(found, key=lambda job: job.made_at_s)
        same_tip = [job for job in before if job.template.previous_hash == newest.template.previous_hash]
        for job in same_tip:
            self._date(job)
        self._restore(same_tip)
        self._take(newest)

    async def _kept(self, bus: Bus, slot: int) -> Job | None:
        assembly = Assembly()
        for place in range(PARTS_MAX):
            part = await bus.newest(JOBS, _subject(slot, place))
            if part is None:
                return None
            body = assembly.add(part)
            if body is not None:
                return decode_job(body)
        return None

    def _is_wanted(self, job: Job) -> bool:
        """Whether a kept job is the newest, or newer than all that came and not too old."""
        if job.number in self._known:
            return False
        age_s = self._clock.unix_s() - job.made_at_s
        return job.number == self.beat.job or (job.made_at_s > self._newest_made_at_s and age_s <= JOB_S_MAX)

    def _take(self, job: Job) -> None:
        self._newest, self._newest_made_at_s = job, job.made_at_s
        self._date(job)
        self._on_job(job)

    def _date(self, job: Job) -> None:
        """Note that it has come, and turn the moment that its maker states into one of our own clock."""
        self._known[job.number] = None
        while len(self._known) > KNOWN_MAX:
            del self._known[next(iter(self._known))]
        age_s = min(max(self._clock.unix_s() - job.made_at_s, 0.0), JOB_S_MAX)
        job.made_at_s = self._clock.now_s() - age_s


def _subject(number: int, place: int) -> str:
    return f"{_JOB_SUBJECT}.{number % KEPT_MAX}.{place}"
