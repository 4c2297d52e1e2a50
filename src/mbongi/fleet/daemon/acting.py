"""Performing what people asked of machines: claimed from the database, written through adapters, ended in the ledger.

An action that was under way when an earlier process died is looked into before anything is sent: a setting that the
machine states already is not written again, and a reboot is never repeated blindly, as the first one may have worked.
"""

import asyncio
import contextlib
import functools
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import msgspec

from mbongi.base.clock import monotonic_s, utc_now
from mbongi.base.config import Fleet
from mbongi.base.ids import ActionId, MachineId
from mbongi.base.log import get_log
from mbongi.fleet import credentials, services
from mbongi.fleet.action_work import EXPIRES_AFTER, Ending, Work, interrupted_actions
from mbongi.fleet.adapters.registry import adapter_of
from mbongi.fleet.adapters.session import Session
from mbongi.fleet.adapters.upgrading import judged, seen_back
from mbongi.fleet.control import NO_DATA, UPLOAD_S, limit_of, write
from mbongi.fleet.daemon.leasing import Share
from mbongi.fleet.daemon.persistence import AWAY, Database
from mbongi.fleet.daemon.vault import Vault
from mbongi.fleet.device_errors import DeviceError, FencedError, StrangerError
from mbongi.fleet.identifying import can_be_known, prove
from mbongi.fleet.image_file import ImageArguments
from mbongi.fleet.ports import OnStrangers, Outcome
from mbongi.fleet.reading import MachineReading
from mbongi.fleet.rules.leases import slot_of
from mbongi.fleet.values import ActionKind

log = get_log(__name__)

BY_HAND_AT_ONCE = 20
"""Actions outside of operations performed at the same time: a thousand machines woken at once would jump the load.

Steps of operations are paced by those, and bounded by ``fleet.actions_at_once`` together with these.
"""
ENDINGS_MAX = 1_000
"""Endings written down in one transaction, at most; those that come meanwhile make the next one."""
LOOK_S = 1.0
"""How often the database is asked for new actions when nothing else says that there are some."""
SWEEP_S = 10.0
"""How often the record is asked for actions that another process began and left."""
ACTION_S_MAX = 180.0
ANSWER_S = 15.0
"""The longest that one answer may take within an action: a write takes a machine longer than a question."""
REBOOT_SEEN_S = 60.0
"""A machine that was told to reboot is down by then; until then its uptime proves nothing."""
RESUME_S_MIN = 30.0
"""A machine that gives no answer after an interruption is asked for this long at least."""
UPTIME_SLACK_S = 5.0
_STATIC = {ActionKind.SET_FAN, ActionKind.SET_HOSTNAME, ActionKind.UPGRADE}
"""What machines state in their static tier only."""
_CLOSELY_SEEN = {ActionKind.SLEEP, ActionKind.WAKE}
"""What is asked of thousands at once and is undone in a second: here the poller's word is enough for who a machine is.

One that takes another's address is away for longer than the poller's word is good."""
_INTERRUPTED = "the fleet process was interrupted"


class Watcher(Protocol):
    """What sees the machines all the time: the poller."""

    def poll_soon(self, machine_ids: Iterable[MachineId], *, wholly: bool = False) -> None:
        """Look at these machines soon; ``wholly``: at what hardly ever changes too."""

    def vouches(self, machine_id: MachineId) -> bool:
        """Whether the machine at the known address has just shown that it is the known one."""


