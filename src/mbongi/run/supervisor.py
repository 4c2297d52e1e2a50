"""Keeps the site's processes running: starts them in order, probes them, restarts them with back-off, stops them.

Knows nothing of what the processes do; ``up`` says which there are.
"""

import asyncio
import contextlib
import inspect
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from mbongi.base.clock import monotonic_s, utc_now
from mbongi.base.config import Config, as_environment
from mbongi.base.errors import MbongiError
from mbongi.base.log import get_log
from mbongi.base.status import ProcessState, ProcessStatus
from mbongi.run.site_lock import SITE_MARK
from mbongi.run.start import SUPERVISOR

log = get_log(__name__)

BACKOFF_S_FIRST, BACKOFF_S_MAX = 0.5, 30.0
"""The wait before a restart doubles from the first to the longest; a process that ran STABLE_S begins anew."""
STABLE_S = 60.0
STOP_S_MAX = 10.0
"""A process that has not stopped this long after SIGTERM is killed."""
CANCEL_S = 1.0
"""Between two times that a watch is told to end."""
PROBE_S, PROBE_S_MAX = 2.0, 2.0
START_FAILURES_MAX = 4
"""While the site starts, so many deaths of one process before it is ready end the start."""

LOG_BYTES_MAX = 10_000_000

Probe = Callable[[Config], bool | Awaitable[bool]]


class StartError(MbongiError, RuntimeError):
    """A process did not become ready; the message names it, what it said last and its log."""


@dataclass(frozen=True, slots=True)
class Service:
    """One process of the site; ``probe`` says whether it is ready, ``start_s_max`` bounds the wait for that."""

    name: str
    command: tuple[str, ...]
    probe: Probe
    start_s_max: float = 90.0


@dataclass(slots=True)
class Supervised:
    """A service and the process that runs it now."""

    service: Service
    log_path: Path
    state: ProcessState = "waiting"
    since: datetime = field(default_factory=utc_now)
    child: subprocess.Popen[bytes] | None = None
    started_s: float = 0.0
    restarts: int = 0
    deaths_unready: int = 0
    backoff_s: float = BACKOFF_S_FIRST
    message: str = ""

    def become(self, state: ProcessState, message: str = "") -> None:
        """Change state; ``since`` moves only when the state really changes."""
        if state != self.state:
            self.state, self.since = state, utc_now()
        self.message = message

    @property
    def status(self) -> ProcessStatus:
        """The row of the status file."""
        pid = self.child.pid if self.child and self.child.returncode is None else None
        return ProcessStatus(
            name=self.service.name,
            state=self.state,
            since=self.since,
            pid=pid,
            restarts=self.restarts,
            message=self.message,
        )


