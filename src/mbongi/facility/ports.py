"""What the poller needs of a device, whatever it speaks; each module of ``adapters`` fulfils it for one protocol."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol as Interface

from mbongi.facility.values import Found, Protocol


@dataclass(frozen=True, slots=True)
class Credentials:
    """How we sign in: an SNMP community is a ``secret``. ``repr`` shows none of it."""

    user: str = ""
    secret: str = ""
    privacy: str = ""
    """The second secret of SNMP v3; empty: what is said is signed and not encrypted."""

    def __repr__(self) -> str:
        return "Credentials()"


@dataclass(frozen=True, slots=True)
class DeviceTarget:
    """A device as it is asked.

    ``selector`` is what the protocol calls a device behind an address: Modbus's unit, the name of a UPS with NUT, the
    device instance with BACnet, the resource of a chassis with Redfish. ``map_name`` says what stands where.
    """

    tag: str
    protocol: Protocol
    host: str
    port: int
    selector: str = ""
    map_name: str = ""
    period_s: float = 10.0
    timeout_s: float = 3.0
    credentials: Credentials = Credentials()
    id: int = 0
    maps: Path | None = None
    """The folder of the site's own maps."""


@dataclass(frozen=True, slots=True)
class Scorecard:
    """What an adapter does and does not: ``reads`` and ``not_done`` are lines for the page and for reviewers."""

    title: str
    reads: Sequence[str]
    writes: Sequence[str] = ()
    not_done: Sequence[str] = ()
    questions_at_once: int = 1
    """To one device."""
    retries: int = 0
    bytes_max: int = 65_536
    """Of one answer."""


class DeviceReader(Interface):
    """One device. What goes wrong breaks its connection; the next reading opens another."""

    async def read(self) -> list[Found]:
        """What it says now. Raises a DeviceError; never waits longer than the target's ``timeout_s`` for an answer."""
        ...

    async def close(self) -> None:
        """Let go of connections and watches."""
        ...
