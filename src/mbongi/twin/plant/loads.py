"""What the plant feeds: racks of machines, servers with two cords, network switches. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from mbongi.twin.physics import relax
from mbongi.twin.plant.ratings import SERVER_BUSY_W, SERVER_IDLE_W, SERVERS, SWITCH_W, VOLTS
from mbongi.twin.plant.values import Outlet, Rack

INRUSH_SHARE = 5.0
"""Of a machine's rated current, what its empty capacitors take at first (chosen)."""
INRUSH_TAU_S = 0.4
THROTTLE_C, THROTTLED_SHARE = 95.0, 0.3
"""Servers whose chips are hotter keep so much of their work."""


@dataclass(slots=True)
class Plug:
    """An outlet and what hangs on it."""

    outlet: Outlet
    is_on: bool = True
    is_live: bool = True
    load_w: float = 0.0
    """What the machine draws; told by whoever runs it."""
    energy_wh: float = 0.0

    @property
    def power_w(self) -> float:
        """What flows."""
        return self.load_w if self.is_live else 0.0


@dataclass(slots=True)
class RackLoad:
    """A rack's PDU."""

    rack: Rack
    plugs: list[Plug]
    is_live: bool = True
    is_failed: bool = False
    energy_wh: float = 0.0
    inrush_a: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    phases_w: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])

    @classmethod
    def of(cls, rack: Rack) -> "RackLoad":
        """Every machine plugged in and on."""
        return cls(rack, [Plug(outlet) for outlet in rack.outlets])

    @property
    def power_w(self) -> float:
        """All phases."""
        return sum(self.phases_w)

    def advance(self, dt_s: float, *, live: bool) -> None:
        """Feed the outlets or not, and add up what flows."""
        self.is_live = live and not self.is_failed
        phases = [0.0, 0.0, 0.0]
        self.inrush_a = [relax(amps, 0.0, dt_s, INRUSH_TAU_S) for amps in self.inrush_a]
        for plug in self.plugs:
            before, plug.is_live = plug.is_live, self.is_live and plug.is_on
            phase = plug.outlet.phase
            if plug.is_live and not before:
                self.inrush_a[phase] += INRUSH_SHARE * plug.outlet.nameplate_w / VOLTS
            phases[phase] += plug.power_w
            plug.energy_wh += plug.power_w * dt_s / 3600.0
        self.phases_w = phases
        self.energy_wh += sum(phases) * dt_s / 3600.0


@dataclass(slots=True)
class Server:
    """With two cords; one is enough."""

    utilisation: float = 0.6
    """0..1."""
    cap_w: float | None = None
    is_on: bool = True
    energy_wh: float = 0.0
    power_w: float = 0.0

    def wanted_w(self, chip_c: float) -> float:
        """What it would draw, where it has power."""
        if not self.is_on:
            return 0.0
        work = self.utilisation * (THROTTLED_SHARE if chip_c > THROTTLE_C else 1.0)
        wanted = SERVER_IDLE_W + SERVER_BUSY_W * work
        return wanted if self.cap_w is None else min(wanted, max(self.cap_w, SERVER_IDLE_W))


@dataclass(slots=True)
class Servers:
    """The servers, both network switches, and their two PDUs."""

    servers: list[Server] = field(default_factory=lambda: [Server() for _ in range(SERVERS)])
    failed: dict[str, bool] = field(default_factory=lambda: {"A": False, "B": False})
    outlets: dict[str, list[bool]] = field(default_factory=lambda: {side: [True] * (SERVERS + 1) for side in "AB"})
    outlets_w: dict[str, list[float]] = field(default_factory=lambda: {side: [0.0] * (SERVERS + 1) for side in "AB"})
    energy_wh: dict[str, float] = field(default_factory=lambda: {"A": 0.0, "B": 0.0})
    live: dict[str, bool] = field(default_factory=lambda: {"A": True, "B": True})

    @property
    def heat_w(self) -> float:
        """Of the servers, into their water."""
        return sum(server.power_w for server in self.servers)

    def sides_w(self) -> dict[str, float]:
        """What hangs on either PDU."""
        return {side: sum(self.outlets_w[side]) for side in "AB"}

    def advance(self, dt_s: float, *, feeds: Mapping[str, bool], chip_c: float) -> None:
        """Draw from the cords that have voltage, from both alike where both have."""
        self.live = {side: feeds[side] and not self.failed[side] for side in "AB"}
        for number, server in enumerate(self.servers):
            cords = [side for side in "AB" if self.live[side] and self.outlets[side][number]]
            server.power_w = server.wanted_w(chip_c) if cords else 0.0
            server.energy_wh += server.power_w * dt_s / 3600.0
            for side in "AB":
                self.outlets_w[side][number] = server.power_w / len(cords) if side in cords else 0.0
        for side in "AB":
            self.outlets_w[side][-1] = SWITCH_W if self.live[side] and self.outlets[side][-1] else 0.0
            self.energy_wh[side] += sum(self.outlets_w[side]) * dt_s / 3600.0
