"""The accounts' process: shares and blocks into the books, each part going on by itself while others are away."""

import asyncio
import contextlib
import math
from collections.abc import Callable, Coroutine, Sequence
from datetime import timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

from django.db import InterfaceError, OperationalError

from mbongi.base.clock import monotonic_s, utc_now
from mbongi.base.config import Config
from mbongi.base.log import get_log
from mbongi.core.threads import ThreadBridge
from mbongi.pool import selectors, services
from mbongi.pool.books_state import BooksState, write_books_state
from mbongi.pool.daemon.importer import Importer
from mbongi.pool.errors import BalanceError, NodeError, PoolError
from mbongi.pool.ports import Node
from mbongi.pool.rules.block_record import RECORD_SUFFIX, BlockRecord, booked_path, decode_record
from mbongi.pool.rules.payout.amounts import work_of_difficulty
from mbongi.pool.rules.payout.coinbase_plan import PLAN_FILE
from mbongi.pool.services import Division, Taken
from mbongi.pool.values import Scheme
from mbongi.pool.windows import proof_secret
from mbongi.wire.bitcoin.address import networks, script_of_address
from mbongi.wire.errors import WireError

log = get_log(__name__)

IMPORT_PAUSE_S: Final = 0.5
RECORDS_PAUSE_S: Final = 1.0
PERIODS_PAUSE_S: Final = 10.0
CHAIN_PAUSE_S: Final = 30.0
PLAN_PAUSE_S: Final = 15.0
TIDY_PAUSE_S: Final = 600.0
DROP_PAUSE_S: Final = 86_400.0
"""Each time is an entry in the ledger."""
OUTAGE_PAUSE_S: Final = 1.0
REASON_CHARS_MAX: Final = 500
"""Of an error, in what is shown."""
ADOPT_S: Final = 120.0
"""A block whose share is in no log so long after its record was first seen here is entered without one."""


def division_of(config: Config) -> Division:
    """How rewards are divided, as the configuration says."""
    pool = config.pool
    least = pool.block_difficulty_min
    return Division(
        scheme=Scheme(pool.scheme),
        fee_ppm=pool.fee_ppm,
        window=Fraction(pool.window),
        block_work_min=work_of_difficulty(least) if least > 0 else 0,
        network=networks()[pool.network],
        secret=proof_secret(config.site.data_dir),
    )


class Accounting:
    """All of it. ``run`` returns after ``stop`` is set."""

    def __init__(self, config: Config, bridge: ThreadBridge, nodes: Sequence[Node]) -> None:
        self._config, self._bridge, self._nodes = config, bridge, nodes
        self._division = division_of(config)
        self._folder = config.site.data_dir / "pool"
        self._importer = Importer(self._folder / "shares", self._is_address)
        self._records = Records(self._folder / "blocks", self._division)
        self._said: BooksState | None = None
        self._dropped_at_s = -math.inf
        self._caught_up_s = -math.inf
        self._is_short = self._is_kept = False

    async def run(self, stop: asyncio.Event) -> None:
        """Work until ``stop`` is set; what is begun is ended first."""
        steps = {
            "shares": self._import,
            "blocks": self._take_records,
            "periods": self._pay_periods,
            "chain": self._look_at_chain,
            "coinbase": self._plan_coinbase,
            "tidying": self._tidy,
        }
        tasks = [asyncio.create_task(_keep_on(name, step, stop)) for name, step in steps.items()]
        await stop.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _import(self) -> float:
        began_s = monotonic_s()
        if await self._bridge.call(self._importer.step):
            return 0.0
        self._caught_up_s = began_s
        return IMPORT_PAUSE_S

    async def _take_records(self) -> float:
        await self._bridge.call(self._records.step, self._caught_up_s)
        state = self._records.state
        if state != self._said:
            self._said = state
            write_books_state(self._folder, state)
        return RECORDS_PAUSE_S

    async def _pay_periods(self) -> float:
        if await self._bridge.call(services.follow_scheme, self._division.scheme):
            log.info("pool_scheme", scheme=self._division.scheme)
        await self._put_aside(self._config.pool.reserve_sat)
        outcome = await self._bridge.call(services.pay_periods, self._division)
        if bool(outcome.missing_sat) is not self._is_short:
            self._is_short = bool(outcome.missing_sat)
            say = log.warning if self._is_short else log.info
            say("fpps_reserve", missing_sat=outcome.missing_sat, advised_sat=outcome.advised_sat)
        return 0.0 if outcome.paid_sat else PERIODS_PAUSE_S

    async def _put_aside(self, wanted_sat: int) -> None:
        """Enter ``pool.reserve_sat``. What miners have been paid from cannot be taken back: FPPS goes on with it."""
        try:
            await self._bridge.call(services.put_aside, wanted_sat)
        except BalanceError as error:
            if not self._is_kept:
                log.warning("reserve_not_lowered", wanted_sat=wanted_sat, reason=str(error))
            self._is_kept = True
        else:
            self._is_kept = False

    async def _look_at_chain(self) -> float:
        """Note the next height's target and what it pays, by the first node that answers."""
        for node in self._nodes:
            with contextlib.suppress(NodeError):
                template = await node.template()
                bits, fees_sat = int(template.bits, 16), sum(each.fee for each in template.transactions)
                await self._bridge.call(
                    services.note_height,
                    template.height,
                    bits=bits,
                    network_work=self._division.network_work(bits),
                    subsidy_sat=template.coinbasevalue - fees_sat,
                    fees_sat=fees_sat,
                )
                break
        return CHAIN_PAUSE_S

    async def _plan_coinbase(self) -> float:
        """Tell the pool whom its blocks may pay directly; without a plan they pay the pool alone."""
        pool, path, plan = self._config.pool, self._folder / PLAN_FILE, None
        if pool.coinbase_outputs:
            minimum_sat = pool.payout_minimum_sat
            plan = await self._bridge.call(services.plan_coinbase, self._division, minimum_sat=minimum_sat)
        if plan is None:
            path.unlink(missing_ok=True)
        else:
            draft = path.with_suffix(".draft")
            draft.write_bytes(plan.encoded())
            draft.replace(path)
        return PLAN_PAUSE_S

    async def _tidy(self) -> float:
        """Drop what is old by the newest work, where the clock is ahead of that: a clock that jumps ages nothing."""
        pool, newest = self._config.pool, await self._bridge.call(selectors.newest_work_at)
        if newest is None:
            return TIDY_PAUSE_S
        now = min(utc_now(), newest)
        old_files = now - timedelta(days=pool.share_log_days)
        removed = await self._bridge.call(self._importer.remove_old_files, old_files.timestamp())
        if removed:
            log.info("share_files_removed", files=removed)
        await self._bridge.call(services.forget_minutes, now - timedelta(days=pool.minute_days))
        if monotonic_s() - self._dropped_at_s > DROP_PAUSE_S:
            old = now - timedelta(days=pool.proof_days)
            while await self._bridge.call(services.drop_old_work, self._division, old):
                log.info("old_work_dropped", before=old.isoformat())
            self._dropped_at_s = monotonic_s()
        return TIDY_PAUSE_S

    def _is_address(self, name: str) -> bool:
        try:
            script_of_address(name, self._division.network)
        except WireError:
            return False
        return True


