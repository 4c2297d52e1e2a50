"""Who a machine is, and whether it can still be the one of the poll before."""

import math

import pytest

from mbongi.fleet.rules.identity import Continuity, is_same

MAC, OTHER = "02:4D:42:00:00:01", "02:4D:42:00:00:02"


@pytest.mark.parametrize(
    ("known", "stated", "same"),
    [
        ((MAC, ""), (MAC.lower().replace(":", "-"), ""), True),
        ((MAC, "A"), (MAC, "A"), True),
        ((MAC, "A"), (MAC, "B"), False),
        ((MAC, "A"), (OTHER, "A"), False),
        ((MAC, ""), ("", "A"), None),
        (("", "A"), (OTHER, "A"), True),
        (("", "A"), (OTHER, "B"), False),
        ((MAC, ""), ("00:00:00:00:00:00", ""), None),
    ],
)
def test_the_mac_tells_then_the_serial_number(known: tuple, stated: tuple, same: bool | None) -> None:
    assert is_same(known, stated) is same


def proven() -> Continuity:
    found = Continuity()
    found.note(100.0, 0.0, 1)
    assert found.doubted, "the first word proves nothing"
    found.doubted = False
    return found


def test_an_uptime_that_goes_on_is_the_same_machine_even_over_new_connections() -> None:
    found = proven()
    for number in range(1, 20):
        found.note(100.0 + 10.0 * number, 10.0 * number, number)
    assert not found.doubted


@pytest.mark.parametrize("uptime_s", [3.0, 90.0, 5000.0])
def test_an_uptime_that_jumps_is_doubted_until_it_is_cleared(uptime_s: float) -> None:
    found = proven()
    found.note(uptime_s, 10.0, 1)
    assert found.doubted
    found.note(uptime_s + 10.0, 20.0, 1)
    assert found.doubted, "going on from there proves nothing"


def test_without_an_uptime_the_connection_must_be_the_same() -> None:
    found = Continuity()
    found.note(math.nan, 0.0, 1)
    found.doubted = False
    found.note(math.nan, 10.0, 1)
    assert not found.doubted
    found.note(math.nan, 20.0, 2)
    assert found.doubted
