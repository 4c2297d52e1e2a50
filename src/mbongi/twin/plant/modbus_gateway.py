"""A Modbus gateway of the virtual plant: panel meters and genset controllers behind one address, by unit.

Registers stand where the makers' public lists put them: Schneider Electric, PM5xxx register list (a register's number
less one is its address); Deep Sea Electronics, GenComm standard 056-051 (256 times the page, plus the offset).
"""

import asyncio
import math
import struct

from mbongi.twin.listeners import Connection, ModbusConnection, open_socket
from mbongi.twin.plant.design import GENSETS, METERS
from mbongi.twin.plant.points import Panel, Readings
from mbongi.twin.plant.values import Protocol
from mbongi.twin.settings import Aftermath
from mbongi.twin.values import Fault
from mbongi.wire import modbus

MANUFACTURER, MODEL = 1, 7320
PAGE = 256
CONTROL_KEY = 16 * PAGE + 8
KEYS = {35700: "stop", 35701: "auto", 35702: "manual", 35705: "start", 35707: "reset"}
"""System control keys that are obeyed; each comes with its complement in the next register."""
FLAG_SHUTDOWN, FLAG_WARNING = 1 << 12, 1 << 10
WARN_FUEL_PCT = 15.0
Registers = dict[int, int]


class ModbusGateway:
    """What listens."""

    slow_s = 0.0
    is_dark = False

    def __init__(self, panel: Panel) -> None:
        self.panel = panel
        devices = [each for each in panel.model.design.devices if each.protocol is Protocol.MODBUS]
        self.units = {int(device.selector): device.tag for device in devices}
        self.host, self.port = devices[0].host, devices[0].port
        self.connections: set[Connection] = set()
        self.server: asyncio.AbstractServer | None = None

    @property
    def fault(self) -> Fault:
        """A gateway without power is as good as hung: TCP connections to it time out."""
        return Fault.NONE if self.panel.has_power("MTR-1") else Fault.HUNG

    async def open(self) -> None:
        """Listen. Raises TwinError where the address is taken."""
        listener = open_socket(self.host, self.port, "plant")
        self.server = await asyncio.get_running_loop().create_server(
            lambda: ModbusConnection(self, self.answer), sock=listener
        )

    async def close(self) -> None:
        """Stop."""
        if self.server is not None:
            self.server.close()
            self.server = None
        for connection in tuple(self.connections):
            connection.abort()

    def refresh(self) -> None:
        """Registers are made when they are asked for."""

    def noise(self, length: int) -> bytes:
        """Never garbles."""
        return bytes(length)

    def take_aftermath(self) -> Aftermath:
        """Answers are never kept back."""
        return Aftermath()

    def after_reply(self) -> None:
        """Nothing follows from an answer."""

    def asked_by(self, source: str) -> None:
        """Anybody may ask."""

    def answer(self, frame: modbus.Frame) -> bytes | None:
        """The PDU that answers a unit's question or wish."""
        tag = self.units.get(frame.unit)
        if tag is None or self.panel.is_silent(tag):
            return modbus.refusal(modbus.Refused(frame.pdu[0], modbus.Failure.GATEWAY_TARGET))
        if frame.pdu[0] in {modbus.WRITE_SINGLE, modbus.WRITE_MULTIPLE}:
            return self._write(tag, frame.pdu)
        asked = modbus.read_question(frame.pdu)
        if isinstance(asked, modbus.Refused):
            return modbus.refusal(asked)
        readings = self.panel.read(tag)
        held = meter_registers(readings) if tag in METERS else genset_registers(readings, GENSETS[tag])
        if not any(address in held for address in range(asked.address, asked.address + asked.registers)):
            return modbus.refusal(modbus.Refused(asked.function, modbus.Failure.ILLEGAL_ADDRESS))
        gap = 0xFFFF if tag in GENSETS else 0x8000
        return modbus.answer(
            asked.function, [held.get(asked.address + offset, gap) for offset in range(asked.registers)]
        )

    def _write(self, tag: str, pdu: bytes) -> bytes:
        """Control keys, each with its complement; every other register is read only."""
        wish = modbus.read_writing(pdu)
        if isinstance(wish, modbus.Refused):
            return modbus.refusal(wish)
        if tag not in GENSETS or wish.address != CONTROL_KEY or len(wish.words) != 2:
            return modbus.refusal(modbus.Refused(wish.function, modbus.Failure.ILLEGAL_ADDRESS))
        key, complement = wish.words
        if key not in KEYS or complement != key ^ 0xFFFF:
            return modbus.refusal(modbus.Refused(wish.function, modbus.Failure.ILLEGAL_VALUE))
        genset, word = self.panel.model.gensets[tag], KEYS[key]
        if word == "reset":
            genset.reset()
        elif word == "start":
            genset.started_by_hand = genset.mode == "manual"
        else:
            genset.mode, genset.started_by_hand = word, False
        self.panel.model.look()
        return modbus.written(wish)


