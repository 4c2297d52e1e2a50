"""Values of energy: what people write about the supply. Pure. A document is one version of the site's whole supply.

Powers in kW, energies in kWh, fuel in litres, money in the document's currency, carbon in g of CO2 equivalent per kWh.
Tags are the plant's: what is measured of an element is looked for under its tag.
"""

from typing import Annotated

import msgspec

Positive = Annotated[float, msgspec.Meta(ge=0)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Tag = Annotated[str, msgspec.Meta(min_length=1, max_length=60)]
Day = Annotated[int, msgspec.Meta(ge=0, le=6)]
HOURS = 24


class Period(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A price on some days (0 is Monday) from ``start`` to ``stop`` of the site's clock, over midnight too."""

    per_kwh: Positive
    start: str = "00:00"
    stop: str = "24:00"
    days: tuple[Day, ...] = (0, 1, 2, 3, 4, 5, 6)
    name: str = ""


class Tariff(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a feed's energy costs. The first period that holds counts, else ``per_kwh``. ``source`` says who told it."""

    per_kwh: Positive
    periods: tuple[Period, ...] = ()
    source: str = ""


class FeedWritten(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The grid, or a contract behind it. ``technology``, of ``carbon_factors.csv``, where the carbon is not told.

    ``certified``: every kWh comes with a proof of origin, which ``rules.origin`` checks.
    """

    tag: Tag
    limit_kw: Positive
    tariff: Tariff
    contract_kw: Positive | None = None
    overrun_per_kw: Positive = 0.0
    carbon_g_kwh: Positive | None = None
    technology: str = ""
    certified: bool = False
    meter: str = ""
    """The tag of the meter that sees its voltage, before any changeover to gensets; empty: its own."""

    @property
    def seen_at(self) -> str:
        """Where it is looked for among what is measured."""
        return self.meter or self.tag


class SolarWritten(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Panels that lie nearly flat. ``clearness`` is the share of a clear sky's energy that is expected."""

    tag: Tag
    peak_kw: Positive
    latitude: Annotated[float, msgspec.Meta(ge=-90, le=90)]
    longitude: Annotated[float, msgspec.Meta(ge=-180, le=180)]
    clearness: Share = 0.6
    performance: Share = 0.85
    air_temp_c: float = 27.0


class BatteryWritten(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A battery; ``start_share`` is its level where nothing measures it, which is said with every plan."""

    tag: Tag
    capacity_kwh: Annotated[float, msgspec.Meta(gt=0)]
    min_share: Share = 0.1
    start_share: Share = 0.5
    end_share: Share = 0.0
    charge_kw: Positive
    discharge_kw: Positive
    charge_efficiency: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.95
    discharge_efficiency: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.95
    wear_per_kwh: Annotated[float, msgspec.Meta(gt=0)] = 1.0


class TankWritten(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A fuel tank. ``carbon_kg_l`` None: diesel's, of ``carbon_factors.csv``."""

    tag: Tag
    capacity_l: Positive
    reserve_l: Positive = 0.0
    start_share: Share = 0.5
    price_per_l: Positive
    carbon_kg_l: Positive | None = None
    meter: str = ""
    """The tag of what tells its level, a genset's often; empty: its own."""


class GensetWritten(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A genset; ``curve`` is the maker's ``(kW, l/h)``."""

    tag: Tag
    tank: Tag
    min_kw: Positive
    max_kw: Positive
    curve: tuple[tuple[float, float], ...]
    start_cost: Positive = 0.0
    service_per_h: Positive = 0.0
    min_up_min: Positive = 30.0
    min_down_min: Positive = 15.0


class MiningWritten(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Mining. What a kWh earns follows from the price of a bitcoin, what a TH/s earns in a day, and the efficiency."""

    tag: Tag
    max_kw: Positive
    min_kw: Positive = 0.0
    step_kw: Positive = 0.0
    btc_price: Positive
    btc_per_ths_day: Positive
    efficiency_j_th: Annotated[float, msgspec.Meta(gt=0)]
    change_per_kw: Positive = 2.0
    """What it costs to put a kW to sleep or to wake it."""


class LoadWritten(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A load; without ``order`` it is never shed. ``on_ups`` keeps it alive through a black-out."""

    tag: Tag
    kw: Positive
    order: int | None = None
    shed_per_kwh: Positive = 0.0
    on_ups: bool = False


class MeterWritten(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A meter of the plant, with its accuracy class [%]."""

    tag: Tag
    class_pct: Annotated[float, msgspec.Meta(gt=0, le=10)] = 1.0


class MetersWritten(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which meters the figures of ISO/IEC 30134 are of. ``category``: IT at the UPS (1), PDU (2) or servers (3)."""

    facility: tuple[MeterWritten, ...] = ()
    it: tuple[MeterWritten, ...] = ()
    renewable: tuple[MeterWritten, ...] = ()
    category: Annotated[int, msgspec.Meta(ge=1, le=3)] = 1


class Supply(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All of it. ``outage_p`` is the probability per step of each hour of the site's clock; 24 numbers, or none.

    ``hold_h`` is how long the batteries alone must carry ``critical_kw`` where an outage is likely (``full_p``).
    """

    currency: Annotated[str, msgspec.Meta(pattern="^[A-Z]{3}$")] = "XAF"
    feeds: tuple[FeedWritten, ...] = ()
    solar: tuple[SolarWritten, ...] = ()
    batteries: tuple[BatteryWritten, ...] = ()
    tanks: tuple[TankWritten, ...] = ()
    gensets: tuple[GensetWritten, ...] = ()
    mining: tuple[MiningWritten, ...] = ()
    loads: tuple[LoadWritten, ...] = ()
    import_kw: Positive | None = None
    outage_p: tuple[Share, ...] = ()
    critical_kw: Positive = 0.0
    hold_h: Positive = 0.5
    full_p: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.05
    carbon_per_t: Positive = 0.0
    """The price of a tonne of CO2 equivalent."""
    meters: MetersWritten | None = None


class Reading(msgspec.Struct, frozen=True):
    """What was last measured of a point of the plant; ``at_s`` is seconds since 1970, UTC."""

    value: float
    at_s: float


Readings = dict[tuple[str, str], Reading]
"""By tag and quantity, the quantities being the plant's words: ``charge_pct``, ``level_pct``, ``running`` …"""
