"""When a repaired machine has shown that it mines."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbongi.base.ids import MachineId
from mbongi.fleet.rules.recovery import Proof, Recovered, Recovery

ONE, OTHER = MachineId(1), MachineId(2)
PROOF = Proof(share_min=0.9, hold_s=600, gap_s=30)


def watched(fixed_ms: int = 0) -> Recovery:
    recovery = Recovery(PROOF)
    recovery.watch({ONE: fixed_ms})
    return recovery


def feed(recovery: Recovery, start_s: int, end_s: int, rate: float = 100.0, every_s: int = 10) -> Recovered | None:
    found = None
    for at_s in range(start_s, end_s + 1, every_s):
        found = found or recovery.see(ONE, at_s * 1000, rate, 100.0)
    return found


def test_a_machine_that_holds_its_rate_long_enough_is_repaired() -> None:
    assert feed(watched(), 10, 600) is None
    assert feed(watched(), 10, 610) == Recovered(ONE, 10_000, 610_000, 1.0)


@pytest.mark.parametrize("rate", [89.0, 0.0, math.nan, math.inf])
def test_a_rate_below_the_share_or_unknown_begins_the_time_anew(rate: float) -> None:
    recovery = watched()
    feed(recovery, 0, 590)
    assert recovery.see(ONE, 595_000, rate, 100.0) is None
    assert feed(recovery, 600, 1190) is None
    assert feed(recovery, 1200, 1200) is not None


def test_a_gap_proves_nothing() -> None:
    recovery = watched()
    feed(recovery, 0, 300)
    assert feed(recovery, 340, 930) is None
    assert feed(recovery, 940, 940) is not None


def test_what_was_seen_before_the_repair_does_not_count() -> None:
    assert feed(watched(fixed_ms=300_000), 0, 890) is None


def test_a_later_repair_begins_the_time_anew() -> None:
    recovery = watched()
    feed(recovery, 0, 590)
    recovery.watch({ONE: 595_000})
    assert feed(recovery, 600, 1190) is None


def test_a_machine_without_nominal_rate_or_order_is_never_verified() -> None:
    recovery = watched()
    assert all(recovery.see(ONE, at * 10_000, 100.0, rate) is None for at in range(100) for rate in (0.0, math.nan))
    assert all(recovery.see(OTHER, at * 10_000, 100.0, 100.0) is None for at in range(100))


@given(st.lists(st.tuples(st.integers(1, 60), st.sampled_from([100.0, 95.0, 50.0, math.nan])), max_size=80))
def test_a_proof_is_a_time_without_gap_or_low_rate(steps: list[tuple[int, float]]) -> None:
    recovery, at_s, seen = watched(), 0, []
    for pause_s, rate in steps:
        at_s += pause_s
        seen.append((at_s, rate))
        found = recovery.see(ONE, at_s * 1000, rate, 100.0)
        if found is None:
            continue
        within = [(at, each) for at, each in seen if found.since_ms <= at * 1000 <= found.until_ms]
        assert all(each >= 90 for _at, each in within)
        assert all(later[0] - earlier[0] <= 30 for earlier, later in pairwise(within))
        assert within[-1][0] - within[0][0] >= 600
