"""The pool's sight of machines beside what they state of themselves."""

import math

import msgspec
import pytest

from mbongi.base.ids import MachineId
from mbongi.fleet.reading import DetailReport, MachineDetail, MachineReading, PoolDetail
from mbongi.fleet.rules.conditions import Watch
from mbongi.fleet.rules.pool_side import AGE_MS_MAX, PoolSide, Seen, SeenByPool, compare
from mbongi.fleet.values import EventKind, MachineState
from mbongi.pool.status import WorkerHashrate, WorkerHashrates
from mbongi.run.fleet import _seen_by_pool

MINUTE_MS = 60_000


def uses(machine_id: int, user: str, *, active: bool | None = True) -> DetailReport:
    """A machine states that it works for a pool under that name."""
    pool = PoolDetail(url="stratum+tcp://127.0.0.1:3333", user=user, active=active)
    return DetailReport(machine_id=MachineId(machine_id), detail=MachineDetail(pools=[pool]))


def reading(machine_id: int, minute: float, ths: float, state: MachineState = MachineState.MINING) -> MachineReading:
    return MachineReading(ts=int(minute * MINUTE_MS), machine_id=machine_id, state=state.value, hashrate_ths=ths)


def seen(minute: float, source: int = 0, span_s: float = 300.0, **users: float) -> SeenByPool:
    """The pool saw these hashrates, each to a tenth."""
    found = {name: Seen(span_s, ths, 0.9 * ths, 1.1 * ths) for name, ths in users.items()}
    return SeenByPool(source, int(minute * MINUTE_MS), found)


def mines(side: PoolSide, machine_id: int, minutes: range, ths: float) -> None:
    for minute in minutes:
        side.fill([reading(machine_id, minute, ths)])


def test_a_reading_gets_what_the_pool_sees_of_its_machine() -> None:
    side = PoolSide()
    side.details([uses(1, "acct"), uses(2, "other")])
    side.hear(seen(10, acct=100.0))
    known, unknown = reading(1, 10.5, 98.0), reading(2, 10.5, 98.0)
    side.fill([known, unknown])
    assert (known.pool_side_ths, known.pool_side_low_ths, known.pool_side_high_ths) == (100.0, 90.0, 110.00000000000001)
    assert math.isnan(unknown.pool_side_ths)


def test_machines_that_share_a_name_are_not_told_apart_until_one_leaves() -> None:
    side = PoolSide()
    side.details([uses(1, "acct"), uses(2, "acct")])
    side.hear(seen(10, acct=100.0))
    first = reading(1, 10, 50.0)
    side.fill([first])
    assert math.isnan(first.pool_side_ths)
    side.details([uses(2, "elsewhere")])
    side.fill([first])
    assert first.pool_side_ths == 100.0
    side.details([uses(1, "acct", active=False)])
    again = reading(1, 10, 50.0)
    side.fill([again])
    assert math.isnan(again.pool_side_ths)


def test_an_old_word_says_nothing_and_several_processes_add_up() -> None:
    side = PoolSide()
    side.details([uses(1, "acct")])
    side.hear(seen(10, source=0, acct=60.0))
    side.hear(seen(10, source=1, acct=40.0))
    now, late = reading(1, 10, 99.0), reading(1, 10.1 + AGE_MS_MAX / MINUTE_MS, 99.0)
    side.fill([now])
    side.fill([late])
    assert now.pool_side_ths == pytest.approx(100.0)
    assert math.isnan(late.pool_side_ths)


def test_only_minutes_that_both_know_are_held_beside_each_other() -> None:
    side = PoolSide()
    side.details([uses(1, "acct")])
    side.hear(seen(10, acct=100.0))
    assert side.fill([reading(1, 10, 200.0)]) == []
    mines(side, 1, range(11, 15), 100.0)
    side.hear(seen(15, acct=100.0))
    [sight] = side.fill([reading(1, 15, 100.0)])
    assert sight.own_ths == pytest.approx((200 + 5 * 100) / 6)
    assert side.fill([reading(1, 15.1, 0.0, MachineState.SLEEPING)]) == []


