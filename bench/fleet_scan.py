"""Finding every live machine: a /20 of loopback addresses, 1,000 of them live, 100 of these hung.

``missed`` counts live addresses that the scan did not report, hung ones that it did not call hung, and machines whose
family it did not name. On loopback an empty address refuses at once; a real network keeps silent, which costs the
scan's time limit instead of CPU.
"""

import argparse
import asyncio
import http.client
import json
import sys
import time

import uvloop

from bench._fleet_twin import free_port, virtual_site
from bench.harness import cpu_s, report
from mbongi.base.config import Fleet, Twin
from mbongi.fleet.reading import Found
from mbongi.fleet.scan import range_size, scan
from mbongi.twin.layout import Position

RPC_PORT, HTTP_PORT = 18341, 18342
HALL = 23


def main(argv: list[str] | None = None) -> int:
    """Measure one scan; about half a minute, most of it waiting for the hung machines."""
    parser = argparse.ArgumentParser(prog="mbongi bench fleet-scan", description=__doc__)
    parser.add_argument("--machines", type=int, default=1000)
    parser.add_argument("--hung", type=int, default=100)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args(sys.argv[1:] if argv is None else argv)
    # 15 racks of a /20 hold them all; 67 to a rack makes 1,005 places.
    config = Twin(
        machines=arguments.machines,
        network=f"127.{HALL}.0.0/20",
        per_rack=-(-arguments.machines // 15),
        rpc_port=RPC_PORT,
        http_port=HTTP_PORT,
        control_port=free_port(),
        meter_port=free_port(),
    )
    with virtual_site(config) as by_family:
        places = [place for family in by_family.values() for place in family]
        hung = {place.address for place in places[:: max(len(places) // max(arguments.hung, 1), 1)][: arguments.hung]}
        _hang(config.control_port, hung)
        started, cpu = time.monotonic(), cpu_s()
        found = uvloop.run(_scan(config))
        wall_s, used_s = time.monotonic() - started, cpu_s() - cpu
    missed = _missed(places, hung, found)
    table = [
        ["addresses", "live", "hung", "found", "called hung", "identified", "wall s", "CPU s"],
        [
            range_size([config.network]),
            len(places),
            len(hung),
            len(found),
            sum(one.hung for one in found),
            sum(one.family is not None for one in found),
            wall_s,
            used_s,
        ],
    ]
    report(
        "fleet-scan", {"missed": float(missed), "wall_s": wall_s, "cpu_s": used_s}, as_json=arguments.json, table=table
    )
    return 1 if missed else 0


def _hang(control_port: int, addresses: set[str]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", control_port, timeout=30)
    for address in addresses:
        connection.request("POST", f"/machines/{address}/fault", json.dumps({"fault": "hung"}))
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            raise SystemExit(f"the virtual site did not take a fault: HTTP {answer.status}")
    connection.close()


async def _scan(config: Twin) -> list[Found]:
    fleet = Fleet(rpc_port=config.rpc_port, http_port=config.http_port)
    found = [one async for one in scan([config.network], fleet)]
    await asyncio.sleep(0)
    return found


def _missed(places: list[Position], hung: set[str], found: list[Found]) -> int:
    by_address = {one.address: one for one in found}
    missed = 0
    for place in places:
        one = by_address.get(place.address)
        right = one is not None and (one.hung if place.address in hung else one.family is place.family)
        missed += not right
    return missed


if __name__ == "__main__":
    sys.exit(main())