def meter_registers(found: Readings) -> Registers:
    """A panel meter's: 32-bit reals, high word first, and the energy as 64 bits."""
    held: Registers = {}
    amps = [found[f"a{phase}"] for phase in (1, 2, 3)]
    volts = [found[f"v{phase}"] for phase in (1, 2, 3)]
    lines = [_line_v(volts[first], volts[second]) for first, second in ((0, 1), (1, 2), (2, 0))]
    watts = [found[f"w{phase}"] for phase in (1, 2, 3)]
    share = found["var"] / found["w"] if found["w"] else 0.0
    apparent = found["va"] / found["w"] if found["w"] else 1.0
    for number, values in (
        (3000, [*amps, 0.0, sum(amps) / 3]),
        (3020, [*lines, sum(lines) / 3, *volts]),
        (3036, [sum(volts) / 3]),
        (3054, [watt / 1000.0 for watt in [*watts, found["w"]]]),
        (3062, [watt * share / 1000.0 for watt in [*watts, found["w"]]]),
        (3070, [watt * apparent / 1000.0 for watt in [*watts, found["w"]]]),
        (3110, [found["hz"]]),
    ):
        for place, value in enumerate(values):
            held |= _words(number - 1 + 2 * place, struct.pack(">f", value))
    held |= _words(3204 - 1, struct.pack(">q", int(found["wh"])))
    held |= _words(3208 - 1, struct.pack(">q", 0))
    return held


def _line_v(first: float, second: float) -> float:
    """Between two phases that stand 120 degrees apart."""
    return math.sqrt(first * first + second * second + first * second)


def genset_registers(found: Readings, serial: int) -> Registers:
    """A genset controller's: pages 3, 4, 6, 7 and 8."""
    volts, line_v, third_w = found["v"], found["v"] * 3**0.5, found["w"] / 3
    grid_v = found["grid_v"]
    low = found["fuel_pct"] < WARN_FUEL_PCT
    flags = (FLAG_SHUTDOWN if found["alarm"] else 0) | (FLAG_WARNING if low else 0)
    held: Registers = {
        3 * PAGE: MANUFACTURER,
        3 * PAGE + 1: MODEL,
        3 * PAGE + 4: int(found["mode"]),
        3 * PAGE + 6: flags,
    }
    held |= _words(3 * PAGE + 2, struct.pack(">I", serial))
    singles = ("oil_kpa", 1), ("coolant_c", 1), ("coolant_c", 1), ("fuel_pct", 1), ("charger_v", 10), ("starter_v", 10)
    for offset, (name, factor) in enumerate((*singles, ("rpm", 1), ("hz", 10))):
        held[4 * PAGE + offset] = round(found[name] * factor) & 0xFFFF
    doubles = [volts * 10] * 3 + [line_v * 10] * 3 + [found["a"] * 10] * 3 + [0.0] + [third_w] * 3
    for place, value in enumerate(doubles):
        held |= _words(4 * PAGE + 8 + 2 * place, struct.pack(">i", round(value)))
    held[4 * PAGE + 34] = 0
    held[4 * PAGE + 35] = round(found["grid_hz"] * 10)
    for place, value in enumerate([grid_v] * 3 + [grid_v * 3**0.5] * 3):
        held |= _words(4 * PAGE + 36 + 2 * place, struct.pack(">i", round(value * 10)))
    held |= _words(6 * PAGE, struct.pack(">i", round(found["w"])))
    held |= _words(7 * PAGE + 6, struct.pack(">I", int(found["run_s"])))
    held |= _words(7 * PAGE + 8, struct.pack(">I", int(found["wh"] / 100.0)))
    held |= _words(7 * PAGE + 16, struct.pack(">I", int(found["starts"])))
    return held | _alarms(int(found["alarm"]), low_fuel=low)


def _alarms(alarm: int, *, low_fuel: bool) -> Registers:
    """Page 8: four alarms in a register, four bits each: 1 not active, 2 warning, 3 shutdown, 4 electrical trip."""
    words = [0x1111] * 6
    if alarm == 2:  # fail to start: the third of the second register
        words[1] = 0x1131
    elif alarm == 3:  # under speed: the first of the second
        words[1] = 0x3111
    held = {8 * PAGE: len(words) * 4} | {8 * PAGE + 1 + place: word for place, word in enumerate(words)}
    if low_fuel or alarm == 4:
        held[8 * PAGE + 5] = 0x1311 if alarm == 4 else 0x1211
    return held


def _words(address: int, data: bytes) -> Registers:
    return {address + place: word for place, word in enumerate(struct.unpack(f">{len(data) // 2}H", data))}
