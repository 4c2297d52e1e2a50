"""What a share and a new block cost the translation proxy: pool, proxy and miners are a process each.

CPU is the proxy process's own, as the system accounts for it. Every share is valid and sent by itself by one of 1,000
Stratum V1 miners, goes to the pool over one encrypted link, and is answered when the pool has answered. A new block is
work with 3,000 transactions, from its publication in the pool to the last miner's connection.
"""

import argparse
import sys

from bench.harness import report
from bench.pool import BLOCKS, Process

CLIENTS = 1_000
TRANSACTIONS = 3_000


def main(argv: list[str] | None = None) -> int:
    """Measure with a channel for each miner, and with one for all."""
    parser = argparse.ArgumentParser(prog="mbongi bench proxy", description=__doc__)
    parser.add_argument("--shares", type=int, default=60_000, help="shares counted in each run")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args(sys.argv[1:] if argv is None else argv)
    figures: dict[str, float] = {}
    table: list[list[object]] = [["channels", "us/share", "last ms", "CPU ms/block", "RSS MB", "lost"]]
    for aggregate, suffix in ((False, ""), (True, "_aggregated")):
        row = measure(arguments.shares, aggregate=aggregate)
        table.append([1 if aggregate else CLIENTS, *row.values()])
        figures |= {f"{key}{suffix}": value for key, value in row.items()}
    figures["lost"] += figures.pop("lost_aggregated")
    report("proxy", figures, as_json=arguments.json, table=table)
    return 0


def measure(shares: int, *, aggregate: bool) -> dict[str, float]:
    """One pool, one proxy, the miners: the median of the blocks, the mean of the shares."""
    rounds = max(shares // CLIENTS, 2)
    with (
        Process("bench._pool_server", {"transactions": TRANSACTIONS}) as pool,
        Process("bench._proxy_server", {"aggregate": aggregate, "upstream": pool.hello["upstream"]}) as proxy,
        Process("bench._pool_clients", {"clients": CLIENTS, "v2": False, "port": proxy.hello["port"]}) as miners,
    ):
        sent = miners.ask("shares 1")
        before = proxy.ask("cpu")
        done = miners.ask(f"shares {rounds}")
        after = proxy.ask("cpu")
        last_ms, cpu_ms = [], []
        for _ in range(BLOCKS):
            miners.ask("ready")
            began_cpu_s = proxy.ask("cpu")["cpu_s"]
            block = pool.ask("block")
            last_ms.append((miners.ask("wait")["last_s"] - block["began_s"]) * 1000.0)
            cpu_ms.append((proxy.ask("cpu")["cpu_s"] - began_cpu_s) * 1000.0)
        answered = done["accepted"] + done["refused"] - sent["accepted"] - sent["refused"]
        return {
            "cpu_us_per_share": (after["cpu_s"] - before["cpu_s"]) / (after["accepted"] - before["accepted"]) * 1e6,
            "new_job_last_client_ms": sorted(last_ms)[BLOCKS // 2],
            "cpu_ms_per_block": sorted(cpu_ms)[BLOCKS // 2],
            "rss_mb": proxy.ask("cpu")["rss_mb"],
            "lost": float(rounds * CLIENTS - answered + done["lost"] + done["accepted"] - pool.ask("cpu")["accepted"]),
        }


if __name__ == "__main__":
    sys.exit(main())
