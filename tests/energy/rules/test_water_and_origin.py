"""Water, heat and proofs of origin: by hand, and steam tables."""

from datetime import UTC, datetime, timedelta

import pytest

from mbongi.energy.rules.origin import Certificate, proven_kwh
from mbongi.energy.rules.water import evaporation_kj_kg, heat_kwh, water_l

MARCH = datetime(2026, 3, 1, tzinfo=UTC)
APRIL = datetime(2026, 4, 1, tzinfo=UTC)


@pytest.mark.parametrize(("temp_c", "kj_kg"), [(0.01, 2500.9), (10, 2477.2), (20, 2453.5), (30, 2429.8), (40, 2406.0)])
def test_the_heat_of_evaporation_is_that_of_steam_tables(temp_c, kj_kg):
    assert evaporation_kj_kg(temp_c) == pytest.approx(kj_kg, rel=0.001)


def test_water_of_a_tower_by_hand():
    # 100 kWh at 20 °C: 360,000 / 2453.5 = 146.7 l evaporate; at 4 cycles a third of it is blown down.
    assert water_l(100, temp_c=20, cycles=4) == pytest.approx(146.7 * 4 / 3, rel=0.001)
    assert water_l(100, temp_c=20, cycles=4, drift_share=0.01) == pytest.approx(146.7 * (4 / 3 + 0.01), rel=0.001)


def test_heat_that_is_of_use_by_hand():
    # 2 l/s cooled by 15 K: 2 x 4.18 x 15 = 125.4 kW.
    assert heat_kwh(2, warm_c=50, cold_c=35, hours=10) == pytest.approx(1254)
    assert heat_kwh(2, warm_c=35, cold_c=50, hours=10) == 0


def test_what_is_proven_is_what_certificates_of_the_time_cover():
    proof = Certificate("CG-1", "HYDRO", MARCH, APRIL, 31_000)
    assert proven_kwh(20_000, "HYDRO", MARCH, APRIL, [proof]) == 20_000, "not more than was used"
    assert proven_kwh(50_000, "HYDRO", MARCH, APRIL, [proof]) == 31_000
    day = MARCH + timedelta(days=1)
    assert proven_kwh(5_000, "HYDRO", MARCH, day, [proof]) == pytest.approx(1_000), "a thirty-first of the month"
    assert proven_kwh(5_000, "PV", MARCH, APRIL, [proof]) == 0
    assert proven_kwh(5_000, "HYDRO", APRIL, APRIL + timedelta(days=1), [proof]) == 0


def test_a_certificate_counts_once():
    proof = Certificate("CG-1", "HYDRO", MARCH, APRIL, 31_000)
    with pytest.raises(ValueError, match="CG-1: given more than once"):
        proven_kwh(1, "HYDRO", MARCH, APRIL, [proof, proof])
    with pytest.raises(ValueError, match="-5 kWh"):
        proven_kwh(1, "HYDRO", MARCH, APRIL, [Certificate("CG-2", "HYDRO", MARCH, APRIL, -5)])
