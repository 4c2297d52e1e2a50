"""Heat, power and counters, against numbers worked by hand from the physics named in the module."""

import math
from random import Random
from statistics import mean

import pytest

from mbongi.fleet.values import Family
from mbongi.twin import physics
from mbongi.twin.climate import ambient_c
from mbongi.twin.machine import VirtualMachine
from mbongi.twin.models import model_of
from mbongi.twin.values import Fault, Phase
from tests.twin.peers import HandClock

MIDNIGHT = 1_700_006_400.0  # 2023-11-15 00:00 UTC


def machine(family: Family, clock: HandClock, *, seed: int = 1, address: str = "127.24.1.1") -> VirtualMachine:
    return VirtualMachine(address=address, model=model_of(family), rack=1, slot=1, seed=seed, clock=clock)


def test_a_board_settles_where_its_heat_flow_equals_its_power() -> None:
    # 1,100 W through 31 W/K: 35.48 K above the inlet of 28 degC.
    assert physics.equilibrium_c(28.0, 1100.0, 31.0) == pytest.approx(63.48, abs=0.005)


def test_after_one_time_constant_63_percent_of_the_way_is_gone() -> None:
    # 1,900 J/K over 31 W/K: 61.3 s; from 28 towards 63.48 degC, 1 - 1/e of 35.48 K is 22.43 K.
    assert physics.relax(28.0, 63.48, 61.29, 1900.0 / 31.0) == pytest.approx(50.43, abs=0.01)


def test_many_small_steps_and_one_long_step_arrive_at_the_same_temperature() -> None:
    temperature = 28.0
    for _ in range(600):
        temperature = physics.relax(temperature, 63.48, 1.0, 61.29)

    assert temperature == pytest.approx(physics.relax(28.0, 63.48, 600.0, 61.29), abs=1e-9)


def test_half_the_airflow_leaves_59_percent_of_the_conductance() -> None:
    # 0.04 + 0.96 x 0.5^0.8 = 0.04 + 0.96 x 0.57435 = 0.59138.
    assert physics.conductance_w_k(100.0, 0.5) == pytest.approx(59.138, abs=0.001)
    assert physics.airflow_for(100.0, 59.138) == pytest.approx(0.5, abs=1e-4)
    assert physics.airflow_for(100.0, 250.0) == 1.0


def test_a_board_at_80_percent_frequency_draws_67_percent() -> None:
    # 0.8^1.8 = 0.66920; 10 K above nominal adds 2 %.
    assert physics.board_power_w(1000.0, 0.8, 60.0, 60.0) == pytest.approx(669.2, abs=0.1)
    assert physics.board_power_w(1000.0, 0.8, 70.0, 60.0) == pytest.approx(682.6, abs=0.1)
    assert physics.frequency_share_for(0.6692) == pytest.approx(0.8, abs=1e-4)


@pytest.mark.parametrize("expected", [0.5, 5.0, 200.0])
def test_poisson_draws_have_the_mean_and_the_variance_asked_for(expected: float) -> None:
    random = Random(7)
    draws = [physics.poisson(random, expected) for _ in range(20_000)]

    average = mean(draws)
    variance = mean((draw - average) ** 2 for draw in draws)
    # Standard error of the mean is sqrt(expected / n); five of them.
    assert average == pytest.approx(expected, abs=5 * math.sqrt(expected / 20_000))
    assert variance == pytest.approx(expected, rel=0.06)


def test_the_day_is_warmest_at_15_local_time_coldest_at_3_and_averages_26_5() -> None:
    hours = [ambient_c(MIDNIGHT + 3600 * hour) for hour in range(24)]

    assert hours[14] == max(hours) == pytest.approx(31.0)  # 14:00 UTC is 15:00 in Brazzaville
    assert hours[2] == min(hours) == pytest.approx(22.0)
    assert mean(hours) == pytest.approx(26.5)


