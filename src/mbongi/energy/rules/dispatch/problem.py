"""What dispatch decides upon: supplies, stores and loads over a horizon of equal steps.

Series are NumPy arrays with one value per step. Powers are in kW, energies in kWh, fuel in litres, carbon in kg of CO2
equivalent; money is in the one currency of all prices.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mbongi.energy.errors import ProblemError
from mbongi.energy.rules.curves import Curve, problem_of

Series = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Feed:
    """A supply from outside: the grid, or a contract of hydro or solar power behind it.

    ``limit_kw`` is what it can give in each step, 0 while it is away. Above ``contract_kw`` the highest overrun of the
    horizon costs ``overrun_per_kw`` once; without a contract nothing does.
    """

    tag: str
    limit_kw: Series
    price_per_kwh: Series
    carbon_kg_kwh: Series
    contract_kw: float | None = None
    overrun_per_kw: float = 0.0


@dataclass(frozen=True, slots=True)
class Solar:
    """What panels can give; what is not wanted is curtailed."""

    tag: str
    forecast_kw: Series
    carbon_kg_kwh: float = 0.0


@dataclass(frozen=True, slots=True)
class Battery:
    """A store. Efficiencies are of one way each; ``wear_per_kwh`` is paid for what is discharged, and is above 0.

    Its level stays between ``min_kwh`` and ``max_kwh``, and is at least ``end_kwh`` after the last step.
    """

    tag: str
    min_kwh: float
    max_kwh: float
    level_kwh: float
    charge_kw: float
    discharge_kw: float
    charge_efficiency: float = 0.95
    discharge_efficiency: float = 0.95
    wear_per_kwh: float = 0.001
    end_kwh: float = 0.0


@dataclass(frozen=True, slots=True)
class Tank:
    """Fuel for one or more gensets. The level stays above ``reserve_l``, which is kept for what nobody foresaw."""

    tag: str
    level_l: float
    reserve_l: float
    price_per_l: float
    carbon_kg_l: float


@dataclass(frozen=True, slots=True)
class Genset:
    """An engine with its generator. While it runs it gives ``min_kw`` to ``max_kw``; ``curve`` says what it burns.

    It runs, and rests, for at least so many steps; ``is_on`` since ``since_steps`` steps. ``service_per_h`` is what an
    hour of running costs besides fuel.
    """

    tag: str
    tank: str
    min_kw: float
    max_kw: float
    curve: Curve
    start_cost: float = 0.0
    service_per_h: float = 0.0
    min_up_steps: int = 1
    min_down_steps: int = 1
    is_on: bool = False
    since_steps: int = 10_000


@dataclass(frozen=True, slots=True)
class Mining:
    """The flexible load: any number of steps of ``step_kw`` (0: any power) from ``min_kw`` to ``max_kw``.

    ``value_per_kwh`` is what mining earns with a kilowatt-hour. It is shed before every other load. Each kW that is
    put to sleep or woken from one step to the next costs ``change_per_kw``, so machines are not switched in vain.
    """

    tag: str
    min_kw: float
    max_kw: float
    step_kw: float
    value_per_kwh: Series
    change_per_kw: float = 0.0


@dataclass(frozen=True, slots=True)
class Load:
    """A load. ``order`` None is never shed; else lower orders are shed first, at prices that rise with the order."""

    tag: str
    kw: Series
    order: int | None = None
    shed_per_kwh: float = 0.0


@dataclass(frozen=True, slots=True)
class Reserve:
    """What the batteries hold for an outage: ``critical_kw`` for ``hold_h``, in the measure of its probability.

    ``outage_p`` is the forecast's probability per step; at ``full_p`` and above the whole reserve is held.
    """

    critical_kw: float
    hold_h: float
    outage_p: Series
    full_p: float = 0.05

    def kwh(self) -> Series:
        """What must be deliverable at the end of each step."""
        share = np.minimum(1.0, self.outage_p / self.full_p)
        return np.asarray(self.critical_kw * self.hold_h * share, dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Problem:
    """All of it. ``import_kw`` limits the sum of all feeds (the transformer); ``carbon_per_kg`` prices carbon."""

    step_h: float
    steps: int
    feeds: tuple[Feed, ...] = ()
    solar: tuple[Solar, ...] = ()
    batteries: tuple[Battery, ...] = ()
    tanks: tuple[Tank, ...] = ()
    gensets: tuple[Genset, ...] = ()
    mining: tuple[Mining, ...] = ()
    loads: tuple[Load, ...] = ()
    reserve: Reserve | None = None
    import_kw: float = np.inf
    carbon_per_kg: float = 0.0
    currency: str = "XAF"
    tank_index: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Raise ProblemError for what contradicts itself."""
        object.__setattr__(self, "tank_index", {tank.tag: number for number, tank in enumerate(self.tanks)})
        _check(self)

    @property
    def sheddable(self) -> tuple[Load, ...]:
        """The loads that may be shed, in their order."""
        return tuple(sorted((one for one in self.loads if one.order is not None), key=lambda one: one.order or 0))

    @property
    def firm_kw(self) -> Series:
        """What must always be supplied."""
        total = np.zeros(self.steps)
        for load in self.loads:
            if load.order is None:
                total += load.kw
        return total

    def reserve_kwh(self) -> Series:
        """What the batteries must hold after each step; nothing while no feed is there: it is held for that."""
        if self.reserve is None:
            return np.zeros(self.steps)
        is_fed = np.zeros(self.steps, dtype=bool)
        for feed in self.feeds:
            is_fed |= feed.limit_kw > 0
        return np.where(is_fed, self.reserve.kwh(), 0.0)


