"""A change of pools over ten thousand virtual machines, of which some lie: wall time, writes a second, lies found.

The machines are in a group whose new profile names other pools. From the operation's start to the end of its last step
everything is as in the fleet process: steps are released within limits, claimed, each read, written and read again on
the machine, its ending written down with its entry in the ledger. The poller and the bus are left out. A machine that
lies answers that it took the pools and takes none; one that halves takes the first pool alone. A lie counts as found
where its step does not end as verified. The virtual site and the database are processes of their own.
"""

import argparse
import asyncio
import contextlib
import sys
import time
from collections import Counter
from typing import Any

import uvloop

from bench._database import embedded_database
from bench._fleet_twin import control, slices, virtual_site
from bench.harness import cpu_s, report
from mbongi.base.config import Fleet, Twin
from mbongi.fleet.values import Family
from mbongi.run.database import use_database
from mbongi.twin.layout import Position

FAMILIES = ("antminer", "whatsminer", "whatsminer_v3", "avalon", "luxos", "vnish", "braiins")
LIES = {"lies": 100, "half": 200}
"""One machine in so many takes nothing, or a part, and says that all is done."""
POOLS = [{"url": f"stratum+tcp://pool{number}.example:3333", "user": "{account}.{id}"} for number in (1, 2, 3)]
LEFT_S_MAX = 3600.0


def main(argv: list[str] | None = None) -> int:
    """Measure; some minutes with 10,000 machines."""
    parser = argparse.ArgumentParser(prog="mbongi bench fleet-reconcile", description=__doc__)
    parser.add_argument("--machines", type=int, default=10_000)
    parser.add_argument("--batch", type=int, default=500, help="machines that are written at a time")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args(sys.argv[1:] if argv is None else argv)
    with contextlib.ExitStack() as stack:
        stack.enter_context(embedded_database())
        sites = slices(arguments.machines, FAMILIES)
        places = [
            place for site in sites for each in stack.enter_context(virtual_site(site)).values() for place in each
        ]
        lying = _let_lie(sites, places)
        figures, table = _measure(sites[0], places, lying, arguments.batch)
    report("fleet-reconcile", figures, as_json=arguments.json, table=table)
    return 0


def _let_lie(sites: list[Twin], places: list[Position]) -> set[str]:
    """Make the stated shares of the machines lie; their addresses."""
    by_network, lying = {site.network.split(".")[1]: site for site in sites}, set()
    for number, place in enumerate(places):
        for word, every in LIES.items():
            # An Avalon is written one pool at a time, and the first of one is all of it: there is no half.
            if number % every == every // 3 and (word, place.family) != ("half", Family.AVALON):
                site = by_network[place.address.split(".")[1]]
                control(site, f"/machines/{place.address}/write-fault", {"fault": word})
                lying.add(place.address)
                break
    return lying


def _measure(
    site: Twin, places: list[Position], lying: set[str], batch: int
) -> tuple[dict[str, float], list[list[object]]]:
    use_database()
    from mbongi.core.identity.scope import SITE, acting  # noqa: PLC0415 -- Django must be set up first
    from mbongi.fleet import operation_rows, reconcile  # noqa: PLC0415

    with acting(SITE):
        user, group_id = _make(places, batch)
        began_s = time.perf_counter()
        planned = reconcile.reconcile(user, group_id, reason="bench")
        plan_s = time.perf_counter() - began_s
    config = Fleet(rpc_port=site.rpc_port, http_port=site.http_port, framed_port=site.framed_port)
    wall_s, used_s = uvloop.run(_carry_out(config, planned.id, planned.total))
    with acting(SITE):
        row = operation_rows.operation(planned.id)
        found, missed, wrongly = _judge(planned.id, lying)
        why = Counter(f"{family}: {reason}" for family, reason in wrongly)
    figures = {
        "wall_s": wall_s,
        "writes_per_s": row.total / wall_s,
        "verify_failures_found_pct": 100.0 * found / max(found + missed, 1),
    }
    table: list[list[object]] = [
        ["machines", len(places)],
        ["machines that lie", len(lying)],
        ["written at a time", batch],
        ["plan s", plan_s],
        ["steps", *(f"{count} {status}" for status, count in sorted(row.steps.items()))],
        ["CPU ms a write, writer alone", 1000.0 * used_s / max(row.total, 1)],
        ["lies found, missed", found, missed],
        ["honest machines not verified", len(wrongly)],
        *([f"  {reason}", count] for reason, count in why.most_common(8)),
    ]
    return figures, table


