"""Telemetry end to end, from rack batches on the bus to rows in the store, and the control room's queries meanwhile.

A virtual fleet of 20,000 machines states every column every 30 s. First two simulated hours (``--day``: a day) are
published as fast as the bus takes them; rows_per_s counts from the first message published to the last row readable,
with the publisher on the same machine. Then rows go on arriving at ten times the nominal rate while the five queries
are asked in turn by the ordinary clients.

cpu_s_per_million_rows is the CPU time of the bus server, the ingester and the gateway, roll-ups included, until ten
seconds after the last row (background merges count); the publisher is not counted. bytes_per_row is everything that
the store keeps on disk for the rows, roll-ups included, divided by the number of rows.
"""

import argparse
import asyncio
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import uvloop

from bench.harness import process_cpu_s, report
from mbongi.base.config import Bus as BusConfig
from mbongi.base.config import Config, Site, Telemetry, as_environment
from mbongi.core.bus.client import Bus
from mbongi.core.telemetry.batches import encode_batch
from mbongi.core.telemetry.client import Store
from mbongi.core.telemetry.latest_client import LatestClient
from mbongi.fleet import telemetry as readings
from mbongi.run import bus, ingest, telemetry
from mbongi.run.tables import site_tables

MACHINES, PER_RACK, POLL_S = 20_000, 50, 30
TABLE = site_tables()[0]
LIVE_TIMES = 10
LIVE_ROUNDS = 12
PROBES = {"bus": bus.ready, "telemetry": telemetry.ready, "ingest": ingest.ready}


def main(argv: list[str] | None = None) -> int:
    """Measure on a data plane of its own in a temporary directory."""
    parser = argparse.ArgumentParser(prog="mbongi bench telemetry", description=__doc__)
    parser.add_argument("--day", action="store_true", help="a whole simulated day (57.6 million rows)")
    parser.add_argument("--minutes", type=int, default=120, help="simulated minutes, where not a day")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args(sys.argv[1:] if argv is None else argv)
    polls = (86_400 if arguments.day else arguments.minutes * 60) // POLL_S
    with tempfile.TemporaryDirectory(prefix="mbongi-bench-") as folder:
        plane = Plane(Path(folder))
        try:
            plane.start()
            figures, table = measure(plane, polls)
        finally:
            plane.stop()
    report("telemetry", figures, as_json=arguments.json, table=table)
    return 0


class Plane:
    """The three processes under test."""

    def __init__(self, folder: Path) -> None:
        ports = free_ports(2)
        self.config = Config(
            site=Site(data_dir=folder),
            bus=BusConfig(port=ports[0]),
            telemetry=Telemetry(port=ports[1], keep_raw_days=30),
        )
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        """Start them, and wait until they are ready."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MBONGI_")}
        environment |= as_environment(self.config) | {"PYTHONPATH": str(Path(__file__).parents[1] / "src")}
        for name in PROBES:
            self._running[name] = subprocess.Popen([sys.executable, "-m", "mbongi.cli", name], env=environment)
        end = time.monotonic() + 60
        while not all(ready(probe, self.config) for probe in PROBES.values()):
            if time.monotonic() > end or any(process.poll() is not None for process in self._running.values()):
                raise SystemExit(
                    "bench telemetry: bus, store and ingester did not become ready; their messages are above"
                )
            time.sleep(0.1)

    def stop(self) -> None:
        """SIGTERM to all, in reverse order."""
        for process in reversed(self._running.values()):
            process.terminate()
            process.wait(20)

    def cpu_s(self) -> dict[str, float]:
        """CPU seconds so far, by process; the bus is its server."""
        return {name: sum(process_cpu_s(pid) for pid in self._pids(name)) for name in self._running}

    def rss_mb(self) -> dict[str, float]:
        """Resident memory now, by process."""
        page = os.sysconf("SC_PAGE_SIZE") / 1e6
        statm = {name: [Path(f"/proc/{pid}/statm") for pid in self._pids(name)] for name in self._running}
        return {name: sum(int(p.read_text().split()[1]) * page for p in paths) for name, paths in statm.items()}

    def _pids(self, name: str) -> list[int]:
        pid = self._running[name].pid
        return [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split())]


def ready(probe: Callable[[Config], Any], config: Config) -> bool:
    """The answer of a probe, which may be a coroutine function."""
    answer = probe(config)
    return bool(asyncio.run(answer)) if asyncio.iscoroutine(answer) else bool(answer)


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody listens on."""
    import socket  # noqa: PLC0415

    sockets = [socket.socket() for _ in range(count)]
    try:
        for opened in sockets:
            opened.bind(("127.0.0.1", 0))
        return [opened.getsockname()[1] for opened in sockets]
    finally:
        for opened in sockets:
            opened.close()


