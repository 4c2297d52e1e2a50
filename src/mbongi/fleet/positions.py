"""How an address becomes a place in the site. Pure."""

import ipaddress
from typing import NamedTuple

from mbongi.base.errors import ConfigError

WAYS = ("octets", "none")


class Position(NamedTuple):
    """Hall, rack and slot, each counted as the site counts them; None while the place is open."""

    hall: int | None = None
    rack: int | None = None
    slot: int | None = None

    @property
    def rack_label(self) -> str:
        """``20/03``: hall and rack as telemetry writes them; empty while the place is open."""
        return rack_label(self.hall, self.rack)


def rack_label(hall: int | None, rack: int | None) -> str:
    """``20/03`` for hall 20, rack 3; empty where either is open."""
    return "" if hall is None or rack is None else f"{hall:02d}/{rack:02d}"


def position_of(address: str, way: str) -> Position:
    """The place that an address states: ``octets`` reads 10.HALL.RACK.SLOT, ``none`` leaves it open.

    An IPv6 address states no place. Raises ConfigError for any other ``way``.
    """
    if way not in WAYS:
        raise ConfigError(f"fleet.position: found {way!r}; expected one of {', '.join(WAYS)}")
    parsed = ipaddress.ip_address(address)
    if way == "none" or parsed.version != 4:
        return Position()
    _net, hall, rack, slot = parsed.packed
    return Position(hall, rack, slot)
