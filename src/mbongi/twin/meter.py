"""The virtual site's power meter: a SunSpec device on Modbus TCP, and the grid that it measures.

What it shows is not the sum of what the machines state: the transformer's losses and the hall's fans come on top, it is
refreshed once a second, lags, and has the noise of a meter of class 0.5. Cooling and losses are chosen figures.
"""

import asyncio
import math
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import TYPE_CHECKING, Any

from mbongi.twin.errors import TwinError, UnknownFaultError
from mbongi.twin.listeners import Connection, ModbusConnection, open_socket
from mbongi.twin.settings import Aftermath
from mbongi.twin.values import Fault, Phase
from mbongi.wire import modbus, sunspec

if TYPE_CHECKING:
    from mbongi.twin.site import VirtualSite

HOST = "127.0.0.1"
UNIT = 1
REFRESH_S = 1.0
LAG_S = 0.5
VOLTS_DEAD = 20.0
"""Below it there is no frequency to measure."""
LOSS_SHARE = 0.02
COOLING_SHARE = 0.03
FIXED_SHARE = 0.004
"""Lights and control, of the machines' nameplates."""
NOISE_SHARE = 0.0015
NOISY_SHARE = 0.06
POWER_WORD_MAX = 32_000
"""The largest word of power at the nameplate, so that it has room above."""
LOOKS = 15
"""A machine at rest is looked at once in so many refreshes, one that warms up once in LOOKS_WARMING."""
LOOKS_WARMING = 3


class MeterFault(StrEnum):
    """What may be wrong with the meter."""

    NONE = "none"
    HUNG = "hung"
    """Takes connections and answers nothing."""
    OFF = "off"
    FROZEN = "frozen"
    """Answers at once, always with the same registers."""
    NOISY = "noisy"
    SCALE_JUMP = "scale_jump"
    """The scale factor of the power changes and the word does not."""


@dataclass(slots=True)
class Grid:
    """What the grid is like: set by drills."""

    hz: float = 50.0
    volts: float = 230.0


