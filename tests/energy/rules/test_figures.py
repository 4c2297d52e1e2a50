"""Figures of ISO/IEC 30134: worked by hand, with meters that fail."""

import math

import pytest

from mbongi.energy.errors import MeterError
from mbongi.energy.rules.figures import YEAR_S, Category, cue, erf, itee_sv, per, pue, ref, shares, wue
from mbongi.energy.rules.metered import Metered, from_power, from_register, total

DAY_S = 86_400.0


def metered(kwh, *, class_pct=0.5, coverage=1.0, missing=()):
    return Metered(kwh, coverage, kwh * class_pct / 100 / math.sqrt(3), missing)


def test_a_register_counts_through_a_gap():
    # Read every hour, with six hours missing: the register went on.
    readings = [(hour * 3600.0, 100.0 * hour) for hour in range(25) if not 6 < hour < 13]
    found = from_register("M1", readings, 0, DAY_S, class_pct=0.5)
    assert (found.kwh, found.coverage, found.missing) == (2400, 1.0, ())
    # Class 0.5: 12 kWh at most, as likely anywhere within: 12/sqrt(3).
    assert found.uncertainty_kwh == pytest.approx(6.928, abs=0.001)


def test_a_register_that_was_exchanged_loses_that_time():
    readings = [(0.0, 900.0), (DAY_S / 4, 1000.0), (DAY_S / 2, 20.0), (DAY_S, 220.0)]
    found = from_register("M1", readings, 0, DAY_S, class_pct=1)
    assert found.kwh == 300
    assert found.coverage == pytest.approx(0.75)


def test_powers_are_added_up_where_they_are_near_each_other():
    # 12 kW for six hours by minutes, then nothing, then 6 kW for six hours.
    first = [(60.0 * minute, 12_000.0) for minute in range(361)]
    last = [(DAY_S - 60.0 * minute, 6_000.0) for minute in range(360, -1, -1)]
    found = from_power("M1", first + last, 0, DAY_S, class_pct=1)
    assert found.kwh == pytest.approx(6 * 12 + 6 * 6)
    assert found.coverage == pytest.approx(0.5)


def test_a_meter_that_said_nothing_is_named():
    for readings in ([], [(5.0, 1.0)], [(5.0, math.nan), (9.0, math.nan)], [(-9.0, 1.0), (-5.0, 2.0)]):
        assert from_register("M7", readings, 0, DAY_S, class_pct=1) == Metered(0, 0, 0, ("M7",))
    with pytest.raises(MeterError):
        from_power("M7", [], 5, 5, class_pct=1)


def test_meters_add_and_their_errors_in_squares():
    both = total([Metered(300, 1.0, 3), Metered(400, 0.9, 4)])
    assert both == Metered(700, 0.9, 5)
    with pytest.raises(MeterError):
        total([])


def test_pue_with_its_uncertainty():
    # 15,000 and 10,000 kWh with meters of class 1: each 1/sqrt(3) %, together sqrt(2/3) % = 0.816 %, twice that of 1.5.
    found = pue(metered(15_000, class_pct=1), metered(10_000, class_pct=1), Category.PDU_OUTPUT, length_s=YEAR_S)
    assert (found.name, found.value) == ("PUE2", 1.5)
    assert found.uncertainty == pytest.approx(2 * 1.5 * 0.00816, rel=0.001)


def test_an_interval_below_a_year_is_interim_and_a_zone_is_a_part():
    assert pue(metered(2), metered(1), Category.UPS_OUTPUT, length_s=DAY_S).name == "iPUE1"
    assert pue(metered(2), metered(1), Category.IT_INPUT, length_s=YEAR_S, is_part=True).name == "pPUE3"


def test_a_pue_below_1_has_no_value_and_says_how_much_energy_is_missing():
    # IT is a part of the whole: 9,900 kWh cannot feed 10,000. Panels behind the feed's meter gave 100 at least.
    found = pue(metered(9_900), metered(10_000), Category.UPS_OUTPUT, length_s=DAY_S)
    assert (found.value, found.missing) == (None, ())
    assert math.isnan(found.uncertainty)
    assert found.unseen_kwh == pytest.approx(100)
    same = pue(metered(10_000), metered(10_000), Category.UPS_OUTPUT, length_s=DAY_S)
    assert (same.value, same.unseen_kwh) == (1, 0)


def test_a_figure_without_a_meter_has_no_value_and_names_it():
    found = pue(metered(0, missing=("M7",)), metered(10_000), Category.UPS_OUTPUT, length_s=DAY_S)
    assert (found.value, found.missing) == (None, ("M7",))
    assert pue(metered(5), metered(0), Category.UPS_OUTPUT, length_s=DAY_S).value is None


def test_little_coverage_is_provisional():
    assert not pue(metered(2), metered(1, coverage=0.95), Category.UPS_OUTPUT, length_s=DAY_S).is_provisional
    assert pue(metered(2), metered(1, coverage=0.94), Category.UPS_OUTPUT, length_s=DAY_S).is_provisional


def test_the_other_figures_by_hand():
    facility, it = metered(15_000), metered(10_000)
    assert ref(metered(6_000), facility, length_s=YEAR_S).value == pytest.approx(0.4)
    assert ref(metered(20_000), facility, length_s=YEAR_S).value == 1, "more than was used is not counted"
    assert erf(metered(3_000), facility, length_s=YEAR_S).value == pytest.approx(0.2)
    found = cue(9_000, 0.1, it, Category.UPS_OUTPUT, length_s=YEAR_S)
    assert (found.name, found.value, found.unit) == ("CUE1", 0.9, "kg/kWh")
    # 10 % of the carbon outweighs the meter's 0.29 %.
    assert found.uncertainty == pytest.approx(2 * 0.9 * math.hypot(0.1, 0.005 / math.sqrt(3)))
    assert wue(metered(18_000), it, Category.IT_INPUT, length_s=DAY_S).value == pytest.approx(1.8)
    # 3,000 + 9,000 operations a second at 300 + 500 W.
    assert itee_sv([(3_000, 300), (9_000, 500)]) == 15
    for servers in ([], [(1, 0)]):
        with pytest.raises(MeterError):
            itee_sv(servers)


def test_energy_per_thing_done():
    # 1 kWh for 200,000 TH is 18 J/TH.
    assert per("J/TH", metered(1), 200_000, "J/TH", scale=3.6e6).value == pytest.approx(18)
    assert per("share", metered(50), 1_000, "kWh").value == pytest.approx(0.05)
    assert per("gpu_hour", metered(70), 100, "kWh").uncertainty == pytest.approx(2 * 0.7 * 0.005 / math.sqrt(3))
    assert per("rpc", metered(50), 0, "kWh").value is None
    assert per("rpc", metered(0, missing=("M1",)), 5, "kWh").missing == ("M1",)


def test_halls_bear_the_overhead_and_what_no_meter_saw_is_said():
    # 1,500 kWh for 1,000 kWh of IT: each kWh of IT bears half a kWh.
    found = shares(metered(1_500), metered(1_000), {"hall 1": metered(600), "hall 2": metered(300)})
    assert found.parts["hall 1"].all_kwh == pytest.approx(900)
    assert found.parts["hall 2"].all_kwh == pytest.approx(450)
    assert found.unmetered_kwh == pytest.approx(100)
    with pytest.raises(MeterError, match="twice"):
        shares(metered(1_500), metered(1_000), {"a": metered(600), "b": metered(500)})
