"""Cooling and whatever else answers BACnet/IP, by bacpypes3: read by period, and told of changes (COV) in between.

Read only: no property is written. Source: ANSI/ASHRAE 135: SubscribeCOV (13.14), ReadPropertyMultiple (15.7).
"""

import asyncio
import contextlib
import math
import socket
from collections.abc import Callable, Sequence
from typing import Any

from bacpypes3.apdu import AbortPDU, ErrorRejectAbortNack
from bacpypes3.app import Application
from bacpypes3.basetypes import ErrorType
from bacpypes3.local.device import DeviceObject
from bacpypes3.local.networkport import NetworkPortObject
from bacpypes3.pdu import Address, IPv4Address
from bacpypes3.primitivedata import ObjectIdentifier

from mbongi.facility.device_errors import GarbledError, MissingError, SilentError, UnreachableError
from mbongi.facility.point_maps import point_map
from mbongi.facility.ports import DeviceTarget, Scorecard
from mbongi.facility.rules.point_maps import MapRow
from mbongi.facility.values import Found, Quality

SCORECARD = Scorecard(
    title="BACnet/IP (bacpypes3)",
    reads=(
        "present value and status flags of analogue and binary objects",
        "changes of value as the device tells them",
    ),
    not_done=("writing", "foreign device registration, BBMD", "BACnet/SC", "alarms and trends of the device"),
    bytes_max=1476,
)
LIFETIME_S = 300
"""Of a subscription; bacpypes3 renews it."""
RETRY_S = 60.0
"""After a device refused or lost a subscription; until then it is read by period alone."""
OBJECTS_MAX = 12
"""Of one question."""
_VALUE, _FLAGS = "present-value", "status-flags"
_INSTANCE = 4_194_302
"""Ours, the highest that a device may have: nobody asks us anything."""
_VENDOR = 999
"""Stands for no vendor that is registered."""
OnFound = Callable[[Sequence[Found]], None]


class BacnetNodes:
    """Our own end, one per address of this machine that devices are reached from."""

    def __init__(self) -> None:
        self._nodes: dict[str, Application] = {}

    def towards(self, host: str, port: int) -> Application:
        """The end from which that device is reached. Raises UnreachableError."""
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                probe.connect((host, port))
                own = probe.getsockname()[0]
            if own not in self._nodes:
                self._nodes[own] = _node(own)
        except OSError as error:
            raise UnreachableError(f"{host}:{port}: {error.strerror or error}") from error
        return self._nodes[own]

    def close(self) -> None:
        """Let go of the ports."""
        for node in self._nodes.values():
            node.close()
        self._nodes.clear()


def _node(own: str) -> Application:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind((own, 0))
        port = free.getsockname()[1]
    device = DeviceObject(objectIdentifier=f"device,{_INSTANCE}", objectName="Mbongi", vendorIdentifier=_VENDOR)
    network = NetworkPortObject(
        IPv4Address(f"{own}/32:{port}"), objectIdentifier="network-port,1", objectName="network-port"
    )
    return Application.from_object_list([device, network])


class BacnetReader:
    """One device. ``selector`` is its instance: an answer of another device is not taken for its."""

    def __init__(self, target: DeviceTarget, nodes: BacnetNodes, on_found: OnFound) -> None:
        """``on_found`` takes what the device tells between readings. Raises MapError."""
        self._target, self._nodes, self._on_found = target, nodes, on_found
        self._name = f"{target.host}:{target.port}"
        self._address = Address(f"{target.host}:{target.port}")
        self._rows = point_map(target.map_name, target.maps).rows
        self._present: list[MapRow] | None = None
        self._watches: list[asyncio.Task[None]] = []

    async def read(self) -> list[Found]:
        """As ``DeviceReader``. Objects that the device does not have are left out."""
        node = self._nodes.towards(self._target.host, self._target.port)
        try:
            async with asyncio.timeout(self._target.timeout_s):
                found = await self._read(node)
        except TimeoutError as error:
            raise SilentError(f"{self._name}: no answer within {self._target.timeout_s:g} s") from error
        if self._present is None:
            self._present = [row for row, _found in found]
            self._watches = [asyncio.create_task(self._watch(node, row)) for row in self._present]
        return [one for _row, one in found]

    async def _read(self, node: Application) -> list[tuple[MapRow, Found]]:
        found: list[tuple[MapRow, Found]] = []
        for start in range(0, len(self._rows), OBJECTS_MAX):
            found += await self._part(node, self._rows[start : start + OBJECTS_MAX])
        if not found:
            raise MissingError(f"{self._name}: has none of the objects of the map {self._target.map_name}")
        return found

    async def _part(self, node: Application, rows: Sequence[MapRow]) -> list[tuple[MapRow, Found]]:
        device = f"device,{self._target.selector}"
        wanted: list[Any] = [device, ["object-identifier"]]
        for row in rows:
            wanted += [row.place, [_VALUE, _FLAGS]]
        try:
            answered = await node.read_property_multiple(self._address, wanted)
        except ErrorRejectAbortNack as error:
            # bacpypes3 reports its own silence as an abort that the device never sent.
            silent = isinstance(error, AbortPDU) and "no-response" in str(error)
            raise (SilentError if silent else GarbledError)(f"{self._name}: {error}") from error
        told: dict[tuple[str, str], Any] = {}
        for identifier, name, _index, value in answered:
            told[f"{ObjectIdentifier(identifier)}", str(name)] = value
        if isinstance(told.get((device, "object-identifier"), ErrorType()), ErrorType):
            raise MissingError(f"{self._name}: is not the device {self._target.selector}")
        pairs = ((row, told.get((row.place, _VALUE)), told.get((row.place, _FLAGS))) for row in rows)
        return [(row, _found(row, value, flags)) for row, value, flags in pairs if not isinstance(value, _NONE)]

    async def _watch(self, node: Application, row: MapRow) -> None:
        """Pass on what the device tells of one object, as long as it tells."""
        current: Any = None
        while True:
            with contextlib.suppress(ErrorRejectAbortNack, OSError, TimeoutError):
                async with node.change_of_value(
                    self._address, ObjectIdentifier(row.place), issue_confirmed_notifications=False, lifetime=LIFETIME_S
                ) as told:
                    while True:
                        name, value = await told.get_value()
                        if str(name) == _VALUE:
                            current = value
                        elif str(name) == _FLAGS and current is not None:
                            # A notification ends with the flags, without which its value may not be believed.
                            self._on_found([_found(row, current, value)])
            await asyncio.sleep(RETRY_S)

    async def close(self) -> None:
        """As ``DeviceReader``."""
        for watch in self._watches:
            watch.cancel()
        await asyncio.gather(*self._watches, return_exceptions=True)
        self._watches, self._present = [], None


_NONE = (ErrorType, type(None))


def _found(row: MapRow, value: Any, flags: Any) -> Found:
    """What an object says. In fault it does not know; out of service its value was entered by somebody."""
    try:
        number = row.value(float(value))
    except (TypeError, ValueError):
        number = math.nan
    # Status flags are four bits: in alarm, fault, overridden, out of service.
    bits = [bool(bit) for bit in flags] if flags is not None and not isinstance(flags, ErrorType) else []
    if len(bits) == 4 and bits[1]:
        return Found(row.quantity, math.nan, Quality.BAD)
    substituted = len(bits) == 4 and (bits[2] or bits[3])
    return Found(row.quantity, number, Quality.SUBSTITUTED if substituted else Quality.GOOD)
