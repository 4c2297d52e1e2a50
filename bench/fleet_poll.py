"""What a poll costs in CPU: our poller against pyasic and pyasic_rs on the same virtual machines.

``full`` reads everything that each program reads of a machine. ``X_fast_x_Y`` sets Y's whole ``get_data`` against our
fast tier: that is what a refresh costs with either; ``X_fast_fields_x_Y`` lets Y leave out what our fast tier leaves
out. Every contender runs in a process of its own, one after the other; the virtual site is not counted.

The makers' ports 80 and 4028 are needed, because the others know no others: run as root, or lower
net.ipv4.ip_unprivileged_port_start to 80.
"""

import argparse
import json
import subprocess
import sys

from bench._fleet_twin import ROOT, environment, free_port, virtual_site
from bench.harness import report
from mbongi.base.config import Twin
from mbongi.fleet.values import Family
from mbongi.twin.layout import Position

FAMILIES = (Family.ANTMINER, Family.WHATSMINER, Family.BITAXE)
OTHERS = ("pyasic_rs", "pyasic")
RPC_PORT, HTTP_PORT = 4028, 80


def main(argv: list[str] | None = None) -> int:
    """Measure; ten minutes with 1,000 machines, under one with 60."""
    parser = argparse.ArgumentParser(prog="mbongi bench fleet-poll", description=__doc__)
    parser.add_argument("--machines", type=int, default=1000, help="virtual machines of the three families together")
    parser.add_argument("--rounds", type=int, default=3, help="counted polls of each machine (pyasic: one)")
    parser.add_argument("--network", default="127.23.0.0/16", help="loopback network of their addresses")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args(sys.argv[1:] if argv is None else argv)
    config = Twin(
        machines=arguments.machines,
        network=arguments.network,
        rpc_port=RPC_PORT,
        http_port=HTTP_PORT,
        control_port=free_port(),
        meter_port=free_port(),
    )
    figures: dict[str, float] = {}
    table: list[list[object]] = [["CPU ms per poll", "machines", "mbongi", "pyasic_rs", "pyasic", "missing"]]
    with virtual_site(config) as places:
        for family in FAMILIES:
            _measure(family, places[family], arguments.rounds, figures, table)
    report("fleet-poll", figures, as_json=arguments.json, table=table)
    return 0


def _measure(
    family: Family, places: list[Position], rounds: int, figures: dict[str, float], table: list[list[object]]
) -> None:
    cost: dict[tuple[str, str], float] = {}
    for tier in ("full", "fast"):
        missing: list[str] = []
        for who in ("mbongi", *OTHERS):
            found = _contender(who, family, tier, 1 if who == "pyasic" else rounds, places)
            cost[who, tier] = found["ms"]
            missing.append(f"{found['missing']:.0f}")
        row = [cost[who, tier] for who in ("mbongi", *OTHERS)]
        table.append([f"{family} {tier}", len(places), *row, "/".join(missing)])
    for other in OTHERS:
        figures[f"{family}_full_x_{other}"] = cost[other, "full"] / cost["mbongi", "full"]
        figures[f"{family}_fast_x_{other}"] = cost[other, "full"] / cost["mbongi", "fast"]
        figures[f"{family}_fast_fields_x_{other}"] = cost[other, "fast"] / cost["mbongi", "fast"]


def _contender(who: str, family: Family, tier: str, rounds: int, places: list[Position]) -> dict[str, float]:
    task = {
        "who": who,
        "family": family.value,
        "tier": tier,
        "rounds": rounds,
        "addresses": [place.address for place in places],
        "rpc_port": RPC_PORT,
        "http_port": HTTP_PORT,
    }
    done = subprocess.run(
        [sys.executable, "-m", "bench._fleet_contenders"],
        input=json.dumps(task),
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment(),
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{who} on {family}: ended with {done.returncode}: {done.stderr[-2000:]}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    sys.exit(main())