@pytest.mark.parametrize(
    ("family", "hashrate_ths", "power_w"),
    [(Family.ANTMINER, 200.0, 3500.0), (Family.WHATSMINER, 126.0, 3276.0), (Family.BITAXE, 0.625, 13.5)],
)
def test_a_machine_at_work_keeps_near_its_nameplate(family: Family, hashrate_ths: float, power_w: float) -> None:
    clock = HandClock(MIDNIGHT)
    subject = machine(family, clock)
    rates, powers = [], []
    for _ in range(24 * 12):
        clock.pass_s(300)
        subject.advance()
        rates.append(subject.rate_ths)
        powers.append(subject.power_w)

    assert mean(rates) == pytest.approx(hashrate_ths, rel=0.04)
    assert mean(powers) == pytest.approx(power_w, rel=0.06)
    assert subject.average_ths == pytest.approx(mean(rates), rel=0.02)
    assert subject.phase is Phase.MINING


def test_at_rest_heat_in_equals_heat_out() -> None:
    clock = HandClock(MIDNIGHT)
    subject = machine(Family.ANTMINER, clock)
    for _ in range(60):
        clock.pass_s(30)
        subject.advance()

    airflow = sum(subject.rpm) / (subject.model.fan_rpm_max * subject.model.fans)
    for board in range(3):
        w_k = physics.conductance_w_k(subject.model.conductance_w_k * subject.cooling_spread[board], airflow)
        flow_w = w_k * (subject.temps_c[board] - subject.inlet_c)
        # Fan noise of 0.4 % and the air warming by 0.02 K a minute leave a little.
        assert flow_w == pytest.approx(subject.powers_w[board], rel=0.02)


def test_fans_turn_faster_in_the_afternoon_than_at_night_and_hold_the_chips() -> None:
    clock = HandClock(MIDNIGHT + 2 * 3600)
    subject = machine(Family.ANTMINER, clock)
    night_rpm, night_c = mean(subject.rpm), max(subject.temps_c)
    for _ in range(120):
        clock.pass_s(360)
        subject.advance()

    assert mean(subject.rpm) > night_rpm * 1.15
    assert max(subject.temps_c) == pytest.approx(night_c, abs=1.5)


def test_shares_come_at_the_rate_that_hashrate_and_difficulty_give() -> None:
    clock = HandClock(MIDNIGHT)
    subject = machine(Family.ANTMINER, clock)
    before = subject.accepted + subject.rejected
    for _ in range(200):
        clock.pass_s(600)
        subject.advance()

    # 200e12 / (524288 x 2^32) = 0.08882 a second; 120,000 s give 10,658, standard deviation 103.
    found = subject.accepted + subject.rejected - before
    assert found == pytest.approx(10_658, abs=5 * 103 + 0.03 * 10_658)


def test_the_same_seed_gives_the_same_machine_and_another_seed_another() -> None:
    def story(seed: int) -> list[float]:
        clock = HandClock(MIDNIGHT)
        subject, figures = machine(Family.WHATSMINER, clock, seed=seed), []
        for _ in range(20):
            clock.pass_s(37)
            subject.advance()
            figures += [subject.rate_ths, subject.power_w, subject.hottest_c, subject.accepted]
        return figures

    assert story(1) == story(1)
    assert story(1) != story(2)


def test_a_machine_nobody_looked_at_for_a_day_is_where_it_would_have_been() -> None:
    looked, unseen = HandClock(MIDNIGHT), HandClock(MIDNIGHT)
    watched, forgotten = machine(Family.ANTMINER, looked), machine(Family.ANTMINER, unseen)
    for _ in range(24 * 60):
        looked.pass_s(60)
        watched.advance()
    unseen.pass_s(86400)
    forgotten.advance()

    assert forgotten.temps_c == pytest.approx(watched.temps_c, abs=0.5)
    assert forgotten.accepted == pytest.approx(watched.accepted, rel=0.01)
    assert forgotten.elapsed_s == watched.elapsed_s


def test_a_blocked_air_path_throttles_then_stops_the_machine_and_it_comes_back_when_mended() -> None:
    clock = HandClock(MIDNIGHT)
    subject = machine(Family.ANTMINER, clock)
    subject.set_fault(Fault.OVERHEAT)
    seen: list[Phase] = []
    for _ in range(60):
        clock.pass_s(10)
        subject.advance()
        seen.append(subject.phase)
        # Heat alone cannot lift 1,900 J/K faster than power over capacity: under 8 K in ten seconds.
        assert subject.hottest_c < subject.model.shutdown_c + 8
    assert Phase.PROTECTED in seen

    subject.set_fault(Fault.NONE)
    clock.pass_s(1800)
    subject.advance()
    assert subject.phase is Phase.MINING
    assert subject.rate_ths > 190


