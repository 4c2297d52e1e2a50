"""The plant's parts, against numbers worked by hand from the sources that their modules name."""

import math
from random import Random

import pytest

from mbongi.twin.plant import weather
from mbongi.twin.plant.changeover import Changeover, Position
from mbongi.twin.plant.cooling import Hall, Loop, WaterTank
from mbongi.twin.plant.electric import Breaker, Transformer, transformer_kva
from mbongi.twin.plant.genset import FuelTank, Genset, GensetState
from mbongi.twin.plant.ups import Ups


def test_a_transformer_loses_by_the_square_of_its_load() -> None:
    # 160 kVA of (EU) 548/2014, tier 2: 189 W and 1,750 W; at half load 189 + 1,750 / 4.
    transformer = Transformer.of(160)

    assert transformer.loss_w(80_000.0) == pytest.approx(626.5)
    assert transformer.loss_w(0.0) == 189.0
    assert transformer.loss_w(0.0, live=False) == 0.0


def test_beyond_the_table_transformers_stand_side_by_side() -> None:
    assert transformer_kva(110_000.0) == 160
    assert transformer_kva(4_000_000.0) == 6_300
    assert Transformer.of(6_300).loss_w(6_300_000.0) == 2 * (1_980 + 23_000)


def test_oil_and_winding_settle_where_iec_60076_7_says() -> None:
    # R = 1,750 / 189 = 9.259. At half load ((1 + 9.259 / 4) / 10.259)^0.8 x 55 K = 22.28 K; 0.5^1.6 x 23 K = 7.59 K.
    transformer = Transformer.of(160)

    transformer.settle(30.0, 1.0)
    assert transformer.top_oil_c == pytest.approx(85.0)
    assert transformer.hot_spot_c == pytest.approx(108.0)
    transformer.settle(30.0, 0.5)
    assert transformer.top_oil_c == pytest.approx(52.28, abs=0.01)
    assert transformer.hot_spot_c == pytest.approx(59.86, abs=0.01)


def test_after_three_hours_the_oil_has_gone_63_percent_of_its_way() -> None:
    # 30 + 55 x (1 - 1/e) = 64.77.
    transformer = Transformer.of(160)
    transformer.top_oil_c = 30.0

    transformer.advance(3 * 3600.0, 30.0, 160_000.0, live=True)

    assert transformer.top_oil_c == pytest.approx(64.77, abs=0.01)


def test_a_breaker_bears_five_percent_too_much_for_ever_and_thirty_not_for_two_hours() -> None:
    # IEC 60947-2, 8.3.3.1.2.
    small, large = Breaker(100.0), Breaker(100.0)
    for _ in range(7_200):
        small.advance(1.0, 105.0)
        large.advance(1.0, 130.0)

    assert small.is_closed
    assert large.is_tripped


def test_a_breaker_at_twice_its_rating_trips_after_134_seconds() -> None:
    # (2 / 1.2)^2 = 2.778; 300 s x ln(2.778 / 1.778) = 133.9 s.
    breaker = Breaker(100.0)
    seconds = 0
    while breaker.is_closed:
        breaker.advance(1.0, 200.0)
        seconds += 1

    assert seconds == 134
    assert not breaker.switch(closed=True)  # still hot
    breaker.advance(300.0, 0.0)
    assert breaker.switch(closed=True)


def test_a_short_circuit_trips_at_once() -> None:
    breaker = Breaker(100.0)
    breaker.advance(0.01, 1_000.0)

    assert breaker.is_tripped


def test_a_ups_draws_its_load_and_its_losses() -> None:
    # 3 kW at half load: 0.012 x 3,000 + 0.022 x 1,500 + 0.018 x 1,500^2 / 3,000 = 82.5 W.
    ups = Ups(3_000.0, 500.0)
    ups.advance(1.0, 1_500.0, mains=True)

    assert ups.input_w == pytest.approx(1_582.5)


@pytest.mark.parametrize(("load_w", "seconds"), [(3_000.0, 582.5), (1_500.0, 1_290.6)])
def test_a_battery_lasts_longer_than_in_proportion_at_small_loads(load_w: float, seconds: float) -> None:
    # Full: 3,078 W out of 1.8 MJ, x (3,078 / 3,000)^0.15; half: 1,541.25 W, x 0.51375^0.15 = 0.9049.
    ups = Ups(3_000.0, 500.0)
    ups.advance(0.0, load_w, mains=False)
    assert ups.runtime_s == pytest.approx(seconds, rel=1e-3)

    lasted = 0
    while ups.is_live:
        ups.advance(1.0, load_w, mains=False)
        lasted += 1
    assert lasted == pytest.approx(seconds, abs=1.5)


