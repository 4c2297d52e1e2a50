"""Starts the whole site, keeps it running, and prints the one link to open. Ctrl-C stops it cleanly."""

import argparse
import asyncio
import contextlib
import dataclasses
import functools
import importlib
import os
import signal
import sys
from collections.abc import Sequence

from mbongi.base.clock import monotonic_s, utc_now
from mbongi.base.config import Config, Fleet, Pool, Twin
from mbongi.base.errors import ConfigError
from mbongi.base.log import log_to
from mbongi.base.status import SiteStatus, StatusError, write_status
from mbongi.pool.terms import PRACTICE
from mbongi.run import regtest
from mbongi.run.ports import needed, require_free
from mbongi.run.screen import Screen
from mbongi.run.site_lock import end_leftovers, site_lock
from mbongi.run.supervisor import Probe, Service, StartError, Supervisor, probe, rotate
from mbongi.run.watches import ClockWatch, DiskWatch
from mbongi.twin.layout import positions

LOOK_S = 5.0
MIGRATE_S_MAX = 300.0
LINK_S_MAX = 60.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What can be said for one run; everything else stands in the configuration."""
    parser.add_argument("--machines", type=_machines, metavar="N", help="size of the virtual site (default 60)")
    parser.add_argument("--no-twin", action="store_true", help="no virtual site, even when fleet.ranges is empty")
    parser.add_argument(
        "--no-pool", action="store_true", help="no mining pool; the virtual machines' shares are made up"
    )
    parser.add_argument("--port", type=int, metavar="PORT", help="the control room's port (web.port)")


def _machines(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 50_000:
        raise argparse.ArgumentTypeError(f"found {text}; expected 1 to 50000")
    return number


def main(config: Config, arguments: argparse.Namespace | None = None) -> int:
    """Run the site until SIGTERM or Ctrl-C. Returns 0 after a clean stop, 1 when the start failed."""
    options = arguments or argparse.Namespace(machines=None, no_twin=False, no_pool=False, port=None)
    config, with_twin = effective(config, options)
    if runs_practice_chain(config):
        regtest.require_installed()
    data_dir = config.site.data_dir
    with site_lock(data_dir):
        end_leftovers(data_dir)
        require_free(needed(config, with_twin=with_twin))
        (data_dir / "log").mkdir(exist_ok=True)
        log_to(data_dir / "log" / "up.log")
        return asyncio.run(Site(config, with_twin=with_twin).run())


def effective(config: Config, options: argparse.Namespace) -> tuple[Config, bool]:
    """The configuration of this run, and whether the virtual site is part of it.

    It is where no real range is configured, or where ``--machines`` asks for it; the fleet is pointed at it only when
    no real range is configured. The pool runs with the virtual site, and where nodes are given; ``pool.enabled`` says
    so afterwards. Raises ConfigError where the pool has no node to follow.
    """
    with_twin = not options.no_twin and (options.machines is not None or not config.fleet.ranges)
    site = dataclasses.replace(config.site, data_dir=config.site.data_dir.resolve())
    web = config.web if options.port is None else dataclasses.replace(config.web, port=options.port)
    twin = config.twin if options.machines is None else dataclasses.replace(config.twin, machines=options.machines)
    pool = dataclasses.replace(config.pool, enabled=_with_pool(config.pool, options, with_twin=with_twin))
    fleet = config.fleet
    if with_twin and not fleet.ranges:
        fleet = dataclasses.replace(
            fleet,
            ranges=twin_ranges(twin),
            rpc_port=twin.rpc_port,
            http_port=twin.http_port,
            framed_port=twin.framed_port,
            report_port=twin.report_port,
            report_whatsminer_port=twin.report_whatsminer_port,
            meters=fleet.meters or (f"127.0.0.1:{twin.meter_port}",),
        )
    return dataclasses.replace(config, site=site, web=web, twin=twin, fleet=fleet, pool=pool), with_twin


def _with_pool(pool: Pool, options: argparse.Namespace, *, with_twin: bool) -> bool:
    enabled = pool.enabled and not options.no_pool
    if enabled and not pool.nodes and pool.network != PRACTICE:
        raise ConfigError(
            f"pool.nodes: empty; expected the site's nodes of {pool.network}, or set MBONGI_POOL_ENABLED=false"
        )
    return enabled and (with_twin or bool(pool.nodes))


def runs_practice_chain(config: Config) -> bool:
    """Whether the site runs a practice chain's node of its own."""
    return config.pool.enabled and not config.pool.nodes and not config.pool.follows


def twin_ranges(twin: Twin) -> tuple[str, ...]:
    """The addresses of the virtual site: one range per rack, just wide enough for its slots."""
    racks = dict.fromkeys(position.address.rpartition(".")[0] for position in positions(twin))
    prefix = 32 - (twin.per_rack + 1).bit_length()
    return tuple(f"{rack}.0/{prefix}" for rack in racks)