def _make(places: list[Position], batch: int) -> tuple[Any, int]:
    """The machines as they would be recorded, in a group with an active profile that names other pools."""
    from mbongi.base.clock import utc_now  # noqa: PLC0415 -- Django must be set up first
    from mbongi.core.identity.models import User  # noqa: PLC0415
    from mbongi.core.identity.values import Role  # noqa: PLC0415
    from mbongi.fleet import groups  # noqa: PLC0415
    from mbongi.fleet.models import Machine  # noqa: PLC0415
    from mbongi.fleet.values import MachineState  # noqa: PLC0415

    author, second = (
        User.objects.create(email=f"{name}@bench.example", name=name, role=Role.SITE_MANAGER) for name in ("a", "b")
    )
    group_id, now = groups.add_group(author, "bench", reason="bench").id, utc_now()
    former = {"pools": [{"url": "stratum+tcp://former.example:3333", "user": "former.w", "active": True}]}
    Machine.objects.bulk_create(
        (
            Machine(
                address=place.address,
                family=place.family,
                state=MachineState.MINING,
                state_since=now,
                last_seen_at=now,
                detail=former,
                detail_at=now,
                added_at=now,
                group_id=group_id,
            )
            for place in places
        ),
        batch_size=1000,
    )
    # Nothing is polled here, so nothing is seen to mine again: what is not back in time must not halt it.
    limits = {"batch": batch, "failures_max": len(places), "settle_s": 1.0}
    document = {"account": "bench", "pools": POOLS, "limits": limits}
    draft = groups.write_profile(author, group_id, document, reason="bench")
    groups.approve_profile(second, groups.propose_profile(author, draft.id).id, reason="bench")
    return author, group_id


async def _carry_out(config: Fleet, operation_id: int, total: int) -> tuple[float, float]:
    """Release, claim, write and record until every step has ended; its wall time and this process's CPU time [s]."""
    from mbongi.core.threads import ThreadBridge  # noqa: PLC0415 -- Django must be set up first
    from mbongi.fleet.daemon.acting import Actor  # noqa: PLC0415
    from mbongi.fleet.daemon.operating import Operating  # noqa: PLC0415
    from mbongi.fleet.daemon.persistence import Database  # noqa: PLC0415

    async with ThreadBridge() as bridge:
        database = Database(bridge)
        actor = Actor(config, database, _Nobody())
        operating = Operating(database, actor.wake)
        began_s, began_cpu_s = time.perf_counter(), cpu_s()
        tasks = [asyncio.create_task(actor.run()), asyncio.create_task(operating.run())]
        try:
            async with asyncio.timeout(LEFT_S_MAX):
                while (ended := await database.call(_ended, operation_id)) < total:
                    print(f"\r{ended} of {total} steps", end="", file=sys.stderr, flush=True)
                    await asyncio.sleep(1.0)
        finally:
            wall_s, used_s = time.perf_counter() - began_s, cpu_s() - began_cpu_s
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    return wall_s, used_s


class _Nobody:
    """There is no poller."""

    def poll_soon(self, machine_ids: object, *, wholly: bool = False) -> None:
        """Nobody looks."""

    def vouches(self, machine_id: object) -> bool:  # noqa: ARG002 -- the port's shape
        """For no machine."""
        return False


def _ended(operation_id: int) -> int:
    from mbongi.fleet import operation_rows  # noqa: PLC0415 -- Django must be set up first

    return operation_rows.operation(operation_id).ended


def _judge(operation_id: int, lying: set[str]) -> tuple[int, int, list[tuple[str, str]]]:
    """Lies found and missed; family and reason of each honest machine whose step did not end as verified."""
    from mbongi.fleet.models import Action  # noqa: PLC0415 -- Django must be set up first

    found, missed, wrongly = 0, 0, []
    fields = ("machine__address", "machine__family", "status", "verified", "message")
    for address, family, status, verified, message in Action.objects.filter(operation=operation_id).values_list(
        *fields
    ):
        is_verified = status == "done" and verified is True
        if address in lying:
            found, missed = found + (not is_verified), missed + is_verified
        elif not is_verified:
            wrongly.append((family, message.replace(address or "", "").strip(" :")[:80]))
    return found, missed, wrongly


if __name__ == "__main__":
    sys.exit(main())
