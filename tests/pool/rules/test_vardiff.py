"""Difficulties over simulated miners: shares are a Poisson process, seeded, so each run is the same."""

import random
from collections.abc import Callable

import pytest

from mbongi.pool.rules.vardiff import IDLE_FALL_MAX, RATIO, Vardiff, rung

PER_MINUTE = 6.0
HASHES = 2**32


class Simulation:
    """A miner with a hashrate, its vardiff, and what happened. One step is a second."""

    def __init__(self, *, start: float, minimum: float = 2.0**-10, seed: int = 1) -> None:
        self.vardiff = Vardiff(0.0, start=start, minimum=minimum, maximum=2.0**50, shares_per_minute=PER_MINUTE)
        self.random = random.Random(seed)
        self.now_s = 0.0
        self.changes: list[tuple[float, float]] = []
        self.shares = 0

    def run(self, seconds: float, hashrate_hs: float) -> None:
        """Let time pass; ``idle`` is asked every five seconds, as the server does."""
        end = self.now_s + seconds
        next_look = self.now_s + 5.0
        while self.now_s < end:
            rate = hashrate_hs / (self.vardiff.difficulty * HASHES)
            wait = self.random.expovariate(rate) if rate > 0 else float("inf")
            if self.now_s + wait < min(next_look, end):
                self.now_s += wait
                self.shares += 1
                changed = self.vardiff.share(self.now_s, self.vardiff.difficulty)
            else:
                self.now_s = min(next_look, end)
                next_look = self.now_s + 5.0
                changed = self.vardiff.idle(self.now_s)
            if changed is not None:
                self.changes.append((self.now_s, self.vardiff.difficulty))

    def off_by(self, hashrate_hs: float) -> float:
        """The expected share rate over the goal's."""
        return hashrate_hs / (self.vardiff.difficulty * HASHES) * 60.0 / PER_MINUTE


def share_of(simulations: list[Simulation], holds: Callable[[Simulation], bool]) -> float:
    return sum(map(holds, simulations)) / len(simulations)


@pytest.mark.parametrize("hashrate_hs", [1e14, 2.34e14, 1e15, 1e18])
def test_a_new_miner_of_any_size_is_near_the_goal_within_two_minutes(hashrate_hs: float) -> None:
    simulations = [Simulation(start=16_384.0, seed=seed) for seed in range(40)]
    for simulation in simulations:
        simulation.run(120, hashrate_hs)

    assert share_of(simulations, lambda each: 1 / RATIO < each.off_by(hashrate_hs) < RATIO) >= 0.95
    assert max(each.shares for each in simulations) < 100, "it does not flood the pool before its difficulty rises"


def test_a_miner_that_begins_a_hundred_times_too_hard_comes_down_within_minutes() -> None:
    simulations = [Simulation(start=16_384.0, seed=seed) for seed in range(40)]
    for simulation in simulations:
        simulation.run(600, 5e11)

    assert share_of(simulations, lambda each: 1 / RATIO < each.off_by(5e11) < RATIO) >= 0.9


def test_a_steady_miner_is_left_alone() -> None:
    simulations = [Simulation(start=16_384.0, seed=seed) for seed in range(60)]
    for simulation in simulations:
        simulation.run(600, 2e14)
        simulation.changes.clear()
        simulation.run(3600, 2e14)

    assert share_of(simulations, lambda each: len(each.changes) <= 2) >= 0.9
    assert share_of(simulations, lambda each: 1 / RATIO < each.off_by(2e14) < RATIO) >= 0.95


def test_steps_of_hashrate_are_followed_without_swinging() -> None:
    simulations = [Simulation(start=65_536.0, seed=seed) for seed in range(40)]
    for simulation in simulations:
        simulation.run(600, 1e14)
    for hashrate_hs in (1e15, 1e13, 1e14):
        for simulation in simulations:
            simulation.changes.clear()
            simulation.run(600, hashrate_hs)
        near = [1 / RATIO < simulation.off_by(hashrate_hs) < RATIO for simulation in simulations]
        assert sum(near) / len(near) >= 0.9
        assert share_of(simulations, lambda each: turns(each) <= 1) >= 0.95


def turns(simulation: Simulation) -> int:
    """How often the difficulty went the other way than before."""
    difficulties = [difficulty for _at, difficulty in simulation.changes]
    return sum((b > a) != (c > b) for a, b, c in zip(difficulties, difficulties[1:], difficulties[2:], strict=False))


