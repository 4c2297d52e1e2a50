"""Meters that speak SunSpec on Modbus TCP: they say themselves where their registers are. Read only.

Source: SunSpec models 201 to 204; the codec and the search are ``wire.sunspec``.
"""

import struct

from mbongi.facility.adapters.modbus_link import ModbusLinks
from mbongi.facility.device_errors import GarbledError, MissingError
from mbongi.facility.ports import DeviceTarget, Scorecard
from mbongi.facility.values import Found, Quantity
from mbongi.wire import modbus, sunspec

SCORECARD = Scorecard(
    title="SunSpec (Modbus TCP)",
    reads=("meter models 201 to 204: power, energy, frequency, mean voltage and current of phase L1",),
    not_done=("inverter and storage models", "writing"),
    bytes_max=modbus.FRAME_BYTES_MAX,
)


class SunSpecReader:
    """One meter. Where its model begins is looked for once, and again after anything went wrong."""

    def __init__(self, target: DeviceTarget, links: ModbusLinks) -> None:
        self._target, self._links = target, links
        self._unit = int(target.selector or "1")
        self._link = links.take(target.host, target.port)
        self._model_at: int | None = None

    async def read(self) -> list[Found]:
        """As ``DeviceReader``."""
        try:
            if self._model_at is None:
                self._model_at = await self._find()
            points = sunspec.read_meter(await self._words(self._model_at, sunspec.METER_LENGTH + 2))
        except sunspec.SunSpecError as error:
            self._model_at = None
            raise GarbledError(f"{self._link.name}: {error}") from error
        except BaseException:
            self._model_at = None
            raise
        return [
            Found(Quantity.POWER_W, points.power_w),
            Found(Quantity.FREQUENCY_HZ, points.frequency_hz),
            Found(Quantity.VOLTAGE_L1_V, points.voltage_v),
            Found(Quantity.CURRENT_L1_A, points.current_a),
            Found(Quantity.ENERGY_WH, points.imported_wh),
        ]

    async def _find(self) -> int:
        search = sunspec.find_meter()
        try:
            place = next(search)
            while True:
                place = search.send(await self._asked(*place))
        except StopIteration as found:
            return int(found.value)

    async def _asked(self, address: int, count: int) -> tuple[int, ...] | None:
        try:
            return await self._words(address, count)
        except MissingError:
            return None

    async def _words(self, address: int, count: int) -> tuple[int, ...]:
        place = (self._unit, modbus.READ_HOLDING, address, count)
        data = await self._link.read(*place, limit_s=self._target.timeout_s)
        return struct.unpack(f">{count}H", data)

    async def close(self) -> None:
        """As ``DeviceReader``."""
        self._links.leave(self._link)
