"""What a share and a new block cost the pool: its server in one process, miners on real connections in another.

CPU is the server process's own, as the system accounts for it. Every share is valid and sent by itself; difficulty
control, the check for duplicates and the log of shares are on. A new block is a node's answer with 3,000 transactions
(2.4 MB), from its bytes to the last miner's connection; the node's proposal check is left out: it is the node's work.
"""

import argparse
import contextlib
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Self

from bench._fleet_twin import ROOT, environment
from bench.harness import cpu_s, report
from mbongi.run.pool_identity import Identity
from mbongi.wire.noise.secp import EllSwiftKey

BLOCKS = 5
FILES_OF_ITS_OWN = 1_000


class Process:
    """A helper process that answers each line with a line of JSON."""

    def __init__(self, module: str, task: dict[str, Any]) -> None:
        self._child = subprocess.Popen(
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=environment(),
        )
        self.hello = self.ask(json.dumps(task))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._child.communicate("stop\n", timeout=30)

    def ask(self, words: str) -> dict[str, Any]:
        """Say a line, take its answer."""
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.write(words + "\n")
        self._child.stdin.flush()
        line = self._child.stdout.readline()
        if not line:
            raise SystemExit(f"a process of the benchmark ended: {self._child.communicate()[1][-2000:]}")
        found: dict[str, Any] = json.loads(line)
        return found


def main(argv: list[str] | None = None) -> int:
    """Measure with 1,000 and 5,000 miners."""
    parser = argparse.ArgumentParser(prog="mbongi bench pool", description=__doc__)
    parser.add_argument("--shares", type=int, default=60_000, help="shares counted in each run")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args(sys.argv[1:] if argv is None else argv)
    figures: dict[str, float] = {}
    table: list[list[object]] = [["miners", "transactions", "us/share", "last ms", "CPU ms/block", "RSS MB", "lost"]]
    for clients, transactions, suffix in (
        (1_000, 3_000, ""),
        (5_000, 3_000, "_5000"),
        (1_000, 0, "_empty"),
        (1_000, 3_000, "_v2"),
    ):
        row = measure(clients, transactions, arguments.shares, v2=suffix == "_v2")
        table.append([f"{clients}{suffix}", transactions, *row.values()])
        figures |= {f"{key}{suffix}": value for key, value in row.items()}
    figures["lost"] = sum(figures.pop(key) for key in ("lost", "lost_5000", "lost_empty", "lost_v2"))
    figures["handshakes_per_s"] = handshakes_per_s()
    figures["rss_mb_20000_idle"] = idle_rss_mb()
    report("pool", figures, as_json=arguments.json, table=table)
    return 0


def measure(clients: int, transactions: int, shares: int, *, v2: bool) -> dict[str, float]:
    """One server, so many miners: the median of the blocks, the mean of the shares."""
    rounds = max(shares // clients, 2)
    with (
        Process("bench._pool_server", {"transactions": transactions}) as server,
        Process(
            "bench._pool_clients",
            {"clients": clients, "v2": v2, "port": server.hello["v2_port" if v2 else "port"]},
        ) as miners,
    ):
        sent = miners.ask("shares 1")
        before = server.ask("cpu")
        done = miners.ask(f"shares {rounds}")
        after = server.ask("cpu")
        last_ms, cpu_ms = [], []
        for _ in range(BLOCKS):
            miners.ask("ready")
            block = server.ask("block")
            last_ms.append((miners.ask("wait")["last_s"] - block["began_s"]) * 1000.0)
            cpu_ms.append((server.ask("cpu")["cpu_s"] - block["began_cpu_s"]) * 1000.0)
        answered = done["accepted"] + done["refused"] - sent["accepted"] - sent["refused"]
        counted = after["accepted"] - before["accepted"]
        return {
            "cpu_us_per_share": (after["cpu_s"] - before["cpu_s"]) / counted * 1e6,
            "new_job_last_client_ms": sorted(last_ms)[BLOCKS // 2],
            "cpu_ms_per_block": sorted(cpu_ms)[BLOCKS // 2],
            "rss_mb": server.ask("cpu")["rss_mb"],
            "lost": float(rounds * clients - answered + done["lost"] + (done["accepted"] - after["accepted"])),
        }


def idle_rss_mb(clients: int = 20_000, crowds: int = 4) -> float:
    """What a server holds for so many miners that have work and send nothing; they come from several processes.

    Fewer where the system allows fewer open files, by some hundred that the server needs for itself.
    """
    clients = min(clients, resource.getrlimit(resource.RLIMIT_NOFILE)[1] - FILES_OF_ITS_OWN)
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(Process("bench._pool_server", {"transactions": 3_000}))
        task = {"clients": clients // crowds, "v2": False, "port": server.hello["port"]}
        for _ in range(crowds):
            stack.enter_context(Process("bench._pool_clients", task))
        server.ask("block")
        return float(server.ask("cpu")["rss_mb"])


def handshakes_per_s(count: int = 2_000) -> float:
    """What one core answers: the responder's part of so many handshakes, each with a key of its own."""
    with tempfile.TemporaryDirectory(prefix="mbongi-bench-") as folder:
        responder = Identity(Path(folder)).responder()
    acts = [EllSwiftKey.generate().public for _ in range(count)]
    before = cpu_s()
    for act in acts:
        responder.answer(act)
    return count / (cpu_s() - before)


if __name__ == "__main__":
    sys.exit(main())
