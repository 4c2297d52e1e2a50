"""The process ``mbongi twin``: the virtual site, and how to make its machines fail.

Started while one already runs, ``--fault ADDRESS=WORD``, ``--write-fault ADDRESS=WORD`` and ``--plant-fault TAG=WORD``
are sent to that one; otherwise the site starts with them.
"""

import argparse
import asyncio
import dataclasses
import http.client
import json
import sys

import uvloop

from mbongi.base.config import Config, Twin
from mbongi.base.log import configure_log, get_log
from mbongi.run.practice import site_pool
from mbongi.run.stopping import stop_event
from mbongi.twin.control import HOST, fault_named, write_fault_named
from mbongi.twin.errors import TwinError
from mbongi.twin.plant import buttons
from mbongi.twin.scale import twin_mines
from mbongi.twin.site import VirtualSite
from mbongi.twin.values import Fault, SitePool
from mbongi.twin.write_faults import WriteFault

log = get_log(__name__)


class PlantWord(str):
    """A fault of an element of the plant; which words there are depends on the element."""

    __slots__ = ()


Wish = tuple[str, Fault | WriteFault | PlantWord]
"""The address of a machine or an element's tag, and what is to go wrong with it."""
PROBE_S = 0.8
ASK_S = 5.0
OPTIONS = (
    "machines",
    "network",
    "per_rack",
    "families",
    "rpc_port",
    "http_port",
    "framed_port",
    "control_port",
    "meter_port",
    "plant_port",
    "seed",
    "time_scale",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line; what is left out comes from the configuration."""
    parser.add_argument("--machines", type=int, help="how many virtual machines (default 60)")
    parser.add_argument("--network", help="loopback network of their addresses, 127.HALL.RACK.SLOT")
    parser.add_argument("--per-rack", type=int, help="machines in a rack (default 12)")
    parser.add_argument("--families", type=_words, help="families of the racks in turn, such as antminer,avalon")
    parser.add_argument("--rpc-port", type=int, help="TCP port of the cgminer and btminer APIs (default 4028)")
    parser.add_argument("--http-port", type=int, help="TCP port of the web interfaces (default 8080)")
    parser.add_argument("--framed-port", type=int, help="TCP port of Whatsminers with API 3 (default 4433)")
    parser.add_argument("--control-port", type=int, help="port on 127.0.0.1 where faults are set (default 8426)")
    parser.add_argument("--meter-port", type=int, help="port on 127.0.0.1 of the power meter (default 8502)")
    parser.add_argument("--plant-port", type=int, help="first of five ports of the plant (default 8430); 0: none")
    parser.add_argument("--seed", type=int, help="the same seed gives the same machines (default 1)")
    parser.add_argument("--time-scale", type=float, help="how much faster than the world's its time passes (default 1)")
    parser.add_argument(
        "--fault",
        action="append",
        default=[],
        metavar="ADDRESS=WORD",
        help=f"make a machine fail, or mend it; words: {', '.join(Fault)}; may be repeated",
    )
    parser.add_argument(
        "--write-fault",
        action="append",
        default=[],
        metavar="ADDRESS=WORD",
        help=f"make what is written to a machine go wrong; words: {', '.join(WriteFault)}; may be repeated",
    )

    parser.add_argument(
        "--plant-fault",
        action="append",
        default=[],
        metavar="TAG=WORD",
        help="make an element of the plant fail, such as FEED-1=outage, or mend it with none; may be repeated",
    )


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def main(config: Config, arguments: argparse.Namespace | None = None) -> int:
    """Run the virtual site until SIGTERM or SIGINT; or set faults in the one that runs already."""
    try:
        twin = _settings(config.twin, arguments)
        faults = _wishes(arguments)
        if faults and _ask(twin, "GET", "/health") is not None:
            return _send(twin, faults)
        configure_log(process="twin", level=config.log.level, style=config.log.style)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            pool = site_pool(config) if twin_mines(config) else None
            return runner.run(_serve(twin, pool, faults))
    except TwinError as error:
        sys.stderr.write(f"mbongi twin: {error}\n")
        return 1


async def ready(config: Config) -> bool:
    """Whether the site listens: its control interface answers within a second."""
    try:
        async with asyncio.timeout(PROBE_S):
            reader, writer = await asyncio.open_connection(HOST, config.twin.control_port)
            try:
                writer.write(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                return b'"machines"' in await reader.read(1024)
            finally:
                writer.close()
    except OSError:
        return False


async def _serve(twin: Twin, pool: SitePool | None, faults: list[Wish]) -> int:
    stopped = stop_event()
    site = VirtualSite(twin, pool=pool)
    for address, fault in faults:
        if not isinstance(fault, PlantWord):
            site.machine(address)
    await site.start(control=True, plant=twin.plant_port > 0)
    for address, fault in faults:
        if isinstance(fault, WriteFault):
            site.machine(address).set_write_fault(fault)
        elif isinstance(fault, PlantWord):
            buttons.plant_of(site).fail(address, fault)
        else:
            site.set_fault(address, fault)
    log.info("virtual_site_listens", machines=len(site.places), network=twin.network, control_port=twin.control_port)
    await stopped.wait()
    await site.close()
    log.info("virtual_site_stopped")
    return 0


def _settings(twin: Twin, arguments: argparse.Namespace | None) -> Twin:
    given = {name: getattr(arguments, name, None) for name in OPTIONS}
    return dataclasses.replace(twin, **{name: value for name, value in given.items() if value is not None})


def _wishes(arguments: argparse.Namespace | None) -> list[Wish]:
    faults = [_named("--fault", text) for text in getattr(arguments, "fault", None) or []]
    write_faults = [_named("--write-fault", text) for text in getattr(arguments, "write_fault", None) or []]
    plant_faults = [_named("--plant-fault", text) for text in getattr(arguments, "plant_fault", None) or []]
    return [
        *((address, fault_named(word)) for address, word in faults),
        *((address, write_fault_named(word)) for address, word in write_faults),
        *((tag, PlantWord(word)) for tag, word in plant_faults),
    ]


def _named(option: str, text: str) -> tuple[str, str]:
    address, sign, word = text.partition("=")
    if not sign:
        raise TwinError(f"{option}: found {text!r}; expected ADDRESS=WORD such as 127.20.1.1=hung")
    return address, word


def _send(twin: Twin, faults: list[Wish]) -> int:
    for address, fault in faults:
        what = "write-fault" if isinstance(fault, WriteFault) else "fault"
        kind = "plant" if isinstance(fault, PlantWord) else "machines"
        found = _ask(twin, "POST", f"/{kind}/{address}/{what}", {"fault": fault})
        if not isinstance(found, dict) or "error" in found:
            raise TwinError(found["error"] if isinstance(found, dict) else "the virtual site stopped answering")
        if isinstance(fault, PlantWord):
            state = found["states"].get(address, "")
            sys.stdout.write(f"{address}: fault {fault}{state and ', '}{state}\n")
            continue
        sys.stdout.write(f"{address}: {what} {found[what.replace('-', '_')]}, {found['phase']}\n")
    return 0


def _ask(twin: Twin, method: str, path: str, body: object = None) -> object:
    connection = http.client.HTTPConnection(HOST, twin.control_port, timeout=ASK_S)
    try:
        connection.request(method, path, None if body is None else json.dumps(body))
        found: object = json.loads(connection.getresponse().read())
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()
    return found
