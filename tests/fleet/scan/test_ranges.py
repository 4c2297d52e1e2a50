"""Address ranges as people write them."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbongi.fleet.ranges import AddressRanges, ScanRangeError


@pytest.mark.parametrize(
    ("text", "count", "first", "last"),
    [
        ("10.20.0.0/20", 4096, "10.20.0.0", "10.20.15.255"),
        ("10.20.0.7/20", 4096, "10.20.0.0", "10.20.15.255"),
        ("10.0.0.5", 1, "10.0.0.5", "10.0.0.5"),
        ("10.0.0.5/32", 1, "10.0.0.5", "10.0.0.5"),
        ("10.0.0.250-10.0.1.5", 12, "10.0.0.250", "10.0.1.5"),
        ("10.0.0.1-99", 99, "10.0.0.1", "10.0.0.99"),
        ("10.0.0.1, 10.0.0.2 10.0.0.9", 3, "10.0.0.1", "10.0.0.9"),
    ],
)
def test_each_way_of_writing_a_range(text: str, count: int, first: str, last: str) -> None:
    ranges = AddressRanges([text])
    addresses = list(ranges)
    assert (len(ranges), len(addresses), addresses[0], addresses[-1]) == (count, count, first, last)
    assert first in ranges
    assert "9.9.9.9" not in ranges
    assert "no address" not in ranges


@pytest.mark.parametrize(
    "text",
    [
        "10.0.0",
        "10.0.0.0/33",
        "10.0.0.9-10.0.0.1",
        "10.0.0.1-",
        "10.0.0.1-300",
        "fe80::1",
        "host",
        "10.0.0.1/a",
        "-",
        "/",
    ],
)
def test_a_range_that_cannot_be_read_is_an_error_that_names_it(text: str) -> None:
    with pytest.raises(ScanRangeError, match=r"scan range"):
        AddressRanges([text])


def test_too_many_addresses_for_one_scan_are_an_error_and_no_memory() -> None:
    with pytest.raises(ScanRangeError, match="at most"):
        AddressRanges(["0.0.0.0/0"])


def test_no_ranges_hold_no_addresses() -> None:
    assert list(AddressRanges([])) == list(AddressRanges(["", " , "])) == []


@given(st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 40)), max_size=8))
def test_overlapping_ranges_give_each_address_once_and_in_order(spans: list[tuple[int, int]]) -> None:
    base = int(ipaddress.IPv4Address("10.0.0.0"))
    texts = [f"{ipaddress.IPv4Address(base + at)}-{ipaddress.IPv4Address(base + at + more)}" for at, more in spans]
    expected = sorted({base + at + step for at, more in spans for step in range(more + 1)})
    assert [int(ipaddress.IPv4Address(address)) for address in AddressRanges(texts)] == expected
