"""The real fleet process against the real virtual site, bus and database, for the tests of the fleet process."""

import asyncio
import contextlib
import dataclasses
import functools
import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from django.db import connection

from mbongi.base.config import Bus, Config, Fleet, Pool, Postgres, Site, Telemetry, Twin, as_environment
from mbongi.core.bus.client import Bus as BusClient
from mbongi.fleet import selectors
from mbongi.fleet.daemon.process import FleetStatus
from mbongi.fleet.selectors import MachineRow
from mbongi.fleet.values import STATUS_SUBJECT
from mbongi.run import bus, fleet, ingest, telemetry
from tests.core.data_plane import ask
from tests.embedded import free_ports

SOURCE = Path(__file__).parents[2] / "src"
WAIT_S_MAX = 60.0
FLEET = Fleet(fast_s=1.0, slow_s=3.0, timeout_s=1.5, rescan_s=3600.0)
Value = TypeVar("Value")


def wait_for(what: Callable[[], Value], why: Callable[[], str] = str, *, limit_s: float = WAIT_S_MAX) -> Value:
    """The first true value of ``what``; fails with ``why`` after ``limit_s``."""
    end = time.monotonic() + limit_s
    while not (value := what()):
        assert time.monotonic() < end, f"not within {limit_s} s: {why()}"
        time.sleep(0.05)
    return value


class Gate:
    """A TCP gate before a server, which can be shut: connections break, and new ones are refused."""

    def __init__(self, target: tuple[str, int]) -> None:
        self.target = target
        self.port = free_ports(1)[0]
        self._open: list[socket.socket] = []
        self._listener: socket.socket | None = None
        self.open()

    def open(self) -> None:
        """Let connections through."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def shut(self) -> None:
        """Break every connection and take no new one."""
        listener, self._listener = self._listener, None
        for each in [listener, *self._open]:
            if each is not None:
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
                each.close()
        self._open.clear()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                inner, _ = listener.accept()
                outer = socket.create_connection(self.target)
                self._open += [inner, outer]
                for source, sink in ((inner, outer), (outer, inner)):
                    threading.Thread(target=_pump, args=(source, sink), daemon=True).start()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    for each in (source, sink):
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)


class SiteBed:
    """Bus, virtual site and fleet process, each of which may be killed and started again."""

    def __init__(
        self, directory: Path, *, machines: int = 5, hall: int, with_meter: bool = False, **changes: Any
    ) -> None:
        self.directory = directory
        bus_port, store_port, rpc_port, http_port, control_port, meter_port, report_port = free_ports(7)
        settings = connection.settings_dict
        self.gate = Gate((settings["HOST"], int(settings["PORT"])))
        key = f"{settings['USER']}:{settings['PASSWORD']}"
        network = f"127.25.{hall}.0/24"
        changes |= {"meters": (f"127.0.0.1:{meter_port}",)} if with_meter else {}
        self.config = Config(
            site=Site(data_dir=directory / "var"),
            postgres=Postgres(url=f"postgresql://{key}@127.0.0.1:{self.gate.port}/{settings['NAME']}"),
            bus=Bus(port=bus_port, bytes_max=256_000_000),
            telemetry=Telemetry(port=store_port),
            # Without a pool to work for, machines that look for one stand still, and the meter shows it.
            pool=Pool(enabled=not with_meter),
            fleet=dataclasses.replace(
                FLEET,
                ranges=(f"127.25.{hall}.0/27",),
                rpc_port=rpc_port,
                http_port=http_port,
                report_port=report_port,
                **changes,
            ),
            twin=Twin(
                machines=machines,
                network=network,
                rpc_port=rpc_port,
                http_port=http_port,
                control_port=control_port,
                meter_port=meter_port,
                report_port=report_port,
                plant_port=0,
                time_scale=20.0,
            ),
        )
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> "SiteBed":
        self.start("bus")
        self.start("twin")
        wait_for(lambda: ask(bus.ready, self.config), lambda: self.log("bus"))
        wait_for(self._twin_answers, lambda: self.log("twin"))
        return self

    def __exit__(self, *_: object) -> None:
        for name in ("fleet", "ingest", "telemetry", "twin", "bus"):
            if name in self._running:
                self.stop(name)
        self.gate.shut()

    def environment(self) -> dict[str, str]:
        """What the processes find in their environment."""
        own = {key: value for key, value in os.environ.items() if not key.startswith("MBONGI_")}
        return own | as_environment(self.config) | {"PYTHONPATH": str(SOURCE)}

    def start(self, name: str) -> None:
        """Start a process."""
        with (self.directory / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(
                [sys.executable, "-m", "mbongi.cli", name],
                env=self.environment(),
                stdout=log,
                stderr=log,
                cwd=self.directory,
            )

    def start_fleet(self) -> None:
        """Start the fleet process, and return once it answers."""
        self.start("fleet")
        wait_for(lambda: ask(fleet.ready, self.config), lambda: self.log("fleet"))

    def start_telemetry(self) -> None:
        """Start the telemetry's store and what fills it, and return once both answer."""
        for name, ready in (("telemetry", telemetry.ready), ("ingest", ingest.ready)):
            self.start(name)
            wait_for(functools.partial(ask, ready, self.config), functools.partial(self.log, name))

    def run(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Run one command to its end."""
        return subprocess.run(
            [sys.executable, "-m", "mbongi.cli", *words],
            env=self.environment() | {"COLUMNS": "160"},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            cwd=self.directory,
        )

    def stop(self, name: str) -> int:
        """SIGTERM, and the exit status."""
        process = self._running.pop(name)
        process.terminate()
        return process.wait(timeout=20)

    def kill(self, name: str) -> None:
        """``kill -9``."""
        process = self._running.pop(name)
        process.kill()
        process.wait(timeout=10)

    def log(self, name: str) -> str:
        """What the process wrote so far."""
        return (self.directory / f"{name}.log").read_text(encoding="utf-8", errors="replace")[-6000:]

    def status(self) -> FleetStatus:
        """What the fleet process says of itself."""

        async def ask_it() -> bytes:
            connected = await BusClient.open(self.config, name="test")
            try:
                return await connected.request(f"{STATUS_SUBJECT}.0", b"")
            finally:
                await connected.close()

        return msgspec.json.decode(asyncio.run(ask_it()), type=FleetStatus)

    def _twin_answers(self) -> bool:
        with contextlib.suppress(OSError):
            return bool(self.twin("/health"))
        return False

    def twin(self, path: str, document: dict[str, Any] | None = None) -> Any:
        """Ask the virtual site's control interface."""
        data = None if document is None else json.dumps(document).encode()
        url = f"http://127.0.0.1:{self.config.twin.control_port}{path}"
        with urllib.request.urlopen(urllib.request.Request(url, data), timeout=5) as reply:
            return json.load(reply)

    def fault(self, address: str | None, word: str) -> None:
        """Make a virtual machine fail, or mend it."""
        self.twin(f"/machines/{address}/fault", {"fault": word})

    def wait_known(self, count: int, family: str = "") -> list[MachineRow]:
        """The machines, once so many have answered a poll."""

        def known() -> list[MachineRow] | None:
            rows = [row for row in selectors.machines().rows if row.detail]
            return rows if len(rows) >= count else None

        rows = wait_for(known, lambda: self.log("fleet"))
        assert rows is not None
        return [row for row in rows if not family or row.family == family]