class Records:
    """The records of found blocks; calls come on the database's thread."""

    def __init__(self, folder: Path, division: Division) -> None:
        self._folder, self._division = folder, division
        self._read: dict[Path, int] = {}
        self._failed: dict[Path, str] = {}
        self._states: dict[str, str] = {}
        self._waiting_since_s: dict[Path, float] = {}

    def step(self, caught_up_s: float) -> None:
        """Book every record that changed since; ``caught_up_s``: up to when all shares are taken in, monotonic."""
        paths = sorted(self._folder.glob(f"*{RECORD_SUFFIX}"))
        for path in paths:
            try:
                self._look_at(path, caught_up_s)
            except FileNotFoundError:
                continue
            except (OperationalError, InterfaceError):  # the database is away: no record's fault
                raise
            except Exception as error:  # noqa: BLE001 -- whatever it is, the others are none the worse for it
                self._note_failure(path, error)
            else:
                self._note_success(path)
        here = set(paths)
        self._failed = {path: why for path, why in self._failed.items() if path in here}
        self._read = {path: version for path, version in self._read.items() if path in here}
        self._waiting_since_s = {path: since_s for path, since_s in self._waiting_since_s.items() if path in here}
        self._states = {hash_: each for hash_, each in self._states.items() if self._path(hash_) in self._read}

    @property
    def state(self) -> BooksState:
        """The records that cannot be booked at present; they stay, and are tried again at each step."""
        return BooksState(unbooked=len(self._failed), reason=next(iter(self._failed.values()), "")[:REASON_CHARS_MAX])

    def _note_failure(self, path: Path, error: Exception) -> None:
        why = f"{type(error).__name__}: {error}"
        if self._failed.get(path) != why:
            self._failed[path] = why
            unforeseen = None if isinstance(error, PoolError) else error  # then the place in the code is worth knowing
            log.error("block_not_booked", record=path.name, error=why, exc_info=unforeseen)

    def _note_success(self, path: Path) -> None:
        if self._failed.pop(path, ""):
            log.info("block_booked_after_all", record=path.name)

    def _path(self, hash_: str) -> Path:
        return self._folder / f"{hash_}{RECORD_SUFFIX}"

    def _look_at(self, path: Path, caught_up_s: float) -> None:
        version = path.stat().st_mtime_ns
        if self._read.get(path) == version:
            return
        record = decode_record(path.read_bytes(), path.name)
        if self._take(record, path, caught_up_s):
            self._read[path] = version
            self._waiting_since_s.pop(path, None)
            if record.is_at_rest:
                booked_path(path).touch()

    def _take(self, record: BlockRecord, path: Path, caught_up_s: float) -> bool:
        taken = services.take_record(record, self._division)
        if taken is Taken.WAITS and caught_up_s > self._waiting_since_s.setdefault(path, monotonic_s()) + ADOPT_S:
            if services.adopt_block(record, 0):
                log.warning("block_without_share", hash=record.hash, worker=record.worker)
            taken = services.take_record(record, self._division)
        if taken is Taken.BOOKED and self._states.get(record.hash) != record.state:
            self._states[record.hash] = record.state
            log.info("block_booked", hash=record.hash, height=record.height, state=record.state)
        return taken is not Taken.WAITS


async def _keep_on(name: str, step: Callable[[], Coroutine[Any, Any, float]], stop: asyncio.Event) -> None:
    """Repeat a step, which says how long to rest; an outage is logged once, its end once."""
    trouble = ""
    while not stop.is_set():
        try:
            rest_s = await step()
        except Exception as error:  # noqa: BLE001 -- whatever fails, the other parts and the next try go on
            if trouble != type(error).__name__:
                trouble = type(error).__name__
                text = (str(error).strip() or trouble).splitlines()[0]
                log.error("accounts_outage", part=name, kind=trouble, error=text)  # noqa: TRY400 -- an outage is no bug
            rest_s = OUTAGE_PAUSE_S
        else:
            if trouble:
                log.info("accounts_recovered", part=name)
                trouble = ""
        await asyncio.sleep(rest_s)
