"""The button that makes a machine tell the network who it is: one UDP datagram, as its family writes it, sent twice.

Real machines broadcast it; the virtual ones send it to ``twin.report_host`` from their own address, as there is no
broadcast on loopback. Sources: the listeners of public programs that understand these; that a Whatsminer's text ends
with one more byte is known, which one is chosen.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mbongi.fleet.values import Family
from mbongi.twin.errors import TwinError
from mbongi.twin.machine import VirtualMachine

if TYPE_CHECKING:
    from mbongi.twin.site import VirtualSite

AGAIN_S = 1.0
"""Machines repeat a report within seconds."""
BITMAIN = frozenset({Family.ANTMINER, Family.BRAIINS, Family.LUXOS, Family.VNISH})
"""Firmwares of the same control board, whose button does the same."""
MICROBT = frozenset({Family.WHATSMINER, Family.WHATSMINER_V3})


def payload(machine: VirtualMachine) -> bytes:
    """What the machine says. Raises TwinError where its family has no such button."""
    if machine.model.family in BITMAIN:
        return f"{machine.address},{machine.mac.lower()}".encode("ascii")
    if machine.model.family in MICROBT:
        return f"IP:{machine.address}MAC:{machine.mac.lower()}\n".encode("ascii")
    raise TwinError(f"{machine.address}: report: {machine.model.name} has no such button")


def report(site: "VirtualSite", address: str) -> None:
    """Press a machine's button. Raises UnknownAddressError, TwinError where it has none or no power."""
    machine = site.machine(address)
    machine.advance()
    data = payload(machine)
    if not machine.answers:
        raise TwinError(f"{address}: report: the machine is {machine.phase}")
    config = site.config
    port = config.report_port if machine.model.family in BITMAIN else config.report_whatsminer_port
    _send(address, data, (config.report_host, port))
    asyncio.get_running_loop().call_later(AGAIN_S, _send, address, data, (config.report_host, port))


def report_rack(site: "VirtualSite", rack: int) -> int:
    """Press the buttons of a rack's machines one after the other; how many have one and are up."""
    pressed = 0
    for address, place in list(site.places.items()):
        if place.machine.rack == rack:
            with contextlib.suppress(TwinError):
                report(site, address)
                pressed += 1
    return pressed


def _send(source: str, data: bytes, to: tuple[str, int]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(0)
        sock.bind((source, 0))
        # Nobody may be there to hear it, as in a real network.
        with contextlib.suppress(OSError):
            sock.sendto(data, to)


def routes(site: "VirtualSite") -> dict[tuple[str, str], Callable[[str, dict[str, Any]], object]]:
    """What the control interface offers of it."""

    def press(address: str, _: dict[str, Any]) -> object:
        report(site, address)
        return {"address": address, "mac": site.machine(address).mac}

    return {
        ("POST", "machines/*/report"): press,
        ("POST", "racks/*/report"): lambda rack, _: {"pressed": report_rack(site, rack_number(rack))},
    }


def rack_number(found: object) -> int:
    """A rack's number as somebody wrote it. Raises TwinError."""
    text = str(found)
    if not text.isdigit():
        raise TwinError(f"rack: found {found!r}; expected its number")
    return int(text)
