"""Settings as actions keep them, and read again."""

import pytest

from mbongi.fleet.reading import Stated
from mbongi.fleet.rules.stated import stated_in, stated_words


@pytest.mark.parametrize(
    "stated",
    [
        Stated(),
        Stated(pools=(("stratum+tcp://a:1", "w"),), mode="low", power_limit_w=3000.0, fan_auto=False, fan_percent=50.0),
        Stated(firmware="FR-1", image="abc", hostname="m-01", fan_auto=True),
    ],
)
def test_what_is_kept_is_what_was_stated(stated):
    assert stated_in(stated_words(stated)) == stated


def test_what_is_not_stated_is_left_out():
    assert stated_words(Stated(mode="low")) == {"mode": "low"}
    assert stated_in({"firmware": None, "pools": None}) == Stated()
