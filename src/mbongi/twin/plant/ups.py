"""A double-conversion UPS and its battery. Pure."""

import math
from dataclasses import dataclass

IDLE_LOSS, LINEAR_LOSS, SQUARE_LOSS = 0.012, 0.022, 0.018
"""Of the rating, of the load, of its square over the rating (chosen: 95.1 % at full load, 93.1 % at a quarter)."""
INVERTER_PART = 0.5
"""Of the losses, what the battery bears when the rectifier stands still."""
PEUKERT = 1.15
"""Sealed lead-acid: the charge that it gives falls with the load's power to this less one (usual 1.05 to 1.25)."""
CHARGE_SHARE = 0.1
"""Of the rating, for charging."""
CHARGE_EFFICIENCY = 0.85
LOW_SHARE = 0.2
"""Of the charge: below it the battery is low."""
RESTART_SHARE = 0.02
"""After it was empty, the output comes back with the mains and so much charge."""


@dataclass(slots=True)
class Ups:
    """Carries a load from the mains or its battery; ``battery_wh`` is what the battery gives at rated load."""

    rated_w: float
    battery_wh: float
    charge: float = 1.0
    """Of the battery [0..1]."""
    capacity: float = 1.0
    """What is left of the battery by age (a fault makes it small)."""
    is_failed: bool = False
    on_battery: bool = False
    is_empty: bool = False
    load_w: float = 0.0
    input_w: float = 0.0
    battery_w: float = 0.0
    """Out of the battery; into it where below 0."""
    on_battery_s: float = 0.0
    transfers: int = 0

    @property
    def is_live(self) -> bool:
        """Whether there is voltage at the output."""
        return not self.is_failed and not self.is_empty

    def loss_w(self, load_w: float) -> float:
        """Of rectifier and inverter together."""
        return IDLE_LOSS * self.rated_w + LINEAR_LOSS * load_w + SQUARE_LOSS * load_w * load_w / self.rated_w

    def drain_per_s(self, load_w: float) -> float:
        """The share of the charge that a load takes each second, on battery."""
        drawn_w = load_w + INVERTER_PART * self.loss_w(load_w)
        return drawn_w / (self.battery_wh * 3600.0 * self.capacity) * math.pow(drawn_w / self.rated_w, PEUKERT - 1)

    @property
    def runtime_s(self) -> float:
        """How long the battery lasts at the present load, or at a tenth of the rating where there is less."""
        return self.charge / self.drain_per_s(max(self.load_w, 0.1 * self.rated_w))

    def advance(self, dt_s: float, load_w: float, *, mains: bool) -> None:
        """Carry ``load_w`` (what is connected) with the mains good or not; ``input_w`` is then what is drawn."""
        before, self.on_battery = self.on_battery, not mains and not self.is_failed
        self.transfers += self.on_battery and not before
        if self.is_empty and mains and self.charge >= RESTART_SHARE:
            self.is_empty = False
        self.load_w = load_w if self.is_live else 0.0
        if self.is_failed:
            self.input_w = self.battery_w = 0.0
        elif mains:
            self._charge(dt_s)
        else:
            self._drain(dt_s)

    def _charge(self, dt_s: float) -> None:
        self.on_battery_s = 0.0
        full_wh = self.battery_wh * self.capacity
        wanted_w = (1.0 - self.charge) * full_wh * 3600.0 / dt_s / CHARGE_EFFICIENCY if dt_s > 0 else 0.0
        into_w = min(CHARGE_SHARE * self.rated_w, wanted_w)
        self.charge = min(self.charge + into_w * CHARGE_EFFICIENCY * dt_s / (full_wh * 3600.0), 1.0)
        self.battery_w = -into_w
        self.input_w = self.load_w + self.loss_w(self.load_w) + into_w

    def _drain(self, dt_s: float) -> None:
        self.on_battery_s += dt_s
        self.input_w = 0.0
        if self.is_empty:
            self.battery_w = 0.0
            return
        self.battery_w = self.load_w + INVERTER_PART * self.loss_w(self.load_w)
        self.charge -= self.drain_per_s(self.load_w) * dt_s
        if self.charge <= 0:
            self.charge, self.is_empty, self.load_w, self.battery_w = 0.0, True, 0.0, 0.0