class Fleet:
    """Readings as miners state them: noise, slow drift and the rounding of each family's protocol; 1 in 200 silent."""

    def __init__(self, seed: int = 1) -> None:
        self._random = random = np.random.default_rng(seed)
        self.ids = np.arange(1, MACHINES + 1)
        self._rack = self.ids // PER_RACK
        self._family = self._rack % 3
        self._nominal = np.choose(self._family, [200.0, 114.0, 1.2])
        self._watts = np.choose(self._family, [3500.0, 3306.0, 18.0])
        self._air = 27 + random.normal(0, 2, MACHINES)
        self._bias = random.normal(1, 0.02, (4, MACHINES))
        self._accepted = random.integers(0, 50_000, MACHINES).astype(float)
        self._rejected = np.floor(self._accepted * 0.003)
        self._uptime = random.integers(3_600, 900_000, MACHINES).astype(float)
        self._dead_board = random.random(MACHINES) < 0.01

    def poll(self, ts_ms: int) -> dict[str, Any]:
        """One poll of all machines, by column. Machines are asked in turn, within the 30 s."""
        random, n = self._random, MACHINES
        self._air += random.normal(0, 0.02, n)
        heat = self._air + 38 * self._bias[1] + random.normal(0, 0.6, n)
        board = self._nominal / 3 * self._bias[0] * (1 + random.normal(0, 0.02, (3, n)))
        board[2] = np.where(self._dead_board, 0, board[2])
        rate = np.round(board.sum(0), 2)
        power = np.round(self._watts * self._bias[2] * (1 + random.normal(0, 0.005, n)))
        fans = np.round((3_900 + 60 * (heat - 65) + random.normal(0, 40, (4, n))) / 30) * 30
        self._accepted += random.poisson(6, n)
        self._rejected += random.poisson(0.02, n)
        self._uptime += POLL_S
        chips = np.stack([np.round(heat + random.normal(0, 1, n)) for _ in range(3)])
        known = {
            "hashrate_ths": rate,
            "hashrate_av_ths": np.round(self._nominal * self._bias[0], 2),
            "hashrate_nominal_ths": self._nominal,
            "power_w": power,
            "power_limit_w": self._watts,
            "efficiency_jth": power / rate,
            "inlet_temp_c": np.round(self._air),
            "chip_temp_max_c": chips.max(0),
            "chip_temp_avg_c": np.round(chips.mean(0), 1),
            "board_temp_max_c": chips.max(0) - 8,
            "psu_temp_c": np.round(heat - 12),
            **{f"fan{i + 1}_rpm": fans[i] for i in range(4)},
            "fan_duty_pct": np.clip(np.round(heat - 5), 20, 100),
            "board_count": 3.0 - self._dead_board,
            "board_expected": np.full(n, 3.0),
            "chips": np.full(n, 324.0),
            "chips_expected": np.full(n, 324.0),
            **{f"board{i + 1}_ths": np.round(board[i], 2) for i in range(3)},
            **{f"board{i + 1}_temp_c": chips[i] for i in range(3)},
            "frequency_mhz": np.round(490 + random.normal(0, 2, n)),
            "voltage_v": np.round(12.8 + random.normal(0, 0.02, n), 2),
            "accepted": self._accepted,
            "rejected": self._rejected,
            "stale": np.floor(self._rejected / 3),
            "hw_errors": np.floor(self._accepted / 900),
            "reject_ratio": self._rejected / (self._accepted + self._rejected),
            "uptime_s": self._uptime,
            "error_count": self._dead_board.astype(float),
            "poll_ms": np.round(random.gamma(4, 6, n), 1),
            "detail_age_s": (self._uptime // POLL_S % 2) * POLL_S,
            "span_s": np.full(n, float(POLL_S)),
        }
        silent = random.random(n) < 0.005
        values = {name: np.where(silent, np.nan, column) for name, column in known.items()}
        offsets = (np.arange(n) * (POLL_S * 1_000 / n)).astype(np.int64) + random.integers(0, 40, n)
        state = np.where(silent, 0, np.where(self._dead_board, 5, 2))
        return values | {"ts": ts_ms + offsets, "machine_id": self.ids, "tenant_id": self._rack % 4, "state": state}

    def batches(self, ts_ms: int) -> Iterator[tuple[str, bytes, str]]:
        """The poll as one message a rack."""
        columns = self.poll(ts_ms)
        for start in range(0, MACHINES, PER_RACK):
            rack = slice(start, start + PER_RACK)
            number, count = start // PER_RACK, min(PER_RACK, MACHINES - start)
            words = {
                "rack": [f"{20 + number // 40}/{number % 40:02}"] * count,
                "model": [("Antminer S21", "Whatsminer M50S", "Bitaxe Gamma")[number % 3]] * count,
                "pool": ["pool.example:3333" if n % 17 else "spare.example:3333" for n in range(count)],
            }
            values = {name: column[rack] for name, column in columns.items()}
            yield "telemetry.machine_reading.bench", encode_batch(TABLE, values | words), f"{ts_ms}-{number}"


def measure(plane: Plane, polls: int) -> tuple[dict[str, float], list[list[object]]]:
    """All figures."""
    store = Store.open(plane.config, answer_s=120)
    rows = polls * MACHINES
    # The newest row is stamped now: the store takes nothing that is far ahead.
    first_ms = int(time.time() * 1_000) - polls * POLL_S * 1_000
    before = plane.cpu_s()
    context = multiprocessing.get_context("spawn")
    go = context.Event()
    made = context.Event()
    publisher = context.Process(target=publish_all, args=(plane.config, first_ms, polls, made, go))
    publisher.start()
    while not made.wait(0.5):
        assert publisher.exitcode is None, "the publisher failed; its message is above"
    started = time.perf_counter()
    go.set()
    rss: dict[str, float] = {}
    while count(store) < rows:
        time.sleep(0.5)
        rss = max(rss, plane.rss_mb(), key=lambda now: sum(now.values()))
        assert publisher.exitcode in {None, 0}, "the publisher failed; its message is above"
    wall_s = time.perf_counter() - started
    publisher.join()
    time.sleep(10)
    after = plane.cpu_s()
    cpu = {name: after[name] - before[name] for name in after}
    stored_bytes = disk_bytes(store)
    latencies = uvloop.run(live(plane.config, store, first_ms + polls * POLL_S * 1_000))
    rss = max(rss, plane.rss_mb(), key=lambda now: sum(now.values()))
    figures = {
        "rows_per_s": rows / wall_s,
        "cpu_s_per_million_rows": sum(cpu.values()) / rows * 1e6,
        "bytes_per_row": sum(stored_bytes.values()) / rows,
        **{name: statistics.median(times) for name, times in latencies.items()},
        "rss_mb": sum(rss.values()),
    }
    table: list[list[object]] = [["process", "CPU s per million rows", "RSS MB"]]
    table += [[name, cpu[name] / rows * 1e6, rss[name]] for name in cpu]
    table += [["table", "bytes per row", ""]] + [[name, size / rows, ""] for name, size in stored_bytes.items()]
    table += [["query, ms", "median", "highest"]]
    table += [[name, statistics.median(times), max(times)] for name, times in latencies.items()]
    return figures, table


def publish_all(config: Config, first_ms: int, polls: int, made: Any, go: Any) -> None:
    """In a process of its own: make all batches of (at most) two hours beforehand, then publish."""
    fleet = Fleet()
    ahead = [list(fleet.batches(first_ms + n * POLL_S * 1_000)) for n in range(min(polls, 240))]

    async def publish() -> None:
        connection = await Bus.open(config, name="publisher")
        await connection.ensure_streams(config)
        made.set()
        go.wait()
        for n in range(polls):
            batches = ahead[n] if n < len(ahead) else fleet.batches(first_ms + n * POLL_S * 1_000)
            await connection.publish_many(batches, limit_s=300)
        await connection.close()

    uvloop.run(publish())


async def live(config: Config, store: Store, first_ms: int) -> dict[str, list[float]]:
    """Rows at ten times the nominal rate, and the queries in turn; milliseconds of each round."""
    connection = await Bus.open(config, name="live")
    stop = asyncio.Event()

    async def feed() -> None:
        fleet, poll, due = Fleet(2), 0, time.monotonic()
        while not stop.is_set():
            for message in list(fleet.batches(first_ms + poll * POLL_S * 1_000)):
                await connection.publish(message[0], message[1], message_id=f"live-{message[2]}")
                due += POLL_S / LIVE_TIMES * PER_RACK / MACHINES
                await asyncio.sleep(max(0.0, due - time.monotonic()))
            poll += 1

    feeding = asyncio.create_task(feed())
    await asyncio.sleep(6)
    times: dict[str, list[float]] = {}
    for _ in range(LIVE_ROUNDS):
        client = LatestClient(connection, TABLE)
        began = time.perf_counter()
        latest = await client.refresh()
        times.setdefault("latest_ms", []).append((time.perf_counter() - began) * 1_000)
        assert latest.count == MACHINES
        for name, ask in queries(store).items():
            took_ms, answered = await asyncio.to_thread(timed, ask)
            times.setdefault(name, []).append(took_ms)
            assert answered, name
        await asyncio.sleep(0.5)
    stop.set()
    await feeding
    await connection.close()
    return times


def timed(ask: Callable[[], Any]) -> tuple[float, Any]:
    """Milliseconds until the answer is here, and the answer."""
    began = time.perf_counter()
    answer = ask()
    return (time.perf_counter() - began) * 1_000, answer


def queries(store: Store) -> dict[str, Callable[[], int]]:
    """The four that the store answers, as the control room asks them; each says how many figures came back."""
    return {
        "totals_ms": lambda: len(readings.site_totals(store).at),
        "rack_p95_ms": lambda: len(readings.rack_temps(store)),
        "machine_ms": lambda: len(readings.series(store, 7777).at),
        "worst_ms": lambda: len(readings.worst(store)),
    }


def count(store: Store) -> int:
    """Rows stored."""
    [(rows,)] = store.rows("SELECT count() FROM machine_reading")
    return int(rows)


def disk_bytes(store: Store) -> dict[str, int]:
    """What each table keeps on disk."""
    rows = store.rows("SELECT table, sum(bytes_on_disk) FROM system.parts WHERE active GROUP BY table ORDER BY table")
    return {name: int(size) for name, size in rows}


if __name__ == "__main__":
    sys.exit(main())
