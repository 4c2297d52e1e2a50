"""Machines that get other addresses: one by hand, or a rack whose DHCP server hands them out anew."""

import asyncio
import ipaddress
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mbongi.twin.errors import TwinError
from mbongi.twin.report import rack_number

if TYPE_CHECKING:
    from mbongi.twin.site import Place, VirtualSite

LINK_DOWN_S = 0.05
"""Between the end at the old address and the beginning at the new one."""


def move(site: "VirtualSite", address: str, new: str) -> None:
    """Give a machine another address; MAC, serial number and place in the rack stay, its connections break.

    Raises UnknownAddressError, TwinError where the new address is taken or outside the network; then nothing changes.
    """
    site.machine(address)
    try:
        inside = ipaddress.IPv4Address(new) in ipaddress.IPv4Network(site.config.network)
    except ValueError as error:
        raise TwinError(f"{address}: move: {new!r} is no IPv4 address") from error
    if not inside:
        raise TwinError(f"{address}: move to {new}: outside twin.network {site.config.network}")
    if new in site.places:
        raise TwinError(f"{address}: move to {new}: another machine has that address")
    rename(site, {address: new})


def rotate(site: "VirtualSite", rack: int) -> dict[str, str]:
    """Give each machine of a rack the address of the next one: every address answers, each with another machine.

    Returns the new address by the old one. Raises TwinError where the rack has not two machines.
    """
    found = [address for address, place in site.places.items() if place.machine.rack == rack]
    if len(found) < 2:
        raise TwinError(f"rack {rack}: {len(found)} machines; expected two or more to exchange addresses")
    changes = dict(zip(found, [*found[1:], found[0]], strict=True))
    rename(site, changes)
    return changes


def rename(site: "VirtualSite", changes: dict[str, str]) -> None:
    """Old addresses to new ones, all at the same moment."""
    moving = {new: site.places.pop(old) for old, new in changes.items()}
    for new, place in moving.items():
        place.machine.advance()
        place.machine.address = new
        place.shut()
    site.places.update(moving)
    if site.mining is not None:
        miners = {new: site.mining.miners.pop(old) for old, new in changes.items()}
        site.mining.miners.update(miners)
    site.moving = asyncio.get_running_loop().create_task(_open_again(list(moving.values())))


async def _open_again(places: "list[Place]") -> None:
    await asyncio.sleep(LINK_DOWN_S)
    for place in places:
        place.after_reply()


def routes(site: "VirtualSite") -> dict[tuple[str, str], Callable[[str, dict[str, Any]], object]]:
    """What the control interface offers of it."""

    def give(address: str, document: dict[str, Any]) -> object:
        new = str(document.get("address", ""))
        move(site, address, new)
        return {"address": new, "mac": site.machine(new).mac}

    return {
        ("POST", "machines/*/address"): give,
        ("POST", "dhcp"): lambda _, document: rotate(site, rack_number(document.get("rack"))),
    }
