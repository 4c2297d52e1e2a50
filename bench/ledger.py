"""How fast the ledger appends, each call a durable transaction of its own, and how fast it verifies."""

import argparse
import sys
import time
from collections.abc import Callable

from bench._database import embedded_database
from bench.harness import report
from mbongi.run.database import use_database

KINDS = ((1, "single"), (100, "batch_100"), (1_000, "batch_1000"))


def main(argv: list[str] | None = None) -> int:
    """Measure on an embedded PostgreSQL of its own with its usual durability; takes about half a minute."""
    parser = argparse.ArgumentParser(prog="mbongi bench ledger", description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="how long each kind of append is measured")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args(sys.argv[1:] if argv is None else argv)
    with embedded_database():
        figures, table = _measure(arguments.seconds)
    report("ledger", figures, as_json=arguments.json, table=table)
    return 0


def _measure(seconds: float) -> tuple[dict[str, float], list[list[object]]]:
    use_database()
    from mbongi.core.identity.scope import SITE, acting  # noqa: PLC0415 -- Django must be set up first
    from mbongi.core.ledger.verify import verify  # noqa: PLC0415

    figures: dict[str, float] = {}
    table: list[list[object]] = [["", "entries/s", "commits/s", "client CPU s per 10,000"]]
    with acting(SITE):
        for count, name in KINDS:
            wall_s, cpu_s, calls = _repeat(_append(count), seconds)
            figures[f"appends_per_s_{name}"] = calls * count / wall_s
            table.append([name, calls * count / wall_s, calls / wall_s, cpu_s / (calls * count) * 10_000])
        start_s, start_cpu_s = time.perf_counter(), time.process_time()
        result = verify([])
        wall_s, cpu_s = time.perf_counter() - start_s, time.process_time() - start_cpu_s
        if not result.is_intact:
            raise SystemExit(f"bench ledger: verification found {result.problems[:3]}")
    figures["verify_per_s"] = result.size / wall_s
    table.append([f"verify {result.size:,}", result.size / wall_s, "", cpu_s / result.size * 10_000])
    return figures, table


def _append(count: int) -> Callable[[], None]:
    from django.db import transaction  # noqa: PLC0415

    from mbongi.core.ledger import services  # noqa: PLC0415
    from mbongi.core.ledger.values import NewEntry  # noqa: PLC0415

    entries = [
        NewEntry(
            actor="user:3",
            action="fleet.machine.sleep",
            subject=f"machine:{number}",
            reason="load shed by the grid operator",
            before={"state": "mining", "power_w": 3500},
            after={"state": "sleeping"},
        )
        for number in range(count)
    ]

    def append() -> None:
        with transaction.atomic():
            services.append(entries)

    return append


def _repeat(work: Callable[[], None], seconds: float) -> tuple[float, float, int]:
    """Wall seconds, CPU seconds and number of calls."""
    work()
    calls, start_s, start_cpu_s = 0, time.perf_counter(), time.process_time()
    while (wall_s := time.perf_counter() - start_s) < seconds:
        work()
        calls += 1
    return wall_s, time.process_time() - start_cpu_s, calls


if __name__ == "__main__":
    sys.exit(main())
