"""Which module reads which protocol, and what a process shares between its devices."""

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from mbongi.facility.adapters import modbus, nut, redfish, sunspec
from mbongi.facility.adapters.modbus_link import ModbusLinks
from mbongi.facility.ports import DeviceReader, DeviceTarget, Scorecard
from mbongi.facility.values import Found, Protocol

if TYPE_CHECKING:
    from pysnmp.hlapi.v3arch.asyncio import SnmpEngine

    from mbongi.facility.adapters.bacnet import BacnetNodes

OnFound = Callable[[Sequence[Found]], None]


class Wiring:
    """Connections and engines of one process; its two large libraries are loaded once a device needs them."""

    def __init__(self) -> None:
        self._links = ModbusLinks()
        self._snmp: SnmpEngine | None = None
        self._bacnet: BacnetNodes | None = None

    def reader(self, target: DeviceTarget, on_found: OnFound) -> DeviceReader:
        """A reader of the device; ``on_found`` takes what it tells unasked. Raises MapError, ValueError."""
        match target.protocol:
            case Protocol.MODBUS:
                return modbus.ModbusReader(target, self._links)
            case Protocol.SUNSPEC:
                return sunspec.SunSpecReader(target, self._links)
            case Protocol.NUT:
                return nut.NutReader(target)
            case Protocol.REDFISH:
                return redfish.RedfishReader(target)
            case Protocol.BACNET:
                return self._bacnet_reader(target, on_found)
            case Protocol.SNMP2 | Protocol.SNMP3:
                return self._snmp_reader(target)

    def _snmp_reader(self, target: DeviceTarget) -> DeviceReader:
        from mbongi.facility.adapters import snmp  # noqa: PLC0415 -- half a second that other devices need not wait

        if self._snmp is None:
            self._snmp = snmp.engine()
        return snmp.SnmpReader(target, self._snmp)

    def _bacnet_reader(self, target: DeviceTarget, on_found: OnFound) -> DeviceReader:
        from mbongi.facility.adapters import bacnet  # noqa: PLC0415 -- as above

        if self._bacnet is None:
            self._bacnet = bacnet.BacnetNodes()
        return bacnet.BacnetReader(target, self._bacnet, on_found)

    async def close(self) -> None:
        """Let go of what is shared, and let the loop close it; readers are closed before."""
        if self._snmp is not None:
            self._snmp.close_dispatcher()
        if self._bacnet is not None:
            self._bacnet.close()
        await asyncio.sleep(0)


def scorecard(protocol: Protocol) -> Scorecard:
    """What the protocol's adapter does and does not."""
    match protocol:
        case Protocol.MODBUS:
            return modbus.SCORECARD
        case Protocol.SUNSPEC:
            return sunspec.SCORECARD
        case Protocol.NUT:
            return nut.SCORECARD
        case Protocol.REDFISH:
            return redfish.SCORECARD
        case Protocol.BACNET:
            from mbongi.facility.adapters import bacnet  # noqa: PLC0415 -- as above

            return bacnet.SCORECARD
        case Protocol.SNMP2 | Protocol.SNMP3:
            from mbongi.facility.adapters import snmp  # noqa: PLC0415 -- as above

            return snmp.SCORECARD
