"""A pool of several processes with its bus, kept running as by the supervisor, and miners that count their answers."""

import asyncio
import contextlib
import dataclasses
import os
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

from mbongi.base.config import Bus, Config, Pool, Site, as_environment
from mbongi.pool.daemon.share_log import LoggedShare, files_of, read_shares, shard_folders
from mbongi.run.pool import LEAD
from mbongi.run.pool_state import read_state
from mbongi.wire.bitcoin.target import target_of_difficulty
from tests.core.data_plane import SOURCE, children
from tests.embedded import free_ports
from tests.pool.practice import Miner
from tests.regtest import Chain

SHARE_DIFFICULTY = 2.0**-24
"""256 hashes."""
BLOCK_DIFFICULTY = 2.0**-12
"""A million: hardly a share of these tests is a block unless it is made to be one."""
STALE = "Stale: the chain has moved on"
START_S_MAX = 90.0


class SeveralProcesses:
    """``bus``, ``pool`` and ``pool-server`` processes; whatever dies is started again until ``close``."""

    def __init__(self, directory: Path, chain: Chain, *, processes: int = 2, **changes: Any) -> None:
        bus_port, port, v2_port = free_ports(3)
        self.config = Config(
            site=Site(data_dir=directory / "var"),
            bus=Bus(port=bus_port, bytes_max=500_000_000),
            pool=dataclasses.replace(
                Pool(
                    **chain.settings,
                    port=port,
                    v2_port=v2_port,
                    difficulty_start=SHARE_DIFFICULTY,
                    difficulty_min=SHARE_DIFFICULTY,
                    shares_per_minute=600.0,
                    block_difficulty_min=BLOCK_DIFFICULTY,
                    processes=processes,
                ),
                **changes,
            ),
        )
        self._directory = directory
        servers = {str(shard): ("pool-server", "--shard", str(shard)) for shard in range(processes)}
        self._commands: dict[str, tuple[str, ...]] = {"bus": ("bus",), LEAD: ("pool",), **servers}
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._away: set[str] = set()
        self._ends = threading.Event()
        self._keeper = threading.Thread(target=self._keep)

    def __enter__(self) -> Self:
        for name in self._commands:
            self._start(name)
        self._keeper.start()
        try:
            self.wait_ready()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._ends.set()
        if self._keeper.is_alive():
            self._keeper.join()
        for name in reversed(self._commands):
            process = self._running[name]
            process.terminate()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def wait_ready(self) -> None:
        self.until(lambda: all((state := read_state(self.config, name)) and state.is_ready for name in self.names))

    @property
    def names(self) -> list[str]:
        return [name for name in self._commands if name != "bus"]

    def until(self, condition: Callable[[], object], limit_s: float = START_S_MAX) -> None:
        end_s = time.monotonic() + limit_s
        while not condition():
            assert time.monotonic() < end_s, self.logs()
            time.sleep(0.05)

    def kill(self, name: str) -> None:
        """``kill -9``, of what it started too; it is started again."""
        for pid in [*children(self._running[name].pid), self._running[name].pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    @contextlib.contextmanager
    def away(self, name: str) -> Any:
        """A process is dead as long as this lasts."""
        self._away.add(name)
        self.kill(name)
        self._running[name].wait()
        yield
        self._away.discard(name)

    def command(self, *words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "mbongi.cli", *words],
            env=self._environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=200,
            cwd=self._directory,
        )

    def signal(self, name: str, number: int) -> None:
        os.kill(self._running[name].pid, number)

    def logs(self) -> str:
        return "\n".join(
            f"--- {path.name}\n{path.read_text(encoding='utf-8')[-3000:]}" for path in self._directory.glob("*.log")
        )

    def log(self, name: str) -> str:
        return (self._directory / f"{name}.log").read_text(encoding="utf-8")

    def shares(self) -> list[tuple[LoggedShare, str]]:
        folders = shard_folders(self.config.site.data_dir / "pool" / "shares")
        return [each for _shard, folder in folders for path in files_of(folder) for each in read_shares(path)]

    def _environment(self) -> dict[str, str]:
        own = {key: value for key, value in os.environ.items() if not key.startswith("MBONGI_")}
        return own | as_environment(self.config) | {"PYTHONPATH": str(SOURCE)}

    def _start(self, name: str) -> None:
        with (self._directory / f"{name}.log").open("ab") as log:
            words = [sys.executable, "-m", "mbongi.cli", *self._commands[name]]
            self._running[name] = subprocess.Popen(
                words, env=self._environment(), stdout=log, stderr=log, cwd=self._directory
            )

    def _keep(self) -> None:
        while not self._ends.wait(0.1):
            for name, process in list(self._running.items()):
                if process.poll() is not None and name not in self._away:
                    self._start(name)


