"""Points of model 203 at the places of the published model definition."""

import math

import pytest

from mbongi.wire import sunspec
from mbongi.wire.sunspec import SunSpecError


def meter(**points: int) -> list[int]:
    """A model 203, given by the offsets of sunspec/models, model_203.json: its points' sizes added up."""
    offsets = {"A": 2, "A_SF": 6, "PhV": 7, "V_SF": 15, "Hz": 16, "Hz_SF": 17, "W": 18, "W_SF": 22}
    offsets |= {"TotWhImp": 46, "TotWhImp_low": 47, "TotWh_SF": 54}
    words = [0x8000] * 107
    words[0], words[1] = 203, 105
    words[46] = words[47] = 0
    for name, value in points.items():
        words[offsets[name]] = value & 0xFFFF
    return words


def test_points_are_their_words_times_ten_to_their_scale() -> None:
    words = meter(W=3512, W_SF=4, Hz=4998, Hz_SF=-2, PhV=2304, V_SF=-1, A=5080, A_SF=1)
    words[46], words[47], words[54] = 0x0001, 0x86A0, 3

    found = sunspec.read_meter(words)

    assert found.power_w == 35_120_000
    assert found.frequency_hz == pytest.approx(49.98)
    assert found.voltage_v == pytest.approx(230.4)
    assert found.current_a == 50_800
    assert found.imported_wh == 100_000_000
    assert found.scale == 4


def test_power_to_the_grid_is_negative_and_what_is_not_there_is_not_a_number() -> None:
    assert sunspec.read_meter(meter(W=-12, W_SF=3)).power_w == -12_000
    found = sunspec.read_meter(meter(W=0x8000, W_SF=1))
    assert math.isnan(found.power_w)
    assert math.isnan(found.frequency_hz)
    assert math.isnan(found.imported_wh)
    assert sunspec.read_meter(meter(W=5)).power_w == 5  # no scale factor: ones


def test_other_models_and_impossible_scales_are_refused() -> None:
    for words in ([101, 50, *meter()[2:]], [203, 104, *meter()[2:]], meter()[:106]):
        with pytest.raises(SunSpecError):
            sunspec.read_meter(words)
    with pytest.raises(SunSpecError, match="scale factor 11"):
        sunspec.read_meter(meter(W=1, W_SF=11))


def test_the_mark_is_the_text_of_the_standard() -> None:
    assert bytes(sunspec.text("SunS", 2)[0].to_bytes(2) + sunspec.text("SunS", 2)[1].to_bytes(2)) == b"SunS"
    assert sunspec.is_map(sunspec.text("SunS", 2))
    assert not sunspec.is_map((0x5375, 0))