def test_an_empty_ups_comes_back_with_the_mains_and_charges() -> None:
    ups = Ups(3_000.0, 500.0, charge=0.0001)
    ups.advance(1.0, 1_000.0, mains=False)
    assert not ups.is_live

    for _ in range(300):
        ups.advance(1.0, 1_000.0, mains=True)

    assert ups.is_live
    # 300 W x 0.85 for 300 s into 1.8 MJ.
    assert ups.charge == pytest.approx(300 * 0.85 * 300 / 1.8e6, rel=0.02)


def genset(tank: FuelTank, **wanted: object) -> Genset:
    made = Genset(100_000.0, Random("genset"))
    for name, value in wanted.items():
        setattr(made, name, value)
    walk(made, tank, 60)
    return made


def walk(made: Genset, tank: FuelTank, seconds: int, load_w: float = 0.0, *, wanted: bool = True) -> None:
    for _ in range(seconds):
        made.advance(1.0, wanted=wanted, load_w=load_w, air_c=30.0, tank=tank)


def test_a_genset_burns_after_skarstein_and_uhlen() -> None:
    # 100 kW at 50 kW: 0.246 x 50 + 0.08415 x 100 = 20.715 l/h.
    tank = FuelTank(1_000.0, 500.0)
    ready = genset(tank)
    assert ready.is_ready
    before_l = tank.level_l

    walk(ready, tank, 3_600, 50_000.0)

    assert before_l - tank.level_l == pytest.approx(20.715, rel=1e-3)
    assert ready.hz == pytest.approx(50.0, abs=0.01)


def test_a_genset_that_does_not_start_tries_three_times_and_locks_out_until_reset() -> None:
    made = genset(FuelTank(1_000.0, 500.0), start_fails_p=1.0)

    assert (made.state, made.alarm, made.attempts) == (GensetState.FAILED, "fail_to_start", 3)
    made.start_fails_p = 0.0
    walk(made, FuelTank(1_000.0, 500.0), 60)
    assert made.state is GensetState.FAILED
    made.reset()
    walk(made, FuelTank(1_000.0, 500.0), 60)
    assert made.is_ready


def test_a_genset_bears_an_overload_for_a_while_and_stalls_at_a_large_one() -> None:
    tank = FuelTank(1_000.0, 500.0)
    small, large = genset(tank), genset(tank)

    walk(small, tank, 9, 115_000.0)
    assert small.is_ready
    walk(small, tank, 1, 115_000.0)
    assert small.alarm == "overload"
    walk(large, tank, 1, 140_000.0)
    assert large.alarm == "under_speed"


def test_a_genset_without_fuel_stops() -> None:
    tank = FuelTank(1_000.0, 500.0)
    made = genset(tank)
    tank.level_l = 0.0
    walk(made, tank, 1)

    assert made.alarm == "fuel"


def test_a_load_step_dips_the_frequency_and_it_comes_back() -> None:
    tank = FuelTank(1_000.0, 500.0)
    made = genset(tank)
    walk(made, tank, 1, 60_000.0)

    assert made.hz == pytest.approx(47.0, abs=0.01)  # 60 % of 5 Hz
    walk(made, tank, 20, 60_000.0)
    assert made.hz == pytest.approx(50.0, abs=0.01)


def test_the_changeover_waits_calls_and_goes_back_once_the_grid_is_good_for_long() -> None:
    switch = Changeover()
    for _ in range(2):
        switch.advance(1.0, grid=False, gensets=False)
    assert not switch.wants_gensets
    switch.advance(1.0, grid=False, gensets=False)
    assert switch.wants_gensets
    for _ in range(3):
        switch.advance(1.0, grid=False, gensets=True)
    assert switch.position is Position.GENSETS

    for _ in range(29):
        switch.advance(1.0, grid=True, gensets=True)
    assert switch.position is Position.GENSETS
    for _ in range(3):
        switch.advance(1.0, grid=True, gensets=True)
    assert switch.position is Position.GRID
    assert not switch.wants_gensets


def test_a_short_flicker_of_the_grid_moves_nothing() -> None:
    switch = Changeover()
    for grid in (False, True, False, False, True):
        switch.advance(1.0, grid=grid, gensets=False)

    assert switch.position is Position.GRID
    assert not switch.wants_gensets


def test_the_wet_bulb_is_that_of_stulls_paper() -> None:
    # Stull 2011: 20 degC and 50 % give 13.7 degC.
    assert weather.wet_bulb_c(20.0, 50.0) == pytest.approx(13.7, abs=0.05)


def test_vapour_pressure_is_that_of_the_tables() -> None:
    # 2.339 kPa at 20 degC (steam tables); air whose dew point is its temperature is saturated.
    assert weather.vapour_pressure_kpa(20.0) == pytest.approx(2.339, rel=0.005)
    assert weather.humidity_pct(21.2) == pytest.approx(100.0)


