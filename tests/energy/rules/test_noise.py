"""Noise: ISO 9613-2's own table of absorption, and a fence worked out by hand."""

import math

import pytest

from mbongi.energy.rules.noise import (
    BANDS_HZ,
    Air,
    Barrier,
    NoiseSource,
    absorption_db_m,
    barrier_db,
    divergence_db,
    ground_db,
    level_db,
    solid_angle_db,
    total_db,
)


@pytest.mark.parametrize(
    ("temp_c", "humidity_pct", "expected"),
    [
        # ISO 9613-2, table 2, dB/km from 63 Hz to 8 kHz.
        (10, 70, (0.1, 0.4, 1.0, 1.9, 3.7, 9.7, 32.8, 117)),
        (20, 70, (0.1, 0.3, 1.1, 2.8, 5.0, 9.0, 22.9, 76.6)),
        (30, 70, (0.1, 0.3, 1.0, 3.1, 7.4, 12.7, 23.1, 59.3)),
        (15, 20, (0.3, 0.6, 1.2, 2.7, 8.2, 28.2, 88.8, 202)),
        (15, 80, (0.1, 0.3, 1.1, 2.4, 4.1, 8.3, 23.7, 82.8)),
    ],
)
def test_the_air_absorbs_what_the_standards_table_says(temp_c, humidity_pct, expected):
    found = [1000 * absorption_db_m(band, Air(temp_c, humidity_pct)) for band in BANDS_HZ]
    for value, wanted in zip(found, expected, strict=True):
        # The table is rounded to a tenth, to a whole number from 100 on.
        assert value == pytest.approx(wanted, abs=0.06 if wanted < 100 else 0.6)


def test_parts_by_hand():
    assert divergence_db(100) == pytest.approx(51)
    assert divergence_db(200) == pytest.approx(57.02, abs=0.01)
    # 4.8 - 2 x 1.5/100 x (17 + 3) = 4.2; close by it would be negative, and is 0.
    assert ground_db(100, 1.5) == pytest.approx(4.2)
    assert ground_db(10, 1.5) == 0
    # Both on the ground: the half space, 3 dB.
    assert solid_angle_db(100, 0, 0) == pytest.approx(3.01, abs=0.01)


def test_a_barrier_by_hand():
    # Source and receiver 50 m either side, 4 m below the edge: 2 x sqrt(50² + 4²) - 100 = 0.3195 m longer.
    edge = math.hypot(50, 4)
    # Kmet = exp(-sqrt(50.16² x 100 / 0.639)/2000) = exp(-0.3137) = 0.7307; at 1 kHz 20/0.34 x 0.3195 x 0.7307 = 13.73.
    assert barrier_db(1000, 100, Barrier(edge, edge)) == pytest.approx(10 * math.log10(16.73), abs=0.01)
    assert barrier_db(8000, 20, Barrier(20, 20)) == 20, "a single edge gives no more"
    assert barrier_db(1000, 100, Barrier(50, 50)) == 0, "the line of sight clears it"


def test_a_genset_at_the_fence():
    # 100 dB at 1 kHz alone, 100 m away, both 1.5 m high, 20 °C and 70 %: 100 + 3.01 - 51 - 0.5 - 4.2 = 47.3 dB(A).
    powers = tuple(100.0 if band == 4 else -math.inf for band in range(8))
    source = NoiseSource("GEN", powers, 100, 1.5)
    assert level_db(source, 1.5, Air(20, 70)) == pytest.approx(47.3, abs=0.05)
    # The barrier of above takes the ground's place: 12.2 instead of 4.2 dB.
    edge = math.hypot(50, 4)
    assert level_db(source, 1.5, Air(20, 70), Barrier(edge, edge)) == pytest.approx(39.3, abs=0.1)


def test_levels_add_as_energies():
    assert total_db([50, 50]) == pytest.approx(53.01, abs=0.01)
    assert total_db([50, -math.inf]) == pytest.approx(50)
    assert total_db([]) == -math.inf
