"""Problems that several of dispatch's tests solve."""

from typing import Any

import numpy as np
from hypothesis import strategies as st

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

CURVE = ((125.0, 38.0), (250.0, 69.0), (375.0, 100.0), (500.0, 135.0))
"""A 500 kW diesel at quarter, half, three quarters and full load; rounded from makers' sheets."""


def series(steps: int, value: float) -> np.ndarray:
    return np.full(steps, float(value))


def feed(steps: int, *, price: float = 50.0, limit: float = 1000.0, carbon: float = 0.6, **more: Any) -> Feed:
    return Feed("grid", series(steps, limit), series(steps, price), series(steps, carbon), **more)


def battery(**more: Any) -> Battery:
    told = {"min_kwh": 0.0, "max_kwh": 100.0, "level_kwh": 50.0, "charge_kw": 100.0, "discharge_kw": 100.0}
    efficient = {"charge_efficiency": 1.0, "discharge_efficiency": 1.0, "wear_per_kwh": 0.001}
    return Battery("battery", **{**told, **efficient, **more})


def genset(tag: str = "genset", **more: Any) -> Genset:
    return Genset(tag, "tank", **{"min_kw": 150.0, "max_kw": 500.0, "curve": CURVE, **more})


def tank(**more: Any) -> Tank:
    told = {"level_l": 10_000.0, "reserve_l": 0.0, "price_per_l": 625.0, "carbon_kg_l": 2.68}
    return Tank("tank", **{**told, **more})


def day(
    steps: int = 24, *, away: tuple[int, ...] = (9, 10, 11, 12, 13), seed: int = 1, step_kw: float = 50.0
) -> Problem:
    """A day with an outage: two feeds, sun, two batteries, two gensets, mining, nodes and jobs, a critical load."""
    generator, h = np.random.default_rng(seed), 24.0 / steps
    hour = (np.arange(steps) + 0.5) * h
    there = np.ones(steps)
    there[list(away)] = 0.0
    price = np.where((hour >= 18) & (hour < 23), 85.0, np.where(hour < 6, 38.0, 54.0))
    sun = np.clip(np.sin((hour - 6) / 12 * np.pi), 0, None) * 900 * generator.uniform(0.6, 1.0, steps)
    return Problem(
        step_h=h,
        steps=steps,
        feeds=(
            Feed("grid", 3000 * there, price, series(steps, 0.6), contract_kw=2500.0, overrun_per_kw=3000.0),
            Feed("hydro", 600 * there, series(steps, 44), series(steps, 0.024)),
        ),
        solar=(Solar("pv", sun),),
        batteries=(
            Battery("b1", 100, 1000, 600, 500, 500, 0.95, 0.95, 4.0, 500),
            Battery("b2", 50, 400, 300, 200, 200, 0.94, 0.93, 5.0),
        ),
        tanks=(tank(reserve_l=3000.0, level_l=5000.0),),
        gensets=(
            genset("g1", start_cost=5000.0, service_per_h=2000.0, min_up_steps=3, min_down_steps=2),
            genset("g2", start_cost=6000.0, service_per_h=2500.0, min_up_steps=2, min_down_steps=2),
        ),
        mining=(Mining("mining", 0, 2500, step_kw, series(steps, 62), 1.5),),
        loads=(
            Load("critical", series(steps, 300)),
            Load("nodes", series(steps, 120), 2, 900.0),
            Load("jobs", series(steps, 450), 1, 300.0),
        ),
        reserve=Reserve(300, 1.0, generator.uniform(0, 0.06, steps)),
        import_kw=3200.0,
        carbon_per_kg=5.0,
    )


@st.composite
def problems(draw: st.DrawFn, steps: int = 8) -> Problem:
    """Small plants of every kind, with outages, negative surprises and gensets that are running already."""
    numbers = st.floats(0, 1, allow_nan=False, width=32)

    def values(most: float) -> np.ndarray:
        return np.array([draw(numbers) * most for _ in range(steps)])

    away = np.array([draw(st.booleans()) or draw(st.booleans()) for _ in range(steps)], dtype=float)
    value = draw(st.sampled_from([30.0, 60.0, 90.0]))
    level = 20 + draw(numbers) * 180
    return Problem(
        step_h=0.5,
        steps=steps,
        feeds=(Feed("grid", 800 * away, 20 + values(80), values(1), draw(st.sampled_from([None, 400.0])), 500.0),),
        solar=(Solar("pv", values(300)),),
        batteries=(Battery("b", 20, 200, level, 100, 150, 0.9, 0.92, 3.0, draw(st.sampled_from([0.0, 100.0]))),),
        tanks=(Tank("tank", draw(numbers) * 400, 50, 600, 2.7),),
        gensets=tuple(
            Genset(
                f"g{number}",
                "tank",
                60,
                200,
                ((50, 16), (100, 28), (200, 54)),
                2000,
                300,
                draw(st.integers(1, 3)),
                draw(st.integers(1, 3)),
                draw(st.booleans()),
                draw(st.integers(1, 4)),
            )
            for number in range(draw(st.integers(0, 2)))
        ),
        mining=(
            Mining(
                "mining",
                draw(st.sampled_from([0.0, 40.0])),
                400,
                draw(st.sampled_from([0.0, 40.0])),
                series(steps, value),
            ),
        ),
        loads=(
            Load("critical", values(200)),
            Load("jobs", values(150), 1, 200.0),
            Load("nodes", values(80), 2, 500.0),
        ),
        reserve=Reserve(100, 1.0, values(0.1)),
        import_kw=draw(st.sampled_from([700.0, np.inf])),
        carbon_per_kg=draw(st.sampled_from([0.0, 20.0])),
    )
