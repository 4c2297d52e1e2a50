"""Transformers and breakers of the virtual plant. Pure."""

import math
from dataclasses import dataclass, field

from mbongi.twin.physics import relax

TOP_OIL_RISE_K, HOT_SPOT_RISE_K = 55.0, 23.0
"""At rated load, of distribution transformers with natural circulation. Source: IEC 60354:1991, table 2."""
OIL_EXPONENT, WINDING_EXPONENT = 0.8, 1.6
OIL_TAU_S, WINDING_TAU_S = 10_800.0, 240.0
"""Source of exponents and time constants: IEC 60076-7:2018, distribution transformers ONAN (180 and 4 minutes)."""
LOSSES_W = {
    50: (81, 750),
    100: (130, 1_250),
    160: (189, 1_750),
    250: (270, 2_350),
    315: (324, 2_800),
    400: (387, 3_250),
    500: (459, 3_900),
    630: (540, 4_600),
    800: (585, 6_000),
    1000: (693, 7_600),
    1250: (855, 9_500),
    1600: (1_080, 12_000),
    2000: (1_305, 15_000),
    2500: (1_575, 18_500),
    3150: (1_980, 23_000),
}
"""kVA: (no-load, load losses). Source: Commission Regulation (EU) 548/2014, annex I, table I.1, tier 2."""
CONVENTIONAL_SHARE = 1.2
"""Above this share of its rating a breaker trips in the end: between 1.05 and 1.30 of IEC 60947-2, 8.3.3.1.2."""
BREAKER_TAU_S = 300.0
"""Of the bimetal (chosen: 134 s at twice the rating from cold)."""
MAGNETIC_SHARE = 10.0
COOL_SHARE = 0.6
"""A tripped breaker's bimetal must have cooled to this before it latches again."""


def transformer_kva(power_w: float) -> int:
    """The smallest standard size that carries a load; beyond the table as many of its largest as are needed."""
    largest = max(LOSSES_W)
    wanted = power_w / 1000.0
    return next((kva for kva in LOSSES_W if kva >= wanted), largest * math.ceil(wanted / largest))


@dataclass(slots=True)
class Transformer:
    """Losses and temperatures; ``rated_va`` of LOSSES_W, or some of the largest side by side."""

    rated_va: float
    no_load_w: float
    load_w: float
    """Losses at rated load, without those of no load."""
    top_oil_c: float = 40.0
    hot_spot_rise_k: float = 0.0
    cooling_factor: float = 1.0
    """Above 1: the oil rises higher than it should (a fault)."""

    @classmethod
    def of(cls, kva: int) -> "Transformer":
        """One of a standard size."""
        largest = max(LOSSES_W)
        number = max(kva // largest, 1)
        no_load, load = LOSSES_W[kva // number]
        return cls(kva * 1000.0, float(no_load * number), float(load * number))

    def loss_w(self, through_va: float, *, live: bool = True) -> float:
        """No-load losses while it is live, and load losses by the square of the load."""
        return self.no_load_w + self.load_w * (through_va / self.rated_va) ** 2 if live else 0.0

    def top_oil_rise_k(self, share: float) -> float:
        """Where the oil settles over the air, at a share of the rating. Source: IEC 60076-7:2018, equation 5."""
        ratio = self.load_w / self.no_load_w
        return TOP_OIL_RISE_K * math.pow((1 + ratio * share**2) / (1 + ratio), OIL_EXPONENT) * self.cooling_factor

    def settle(self, air_c: float, share: float) -> None:
        """As after days at one load."""
        self.top_oil_c = air_c + self.top_oil_rise_k(share)
        self.hot_spot_rise_k = HOT_SPOT_RISE_K * share**WINDING_EXPONENT

    def advance(self, dt_s: float, air_c: float, through_va: float, *, live: bool) -> None:
        """Move the temperatures on."""
        share = through_va / self.rated_va
        goal = air_c + (self.top_oil_rise_k(share) if live else 0.0)
        self.top_oil_c = relax(self.top_oil_c, goal, dt_s, OIL_TAU_S)
        rise_k = HOT_SPOT_RISE_K * share**WINDING_EXPONENT
        self.hot_spot_rise_k = relax(self.hot_spot_rise_k, rise_k, dt_s, WINDING_TAU_S)

    @property
    def hot_spot_c(self) -> float:
        """The winding's hottest place."""
        return self.top_oil_c + self.hot_spot_rise_k


@dataclass(slots=True)
class Breaker:
    """Thermal-magnetic: trips by a heated bimetal, or at once beyond MAGNETIC_SHARE."""

    rated_a: float
    is_closed: bool = True
    is_tripped: bool = False
    heat: float = 0.0
    """Of the bimetal [0..1]; at 1 it trips."""
    current_a: float = field(default=0.0)

    def advance(self, dt_s: float, current_a: float) -> None:
        """Carry a current (of the most loaded phase) for a while."""
        self.current_a = current_a if self.is_closed else 0.0
        share = self.current_a / self.rated_a
        self.heat = relax(self.heat, (share / CONVENTIONAL_SHARE) ** 2, dt_s, BREAKER_TAU_S)
        if self.heat >= 1.0 or share >= MAGNETIC_SHARE:
            self.trip()

    def trip(self) -> None:
        """Open, and say so."""
        if self.is_closed:
            self.is_closed, self.is_tripped, self.current_a = False, True, 0.0

    def switch(self, *, closed: bool) -> bool:
        """By hand; a tripped one must have cooled. Whether it stands as wanted."""
        if closed and self.heat > COOL_SHARE and self.is_tripped:
            return False
        self.is_closed, self.is_tripped = closed, False
        return True
