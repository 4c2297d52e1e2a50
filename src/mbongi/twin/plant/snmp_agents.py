"""SNMP agents of the virtual plant: one engine, a socket at each device's own address, v2c and v3.

v2c: the community ``public`` reads, ``private`` writes too. v3: one user with authentication (SHA-256) and encryption
(AES-128). Every device answers to both; its document names the one to use.
"""

import asyncio
import time
from bisect import bisect_right
from typing import Any

from pysnmp.carrier.asyncio.dgram.udp import DOMAIN_NAME, UdpAsyncioTransport
from pysnmp.entity import config
from pysnmp.entity.engine import SnmpEngine
from pysnmp.entity.rfc3413 import cmdrsp, context
from pysnmp.proto.rfc1902 import Counter32, Gauge32, Integer32, ObjectIdentifier, OctetString, TimeTicks
from pysnmp.proto.rfc1905 import endOfMibView, noSuchInstance
from pysnmp.smi import error as smi_error
from pysnmp.smi.instrum import AbstractMibInstrumController

from mbongi.twin.errors import TwinError
from mbongi.twin.plant import snmp_maps
from mbongi.twin.plant.design import COMMUNITY, COMMUNITY_WRITE, SNMP_KEY, SNMP_USER
from mbongi.twin.plant.points import Panel, set_outlet
from mbongi.twin.plant.snmp_maps import Oid, Value
from mbongi.twin.plant.values import Device, Protocol

TYPES: dict[str, Any] = {
    "int": Integer32,
    "gauge": Gauge32,
    "counter": Counter32,
    "ticks": TimeTicks,
    "text": OctetString,
    "oid": ObjectIdentifier,
}
ALL: Oid = (1, 3, 6)
NOTHING: Oid = (1, 3, 6, 1, 6, 3, 0)
"""A branch without objects: pysnmp takes no view at all for every view."""
OPEN_S = 5.0


class SnmpAgents:
    """What listens."""

    def __init__(self, panel: Panel) -> None:
        self.panel = panel
        self.devices = [
            each for each in panel.model.design.devices if each.protocol in {Protocol.SNMP2, Protocol.SNMP3}
        ]
        self.engine: Any = None
        self.transports: list[DeviceTransport] = []

    async def open(self) -> None:
        """Listen at every device's address. Raises TwinError where one is taken."""
        self.engine = engine = SnmpEngine()
        for index, device in enumerate(self.devices):
            transport = DeviceTransport(self.panel, device)
            transport.open_server_mode((device.host, device.port))
            self.transports.append(transport)
            config.add_transport(engine, (*DOMAIN_NAME, index), transport)
        for transport in self.transports:
            await transport.listens()
        _let_in(engine)
        mib = Objects(self.panel, self.devices)
        known = context.SnmpContext(engine)
        known.unregister_context_name("")
        known.register_context_name("", mib)
        for responder in (
            cmdrsp.GetCommandResponder,
            cmdrsp.NextCommandResponder,
            cmdrsp.BulkCommandResponder,
            cmdrsp.SetCommandResponder,
        ):
            responder(engine, known)

    async def close(self) -> None:
        """Stop."""
        engine, self.engine, self.transports = self.engine, None, []
        if engine is not None:
            engine.close_dispatcher()
            await asyncio.sleep(0)

    def refresh(self) -> None:
        """Objects are made when they are asked for."""


def _let_in(engine: Any) -> None:
    """The communities and the user, and what each may do."""
    for name, community in (("reader", COMMUNITY), ("writer", COMMUNITY_WRITE)):
        config.add_v1_system(engine, name, community)
        config.add_vacm_user(engine, 2, name, "noAuthNoPriv", ALL, ALL if name == "writer" else NOTHING)
    config.add_v3_user(
        engine, SNMP_USER, config.USM_AUTH_HMAC192_SHA256, SNMP_KEY, config.USM_PRIV_CFB128_AES, SNMP_KEY
    )
    config.add_vacm_user(engine, 3, SNMP_USER, "authPriv", ALL, ALL)


