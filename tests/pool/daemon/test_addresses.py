"""What addresses may use, and who is shut out and who is not."""

import pytest

from mbongi.pool.daemon.addresses import STRIKE_S_MAX, Addresses, network_of
from mbongi.pool.daemon.gate import Limits

HERE = "10.0.0.1"


def addresses(**changes: float) -> Addresses:
    return Addresses(Limits(**changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("peer", "counts_for"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("2001:db8::1:2", "2001:db8::"),
        ("2001:db8:0:0:ffff::", "2001:db8::"),
        ("2001:db8:0:1::1", "2001:db8:0:1::"),
        ("fe80::1%eth0", "fe80::"),
        ("", ""),
    ],
)
def test_an_address_of_ipv6_counts_for_its_64(peer: str, counts_for: str) -> None:
    assert network_of(peer) == counts_for


def test_connections_of_one_address_are_counted_and_freed() -> None:
    gate = addresses(per_address_max=2)
    first, _ = gate.enter(HERE, 0.0)

    assert [gate.enter(HERE, 0.0)[1], bool(gate.enter(HERE, 0.0)[1]), gate.enter("10.0.0.2", 0.0)[1]] == ["", True, ""]
    gate.leave(first)
    gate.leave(first)
    assert gate.enter(HERE, 0.0)[1] == ""


def test_connections_that_come_too_fast_are_refused_until_the_window_is_over() -> None:
    gate = addresses(connects_per_s_per_address=0.2)
    refusals = [gate.enter(HERE, 0.0)[1] for _ in range(3)]
    gate.begin_window(10.0)

    assert [bool(each) for each in refusals] == [False, False, True]
    assert gate.enter(HERE, 10.0)[1] == ""


def test_bytes_of_all_connections_of_an_address_are_added_up() -> None:
    gate = addresses(bytes_per_s_per_address=100.0)
    here, _ = gate.enter(HERE, 0.0)

    assert [gate.may_receive(here, 600), gate.may_receive(here, 600)] == [True, False]
    gate.begin_window(10.0)
    assert gate.may_receive(here, 600)


def test_a_worker_has_its_rate_of_shares_at_each_address() -> None:
    gate = addresses(shares_per_s_per_worker=0.2)
    here, there = gate.enter(HERE, 0.0)[0], gate.enter("10.0.0.2", 0.0)[0]

    assert [gate.may_accept(here, 1, 0.0) for _ in range(3)] == [True, True, False]
    assert gate.may_accept(here, 2, 0.0)
    assert gate.may_accept(there, 1, 0.0), "who uses another's name uses up nothing of the other's"


def test_a_ban_ends() -> None:
    gate = addresses(strikes_max=2, ban_s=30.0)
    here, _ = gate.enter(HERE, 0.0)
    gate.strike(here, "nonsense", 0.0)
    before = gate.enter(HERE, 0.0)[1]
    gate.strike(here, "nonsense", 1.0)

    assert (before, gate.enter(HERE, 2.0)[1]) == ("", "shut out")
    gate.begin_window(20.0)
    assert gate.enter(HERE, 30.9)[1] == "shut out"
    assert gate.enter(HERE, 31.1)[1] == ""


def test_old_strikes_are_forgotten() -> None:
    gate = addresses(strikes_max=2)
    here, _ = gate.enter(HERE, 0.0)
    gate.strike(here, "nonsense", 0.0)
    gate.begin_window(STRIKE_S_MAX + 1)
    gate.strike(here, "nonsense", STRIKE_S_MAX + 2)

    assert gate.enter(HERE, STRIKE_S_MAX + 3)[1] == ""


def test_an_address_that_good_shares_come_from_is_not_shut_out() -> None:
    gate = addresses(strikes_max=1)
    here, _ = gate.enter(HERE, 0.0)
    gate.may_accept(here, 1, 0.0)
    gate.strike(here, "nonsense", 1.0)
    honest = gate.enter(HERE, 1.0)[1]
    gate.strike(here, "nonsense", STRIKE_S_MAX + 2)

    assert honest == ""
    assert gate.enter(HERE, STRIKE_S_MAX + 3)[1] == "shut out"
