"""From a document and readings to a problem: tariffs, sun, carbon, and what nobody measures."""

import math
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from mbongi.energy.rules import carbon, sun, tariffs, watching
from mbongi.energy.rules.blackout import Seen
from mbongi.energy.rules.supply import faults, problem_of
from mbongi.energy.supplies import factors
from mbongi.energy.values import Period, Reading, Tariff
from tests.energy.supplies import readings, supply

ZONE = ZoneInfo("Africa/Brazzaville")  # UTC+1, no summer time
NOON = datetime(2026, 11, 25, 11, 0, tzinfo=UTC)  # a Wednesday


def made(document=None, told=None, **more):
    told = readings(NOON.timestamp()) if told is None else told
    return problem_of(document or supply(), factors(), told, start=NOON, zone=ZONE, **more)


def test_tariff_periods_follow_the_sites_clock():
    feed = made().problem.feeds[0]
    # 12:00 local is step 0; 18:00 is 72 steps later, 23:00 is 132.
    assert feed.price_per_kwh[[0, 71, 72, 131, 132]].tolist() == [54, 54, 85, 85, 54]


def test_a_period_over_midnight_belongs_to_the_day_that_it_starts_on():
    tariff = Tariff(per_kwh=1, periods=(Period(per_kwh=9, start="22:00", stop="02:00", days=(4,)),))
    friday = datetime(2026, 11, 27, 23, 0, tzinfo=ZONE)
    assert tariffs.price_at(tariff, friday) == 9
    assert tariffs.price_at(tariff, friday + timedelta(hours=2)) == 9
    assert tariffs.price_at(tariff, friday + timedelta(hours=3)) == 1
    assert tariffs.price_at(tariff, friday - timedelta(hours=22)) == 1, "Friday at 01:00 belongs to Thursday's night"


@pytest.mark.parametrize(("start", "stop"), [("25:00", "26:00"), ("8", "9"), ("08:00", "08:00"), ("08:0", "09:00")])
def test_times_that_are_none_are_refused(start, stop):
    assert tariffs.problem(Tariff(per_kwh=1, periods=(Period(per_kwh=2, start=start, stop=stop),)))


def test_what_a_kilowatt_hour_earns():
    # 20 J/TH: a TH/s takes 20 W, 0.48 kWh a day. At 0.0000005 BTC a day and 48,000,000 a bitcoin it earns 24 with that.
    assert tariffs.value_per_kwh(btc_price=48e6, btc_per_ths_day=5e-7, efficiency_j_th=20) == pytest.approx(50)


def test_readings_set_the_levels_and_what_is_missing_is_named():
    found = made()
    assert found.assumed == ()
    assert found.problem.batteries[0].level_kwh == pytest.approx(600)
    assert found.problem.tanks[0].level_l == pytest.approx(7000)
    blind = made(told={})
    assert blind.assumed == ("FEED-A voltage", "HYDRO voltage", "BAT charge_pct", "TANK level_pct", "GEN running")
    assert blind.problem.batteries[0].level_kwh == pytest.approx(500), "the document's own word"


def test_an_old_reading_or_one_that_is_no_number_counts_as_missing():
    told = readings(NOON.timestamp())
    told["BAT", "charge_pct"] = Reading(90.0, NOON.timestamp() - 600)
    told["TANK", "level_pct"] = Reading(math.nan, NOON.timestamp())
    assert made(told=told).assumed == ("BAT charge_pct", "TANK level_pct")


def test_a_feed_that_is_away_is_planned_away_for_half_an_hour():
    told = readings(NOON.timestamp(), **{"FEED-A_voltage_l1_v": 0})
    assert made(told=told).problem.feeds[0].limit_kw[[0, 5, 6]].tolist() == [0, 0, 3000]


def test_documents_that_cannot_be_planned_with_are_told_why():
    assert faults(supply(), factors()) == []
    assert "24" in faults(supply(outage_p=[0.1]), factors())[0]
    feed = {"tag": "X", "limit_kw": 1, "tariff": {"per_kwh": 1}, "technology": "magic"}
    assert "magic" in faults(supply(feeds=[feed]), factors())[0]


def test_the_sun_stands_where_an_almanac_has_it():
    # Declination 0 at the equinox: over the equator at longitude 0 the sun is in the zenith at its noon, 7.4 min late
    # (equation of time on 20 March, Astronomical Almanac), and rises six hours before.
    noon = datetime(2026, 3, 20, 12, 7, 24, tzinfo=UTC)
    at = sun.cos_zenith([noon, noon - timedelta(hours=6), noon + timedelta(hours=12)], latitude=0, longitude=0)
    assert at == pytest.approx([1, 0, -1], abs=0.01)
    # At the solstice it is 23.44 degrees from the equator.
    solstice = sun.cos_zenith([datetime(2026, 6, 21, 12, 2, tzinfo=UTC)], latitude=0, longitude=0)
    assert math.degrees(math.acos(solstice[0])) == pytest.approx(23.44, abs=0.15)


def test_a_clear_sky_and_a_warm_module():
    # Haurwitz with the sun in the zenith: 1098 x exp(-0.059).
    assert sun.clear_sky_w_m2(np.array([1.0, -0.2])) == pytest.approx([1035.1, 0.0], abs=0.1)
    # 800 W/m2 at 20 °C: the cell is at NOCT, 45 °C; 100 kW x 0.8 x (1 - 0.004 x 20).
    power = sun.power_kw(np.array([800.0]), peak_kw=100, performance=1.0, air_temp_c=20)
    assert power == pytest.approx([73.6])