class SiteMeter:
    """One feeder: every machine of this process behind it."""

    slow_s = 0.0
    is_dark = False

    def __init__(self, site: "VirtualSite", *, port: int) -> None:
        self.site, self.port = site, port
        self.grid, self.meter_fault = Grid(), MeterFault.NONE
        self.connections: set[Connection] = set()
        self.random = Random(f"{site.config.seed}/meter")  # noqa: S311 -- noise of a simulation
        self.machines = [place.machine for place in site.places.values()]
        self.nameplate_w = sum(machine.model.power_w for machine in self.machines)
        self.scale = max(0, math.ceil(math.log10(max(1.2 * self.nameplate_w, 1.0) / POWER_WORD_MAX)))
        self.shown_w = self.truth_w()
        self.imported_wh = 1_000.0
        self.turn = 0
        self.words = self._registers()
        self.server: asyncio.AbstractServer | None = None
        self.timer: asyncio.TimerHandle | None = None

    # What it is for its connections.

    @property
    def fault(self) -> Fault:
        """The meter's fault as connections know it."""
        return Fault.HUNG if self.meter_fault is MeterFault.HUNG else Fault.NONE

    def noise(self, length: int) -> bytes:
        """Never garbles."""
        return bytes(length)

    def take_aftermath(self) -> Aftermath:
        """Its answers are never kept back."""
        return Aftermath()

    def after_reply(self) -> None:
        """Nothing follows from an answer."""

    def asked_by(self, source: str) -> None:
        """Anybody may ask."""

    async def open(self) -> None:
        """Listen, and measure from now on. Raises TwinError where the port is taken."""
        await self._listen()
        self._refresh()

    async def _listen(self) -> None:
        listener = open_socket(HOST, self.port, "meter")
        self.port = listener.getsockname()[1]
        self.server = await asyncio.get_running_loop().create_server(
            lambda: ModbusConnection(self, self.answer), sock=listener
        )

    def shut(self) -> None:
        """Stop listening and measuring."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        self._deafen()

    def _deafen(self) -> None:
        if self.server is not None:
            self.server.close()
            self.server = None
        for connection in tuple(self.connections):
            connection.abort()

    # Measuring.

    def truth_w(self) -> float:
        """What flows through the meter at this moment: what the plant takes, or where there is none about as much."""
        if self.site.plant is not None:
            return self.site.plant.model.feed_w
        machines_w = sum(machine.power_w for machine in self.machines)
        return machines_w * (1 + LOSS_SHARE + COOLING_SHARE) + FIXED_SHARE * self.nameplate_w

    def _refresh(self) -> None:
        self.timer = asyncio.get_running_loop().call_later(REFRESH_S, self._refresh)
        self.turn += 1
        for number, machine in enumerate(self.machines):
            looks = LOOKS_WARMING if machine.phase in {Phase.WARMING, Phase.BOOTING} else LOOKS
            if (number + self.turn) % looks == 0:
                machine.advance()
        self.measure(REFRESH_S)

    def measure(self, dt_s: float) -> None:
        """Move on by so many seconds."""
        self.shown_w += (self.truth_w() - self.shown_w) * (1 - math.exp(-dt_s / LAG_S))
        self.imported_wh += self.shown_w * dt_s / 3600.0
        if self.meter_fault is not MeterFault.FROZEN:
            self.words = self._registers()

    def _registers(self) -> list[int]:
        share = NOISY_SHARE if self.meter_fault is MeterFault.NOISY else NOISE_SHARE
        power_w = max(self.shown_w * self.random.gauss(1.0, share), 0.0)
        volts = self.grid.volts * self.random.gauss(1.0, 0.0005)
        hz = self.grid.hz + self.random.gauss(0.0, 0.004) if self.grid.volts > VOLTS_DEAD else math.nan
        amps = power_w / max(volts, 1.0)
        words = [sunspec.NO_INT16] * (sunspec.METER_LENGTH + 2)
        words[:2] = sunspec.METER, sunspec.METER_LENGTH
        amps_scale = max(0, math.ceil(math.log10(max(amps, 1.0) / POWER_WORD_MAX)))
        words[sunspec.CURRENT], words[sunspec.CURRENT_SF] = _word(amps / 10**amps_scale), amps_scale
        words[sunspec.VOLTAGE], words[sunspec.VOLTAGE_SF] = _word(volts * 100), 0xFFFE
        words[sunspec.FREQUENCY], words[sunspec.FREQUENCY_SF] = _word(hz * 100), 0xFFFE
        jump = 1 if self.meter_fault is MeterFault.SCALE_JUMP else 0
        words[sunspec.POWER], words[sunspec.POWER_SF] = _word(power_w / 10**self.scale), self.scale + jump
        energy = int(self.imported_wh / 10**self.scale)
        words[sunspec.IMPORTED], words[sunspec.IMPORTED + 1] = energy >> 16 & 0xFFFF, energy & 0xFFFF
        words[sunspec.ENERGY_SF] = self.scale
        return words

    def read(self, address: int, count: int) -> list[int] | None:
        """Registers from an address on; None where some of them are not there."""
        common = [sunspec.COMMON, sunspec.COMMON_LENGTH]
        common += sunspec.text("Mbongi", 16) + sunspec.text("Virtual meter", 16) + sunspec.text("", 8)
        common += sunspec.text("1", 8) + sunspec.text("VM-1", 16) + [UNIT, sunspec.NO_INT16]
        held = [*sunspec.MARK, *common, *self.words, sunspec.END, 0]
        first = address - sunspec.BASE
        return held[first : first + count] if first >= 0 and first + count <= len(held) else None

    def answer(self, frame: modbus.Frame) -> bytes:
        """The PDU that answers a question, whatever unit it asks."""
        asked = modbus.read_question(frame.pdu)
        if isinstance(asked, modbus.Refused):
            return modbus.refusal(asked)
        words = self.read(asked.address, asked.registers)
        if words is None:
            return modbus.refusal(modbus.Refused(asked.function, modbus.Failure.ILLEGAL_ADDRESS))
        return modbus.answer(asked.function, words)

    # The control interface.

    def document(self) -> dict[str, Any]:
        """The truth, for drills and tests."""
        return {
            "truth_w": round(self.truth_w(), 1),
            "shown_w": round(self.shown_w, 1),
            "nameplate_w": round(self.nameplate_w, 1),
            "imported_wh": round(self.imported_wh, 1),
            "port": self.port,
            "fault": str(self.meter_fault),
            "grid": {"hz": self.grid.hz, "volts": self.grid.volts},
        }

    def set_fault(self, word: object) -> None:
        """Make something go wrong with the meter, or mend it with ``none``. Raises UnknownFaultError."""
        try:
            fault = MeterFault(str(word))
        except ValueError as error:
            raise UnknownFaultError(f"meter fault {word!r}: expected one of {', '.join(MeterFault)}") from error
        before, self.meter_fault = self.meter_fault, fault
        if fault is MeterFault.OFF:
            self._deafen()
        elif before is MeterFault.OFF:
            self.opening = asyncio.get_running_loop().create_task(self._listen())
        if before is MeterFault.HUNG:
            for connection in tuple(self.connections):
                connection.abort()

    def set_grid(self, document: dict[str, Any]) -> None:
        """Change the grid's frequency or voltage. Raises TwinError."""
        limits = {"hz": (0.0, 100.0), "volts": (0.0, 320.0)}
        for name, value in document.items():
            if name not in limits or not isinstance(value, int | float) or isinstance(value, bool):
                raise TwinError(f"grid: {name}: {value!r}; expected numbers for {' and '.join(limits)}")
            low, high = limits[name]
            if not low <= value <= high:
                raise TwinError(f"grid: {name}: {value}; expected {low:g} to {high:g}")
            setattr(self.grid, name, float(value))
        if self.site.plant is not None:
            self.site.plant.take_grid()


def _word(value: float) -> int:
    """A value as an int16 word; what is too large is cut, NaN is "not implemented"."""
    if math.isnan(value):
        return sunspec.NO_INT16
    return max(-32_767, min(32_767, round(value))) & 0xFFFF
