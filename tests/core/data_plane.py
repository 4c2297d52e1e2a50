"""A real bus, telemetry store and ingester for a test, on free ports and in a directory of their own.

    with DataPlane(tmp_path) as plane:          # starts bus, telemetry and ingest, and waits until they are ready
        plane.kill("ingest"); plane.start("ingest")
        Store.open(plane.config).rows(...)

``DataPlane(tmp_path, processes=("bus",))`` starts fewer.
"""

import asyncio
import contextlib
import dataclasses
import inspect
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from mbongi.base.config import Bus as BusConfig
from mbongi.base.config import Config, Site, Telemetry, as_environment
from mbongi.core.telemetry.batches import encode_batch
from mbongi.core.telemetry.client import Store
from mbongi.core.telemetry.tables import Table
from mbongi.run import bus, ingest, telemetry
from mbongi.run.tables import site_tables
from tests.embedded import free_ports

SOURCE = Path(__file__).parents[2] / "src"
PROBES: dict[str, Callable[[Config], Any]] = {"bus": bus.ready, "telemetry": telemetry.ready, "ingest": ingest.ready}
START_S_MAX = 60.0
READING = site_tables()[0]


class DataPlane:
    """The processes; each may be killed and started again."""

    def __init__(self, directory: Path, *, processes: tuple[str, ...] = tuple(PROBES), **changes: Any) -> None:
        bus_port, store_port = free_ports(2)
        self.config = Config(
            site=Site(data_dir=directory / "var"),
            bus=dataclasses.replace(BusConfig(port=bus_port, bytes_max=2_000_000_000), **changes.get("bus", {})),
            telemetry=dataclasses.replace(Telemetry(port=store_port), **changes.get("telemetry", {})),
        )
        self._directory = directory
        self._names = processes
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        for name in self._names:
            self.start(name, wait=False)
        for name in self._names:
            self.wait_ready(name)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name in reversed(self._names):
            with contextlib.suppress(KeyError):
                self.stop(name)

    def start(self, name: str, *, wait: bool = True) -> None:
        """Start a process, by default until it is ready."""
        environment = {key: value for key, value in os.environ.items() if not key.startswith("MBONGI_")}
        environment |= as_environment(self.config) | {"PYTHONPATH": str(SOURCE)}
        with self.log_path(name).open("ab") as log:
            self._running[name] = subprocess.Popen(
                [sys.executable, "-m", "mbongi.cli", name], env=environment, stdout=log, stderr=log, cwd=self._directory
            )
        if wait:
            self.wait_ready(name)

    def wait_ready(self, name: str) -> None:
        """Wait until the process's own probe says yes. Fails with the process's log."""
        end = time.monotonic() + START_S_MAX
        while not ask(PROBES[name], self.config):
            ended = self._running[name].poll() is not None
            assert not ended, f"{name} ended: {self.log(name)}"
            assert time.monotonic() < end, f"{name} not ready: {self.log(name)}"
            time.sleep(0.05)

    def kill(self, name: str) -> None:
        """``kill -9``, of what the process started too."""
        process = self._running.pop(name)
        for pid in [*children(process.pid), process.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait(timeout=10)

    def stop(self, name: str) -> int:
        """SIGTERM, and the exit status."""
        process = self._running.pop(name)
        process.terminate()
        return process.wait(timeout=15)

    def pids(self, name: str) -> list[int]:
        """The process and what it started."""
        pid = self._running[name].pid
        return [pid, *children(pid)]

    def log_path(self, name: str) -> Path:
        """Where the process's log lies."""
        return self._directory / f"{name}.log"

    def log(self, name: str) -> str:
        """What the process wrote so far."""
        return self.log_path(name).read_text(encoding="utf-8", errors="replace")

    def store(self) -> Store:
        """The store with the site's rights."""
        return Store.open(self.config)

    def wait_stored(self, rows: int, table: Table = READING, *, limit_s: float = 60.0) -> None:
        """Wait until the table holds at least so many rows."""
        store, end, count = self.store(), time.monotonic() + limit_s, 0
        while time.monotonic() < end:
            [(count,)] = store.rows(f"SELECT count() FROM {table.name}")
            if count >= rows:
                return
            time.sleep(0.1)
        raise AssertionError(f"{count} of {rows} rows stored after {limit_s} s: {self.log('ingest')}")


def ask(probe: Callable[[Config], Any], config: Config) -> bool:
    """The answer of a probe, which may be a coroutine function."""
    answer = probe(config)
    if not inspect.iscoroutine(answer):
        return bool(answer)
    with ThreadPoolExecutor(1) as thread:  # The calling thread may have a loop of its own.
        return bool(thread.submit(asyncio.run, answer).result())


def children(pid: int) -> list[int]:
    """The processes that a process started."""
    with contextlib.suppress(FileNotFoundError):
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()]
    return []


def batch(
    ts_ms: int, *, machines: range = range(12), tenant_id: int = 0, table: Table = READING, **columns: Any
) -> bytes:
    """A rack's batch at one moment: 100 TH/s and 3,000 W each, for 10 s, unless ``columns`` say otherwise."""
    count = len(machines)
    values: dict[str, Any] = {
        "ts": np.full(count, ts_ms),
        "machine_id": np.array(machines),
        "tenant_id": np.full(count, tenant_id),
        "rack": ["20/01"] * count,
        "model": ["Antminer S21"] * count,
        "hashrate_ths": np.full(count, 100.0),
        "power_w": np.full(count, 3_000.0),
        "span_s": np.full(count, 10.0),
    }
    return encode_batch(table, values | columns)
