"""Avalon: the text of figures, and writes whose words stand between commas."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbongi.wire import cgminer
from mbongi.wire.avalon import Figures, ascset, decode_stats, decode_write
from mbongi.wire.errors import WireError
from tests.captures import capture


def test_the_captured_text_comes_apart_as_asic_rs_takes_it_apart() -> None:
    """asic-rs publishes its own reading of the same answer beside it."""
    figures = Figures(cgminer.decode(capture("avalon", "avalon_a_stats"), decode_stats).rows[0].text)

    assert (figures.text("Ver"), figures.text("SYSTEMSTATU")) == (
        "1246-83-21072802_4ec6bb0_211fc46",
        "Work: In Work, Hash Board: 3",
    )
    assert figures.numbers("PS") == [0, 1214, 1316, 242, 3189, 1320, 3504]
    assert (figures.number("FanR"), figures.number("GHSmm"), figures.number("Temp")) == (72.0, 83923.04, 30.0)
    assert [len(figures.numbers(f"PVT_T{board}")) for board in range(3)] == [120, 120, 120]
    assert sum(figures.numbers("MGHS")) == pytest.approx(figures.number("GHSavg"))


def test_figures_that_are_missing_or_no_numbers_are_none() -> None:
    figures = Figures("A[1 2] B[] C[x] D[1 x] Nonce Mask[25]")

    assert (figures.number("A"), figures.number("B"), figures.number("C"), figures.number("Z")) == (
        1.0,
        None,
        None,
        None,
    )
    assert (figures.numbers("D"), figures.text("C"), figures.number("Nonce Mask")) == ([], "x", 25.0)


@given(st.text(max_size=200))
def test_any_text_comes_apart_without_an_error(text: str) -> None:
    figures = Figures(text)
    figures.number("A")

    assert len(figures) >= 0


def test_a_write_is_one_parameter_of_words() -> None:
    assert json.loads(ascset("softoff", "1:1700000000")) == {
        "command": "ascset",
        "parameter": "0,softoff,1:1700000000",
    }


@pytest.mark.parametrize(("name", "letter", "code"), [("ascset_softoff", "I", 118), ("ascset_workmode", "S", 119)])
def test_captured_answers_to_writes_are_read(name: str, letter: str, code: int) -> None:
    [status] = cgminer.decode(capture("avalon", name), decode_write).status

    assert (status.STATUS, status.Code) == (letter, code)


def test_silence_is_an_error() -> None:
    with pytest.raises(WireError, match="without a word"):
        cgminer.decode(b"", decode_write)