class Supervisor:
    """Runs services for one site. All methods belong to the event loop of one main thread."""

    def __init__(self, config: Config, services: Sequence[Service], on_change: Callable[[], None]) -> None:
        """``on_change`` is called after every change of any process's state."""
        self._config = config
        self._on_change = on_change
        self._environment = os.environ | as_environment(config)
        self._tasks: list[asyncio.Task[None]] = []
        folder = config.site.data_dir / "log"
        folder.mkdir(parents=True, exist_ok=True)
        self.processes = {s.name: Supervised(s, folder / f"{s.name}.log") for s in services}

    async def start(self, names: Sequence[str]) -> None:
        """Start these services together and return when all are ready. Raises StartError when one will not be."""
        for name in names:
            process = self.processes[name]
            self._spawn(process)
            task = asyncio.create_task(self._keep(process), name=name)
            task.add_done_callback(_report)
            self._tasks.append(task)
        await asyncio.gather(*(self._first_ready(self.processes[name]) for name in names))

    async def stop(self) -> None:
        """Stop everything, last started first; each gets STOP_S_MAX for a clean end and is killed after it."""
        watching = set(self._tasks)
        while watching:  # a probe's library may swallow a cancellation (asyncio.wait_for of Python 3.11 does)
            for task in watching:
                task.cancel()
            _ended, watching = await asyncio.wait(watching, timeout=CANCEL_S)
        for process in reversed(self.processes.values()):
            await self._end(process)

    def restart(self, name: str, reason: str) -> None:
        """End one process so that it is started again, as after a death."""
        child = self.processes[name].child
        log.warning("process_restart", name=name, reason=reason)
        if child is not None and child.poll() is None:
            child.terminate()

    async def run_once(self, name: str, command: Sequence[str], limit_s: float) -> str:
        """Run a command to its end and return what it printed. Raises StartError when it fails or exceeds the limit."""
        log_path = self._config.site.data_dir / "log" / f"{name}.log"
        child = _launch(command, log_path, self._environment, stdout=subprocess.PIPE)
        try:
            async with asyncio.timeout(limit_s):
                output, _ = await asyncio.to_thread(child.communicate)
        except TimeoutError as error:
            raise StartError(f"{name}: did not end within {limit_s:.0f} s; see {log_path}") from error
        finally:
            if child.poll() is None:
                _signal_group(child.pid, signal.SIGKILL)
        if child.returncode:
            raise StartError(f"{name}: failed: {last_line(log_path)}; see {log_path}")
        return output.decode("utf-8", "replace")

    def _spawn(self, process: Supervised) -> None:
        process.child = _launch(process.service.command, process.log_path, self._environment)
        process.started_s = monotonic_s()
        process.become("starting")
        self._on_change()

    async def _first_ready(self, process: Supervised) -> None:
        deadline_s = monotonic_s() + process.service.start_s_max
        while process.state != "ready":
            name, path = process.service.name, process.log_path
            if process.deaths_unready >= START_FAILURES_MAX:
                raise StartError(
                    f"{name}: died {process.deaths_unready} times at its start: {last_line(path)}; see {path}"
                )
            if monotonic_s() > deadline_s:
                limit = f"{process.service.start_s_max:.0f} s"
                raise StartError(f"{name}: not ready after {limit}: {last_line(path)}; see {path}")
            await asyncio.sleep(0.05)

    async def _keep(self, process: Supervised) -> None:
        """Watch one process for as long as the site runs: probe it while it lives, start it again when it dies."""
        while True:
            assert process.child is not None
            if process.child.returncode is None:
                await self._watch(process, process.child)
            ran_s = monotonic_s() - process.started_s
            if process.state == "starting":
                process.deaths_unready += 1
            if ran_s >= STABLE_S:
                process.backoff_s = BACKOFF_S_FIRST
            reason = f"{_ending(process.child.returncode)}; starts again in {process.backoff_s:.1f} s"
            log.warning("process_died", name=process.service.name, ending=reason, ran_s=round(ran_s, 1))
            process.become("restarting", reason)
            self._on_change()
            # What the dead process left in its group (a database, a worker) may end by itself until the restart.
            _signal_group(process.child.pid, signal.SIGTERM)
            await asyncio.sleep(process.backoff_s)
            _signal_group(process.child.pid, signal.SIGKILL)
            process.backoff_s = min(process.backoff_s * 2, BACKOFF_S_MAX)
            process.restarts += 1
            with contextlib.suppress(
                OSError
            ):  # no memory, say: the dead one's state stands, the next round tries again
                self._spawn(process)

    async def _watch(self, process: Supervised, child: subprocess.Popen[bytes]) -> None:
        """Return when the child is dead; probe it until then."""
        async with _death(child) as died:
            while not died.is_set():
                is_ready = await probe(process.service.probe, self._config)
                if not died.is_set():
                    self._probed(process, is_ready)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(PROBE_S if process.state == "ready" else 0.1):
                        await died.wait()
        child.wait()

    def _probed(self, process: Supervised, is_ready: bool) -> None:
        before = process.state
        if is_ready:
            process.become("ready")
            process.deaths_unready = 0
        elif before == "ready":
            process.become("unready", "runs, but does not answer its probe")
        if process.state != before:
            if "starting" not in {before, process.state}:
                log.warning("process_state", name=process.service.name, state=process.state)
            self._on_change()

    async def _end(self, process: Supervised) -> None:
        child = process.child
        if child is not None and child.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                child.terminate()
            async with _death(child) as died:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(STOP_S_MAX):
                        await died.wait()
        if child is not None:
            _signal_group(child.pid, signal.SIGKILL)
            await asyncio.to_thread(child.wait)
        process.become("stopped")
        self._on_change()


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("supervision_broken", name=task.get_name(), exc_info=error)


@contextlib.asynccontextmanager
async def _death(child: subprocess.Popen[bytes]) -> AsyncIterator[asyncio.Event]:
    """An event that the kernel sets when the child dies."""
    died = asyncio.Event()
    descriptor = os.pidfd_open(child.pid)
    loop = asyncio.get_running_loop()
    loop.add_reader(descriptor, died.set)
    try:
        yield died
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


async def probe(ready: Probe, config: Config) -> bool:
    """The answer of a readiness probe; a probe that fails or takes longer than PROBE_S_MAX says no."""
    try:
        async with asyncio.timeout(PROBE_S_MAX):
            if inspect.iscoroutinefunction(ready):
                return bool(await ready(config))
            return bool(await asyncio.to_thread(ready, config))
    except Exception as error:  # noqa: BLE001 -- a probe's failure is its answer, never the supervisor's death
        log.debug("probe_failed", error=repr(error))
        return False


def last_line(path: Path) -> str:
    """The last line that says something, from the end of a log."""
    with contextlib.suppress(OSError), path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 4096))
        lines = [line.strip() for line in file.read().decode("utf-8", "replace").splitlines() if line.strip()]
        return lines[-1] if lines else "it wrote nothing"
    return "its log cannot be read"


def rotate(path: Path, bytes_max: int = LOG_BYTES_MAX) -> None:
    """Keep a log within twice ``bytes_max``: copy it to ``NAME.log.1`` and cut it off.

    The writer appends, so it goes on at the start; lines written between the copy and the cut are lost.
    """
    with contextlib.suppress(OSError):
        if path.stat().st_size > bytes_max:
            shutil.copyfile(path, path.with_name(path.name + ".1"))
            os.truncate(path, 0)


def _launch(
    command: Sequence[str], log_path: Path, environment: dict[str, str], stdout: int | None = None
) -> subprocess.Popen[bytes]:
    # The log is opened for appending by the child itself: it goes on when the supervisor is killed.
    with log_path.open("ab") as file:
        return subprocess.Popen(  # noqa: S603 -- our own command line
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=file if stdout is None else stdout,
            stderr=file,
            env=environment | {SUPERVISOR: str(os.getpid()), SITE_MARK: environment["MBONGI_SITE_DATA_DIR"]},
            start_new_session=True,
        )


def _signal_group(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _ending(code: int) -> str:
    if code >= 0:
        return f"ended by itself with status {code}"
    return f"killed by {signal.Signals(-code).name}"