def test_the_sun_stands_almost_overhead_at_noon_of_the_equinox_and_is_gone_at_night() -> None:
    # 2026-03-20, solar noon at 15.28 degrees east: 10:58:53 UTC; 4.26 degrees from straight up.
    noon = 1_773_964_800.0 + 39_533.0

    assert weather.cos_zenith(noon) == pytest.approx(math.cos(math.radians(4.26)), abs=0.002)
    assert weather.clear_sky_w_m2(1.0) == pytest.approx(1098 * math.exp(-0.057))
    assert weather.irradiance_w_m2(noon + 43_200.0, 1) == 0.0
    assert 0.25 * 1_030 < weather.irradiance_w_m2(noon, 1) < 1_040


def test_the_same_seed_gives_the_same_clouds() -> None:
    found = [weather.cloud_share(moment, 7) for moment in (1e9, 1e9 + 300, 1e9 + 600)]

    assert found == [weather.cloud_share(moment, 7) for moment in (1e9, 1e9 + 300, 1e9 + 600)]
    assert found[1] == pytest.approx((found[0] + found[2]) / 2, abs=0.2)
    assert found != [weather.cloud_share(moment, 8) for moment in (1e9, 1e9 + 300, 1e9 + 600)]


def hall(**wanted: object) -> tuple[Hall, WaterTank]:
    made = Hall(10.0, [True, True], supply_c=25.0, exhaust_c=37.0, inlet_c=26.0)
    for name, value in wanted.items():
        setattr(made, name, value)
    tank = WaterTank(1_000.0, 800.0, refill_l_s=0.1)
    for _ in range(900):
        made.advance(1.0, heat_w=100_000.0, outside_c=30.0, wet_bulb=24.0, tank=tank)
    return made, tank


def test_the_hall_settles_where_air_and_pads_say() -> None:
    # 100 kW over 12 K: 7.184 m3/s. Pads: 30 - 0.8 x 6 = 25.2 degC. Inlet: 6 % of the 12 K above it.
    made, _ = hall()

    assert made.flow_m3_s == pytest.approx(100_000 / (1_160 * 12), rel=1e-3)
    assert made.supply_c == pytest.approx(25.2, abs=0.02)
    assert made.exhaust_c - made.supply_c == pytest.approx(12.0, abs=0.05)
    assert made.inlet_c == pytest.approx(25.2 + 0.06 * 12, abs=0.05)
    # 320 W for each m3/s of 10, by the cube of the duty of 0.7184.
    assert made.fan_w == pytest.approx(320 * 10 * 0.7184**3, rel=0.005)
    # 8,333 W/K x 4.8 K / 2.44 MJ/kg, and 30 % let off.
    assert made.water_l_s == pytest.approx(8_333 * 4.8 / 2.44e6 * 1.3, rel=0.005)


def test_without_its_pump_the_hall_gets_the_air_as_it_is() -> None:
    made, _ = hall(pump_works=False)

    assert made.supply_c == pytest.approx(30.0, abs=0.02)
    assert made.water_l_s == pytest.approx(0.0, abs=1e-4)


def test_with_one_fan_wall_the_other_runs_at_full_speed_and_the_inlet_gets_warmer() -> None:
    made, _ = hall(walls=[True, False])

    assert made.duty == pytest.approx(1.0, abs=1e-3)
    # 5 of the 7.184 m3/s that are needed: the exhaust rises to 17.24 K above the supply, 1 - 0.94 x 0.696 of it inside.
    assert made.exhaust_c - made.supply_c == pytest.approx(17.24, abs=0.05)
    assert made.inlet_c == pytest.approx(made.supply_c + 17.24 * (1 - 0.94 * 0.696), abs=0.1)


def test_a_tank_without_supply_runs_dry_and_the_pads_with_it() -> None:
    made, tank = hall()
    tank.has_supply = False
    tank.level_l = 1.0
    for _ in range(900):
        made.advance(1.0, heat_w=100_000.0, outside_c=30.0, wet_bulb=24.0, tank=tank)

    assert tank.level_l == 0.0
    assert made.supply_c == pytest.approx(30.0, abs=0.1)


def test_without_its_pump_the_loop_lets_the_servers_get_hot() -> None:
    loop = Loop(plate_w_k=100.0, cooler_w_k=400.0, chip_c=55.0, water_c=40.0)
    for _ in range(3_600):
        loop.advance(1.0, heat_w=1_500.0, outside_c=30.0)
    settled = loop.chip_c
    assert settled == pytest.approx(loop.water_c + 15.0, abs=0.1)  # 1,500 W over 100 W/K
    assert 35.0 < loop.water_c < 41.0
    assert loop.return_c - loop.water_c == pytest.approx(1_500 / 415, abs=0.1)  # 0.1 l/s of water

    loop.pump_works = False
    for _ in range(600):
        loop.advance(1.0, heat_w=1_500.0, outside_c=30.0)
    # 1,500 W into 20 kJ/K: 0.075 K/s at first.
    assert settled + 30 < loop.chip_c < settled + 45