def plan(config: Config, *, with_twin: bool) -> list[list[Service]]:
    """The processes in the order of their start; those of one step start together. The tables are made after step 1."""
    servers = {"postgres": config.postgres.url, "bus": config.bus.url, "telemetry": config.telemetry.url}
    first = [name for name, url in servers.items() if not url] + (["twin"] if with_twin else [])
    first += ["regtest"] if runs_practice_chain(config) else []
    steps = [_services(first), _services(["recorder", "ingest"]), _fleet_services(config.fleet), _services(["web"])]
    if config.facility.enabled:
        steps[2] += _services(["facility"])
    if config.energy.enabled:
        steps[2] += _services(["energy"])
    if config.pool.enabled:
        steps[2] += _pool_services(config.pool)
    return steps


def _services(names: Sequence[str]) -> list[Service]:
    return [Service(name, _command(name), _probe(name)) for name in names]


def _fleet_services(fleet: Fleet) -> list[Service]:
    """One process for all machines, or several that lease them."""
    if fleet.processes == 1:
        return _services(["fleet"])
    return [
        Service(f"fleet-{number}", _command("fleet", "--shard", str(number)), _probe("fleet", shard=number))
        for number in range(fleet.processes)
    ]


def _pool_services(pool: Pool) -> list[Service]:
    """What makes the pool's work and keeps its accounts, on the first of its machines; and what serves miners."""
    services = _services([] if pool.follows else ["pool", "pool-accounts"])
    if pool.processes > 1 or pool.follows:
        for number in range(pool.shard, pool.shard + pool.processes):
            command = _command("pool-server", "--shard", str(number))
            services.append(Service(f"pool-server-{number}", command, _probe("pool-server", shard=number)))
    return services


def _command(*words: str) -> tuple[str, ...]:
    return sys.executable, "-m", "mbongi.cli", *words


def _probe(name: str, **arguments: int) -> Probe:
    """The process's own ``ready``; its module is loaded with the first probe, while the process itself starts."""

    async def is_ready(config: Config) -> bool:
        module = await asyncio.to_thread(importlib.import_module, f"mbongi.run.{name.replace('-', '_')}")
        return await probe(functools.partial(module.ready, **arguments), config)

    return is_ready


class Site:
    """One run of the site: its supervisor, its watches, its status file and its lines on the terminal."""

    def __init__(self, config: Config, *, with_twin: bool) -> None:
        """Nothing starts before ``run``."""
        self._config = config
        self._screen = Screen()
        self._steps = plan(config, with_twin=with_twin)
        services = [service for step in self._steps for service in step]
        self._supervisor = Supervisor(config, services, self._changed)
        self._disk = DiskWatch(config.site.data_dir)
        self._clock = ClockWatch()
        self._started_at = utc_now()
        self._stopping = asyncio.Event()

    async def run(self) -> int:
        """Start, stay until told to stop, stop."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, self._stopping.set)
        looking = asyncio.create_task(self._look())
        try:
            await self._until_stopped()
        except StartError as error:
            self._screen.error(f"mbongi up: {error}")
            return 1
        finally:
            self._screen.line("stopping …")
            await self._supervisor.stop()
            looking.cancel()
            self._write()
            self._screen.line("stopped.")
        return 0

    async def _until_stopped(self) -> None:
        starting = asyncio.create_task(self._start())
        stopping = asyncio.create_task(self._stopping.wait())
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            starting.cancel()
            await asyncio.wait({starting})
            return
        starting.result()
        await stopping

    async def _start(self) -> None:
        began_s = monotonic_s()
        self._screen.line(f"starting {self._config.site.name} in {self._config.site.data_dir}")
        servers, *rest = self._steps
        await self._supervisor.start(_names(servers))
        await self._supervisor.run_once("migrate", _command("migrate"), MIGRATE_S_MAX)
        self._screen.done("tables", monotonic_s() - began_s)
        for step in rest:
            await self._supervisor.start(_names(step))
        link = await self._supervisor.run_once("account", _command("account", "first-link", "--if-none"), LINK_S_MAX)
        self._screen.line(f"up after {monotonic_s() - began_s:.1f} s; logs in {self._config.site.data_dir / 'log'}")
        self._screen.link(self._config.public_url, link.strip())

    async def _look(self) -> None:
        while True:
            for process in self._supervisor.processes.values():
                rotate(process.log_path)
            rotate(self._config.site.data_dir / "log" / "up.log")
            self._write()
            await asyncio.sleep(LOOK_S)

    def _changed(self) -> None:
        self._screen.processes([process.status for process in self._supervisor.processes.values()])
        self._write()

    def _write(self) -> None:
        was_full = self._disk.is_full
        status = SiteStatus(
            at=utc_now(),
            pid=os.getpid(),
            started_at=self._started_at,
            processes=tuple(process.status for process in self._supervisor.processes.values()),
            disk=self._disk.look(),
            clock=self._clock.look(),
        )
        self._screen.watches(disk=status.disk, clock=status.clock)
        with contextlib.suppress(StatusError):  # readers see the age of the last one that could be written
            write_status(self._config.site.data_dir, status)
        if was_full and not self._disk.is_full and "bus" in self._supervisor.processes:
            self._supervisor.restart("bus", "JetStream goes on refusing after a full disk until it is started again")


def _names(services: Sequence[Service]) -> list[str]:
    return [service.name for service in services]