@contextlib.contextmanager
def further_process(config: Config, directory: Path, *words: str) -> "Iterator[subprocess.Popen[bytes]]":
    """A process of another machine, as far as its data folder goes."""
    own = {key: value for key, value in os.environ.items() if not key.startswith("MBONGI_")}
    with (directory / "further.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "mbongi.cli", *words],
            env=own | as_environment(config) | {"PYTHONPATH": str(SOURCE)},
            stdout=log,
            stderr=log,
            cwd=directory,
        )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(timeout=20)


class Crowd:
    """Honest miners that mine on whatever happens, as firmware does: they connect again and name their session.

    ``accepted`` are the hashes of the shares that they were told are accepted, ``unanswered`` those whose answer never
    came, of which each may stand in the log or not.
    """

    def __init__(self, port: int, count: int, *, tls: ssl.SSLContext | None = None, pause_s: float = 0.02) -> None:
        self._port, self._tls, self._pause_s = port, tls, pause_s
        self.accepted: set[bytes] = set()
        self.unanswered: set[bytes] = set()
        self.rejects: Counter[str] = Counter()
        self.connects = self.resumed = 0
        self._ends = asyncio.Event()
        self.name = f"crowd{os.urandom(4).hex()}"
        self._tasks = [asyncio.create_task(self._mine(f"{self.name}.m{number}")) for number in range(count)]

    async def stop(self) -> None:
        self._ends.set()
        await asyncio.gather(*self._tasks)

    async def progress(self, shares: int, limit_s: float = 60.0) -> None:
        """Until so many more shares are accepted."""
        goal = len(self.accepted) + shares
        async with asyncio.timeout(limit_s):
            while len(self.accepted) < goal:
                for task in self._tasks:
                    assert not task.done() or task.exception() is None, task.exception()
                await asyncio.sleep(0.05)

    async def _mine(self, worker: str) -> None:
        session = ""
        while not self._ends.is_set():
            try:
                miner = await Miner.connect(self._port, worker=worker, session=session, tls=self._tls)
            except (OSError, TimeoutError):
                await asyncio.sleep(0.2)
                continue
            self.connects += 1
            self.resumed += bool(session) and miner.session == session
            session = miner.session
            try:
                await self._mine_on(miner, worker)
            except (OSError, TimeoutError):
                await asyncio.sleep(0.1)
            finally:
                miner.close()

    async def _mine_on(self, miner: Miner, worker: str) -> None:
        second = int.from_bytes(os.urandom(6), "big")
        while not self._ends.is_set():
            second += 1
            fields = miner.solve(extranonce2=second)
            share = miner.found
            self.unanswered.add(share)
            answer = await miner.submit(fields, worker)
            self.unanswered.discard(share)
            if answer["error"] is None:
                self.accepted.add(share)
            else:
                self.rejects[str(answer["error"][1])] += 1
            if any(each["method"] == "client.reconnect" for each in miner.notices):
                return
            await asyncio.sleep(self._pause_s)


def require_same(shares: list[tuple[LoggedShare, str]], crowd: Crowd) -> None:
    """The log holds each share that the crowd was told is accepted once, and none of its that it did not send."""
    logged = Counter(share.hash for share, worker in shares if worker.startswith(crowd.name))
    assert [hash_.hex() for hash_, count in logged.items() if count > 1] == []
    assert crowd.accepted - set(logged) == set(), "accepted and lost"
    assert set(logged) - crowd.accepted - crowd.unanswered == set(), "in the log, and no miner knows it"


def solve_block(miner: Miner) -> list[str]:
    """A share that is a block. Many extranonces, so that no search ends without."""
    target = target_of_difficulty(BLOCK_DIFFICULTY)
    for second in range(1, 1 << 16):
        try:
            return miner.solve(target=target, extranonce2=second, nonces=1 << 20)
        except AssertionError:
            continue
    raise AssertionError("no block")
