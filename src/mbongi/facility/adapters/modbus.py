"""Meters, gensets and whatever else speaks Modbus TCP and has a map of registers. Read only: no register is written.

Source: MODBUS Application Protocol Specification V1.1b3; the registers are the maps' (``facility/maps``).
"""

from mbongi.facility.adapters.modbus_link import ModbusLinks
from mbongi.facility.device_errors import MissingError
from mbongi.facility.point_maps import point_map
from mbongi.facility.ports import DeviceTarget, Scorecard
from mbongi.facility.rules.point_maps import Block, blocks
from mbongi.facility.values import Found
from mbongi.wire import modbus

SCORECARD = Scorecard(
    title="Modbus TCP",
    reads=("holding and input registers", "16 to 64 bits, whole and real, every word order", "gateways with units"),
    not_done=("writing: nothing of the plant is switched over Modbus", "coils and discrete inputs", "Modbus/TLS"),
    bytes_max=modbus.FRAME_BYTES_MAX,
)
UNIT_MAX = 255


class ModbusReader:
    """One unit at an address; its registers are read in as few questions as the map allows."""

    def __init__(self, target: DeviceTarget, links: ModbusLinks) -> None:
        """Raises MapError where the target's map cannot be used."""
        self._target, self._links = target, links
        self._unit = int(target.selector or "1")
        self._blocks = blocks(point_map(target.map_name, target.maps).rows)
        self._link = links.take(target.host, target.port)

    async def read(self) -> list[Found]:
        """As ``DeviceReader``. A block that the device lacks costs its own values, not the others'."""
        found: list[Found] = []
        missing: list[MissingError] = []
        for block in self._blocks:
            try:
                found += block.decode(await self._data(block))
            except MissingError as error:
                missing.append(error)
                found += [Found(row.quantity, float("nan")) for _start, _end, row in block.rows]
        if len(missing) == len(self._blocks):
            raise missing[0]
        return found

    async def _data(self, block: Block) -> bytes:
        place = (self._unit, block.function, block.address, block.count)
        return await self._link.read(*place, limit_s=self._target.timeout_s)

    async def close(self) -> None:
        """As ``DeviceReader``."""
        self._links.leave(self._link)