class DeviceTransport(UdpAsyncioTransport):  # type: ignore[misc]
    """The socket of one device, deaf while the device is silent."""

    def __init__(self, panel: Panel, device: Device) -> None:
        super().__init__(loop=asyncio.get_running_loop())
        self.panel, self.device = panel, device

    def datagram_received(self, datagram: bytes, transportAddress: Any) -> None:  # noqa: N803 -- pysnmp's name
        """Hear a question, or not."""
        if not self.panel.is_silent(self.device.tag):
            super().datagram_received(datagram, transportAddress)

    async def listens(self) -> None:
        """Return once the socket is open. Raises TwinError."""
        try:
            async with asyncio.timeout(OPEN_S):
                await asyncio.shield(self._lport)
        except (OSError, TimeoutError) as error:
            raise TwinError(
                f"virtual plant {self.device.host}:{self.device.port}: SNMP of {self.device.tag}: {error}"
            ) from error


class Objects(AbstractMibInstrumController):  # type: ignore[misc]
    """Reads and writes of every device; which one is meant shows from the socket that was asked."""

    def __init__(self, panel: Panel, devices: list[Device]) -> None:
        self.panel, self.devices = panel, devices
        self.started_s = time.monotonic()
        self.kept: dict[str, tuple[object, dict[Oid, Value], list[Oid]]] = {}

    def read_variables(self, *varBinds: Any, **asked: Any) -> list[Any]:  # noqa: N803 -- pysnmp's name
        """GET."""
        objects, _ = self._of(asked)
        return [(name, _made(objects.get(tuple(name)))) for name, _value in varBinds if self._may("read", name, asked)]

    def read_next_variables(self, *varBinds: Any, **asked: Any) -> list[Any]:  # noqa: N803 -- pysnmp's name
        """GETNEXT and GETBULK."""
        objects, order = self._of(asked)
        found = []
        for name, _value in varBinds:
            self._may("read", name, asked)
            place = bisect_right(order, tuple(name))
            if place == len(order):
                found.append((name, endOfMibView))
            else:
                found.append((ObjectIdentifier(order[place]), _made(objects[order[place]])))
        return found

    def write_variables(self, *varBinds: Any, **asked: Any) -> list[Any]:  # noqa: N803 -- pysnmp's name
        """SET: outlets of PDUs; all of a request or none."""
        device = self._device(asked)
        wanted: list[tuple[int, bool]] = []
        for index, (name, value) in enumerate(varBinds):
            self._may("write", name, asked)
            oid = tuple(name)
            is_outlet = device.map_name == "apc-rpdu2" and oid[:-1] == snmp_maps.OUTLET_COMMAND
            if not is_outlet or oid not in self._of(asked)[0]:
                raise smi_error.NotWritableError(name=name, idx=index)
            if not isinstance(value, Integer32):
                raise smi_error.WrongTypeError(name=name, idx=index)
            if int(value) not in {snmp_maps.ON, snmp_maps.OFF, snmp_maps.REBOOT}:
                raise smi_error.WrongValueError(name=name, idx=index)
            wanted.append((oid[-1], int(value) != snmp_maps.OFF))
        for number, is_on in wanted:
            set_outlet(self.panel.model, device.tag, number, on=is_on)
        self.panel.model.look()
        return list(varBinds)

    def _device(self, asked: Any) -> Device:
        heard = asked["snmpEngine"].observer.get_execution_context("rfc3412.receiveMessage:request")
        index: int = heard["transportDomain"][-1]
        return self.devices[index]

    def _may(self, what: str, name: Any, asked: Any) -> bool:
        """Raises SmiError where the asker may not."""
        if asked["acFun"](what, (name, None), **asked):
            raise smi_error.NoAccessError(name=name, idx=0)
        return True

    def _of(self, asked: Any) -> tuple[dict[Oid, Value], list[Oid]]:
        """A device's objects in their order, made once a moment of the plant."""
        device = self._device(asked)
        readings = self.panel.read(device.tag)
        kept = self.kept.get(device.tag)
        if kept is None or kept[0] is not readings:
            make = snmp_maps.pdu if device.map_name == "apc-rpdu2" else snmp_maps.ups
            uptime_s = time.monotonic() - self.started_s
            objects = snmp_maps.system(device.tag, device.map_name, uptime_s) | make(device.tag, readings)
            kept = self.kept[device.tag] = (readings, objects, sorted(objects))
        return kept[1], kept[2]


def _made(value: Value | None) -> Any:
    return noSuchInstance if value is None else TYPES[value[0]](value[1])