class Actor:
    """Claims and performs actions. ``watcher`` is told which machines to look at afterwards."""

    def __init__(
        self,
        config: Fleet,
        database: Database,
        watcher: Watcher,
        share: Share | None = None,
        data_dir: Path = NO_DATA,
        vault: Vault | None = None,
        on_strangers: OnStrangers | None = None,
        on_password: Callable[[], None] = lambda: None,
    ) -> None:
        """``share``: whose machines' actions are performed; None: those of all. ``vault``: their own passwords.

        ``on_strangers`` hears of machines at whose address another one answers; nothing is written to those.
        ``on_password`` is called when the vault has changed. Images are in ``data_dir``.
        """
        self._data_dir = data_dir
        self._database, self._watcher = database, watcher
        self._vault, self._timeout_s = vault or Vault(config), config.timeout_s
        self._on_strangers, self._on_password = on_strangers, on_password
        self._free, self._free_by_hand = config.actions_at_once, min(BY_HAND_AT_ONCE, config.actions_at_once)
        self._wake = asyncio.Event()
        self._share = share or Share(whole=True)
        self._running: dict[asyncio.Task[Ending | None], Work] = {}
        self._ended: asyncio.Queue[tuple[Work, Ending]] = asyncio.Queue()
        self._own: set[ActionId] = set()
        """Actions that are under way here, or whose ending is not written down yet."""
        self._sweep_at_s = -math.inf

    def wake(self) -> None:
        """Look for new actions at once."""
        self._wake.set()

    def busy_slots(self) -> set[int]:
        """The slots in which something is under way."""
        return {slot_of(work.machine_id) for work in self._running.values()}

    def keep_own(self) -> None:
        """Let go of what is under way on machines that are no longer ours; look at once for what others left."""
        for task, work in self._running.items():
            if not self._share.has(work.machine_id):
                task.cancel()
        self._sweep_at_s = -math.inf
        self._wake.set()

    async def run(self) -> None:
        """First take up what an earlier process left, then perform what comes, until cancelled."""
        recorder = asyncio.create_task(self._record())
        try:
            while True:
                if monotonic_s() >= self._sweep_at_s:
                    await self._take_up()
                await self._wait_for_room()
                for work in await self._claim():
                    self._begin(work)
                self._wake.clear()
                try:
                    async with asyncio.timeout(LOOK_S):
                        await self._wake.wait()
                except TimeoutError:
                    pass
        finally:
            # What is under way stays "running" in the record; the next process looks into it.
            for task in (recorder, *self._running):
                task.cancel()
            await asyncio.gather(recorder, *self._running, return_exceptions=True)

    async def _take_up(self) -> None:
        """What runs by the record on our machines, and not here, was left by another process."""
        self._sweep_at_s = monotonic_s() + SWEEP_S
        slots = self._share.open_slots
        if slots is not None and not slots:
            return
        for work in await self._database.insist(interrupted_actions, slots=slots, but_not=frozenset(self._own)):
            await self._wait_for_room()
            self._begin(work)

    async def _claim(self) -> list[Work]:
        slots = self._share.open_slots
        if slots is not None and not slots:
            return []
        try:
            return await self._database.call(
                services.claim_actions, self._free, by_hand=self._free_by_hand, slots=slots
            )
        except AWAY:
            return []

    async def _wait_for_room(self) -> None:
        while self._free <= 0:
            await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)

    def _begin(self, work: Work) -> None:
        if not self._share.has(work.machine_id) or work.action_id in self._own:
            return  # Lost since the database was asked. It is "running" by the record, and its new owner finds it.
        self._own.add(work.action_id)
        self._free -= 1
        self._free_by_hand -= not work.is_step
        task = asyncio.get_running_loop().create_task(self._see_through(work))
        self._running[task] = work
        task.add_done_callback(lambda task: self._over(work, task))

    def _over(self, work: Work, task: asyncio.Task[Ending | None]) -> None:
        del self._running[task]
        self._free += 1
        self._free_by_hand += not work.is_step
        ending = None if task.cancelled() else task.result()
        if ending is None:
            self._own.discard(work.action_id)
        else:
            self._ended.put_nowait((work, ending))

    async def _record(self) -> None:
        """Write endings down, as many at a time as have come together."""
        while True:
            over = [await self._ended.get()]
            while not self._ended.empty() and len(over) < ENDINGS_MAX:
                over.append(self._ended.get_nowait())
            await self._write_down([ending for _work, ending in over])
            self._own -= {work.action_id for work, _ending in over}
            self._wake.set()
            seen_soon = [work for work, ending in over if not self._is_seen_enough(work, ending)]
            for is_static in (False, True):
                ids = [work.machine_id for work in seen_soon if (work.kind in _STATIC) is is_static]
                if ids:
                    self._watcher.poll_soon(ids, wholly=is_static)

    def _is_seen_enough(self, work: Work, ending: Ending) -> bool:
        """Whether its next usual poll, which comes soon, is enough: it was just read, and may be one of thousands."""
        is_bulk = work.is_step and work.kind in _CLOSELY_SEEN and ending.verified is True
        return is_bulk and self._watcher.vouches(work.machine_id)

    async def _write_down(self, endings: list[Ending]) -> None:
        """All together; where one cannot be recorded, the others one by one, so that it takes none with it."""
        try:
            await self._database.insist(services.finish_actions, endings)
        except Exception:
            log.exception("actions_not_recorded", count=len(endings))
            if len(endings) > 1:
                for ending in endings:
                    await self._write_down([ending])

    async def _see_through(self, work: Work) -> Ending | None:
        """How it ended; None where the machine became another process's meanwhile, which will look into it."""
        log.debug("action_begins", action_id=work.action_id, kind=work.kind, machine_id=work.machine_id)
        try:
            work = await self._with_password(work)
        except Exception as error:
            # Without an ending it would be running for ever, and its machine busy.
            log.exception("password_not_prepared", action_id=work.action_id)
            ending: Ending | None = _failure(work, f"{type(error).__name__}: no password could be prepared")
        else:
            ending = await self._carry_out(work)
        if ending is not None:
            log.debug("action_over", action_id=work.action_id, done=ending.done)
        return ending

    async def _carry_out(self, work: Work) -> Ending | None:
        access, may_ask = self._vault.access(work.machine_id), functools.partial(self._share.has, work.machine_id)
        session = Session(work.address, access, may_ask=may_ask, answer_s=ANSWER_S)
        limit_s = limit_of(work.kind, work.arguments, usual_s=ACTION_S_MAX)
        try:
            async with asyncio.timeout(limit_s):
                ending = await (self._resume(work, session) if work.interrupted else self._perform(work, session))
            await self._settle(work, ending)
        except FencedError:
            log.info("action_left_to_others", action_id=work.action_id)
            return None
        except DeviceError as error:
            if isinstance(error, StrangerError) and self._on_strangers is not None:
                self._on_strangers([work.machine_id])
            ending = _failure(work, str(error))
        except TimeoutError:
            ending = _failure(work, f"not over within {limit_s:g} s; look at the machine")
        except Exception as error:
            log.exception("action_broke", action_id=work.action_id)
            ending = _failure(work, f"{type(error).__name__} while performing it; look at the machine")
        finally:
            session.close()
        return _without_passwords(work, ending, access.password(work.family))

    async def _with_password(self, work: Work) -> Work:
        """A change of password with the password to set, which is on record from now on. A rehearsal makes none."""
        if work.kind is not ActionKind.SET_CREDENTIALS:
            return work
        common = self._vault.common.password(work.family)
        if work.dry_run:
            return replace(work, arguments={"new": credentials.REHEARSED, "known": (common,)})
        new = await self._database.insist(credentials.prepare, work.machine_id, work.action_id)
        return replace(work, arguments={"new": new, "known": (common,)})

    async def _settle(self, work: Work, ending: Ending) -> None:
        """A password that was seen to be accepted is used from now on."""
        if work.kind is ActionKind.SET_CREDENTIALS and ending.verified and not work.dry_run:
            await self._database.insist(credentials.settle, work.machine_id, work.action_id)
            with contextlib.suppress(*AWAY):
                await self._vault.load(self._database)
            self._on_password()

    async def _check(self, work: Work, session: Session) -> None:
        """Raises StrangerError where another machine has the address by now; nothing has been written then."""
        if work.kind in _CLOSELY_SEEN and self._watcher.vouches(work.machine_id):
            return
        if not can_be_known(work) or await prove(session, work, must=False):
            return
        if work.kind is ActionKind.SET_CREDENTIALS and credentials.takes_password(work.family):
            # Each of these would be tried, so whoever accepts one must be the known machine.
            for word in (work.arguments["new"], *work.arguments["known"]):
                trial = session.with_password(work.family, word)
                try:
                    if await prove(trial, work, must=False):
                        return
                finally:
                    trial.close()

    async def _perform(self, work: Work, session: Session) -> Ending:
        await self._check(work, session)
        return _ending(work, await self._write(work, session, dry_run=work.dry_run))

    async def _write(self, work: Work, session: Session, *, dry_run: bool) -> Outcome:
        adapter, kind = adapter_of(work.family), work.kind
        return await write(adapter, session, kind, work.arguments, dry_run=dry_run, data_dir=self._data_dir)

    async def _resume(self, work: Work, session: Session) -> Ending:
        """Find out what came of an action that an earlier process began, and do what is left."""
        if work.dry_run:
            return await self._perform(work, session)
        if work.kind is ActionKind.REBOOT:
            return await self._resume_reboot(work, session)
        if work.kind is ActionKind.UPGRADE:
            return await self._resume_upgrade(work, session)
        await self._check(work, session)
        plan = await self._write(work, session, dry_run=True)
        if plan.before == plan.after:
            message = f"{_INTERRUPTED}; the machine states what was asked for, so nothing was sent again"
            return Ending(work.action_id, done=True, message=message, after=plan.after, verified=True)
        outcome = await self._write(work, session, dry_run=False)
        return _ending(work, outcome, f"{_INTERRUPTED} before the machine had it; sent again: ")

    async def _resume_reboot(self, work: Work, session: Session) -> Ending:
        since = work.claimed_at.timestamp()
        give_up_at = max(since + ACTION_S_MAX, time.time() + RESUME_S_MIN)
        while True:
            uptime_s, why = await self._uptime_s(work, session)
            if not math.isnan(uptime_s):
                started_at = time.time() - uptime_s
                if started_at > since - UPTIME_SLACK_S:
                    at = datetime.fromtimestamp(started_at, UTC).isoformat(timespec="seconds")
                    message = f"{_INTERRUPTED}; the machine has restarted at {at}, so it was not told again"
                    after = {"uptime_s": round(uptime_s)}
                    return Ending(work.action_id, done=True, message=message, after=after, verified=True)
                if time.time() > since + REBOOT_SEEN_S:
                    break
            elif time.time() > give_up_at:
                return _failure(
                    work, f"{_INTERRUPTED}; {why}, so whether it restarted is unknown; it was not told again"
                )
            await asyncio.sleep(2.0)
        if utc_now() - work.requested_at > EXPIRES_AFTER:
            return _failure(work, f"{_INTERRUPTED}; its uptime shows no restart; too late to tell it now, ask again")
        outcome = await self._write(work, session, dry_run=False)
        return _ending(work, outcome, f"{_INTERRUPTED}; its uptime showed no restart, so it was told again: ")

    async def _resume_upgrade(self, work: Work, session: Session) -> Ending:
        """Only the version says whether it was flashed: no image is sent while an earlier one may be at work."""
        given = msgspec.convert(work.arguments, ImageArguments)
        end_s = work.claimed_at.timestamp() + UPLOAD_S + given.back_s
        left_s = max(min(end_s - time.time(), given.back_s), RESUME_S_MIN)
        found = await seen_back(session, given.version, adapter_of(work.family).read_desired, back_s=left_s)
        if found is not None:
            await self._check(work, session)
        outcome = judged({}, found, given.version, left_s)
        return _ending(work, outcome, f"{_INTERRUPTED}; the image was not sent again: ")

    async def _uptime_s(self, work: Work, session: Session) -> tuple[float, str]:
        """The uptime that the machine states, or NaN and why it is not known.

        Raises StrangerError where another machine answers, FencedError where it is no longer ours.
        """
        reading = MachineReading(ts=0, machine_id=work.machine_id, model=work.model)
        try:
            async with asyncio.timeout(self._timeout_s):
                await adapter_of(work.family).poll_fast(session, reading)
            await self._check(work, session)
        except (FencedError, StrangerError):
            raise
        except TimeoutError:
            return math.nan, f"the machine gave no answer within {self._timeout_s:g} s"
        except DeviceError as error:
            return math.nan, str(error)
        return reading.uptime_s, "the machine states no uptime"


def _ending(work: Work, outcome: Outcome, prefix: str = "") -> Ending:
    done = outcome.verified is not False
    return Ending(work.action_id, done, prefix + outcome.message, outcome.before, outcome.after, outcome.verified)


def _failure(work: Work, message: str) -> Ending:
    return Ending(work.action_id, done=False, message=message)


def _without_passwords(work: Work, ending: Ending, present: str) -> Ending:
    """A machine may quote in its refusal what it was sent, and what the ledger has once stays in it."""
    if work.kind is not ActionKind.SET_CREDENTIALS:
        return ending
    message = ending.message
    for word in filter(None, (work.arguments["new"], present, *work.arguments["known"])):
        message = message.replace(word, "…")
    return replace(ending, message=message)