def test_a_lost_board_costs_a_third_and_cools_down_to_the_inlet() -> None:
    clock = HandClock(MIDNIGHT)
    subject = machine(Family.ANTMINER, clock)
    subject.set_fault(Fault.BOARD_DEAD)
    clock.pass_s(900)
    subject.advance()

    assert subject.rate_ths == pytest.approx(200 * 2 / 3, rel=0.04)
    assert subject.temps_c[subject.weak_board] == pytest.approx(subject.inlet_c, abs=1.0)


def test_an_antminer_stops_for_a_dead_fan_and_a_whatsminer_goes_on_hotter() -> None:
    clock = HandClock(MIDNIGHT)
    ant, whats = machine(Family.ANTMINER, clock), machine(Family.WHATSMINER, clock)
    before_c = whats.hottest_c
    for subject in (ant, whats):
        subject.set_fault(Fault.FAN_DEAD)
    clock.pass_s(300)
    for subject in (ant, whats):
        subject.advance()

    assert (ant.phase, ant.rate_ths, ant.rpm[ant.weak_fan]) == (Phase.PROTECTED, 0.0, 0.0)
    assert whats.phase is Phase.MINING
    assert whats.hottest_c > before_c + 5


@pytest.mark.parametrize("family", [Family.ANTMINER, Family.WHATSMINER, Family.BITAXE])
def test_sleep_wake_and_reboot_take_the_models_seconds(family: Family) -> None:
    clock = HandClock(MIDNIGHT)
    subject = machine(family, clock)
    model = subject.model

    subject.sleep()
    clock.pass_s(model.restart_s + 2)
    subject.advance()
    assert (subject.phase, subject.rate_ths) == (Phase.SLEEPING, 0.0)
    assert subject.power_w < 0.15 * model.power_w

    subject.reboot()
    assert not subject.answers
    clock.pass_s(model.boot_s + model.restart_s + 3)
    subject.advance()
    assert (subject.answers, subject.phase) == (True, Phase.SLEEPING)

    subject.wake()
    clock.pass_s(model.restart_s + model.warm_up_s / 2)
    subject.advance()
    assert subject.phase is Phase.WARMING
    clock.pass_s(model.warm_up_s / 2 + 20)
    subject.advance()
    assert subject.phase is Phase.MINING
    assert subject.rate_ths > 0.9 * model.hashrate_ths


def test_a_power_limit_is_kept_and_lifted_again() -> None:
    clock = HandClock(MIDNIGHT)
    subject = machine(Family.WHATSMINER, clock)
    full_ths = subject.rate_ths
    subject.apply(power_limit_w=2400.0)
    clock.pass_s(600)
    subject.advance()
    assert subject.power_w == pytest.approx(2400, rel=0.04)
    assert subject.rate_ths < 0.9 * full_ths

    subject.apply(power_limit_w=3300.0)
    clock.pass_s(600)
    subject.advance()
    assert subject.rate_ths == pytest.approx(full_ths, rel=0.05)


def test_a_machine_without_voltage_goes_off_and_boots_with_it_unless_it_is_switched_off() -> None:
    clock = HandClock(MIDNIGHT)
    one = machine(Family.ANTMINER, clock)
    one.set_power(on=False)
    assert (one.phase, one.power_w) == (Phase.OFF, 0.0)
    one.reboot()
    assert one.phase is Phase.OFF
    one.set_power(on=True)
    assert one.phase is Phase.BOOTING

    one.set_power(on=False)
    one.set_fault(Fault.OFF)
    one.set_power(on=True)
    assert one.phase is Phase.OFF
    one.set_power(on=False)
    one.set_fault(Fault.NONE)
    assert one.phase is Phase.OFF
    one.set_power(on=True)
    assert one.phase is Phase.BOOTING


def test_a_machine_breathes_the_air_of_its_hall() -> None:
    clock = HandClock(MIDNIGHT)
    one = machine(Family.ANTMINER, clock)
    one.air_c = lambda _moment: 40.0
    clock.now += 60.0
    one.advance()

    assert one.inlet_c == pytest.approx(40.0 + one.inlet_rise_k)