def _check(problem: Problem) -> None:
    if problem.steps < 1 or not 0 < problem.step_h <= 24:
        raise ProblemError(f"horizon: {problem.steps} steps of {problem.step_h} h; expected at least one, up to 24 h")
    groups = (problem.feeds, problem.solar, problem.batteries, problem.tanks, problem.gensets, problem.mining)
    tags = [one.tag for group in groups for one in group] + [load.tag for load in problem.loads]
    if len(set(tags)) != len(tags):
        twice = sorted({tag for tag in tags if tags.count(tag) > 1})
        raise ProblemError(f"tags: {', '.join(twice)} more than once; each asset is counted once")
    _check_series(problem)
    for battery in problem.batteries:
        _check_battery(battery)
    for genset in problem.gensets:
        _check_genset(genset, problem)
    for mining in problem.mining:
        if not 0 <= mining.min_kw <= mining.max_kw or min(mining.step_kw, mining.change_per_kw) < 0:
            raise ProblemError(f"mining {mining.tag}: expected 0 <= min_kw <= max_kw, step and change of 0 or more")
    _check_order(problem)


def _check_series(problem: Problem) -> None:
    series = [(feed.tag, name, getattr(feed, name)) for feed in problem.feeds for name in FEED_SERIES]
    series += [(one.tag, "forecast_kw", one.forecast_kw) for one in problem.solar]
    series += [(load.tag, "kw", load.kw) for load in problem.loads]
    series += [(one.tag, "value_per_kwh", one.value_per_kwh) for one in problem.mining]
    if problem.reserve is not None:
        series.append(("reserve", "outage_p", problem.reserve.outage_p))
    for tag, name, values in series:
        if values.shape != (problem.steps,) or not np.isfinite(values).all():
            raise ProblemError(f"{tag}: {name}: expected {problem.steps} finite numbers, found shape {values.shape}")
        if (values < 0).any():
            raise ProblemError(f"{tag}: {name}: {values.min():g}; expected no negative number")


FEED_SERIES = ("limit_kw", "price_per_kwh", "carbon_kg_kwh")


def _check_battery(one: Battery) -> None:
    if not 0 <= one.min_kwh <= one.level_kwh <= one.max_kwh:
        raise ProblemError(f"battery {one.tag}: level {one.level_kwh:g} kWh; expected {one.min_kwh:g}..{one.max_kwh:g}")
    if not (0 < one.charge_efficiency <= 1 and 0 < one.discharge_efficiency <= 1):
        raise ProblemError(f"battery {one.tag}: expected efficiencies above 0, up to 1")
    if one.wear_per_kwh <= 0 or one.charge_kw < 0 or one.discharge_kw < 0 or one.end_kwh > one.max_kwh:
        raise ProblemError(f"battery {one.tag}: expected wear above 0, powers from 0, end_kwh up to {one.max_kwh:g}")


def _check_genset(one: Genset, problem: Problem) -> None:
    if one.tank not in problem.tank_index:
        raise ProblemError(f"genset {one.tag}: tank {one.tank} is not there")
    found = problem_of(one.curve)
    if found:
        raise ProblemError(f"genset {one.tag}: curve: {found}")
    if not 0 <= one.min_kw <= one.max_kw or one.max_kw <= 0:
        raise ProblemError(f"genset {one.tag}: {one.min_kw:g}..{one.max_kw:g} kW; expected 0 <= min_kw <= max_kw")
    if one.min_up_steps < 1 or one.min_down_steps < 1 or one.since_steps < 0:
        raise ProblemError(f"genset {one.tag}: expected at least one step up and down")


def _check_order(problem: Problem) -> None:
    """The order of shedding and its prices say the same."""
    floor = max((float(one.value_per_kwh.max()) for one in problem.mining), default=0.0)
    orders = [load.order for load in problem.sheddable]
    if len(set(orders)) != len(orders):
        raise ProblemError(f"loads: orders {orders}; expected each once")
    for load in problem.sheddable:
        if load.shed_per_kwh <= floor:
            raise ProblemError(
                f"load {load.tag}: shed at {load.shed_per_kwh:g} per kWh; expected more than {floor:g}, the price of "
                f"what is shed before it"
            )
        floor = load.shed_per_kwh