def test_silence_lowers_the_difficulty_and_waking_raises_it_again() -> None:
    simulation = Simulation(start=16_384.0)
    simulation.run(600, 2e14)
    at_work = simulation.vardiff.difficulty

    simulation.run(1800, 0.0)
    asleep = simulation.vardiff.difficulty
    simulation.run(60, 2e14)

    assert asleep == at_work / IDLE_FALL_MAX
    assert 0.3 < simulation.off_by(2e14) < 3.0


def test_the_limits_hold() -> None:
    simulation = Simulation(start=4.0, minimum=4.0)
    simulation.run(3600, 0.0)
    assert simulation.vardiff.difficulty == 4.0

    simulation.vardiff.suggest(simulation.now_s, 1e30)
    assert simulation.vardiff.difficulty == 2.0**50
    simulation.vardiff.suggest(simulation.now_s, 0.001)
    assert simulation.vardiff.difficulty == 4.0
    simulation.vardiff.require(simulation.now_s, 100.0)
    simulation.vardiff.suggest(simulation.now_s, 1.0)
    assert simulation.vardiff.difficulty == 100.0


@pytest.mark.parametrize(("value", "step"), [(1, 1), (1.2, 1), (1.3, 1.5), (1.8, 2), (16_000, 16_384)])
def test_difficulties_stand_on_a_ladder(value: float, step: float) -> None:
    assert rung(value) == step


BITAXE, MACHINE, PROXY = 5e11, 1e14, 1e15


@pytest.mark.parametrize(
    ("hashrate_hs", "start", "within_s"),
    [(BITAXE, 1.0, 120), (MACHINE, 1.0, 120), (PROXY, 1.0, 120), (BITAXE, 16_384.0, 360), (PROXY, 1e6, 180)],
)
def test_every_size_of_miner_is_within_a_factor_of_two_of_the_goal_soon(
    hashrate_hs: float, start: float, within_s: float
) -> None:
    simulations = [Simulation(start=start, seed=seed) for seed in range(100)]
    for simulation in simulations:
        simulation.run(within_s, hashrate_hs)

    assert share_of(simulations, lambda each: 0.5 <= each.off_by(hashrate_hs) <= 2.0) >= 0.95


@pytest.mark.parametrize("hashrate_hs", [BITAXE, MACHINE, PROXY])
def test_an_hour_of_steady_work_moves_hardly_any_difficulty(hashrate_hs: float) -> None:
    simulations = [Simulation(start=16_384.0, seed=seed) for seed in range(100)]
    for simulation in simulations:
        simulation.run(1800, hashrate_hs)
        simulation.changes.clear()
        simulation.run(3600, hashrate_hs)

    assert share_of(simulations, lambda each: not each.changes) >= 0.9
    assert share_of(simulations, lambda each: len(each.changes) <= 2) >= 0.98


def test_ten_times_more_a_hundred_times_less_sleep_and_waking_are_followed_one_way_each() -> None:
    simulations = [Simulation(start=262_144.0, seed=seed) for seed in range(60)]
    for factor, seconds in ((1.0, 900), (10.0, 240), (0.1, 900), (0.0, 600), (1.0, 240)):
        for simulation in simulations:
            simulation.changes.clear()
            simulation.run(seconds, factor * MACHINE)
        if factor:
            near = share_of(simulations, lambda each, factor=factor: 0.5 <= each.off_by(factor * MACHINE) <= 2.0)
            assert near >= 0.9
        assert share_of(simulations, lambda each: turns(each) <= 1) >= 0.95
        assert max(turns(each) for each in simulations) <= 3


def test_at_the_maximum_a_miner_too_fast_for_it_stays_and_one_that_slows_down_falls() -> None:
    vardiff, now_s = Vardiff(0.0, start=8.0, minimum=1.0, maximum=8.0, shares_per_minute=6.0), 0.0
    for _ in range(2_000):  # a hundred times the goal
        now_s += 0.1
        assert vardiff.share(now_s, 8.0) is None

    fell = []
    for _ in range(20):  # a tenth of the goal
        now_s += 100.0
        fell.append(vardiff.share(now_s, vardiff.difficulty))
    assert 1.0 <= vardiff.difficulty <= 2.0
    assert any(fell)
