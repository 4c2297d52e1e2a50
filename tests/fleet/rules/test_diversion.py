"""Diverted work, counted by hand: hashes [TH] are hashrate [TH/s] times span [s]."""

import math

from mbongi.base.ids import MachineId
from mbongi.fleet.reading import MachineReading
from mbongi.fleet.rules.diversion import Diversions, Spell, over_time
from mbongi.fleet.rules.drift import InUse
from mbongi.fleet.values import MachineState

ONE, TWO = MachineId(1), MachineId(2)
THIEF, OURS = InUse("stratum+tcp://elsewhere:3333", "thief"), InUse("stratum+tcp://pool:3333", "acct.1")


def reading(at_s, ths=200.0, span_s=10.0, state=MachineState.MINING, machine_id=ONE):
    return MachineReading(
        ts=int(at_s * 1000), machine_id=machine_id, state=state.value, hashrate_ths=ths, span_s=span_s
    )


def test_two_minutes_of_two_hundred_th_s_are_24000_th():
    diversions = Diversions()
    diversions.judge(ONE, THIEF, wanted=False, at_ms=0)

    diversions.count([reading(10 * step) for step in range(1, 13)])

    (told,) = diversions.take()
    # 12 readings, each 200 TH/s over 10 s: 12 * 2,000 TH.
    assert (told.url, told.user, told.since_ms, told.until_ms, told.hashes_th) == (THIEF.url, "thief", 0, None, 24_000)


def test_a_machine_that_works_for_the_profiles_pool_counts_nothing():
    diversions = Diversions()
    diversions.judge(ONE, OURS, wanted=True, at_ms=0)

    diversions.count([reading(10)])

    assert not diversions.take()
    assert len(diversions) == 0


def test_it_closes_when_the_machine_is_back_and_what_comes_later_is_not_counted():
    diversions = Diversions()
    diversions.judge(ONE, THIEF, wanted=False, at_ms=0)
    diversions.count([reading(10), reading(20, ths=100.0)])

    diversions.judge(ONE, OURS, wanted=True, at_ms=25_000)
    diversions.count([reading(30)])

    (told,) = diversions.take()
    assert (told.hashes_th, told.until_ms) == (3_000.0, 25_000)  # 2,000 + 1,000


def test_asleep_off_silent_or_without_a_figure_it_counts_nothing_and_lasts():
    diversions = Diversions()
    diversions.judge(ONE, THIEF, wanted=False, at_ms=0)
    diversions.take()

    diversions.count([
        reading(10, state=MachineState.SLEEPING),
        reading(20, state=MachineState.OFF),
        reading(30, state=MachineState.UNKNOWN),
        reading(40, ths=math.nan),
        reading(50, ths=0.0),
    ])  # fmt: skip
    diversions.judge(ONE, None, wanted=False, at_ms=55_000)

    assert not diversions.take()
    assert len(diversions) == 1


def test_another_foreign_pool_is_another_diversion():
    diversions = Diversions()
    diversions.judge(ONE, THIEF, wanted=False, at_ms=0)
    diversions.count([reading(10)])
    diversions.judge(ONE, InUse("stratum+tcp://third:1", "thief"), wanted=False, at_ms=15_000)
    diversions.count([reading(20, ths=50.0)])

    first, second = diversions.take()

    assert (first.hashes_th, first.until_ms) == (2_000.0, 15_000)
    assert (second.url, second.since_ms, second.hashes_th) == ("stratum+tcp://third:1", 15_000, 500.0)


def test_counting_goes_on_after_a_restart_and_no_reading_counts_twice():
    before = Diversions()
    before.judge(ONE, THIEF, wanted=False, at_ms=0)
    before.count([reading(10), reading(20)])
    recorded = before.take()

    after = Diversions()
    after.adopt({ONE}, recorded)
    after.judge(ONE, THIEF, wanted=False, at_ms=30_000)
    after.count([reading(20), reading(40)])

    (told,) = after.take()
    assert (told.since_ms, told.hashes_th) == (0, 6_000.0)  # 4,000 were written, one reading of 2,000 is new


def test_machines_of_others_are_not_adopted_and_those_given_away_are_forgotten_with_their_count_kept():
    diversions = Diversions()
    diversions.judge(ONE, THIEF, wanted=False, at_ms=0)
    diversions.judge(TWO, THIEF, wanted=False, at_ms=0)
    diversions.count([reading(10, machine_id=TWO)])

    diversions.keep_only({ONE})
    diversions.count([reading(20, machine_id=TWO)])

    assert {each.machine_id: each.hashes_th for each in diversions.take()} == {ONE: 0.0, TWO: 2_000.0}


def test_a_machine_that_no_profile_speaks_of_any_more_is_no_longer_diverted():
    diversions = Diversions()
    diversions.judge(ONE, THIEF, wanted=False, at_ms=0)

    diversions.judge(ONE, THIEF, wanted=None, at_ms=5_000)

    assert [each.until_ms for each in diversions.take()] == [5_000]


def test_what_could_not_be_written_waits_and_gives_way_to_what_is_newer():
    diversions = Diversions()
    diversions.judge(ONE, THIEF, wanted=False, at_ms=0)
    diversions.judge(TWO, THIEF, wanted=False, at_ms=0)
    lost = diversions.take()
    diversions.count([reading(10)])

    diversions.put_back(lost)

    assert {each.machine_id: each.hashes_th for each in diversions.take()} == {ONE: 2_000.0, TWO: 0.0}


def test_over_time_each_spell_is_spread_evenly_over_its_steps_and_adds_up():
    """By hand: 100 s steps; A: 6,000 TH over 50 s to 350 s is 20 TH/s; B: 1,000 TH within one step is 10 TH/s of it."""
    spells = [Spell("A", 50.0, 350.0, 6_000.0), Spell("B", 110.0, 150.0, 1_000.0), Spell("A", -50.0, 50.0, 1_000.0)]

    found = over_time(spells, 0.0, 100.0, 4)

    # The second spell of A is half outside: 500 TH in the first step, 5 TH/s.
    assert found == {"A": [10.0 + 5.0, 20.0, 20.0, 10.0], "B": [0.0, 10.0, 0.0, 0.0]}
