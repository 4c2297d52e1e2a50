"""Finds, polls and controls the machines; `fleet scan RANGE` looks once and shows what is there."""

import argparse
import contextlib

import msgspec
import uvloop

from mbongi.base.config import Config
from mbongi.base.errors import ConfigError
from mbongi.base.log import get_log
from mbongi.core.bus.client import Bus
from mbongi.core.bus.errors import BusError
from mbongi.fleet.rules.pool_side import PoolSide, Seen, SeenByPool
from mbongi.fleet.values import STATUS_SUBJECT
from mbongi.pool.status import WORKERS_SUBJECT, WorkerHashrates
from mbongi.run.database import use_database
from mbongi.run.only_one import only_one
from mbongi.run.practice import stated_per_hashed
from mbongi.run.stopping import stop_event

log = get_log(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """``fleet`` alone runs the process; ``fleet scan RANGE`` scans once."""
    parser.add_argument(
        "--shard", type=int, metavar="N", help="number of this process, where fleet.processes is 2 or more"
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    scan = commands.add_parser("scan", help="scan ranges of addresses once, and enter the machines found")
    scan.add_argument("ranges", nargs="+", metavar="RANGE", help="such as 10.20.0.0/20; several may be given")
    scan.add_argument("--dry-run", action="store_true", help="only show what is there")


def main(config: Config, arguments: argparse.Namespace | None = None) -> int:
    """Run until told to stop, or scan once."""
    use_database()
    if arguments is not None and arguments.command == "scan":
        from mbongi.run.fleet_scan import scan_once  # noqa: PLC0415 -- Django must be set up first

        return uvloop.run(scan_once(config, tuple(arguments.ranges), dry_run=arguments.dry_run))
    shard = _shard(config, None if arguments is None else arguments.shard)
    with contextlib.ExitStack() as locks:
        locks.enter_context(only_one(config.site.data_dir, "fleet", among_equals=shard is not None))
        if shard is not None:
            locks.enter_context(only_one(config.site.data_dir, f"fleet-{shard}"))
        return uvloop.run(_run(config, shard))


def _shard(config: Config, shard: int | None) -> int | None:
    count = config.fleet.processes
    if count == 1 and shard is not None:
        raise ConfigError(f"--shard {shard}: fleet.processes is 1, so `mbongi fleet` polls all; set it to 2 or more")
    if count > 1 and (shard is None or not 0 <= shard < count):
        raise ConfigError(f"--shard {shard}: expected 0..{count - 1}, as fleet.processes is {count}")
    return shard


async def ready(config: Config, shard: int = 0) -> bool:
    """Whether the process answers over the bus within a second."""
    try:
        bus = await Bus.open(config, name="probe", limit_s=0.5)
    except BusError:
        return False
    try:
        return bool(await bus.request(f"{STATUS_SUBJECT}.{shard}", b"", limit_s=0.4))
    except BusError:
        return False
    finally:
        await bus.close()


async def _run(config: Config, shard: int | None) -> int:
    from mbongi.core.threads import ThreadBridge  # noqa: PLC0415 -- Django must be set up first
    from mbongi.fleet.daemon.process import FleetProcess  # noqa: PLC0415

    stop = stop_event()
    pool_side, ths_per_hs = PoolSide(), stated_per_hashed(config) / 1e12

    async def hear_the_pool(bus: Bus) -> None:
        await bus.hear(f"{WORKERS_SUBJECT}.*", lambda data: pool_side.hear(_seen_by_pool(data, ths_per_hs)))

    async with ThreadBridge() as bridge:
        await FleetProcess(config, bridge, pool_side=pool_side, on_bus=hear_the_pool, number=shard).run(stop)
    log.info("fleet_stopped")
    return 0


def _seen_by_pool(data: bytes, ths_per_hs: float) -> "SeenByPool":
    """What a pool process tells of its workers, in the fleet's words: TH/s as the machines state them."""
    told = msgspec.json.decode(data, type=WorkerHashrates)
    return SeenByPool(
        source=told.shard,
        at_ms=told.at_ms,
        users={
            each.worker: Seen(
                each.span_s, *(rate * ths_per_hs for rate in (each.hashrate_hs, each.low_hs, each.high_hs))
            )
            for each in told.workers
        },
    )