def test_carbon_of_a_mix_on_average_and_at_its_margin():
    mix = {"gas": 74.0, "hydro": 20.0, "oil": 6.0}
    # (74 x 490 + 20 x 24 + 6 x 840) / 100
    assert carbon.average_g_kwh(mix, factors()) == pytest.approx(417.8)
    assert carbon.marginal_g_kwh(mix, factors(), ("hydro", "gas", "oil")) == 840
    with pytest.raises(KeyError):
        carbon.average_g_kwh({}, factors())
    with pytest.raises(KeyError):
        carbon.average_g_kwh({"magic": 1.0}, factors())


def test_diesel_burnt_by_the_guidelines():
    assert pytest.approx(2.676, abs=0.001) == carbon.DIESEL_KG_L


def test_carbon_by_hour_and_source():
    energy = {"pv": np.array([50.0, 0.0, 0.0]), "grid": np.array([50.0, 100.0, 0.0])}
    intensity = {"pv": np.full(3, 48.0), "grid": np.full(3, 600.0)}
    # In hour 0 there is sun to spare; in hour 1 the grid is at its limit, and stands for the margin all the same.
    room = {"pv": np.array([10.0, 0.0, 0.0]), "grid": np.array([10.0, 0.0, 0.0])}
    hours = carbon.by_hour(energy, intensity, room, ("pv", "grid"))
    assert hours.kg["grid"].tolist() == [30, 60, 0]
    assert hours.average_g_kwh[:2].tolist() == pytest.approx([324, 600])
    assert math.isnan(hours.average_g_kwh[2])
    assert hours.marginal_g_kwh[:2].tolist() == [48, 600]


def test_the_watch_sees_a_feed_by_breaker_and_voltage():
    now_s = 1000.0
    told = {("A", "breaker_closed"): Reading(1.0, now_s)}
    assert watching.is_present(told, "A", now_s) is True
    told["A", "voltage_l1_v"] = Reading(3.0, now_s)
    assert watching.is_present(told, "A", now_s) is False
    told["A", "voltage_l1_v"] = Reading(231.0, now_s)
    assert watching.is_present(told, "A", now_s) is True
    assert watching.is_present(told, "A", now_s + 60) is None
    told["A", "breaker_closed"] = Reading(0.0, now_s)
    assert watching.is_present(told, "A", now_s) is False


def test_a_voltage_that_is_known_no_more_is_not_taken_for_there():
    # The meter's supply went with the grid; the breaker's contact, on the UPS, goes on saying closed.
    now_s = NOON.timestamp()
    told = readings(now_s, **{"FEED-A_breaker_closed": 1, "GEN_running": 1, "GEN_voltage_l1_v": 230})
    for gone in (Reading(math.nan, now_s), Reading(230.0, now_s - 60)):
        told["FEED-A", "voltage_l1_v"] = told["GEN", "voltage_l1_v"] = gone
        assert watching.is_present(told, "FEED-A", now_s) is None
        assert watching.seen(told, supply(), now_s).ready == {"GEN": None}
    told["FEED-A", "breaker_closed"] = Reading(0.0, now_s)
    told["GEN", "fault"] = Reading(1.0, now_s)
    assert watching.is_present(told, "FEED-A", now_s) is False
    assert watching.seen(told, supply(), now_s).ready == {"GEN": False}


def test_what_is_seen_of_the_plant():
    now_s = NOON.timestamp()
    told = readings(now_s, **{"FEED-A_voltage_l1_v": 0, "GEN_running": 1, "UPS_runtime_s": 900})
    assert watching.seen(told, supply(), now_s) == Seen(grid=True, ready={"GEN": True}, ups_s=900)
    told["HYDRO", "voltage_l1_v"] = Reading(0.0, now_s)
    assert watching.seen(told, supply(), now_s).grid is False
    told["GEN", "fault"] = Reading(1.0, now_s)
    later = watching.seen(told, supply(), now_s + 60)
    assert (later.grid, later.ready, later.ups_s) == (None, {"GEN": None}, None)
    assert watching.seen(told, supply(), now_s).ready == {"GEN": False}
    assert not watching.is_watched({("BAT", "charge_pct"): Reading(1, now_s)}, supply())


def test_what_another_device_measures_is_looked_for_there():
    now_s = NOON.timestamp()
    feed = {"tag": "GRID", "meter": "MTR-1", "limit_kw": 1000, "tariff": {"per_kwh": 50}, "technology": "gas"}
    tank = {"tag": "TANK", "meter": "GEN", "capacity_l": 1000, "price_per_l": 600}
    told = {
        ("MTR-1", "voltage_l1_v"): Reading(0.0, now_s),
        ("GEN", "level_pct"): Reading(90.0, now_s),
        ("GEN", "speed_rpm"): Reading(1500.0, now_s),
        ("GEN", "voltage_l1_v"): Reading(230.0, now_s),
        ("BAT", "charge_pct"): Reading(50.0, now_s),
    }
    document = supply(feeds=[feed], tanks=[tank])
    assert made(document, told).assumed == ()
    assert made(document, told).problem.tanks[0].level_l == pytest.approx(900)
    assert made(document, told).problem.gensets[0].is_on
    assert watching.is_watched(told, document)
    assert watching.seen(told, document, now_s) == Seen(grid=False, ready={"GEN": True})
    told["GEN", "voltage_l1_v"] = Reading(0.0, now_s)
    assert watching.seen(told, document, now_s).ready == {"GEN": False}, "it turns, and gives no voltage yet"


def test_the_plant_of_the_sequence_is_what_is_written():
    plant = watching.plant_of(supply())
    assert [(block.tag, block.on_ups) for block in plant.blocks] == [("CORE", True), ("JOBS", False)]
    assert plant.blocks[0].order > plant.blocks[1].order
    assert (plant.gensets, plant.mining_kw) == ((("GEN", 500),), 2000)
