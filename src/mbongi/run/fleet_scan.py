"""One scan by hand, with a progress bar and a table of what is there.

The fleet process carries it out where one runs, so that the machines found are polled at once; else this process does.
"""

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable

import msgspec
from django.db import InterfaceError, OperationalError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from mbongi.base.config import Config
from mbongi.base.errors import MbongiError
from mbongi.core.bus.client import Bus
from mbongi.core.bus.errors import BusError
from mbongi.core.threads import ThreadBridge
from mbongi.fleet.daemon.persistence import Database
from mbongi.fleet.daemon.process import (
    PROGRESS_SUBJECT,
    SCAN_SUBJECT,
    ProgressRequest,
    ScanReply,
    ScanRequest,
    scan_reply,
)
from mbongi.fleet.daemon.scanning import Scanner
from mbongi.fleet.reading import Found

LOOK_S = 0.25
Ask = Callable[[int], Awaitable[ScanReply]]


class ScanFailedError(MbongiError, RuntimeError):
    """A scan could not be begun, or not be carried to its end."""


async def scan_once(config: Config, ranges: tuple[str, ...], *, dry_run: bool) -> int:
    """Scan, show, and enter what was found unless ``dry_run``. Raises ScanFailedError, ScanRangeError."""
    bus = await _fleet_bus(config)
    if bus is None:
        return await _by_itself(config, ranges, dry_run=dry_run)
    try:
        return await _by_the_process(bus, ranges, dry_run=dry_run)
    except BusError as error:
        raise ScanFailedError(f"fleet scan: the fleet process went away: {error}") from error
    finally:
        await bus.close()


async def _fleet_bus(config: Config) -> Bus | None:
    """A connection to the bus if the fleet process answers there."""
    try:
        bus = await Bus.open(config, name="fleet-scan", limit_s=1.0)
    except BusError:
        return None
    try:
        await bus.request(PROGRESS_SUBJECT, msgspec.json.encode(ProgressRequest(number=0)), limit_s=1.0)
    except BusError:
        await bus.close()
        return None
    return bus


async def _by_the_process(bus: Bus, ranges: tuple[str, ...], *, dry_run: bool) -> int:
    request = msgspec.json.encode(ScanRequest(ranges=ranges, dry_run=dry_run))
    first = msgspec.json.decode(await bus.request(SCAN_SUBJECT, request, limit_s=5.0), type=ScanReply)
    if not first.number:
        raise ScanFailedError(f"fleet scan: {first.error}")

    async def ask(seen: int) -> ScanReply:
        question = msgspec.json.encode(ProgressRequest(number=first.number, seen=seen))
        return msgspec.json.decode(await bus.request(PROGRESS_SUBJECT, question, limit_s=5.0), type=ScanReply)

    return await _show(ask, dry_run=dry_run)


async def _by_itself(config: Config, ranges: tuple[str, ...], *, dry_run: bool) -> int:
    async with ThreadBridge() as bridge:
        database = Database(bridge)
        if not dry_run:
            await _check_database(config, database)
        scanner = Scanner(config.fleet, database, lambda: None)
        run = scanner.start(ranges, dry_run=dry_run)

        async def ask(seen: int) -> ScanReply:
            return scan_reply(run, seen)

        return await _show(ask, dry_run=dry_run)


async def _check_database(config: Config, database: Database) -> None:
    from mbongi.fleet import selectors  # noqa: PLC0415 -- Django is set up by now, not where this file is read

    try:
        await database.call(selectors.counts)
    except (OperationalError, InterfaceError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ScanFailedError(
            f"fleet scan: no database at port {config.postgres.port}: {reason}; start the site with ./mbongi up,"
            " or scan with --dry-run"
        ) from error


async def _show(ask: Ask, *, dry_run: bool) -> int:
    """Follow a scan to its end, then print what it found. Raises ScanFailedError."""
    console = Console()
    found: list[Found] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("scan", total=None)
        while True:
            reply = await ask(len(found))
            found += reply.found
            bar.update(task, total=reply.total or None, completed=reply.probed, description=f"{reply.live} live")
            if reply.is_over:
                break
            if not reply.found:
                await asyncio.sleep(LOOK_S)
    if reply.error:
        raise ScanFailedError(f"fleet scan: {reply.error}")
    if found:
        console.print(_table(found))
    console.print(_summary(reply, found, dry_run=dry_run))
    return 0


def _table(found: list[Found]) -> Table:
    table = Table("Address", "Family", "Model", "MAC", "Firmware", "Ports", box=None)
    for each in sorted(found, key=lambda each: int(ipaddress.ip_address(each.address))):
        what = each.family.value if each.family is not None else "hung" if each.hung else "no known machine"
        table.add_row(each.address, what, each.model, each.mac, each.firmware, " ".join(map(str, each.ports)))
    return table


def _summary(reply: ScanReply, found: list[Found], *, dry_run: bool) -> str:
    machines = sum(each.family is not None for each in found)
    text = f"{reply.total} addresses, {reply.live} live, {reply.hung} hung, {machines} machines"
    if dry_run:
        return f"{text}; dry run, nothing was entered"
    return f"{text}: {reply.added} new, {reply.seen} known, {reply.moved} moved, {reply.displaced} without address now"
