"""From what people wrote and what is measured to the problem that dispatch solves. Pure.

What is missing is named: a level that nobody measures is taken from the document, and stands among ``assumed``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from mbongi.energy.rules import sun, tariffs
from mbongi.energy.rules.carbon import DIESEL_KG_L
from mbongi.energy.rules.dispatch.problem import (
    Battery,
    Feed,
    Genset,
    Load,
    Mining,
    Problem,
    Reserve,
    Solar,
    Tank,
)
from mbongi.energy.rules.watching import SLOW_S, fresh, is_present, is_running
from mbongi.energy.values import HOURS, BatteryWritten, FeedWritten, GensetWritten, Readings, Supply, TankWritten

STEP_MIN = 5
STEPS = 288


@dataclass(frozen=True, slots=True)
class Memory:
    """What a genset did when it was looked at last, and for how many steps: minimum times need it."""

    is_on: bool
    since_steps: int


@dataclass(frozen=True, slots=True)
class Made:
    """A problem, and the points that it would have needed and that nobody measured."""

    problem: Problem
    assumed: tuple[str, ...]


def faults(supply: Supply, factors: Mapping[str, float]) -> list[str]:
    """What in a document cannot be used, besides what its types refuse."""
    found = [f"{feed.tag}: {text}" for feed in supply.feeds if (text := tariffs.problem(feed.tariff))]
    unknown = (feed for feed in supply.feeds if feed.carbon_g_kwh is None and feed.technology not in factors)
    found += [f"{feed.tag}: its carbon is not told, and {feed.technology!r} has no factor" for feed in unknown]
    if len(supply.outage_p) not in {0, HOURS}:
        found.append(f"outage_p: {len(supply.outage_p)} numbers; expected {HOURS}, or none")
    return found


def problem_of(
    supply: Supply,
    factors: Mapping[str, float],
    readings: Readings,
    *,
    start: datetime,
    zone: ZoneInfo,
    steps: int = STEPS,
    memory: Mapping[str, Memory] | None = None,
) -> Made:
    """The problem from ``start`` on in steps of five minutes. Raises ProblemError for what contradicts itself."""
    return _Making(supply, factors, readings, start, zone, steps).make(memory or {})


class _Making:
    def __init__(
        self,
        supply: Supply,
        factors: Mapping[str, float],
        readings: Readings,
        start: datetime,
        zone: ZoneInfo,
        steps: int,
    ) -> None:
        self.supply, self.factors, self.readings, self.start = supply, factors, readings, start
        times = [start + timedelta(minutes=STEP_MIN * step) for step in range(steps)]
        self.times, self.local = times, [time.astimezone(zone) for time in times]
        self.ones = np.ones(steps)
        self.assumed: list[str] = []

    def make(self, memory: Mapping[str, Memory]) -> Made:
        supply = self.supply
        problem = Problem(
            step_h=STEP_MIN / 60,
            steps=len(self.times),
            feeds=tuple(self._feed(one) for one in supply.feeds),
            solar=tuple(Solar(one.tag, self._sun(number)) for number, one in enumerate(supply.solar)),
            batteries=tuple(self._battery(one) for one in supply.batteries),
            tanks=tuple(self._tank(one) for one in supply.tanks),
            gensets=tuple(self._genset(one, memory.get(one.tag)) for one in supply.gensets),
            mining=tuple(
                Mining(one.tag, one.min_kw, one.max_kw, one.step_kw, self._earned(number), one.change_per_kw)
                for number, one in enumerate(supply.mining)
            ),
            loads=tuple(Load(one.tag, one.kw * self.ones, one.order, one.shed_per_kwh) for one in supply.loads),
            reserve=Reserve(supply.critical_kw, supply.hold_h, self._outage_p(), supply.full_p),
            import_kw=np.inf if supply.import_kw is None else supply.import_kw,
            carbon_per_kg=supply.carbon_per_t / 1000,
            currency=supply.currency,
        )
        return Made(problem, tuple(self.assumed))

    def _reading(self, tag: str, quantity: str) -> float | None:
        """What is measured and fresh; else the point is named."""
        found = fresh(self.readings, tag, quantity, self.start.timestamp(), SLOW_S)
        if found is None:
            self.assumed.append(f"{tag} {quantity}")
        return found

    def _feed(self, one: FeedWritten) -> Feed:
        carbon = one.carbon_g_kwh if one.carbon_g_kwh is not None else self.factors[one.technology]
        is_there = is_present(self.readings, one.seen_at, self.start.timestamp(), SLOW_S)
        if is_there is None:
            self.assumed.append(f"{one.seen_at} voltage")
        limit = one.limit_kw * self.ones
        if is_there is False:
            # Nobody knows for how long; it is planned to be away for the next half hour, and looked at again in five.
            limit[:6] = 0.0
        return Feed(
            one.tag,
            limit,
            tariffs.prices(one.tariff, self.local),
            carbon / 1000 * self.ones,
            one.contract_kw,
            one.overrun_per_kw,
        )

    def _sun(self, number: int) -> NDArray[np.float64]:
        one = self.supply.solar[number]
        middle = [time + timedelta(minutes=STEP_MIN / 2) for time in self.times]
        cos = sun.cos_zenith(middle, latitude=one.latitude, longitude=one.longitude)
        irradiance = one.clearness * sun.clear_sky_w_m2(cos)
        return sun.power_kw(irradiance, peak_kw=one.peak_kw, performance=one.performance, air_temp_c=one.air_temp_c)

    def _battery(self, one: BatteryWritten) -> Battery:
        percent = self._reading(one.tag, "charge_pct")
        share = one.start_share if percent is None else percent / 100
        least = one.min_share * one.capacity_kwh
        return Battery(
            one.tag,
            least,
            one.capacity_kwh,
            min(one.capacity_kwh, max(least, share * one.capacity_kwh)),
            one.charge_kw,
            one.discharge_kw,
            one.charge_efficiency,
            one.discharge_efficiency,
            one.wear_per_kwh,
            one.end_share * one.capacity_kwh,
        )

    def _tank(self, one: TankWritten) -> Tank:
        percent = self._reading(one.meter or one.tag, "level_pct")
        share = one.start_share if percent is None else min(1.0, max(0.0, percent / 100))
        carbon = DIESEL_KG_L if one.carbon_kg_l is None else one.carbon_kg_l
        return Tank(one.tag, share * one.capacity_l, one.reserve_l, one.price_per_l, carbon)

    def _genset(self, one: GensetWritten, memory: Memory | None) -> Genset:
        running = is_running(self.readings, one.tag, self.start.timestamp(), SLOW_S)
        if running is None:
            self.assumed.append(f"{one.tag} running")
        is_on = (memory is not None and memory.is_on) if running is None else running
        since = memory.since_steps if memory is not None and memory.is_on == is_on else STEPS
        return Genset(
            one.tag,
            one.tank,
            one.min_kw,
            one.max_kw,
            one.curve,
            one.start_cost,
            one.service_per_h,
            max(1, round(one.min_up_min / STEP_MIN)),
            max(1, round(one.min_down_min / STEP_MIN)),
            is_on,
            since,
        )

    def _earned(self, number: int) -> NDArray[np.float64]:
        one = self.supply.mining[number]
        value = tariffs.value_per_kwh(
            btc_price=one.btc_price, btc_per_ths_day=one.btc_per_ths_day, efficiency_j_th=one.efficiency_j_th
        )
        return value * self.ones

    def _outage_p(self) -> NDArray[np.float64]:
        if not self.supply.outage_p:
            return 0 * self.ones
        return np.array([self.supply.outage_p[time.hour] for time in self.local])