def test_a_pool_that_sees_much_less_raises_an_alarm_which_clears() -> None:
    side, watch, changes = PoolSide(), Watch(), []
    side.details([uses(1, "acct")])
    for minute in range(60):
        told = 100.0 if minute < 20 or minute > 40 else 50.0
        side.hear(seen(minute, acct=told))
        changes += watch.pool_side(side.fill([reading(1, minute, 100.0)]))
        changes += watch.tick(minute * MINUTE_MS)
    assert [(each.kind, each.opened, each.at_ms // MINUTE_MS) for each in changes] == [
        (EventKind.POOL_SIDE_LOW, True, 20),
        (EventKind.POOL_SIDE_LOW, False, 41),
    ]
    assert changes[0].params == {"pool_ths": 50.0, "high_ths": 55.00000000000001, "own_ths": 100.0}


def test_machines_that_are_gone_are_forgotten() -> None:
    side = PoolSide()
    side.details([uses(1, "acct"), uses(2, "acct")])
    side.hear(seen(10, acct=100.0))
    side.keep_only({MachineId(1)})
    first = reading(1, 10, 50.0)
    side.fill([first])
    assert first.pool_side_ths == 100.0


def test_the_pools_word_is_read_in_the_fleets_units() -> None:
    told = WorkerHashrates(shard=3, at_ms=7, workers=(WorkerHashrate("acct.one", 300.0, 2e14, 1.5e14, 2.5e14),))
    assert _seen_by_pool(msgspec.json.encode(told), 1e-12) == SeenByPool(
        3, 7, {"acct.one": Seen(300.0, 200.0, 150.0, 250.0)}
    )


@pytest.mark.parametrize(
    ("shares", "expected", "p"),
    [
        (10, 20.0, 0.010811718),  # Poisson table: P(N <= 10; 20) = 0.0108117 (Pearson and Hartley, Biometrika Tables)
        (5, 10.0, 0.067085963),  # P(N <= 5; 10) = 0.067086
        (10, 10.0, 0.583039750),  # P(N <= 10; 10) = 0.583040
        (0, 7.0, 0.000911882),  # exp(-7)
    ],
)
def test_the_test_is_that_of_a_poisson_count_against_what_the_machine_states(shares, expected, p):
    """One share stands for 1 TH/s here, so the machine states as many TH/s as shares are expected of it.

    Upper ends of the intervals from published tables of Garwood's limits (95 %, two-sided).
    """
    upper = {0: 3.689, 5: 11.668, 10: 18.390}[shares]

    found = compare(own_ths=expected, pool_ths=float(shares), low_ths=0.0, high_ths=upper)

    assert found is not None
    assert found.shares == shares
    assert found.p == pytest.approx(p, rel=1e-3)
    assert found.is_less is (p < 0.001)


@pytest.mark.parametrize("missing", ["own_ths", "pool_ths", "high_ths"])
def test_without_one_of_the_figures_nothing_is_compared(missing):
    figures = {"own_ths": 100.0, "pool_ths": 50.0, "low_ths": 30.0, "high_ths": 80.0} | {missing: math.nan}

    assert compare(**figures) is None


def test_a_machine_that_pretends_to_hash_is_told_after_few_shares_and_an_honest_one_is_not():
    """A third of what is stated, on 30 shares; P(N <= 30; 90) is far below one in a million."""
    thief = compare(own_ths=300.0, pool_ths=100.0, low_ths=67.5, high_ths=142.8)  # Garwood: 30 -> 20.24 .. 42.83
    honest = compare(own_ths=105.0, pool_ths=100.0, low_ths=67.5, high_ths=142.8)

    assert thief is not None
    assert honest is not None
    assert (thief.shares, thief.is_less) == (30, True)
    assert thief.p < 1e-6
    assert (honest.shares, honest.is_less) == (30, False)
