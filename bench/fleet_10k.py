"""Ten thousand virtual machines polled every ten seconds by one process: its CPU, and the share of polls in time.

The virtual site runs in processes of its own, which are not counted. 1 % of the machines are hung, 2 % are off. A poll
is in time when a machine's answer comes within a fast period and a tenth of its answer before; where answers are
missing, each period counts as a late poll. Machines that give no answer have none to be late; they cost the poller what
they cost. Slow and static polls are part of it. Only the poller is measured, as it runs in the fleet process: no
database, no bus.
"""

import argparse
import asyncio
import contextlib
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import uvloop

from bench._fleet_twin import control, slices, virtual_site
from bench.harness import cpu_s, report
from mbongi.base.clock import monotonic_s
from mbongi.base.config import Fleet, Twin
from mbongi.base.ids import MachineId
from mbongi.fleet.poller import Poller
from mbongi.fleet.reading import MachineReading, Target
from mbongi.fleet.values import Family
from mbongi.twin.layout import Position

LATE_SHARE = 0.1
SILENT = {"hung": 100, "off": 50}
"""One machine in so many."""


@dataclass
class Seen:
    """What the poller handed over while it was counted."""

    fast_s: float
    is_counting: bool = False
    polls: int = 0
    in_time: int = 0
    last_s: dict[int, float] = field(default_factory=dict)

    def take(self, _rack: str, readings: Sequence[MachineReading]) -> None:
        """A rack's rows."""
        for reading in readings:
            now_s = reading.ts / 1000.0
            if math.isnan(reading.poll_ms):
                continue  # no answer, or not asked
            before_s = self.last_s.get(reading.machine_id)
            self.last_s[reading.machine_id] = now_s
            if self.is_counting and before_s is not None:
                periods = max(1, round((now_s - before_s) / self.fast_s))
                self.polls += periods
                self.in_time += periods == 1 and now_s - before_s <= self.fast_s * (1 + LATE_SHARE)

    def end(self) -> None:
        """Count what answers are missing at the end."""
        now_s = time.time()
        self.polls += sum(max(0, round((now_s - last_s) / self.fast_s) - 1) for last_s in self.last_s.values())


def main(argv: list[str] | None = None) -> int:
    """Measure; some three minutes with 10,000 machines."""
    parser = argparse.ArgumentParser(prog="mbongi bench fleet-10k", description=__doc__)
    parser.add_argument("--machines", type=int, default=10_000)
    parser.add_argument("--fast-s", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=6, help="fast periods that are counted, after two that are not")
    parser.add_argument("--workers", type=int, default=Fleet().workers)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args(sys.argv[1:] if argv is None else argv)
    sites = slices(arguments.machines)
    config = Fleet(
        rpc_port=sites[0].rpc_port,
        http_port=sites[0].http_port,
        framed_port=sites[0].framed_port,
        fast_s=arguments.fast_s,
        workers=arguments.workers,
    )
    with contextlib.ExitStack() as stack:
        places = [
            place for site in sites for each in stack.enter_context(virtual_site(site)).values() for place in each
        ]
        silent = _silence(sites, places)
        figures, table = uvloop.run(_measure(config, places, arguments.rounds))
    table.insert(1, ["silent machines", *(f"{count} {word}" for word, count in silent.items())])
    report("fleet-10k", figures, as_json=arguments.json, table=table)
    return 0


def _silence(sites: list[Twin], places: list[Position]) -> dict[str, int]:
    """Make the stated shares of all families hang or lie off."""
    by_network = {site.network.split(".")[1]: site for site in sites}
    counts = dict.fromkeys(SILENT, 0)
    for number, place in enumerate(places):
        for word, every in SILENT.items():
            if number % every == every // 3:
                control(by_network[place.address.split(".")[1]], f"/machines/{place.address}/fault", {"fault": word})
                counts[word] += 1
                break
    return counts


async def _measure(config: Fleet, places: list[Position], rounds: int) -> tuple[dict[str, float], list[list[object]]]:
    targets = [
        Target(
            machine_id=MachineId(number),
            address=place.address,
            family=Family(place.family),
            rack=place.address.rpartition(".")[0],
        )
        for number, place in enumerate(places, start=1)
    ]
    poller, seen = Poller(config, targets), Seen(config.fast_s)
    running = asyncio.create_task(poller.run(seen.take, lambda _changes: None, lambda _details: None))
    # The first round asks everything of every machine, and slow tiers then fall into their places.
    await asyncio.sleep(2 * config.fast_s)
    seen.is_counting, polls, late = True, poller.statistics.polls, poller.statistics.rounds_late
    began_s, began_cpu_s = monotonic_s(), cpu_s()
    await asyncio.sleep(rounds * config.fast_s)
    wall_s, used_s = monotonic_s() - began_s, cpu_s() - began_cpu_s
    states: dict[str, int] = {}
    for state in poller.states().values():
        word = "never asked" if state is None else state.word
        states[word] = states.get(word, 0) + 1
    seen.end()
    poller.stop()
    await running
    asked = poller.statistics.polls - polls
    figures = {"cpu_cores": used_s / wall_s, "polls_in_time_pct": 100.0 * seen.in_time / max(seen.polls, 1)}
    table: list[list[object]] = [
        ["machines", len(places)],
        ["states", *(f"{count} {word}" for word, count in sorted(states.items()))],
        ["questions asked a second", asked / wall_s],
        ["CPU ms a poll", 1000.0 * used_s / max(asked, 1)],
        ["rounds left out", poller.statistics.rounds_late - late],
        ["workers", config.workers],
    ]
    return figures, table


if __name__ == "__main__":
    sys.exit(main())
