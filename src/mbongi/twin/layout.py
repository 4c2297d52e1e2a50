"""Where the virtual machines stand: address 127.HALL.RACK.SLOT, racks of one family each. Pure."""

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass

from mbongi.base.config import Twin
from mbongi.fleet.values import Family
from mbongi.twin.errors import TwinConfigError
from mbongi.twin.models import MODEL_NAMES

RACK_PATTERN = (Family.ANTMINER, Family.WHATSMINER, Family.BITAXE, Family.ANTMINER, Family.WHATSMINER)
"""Families of the racks in turn, where ``twin.families`` names none: of 60 machines in racks of 12, 24 Antminers, 24
Whatsminers and 12 Bitaxes."""
RACKS_MAX = SLOTS_MAX = 254


@dataclass(frozen=True, slots=True)
class Position:
    """One machine's place."""

    address: str
    family: Family
    rack: int
    slot: int


def positions(config: Twin) -> list[Position]:
    """The places of the configured machines, rack by rack.

    Raises TwinConfigError where the network is not loopback, has not room for them, or a family is unknown.
    """
    network, pattern = _network(config.network), _pattern(config.families)
    if config.machines < 0:
        raise TwinConfigError(f"twin.machines: found {config.machines}; expected 0 or more")
    if not 1 <= config.per_rack <= SLOTS_MAX:
        raise TwinConfigError(f"twin.per_rack: found {config.per_rack}; expected 1..{SLOTS_MAX}")
    places: list[Position] = []
    for index, (hall, rack) in enumerate(_racks(network)):
        family = pattern[index % len(pattern)]
        for slot in range(1, config.per_rack + 1):
            if len(places) == config.machines:
                return places
            address = f"127.{hall}.{rack}.{slot}"
            if ipaddress.IPv4Address(address) in network:
                places.append(Position(address, family, rack, slot))
    if len(places) < config.machines:
        raise TwinConfigError(
            f"twin.network: {config.network} has room for {len(places)} machines at {config.per_rack} a rack; "
            f"expected room for {config.machines}: raise twin.per_rack or widen the network"
        )
    return places


def _pattern(words: tuple[str, ...]) -> tuple[Family, ...]:
    for word in words:
        if word not in MODEL_NAMES:
            raise TwinConfigError(f"twin.families: found {word!r}; expected one of {', '.join(MODEL_NAMES)}")
    return tuple(Family(word) for word in words) or RACK_PATTERN


def _racks(network: ipaddress.IPv4Network) -> Iterator[tuple[int, int]]:
    first, last = network.network_address.packed, network.broadcast_address.packed
    for hall in range(first[1], last[1] + 1):
        low = first[2] if hall == first[1] else 0
        high = last[2] if hall == last[1] else 255
        for rack in range(max(low, 1), min(high, RACKS_MAX) + 1):
            yield hall, rack


def _network(text: str) -> ipaddress.IPv4Network:
    try:
        network = ipaddress.IPv4Network(text)
    except ValueError as error:
        raise TwinConfigError(f"twin.network: found {text!r}: {error}; expected such as 127.20.0.0/16") from error
    if not network.is_loopback:
        raise TwinConfigError(f"twin.network: found {text}; virtual machines stay inside 127.0.0.0/8")
    return network
