"""How fast operations go; the ramp is checked against a load that is followed second by second."""

from hypothesis import given
from hypothesis import strategies as st

from mbongi.fleet.rules.pace import BURST_S, Release, Standing, Waiting, release, saved_up
from mbongi.fleet.values import Limits

LIMITS = st.builds(
    Limits,
    batch=st.integers(1, 30),
    ramp_kw_s=st.none() | st.floats(0.1, 500),
    out_of_service_max=st.none() | st.integers(1, 20),
    failures_max=st.integers(1, 10),
)
STEPS = st.lists(st.builds(Waiting, load_w=st.floats(-5000, 5000), stops=st.booleans()), max_size=60)


def steps(count: int, load_w: float = -3500.0, *, stops: bool = True) -> list[Waiting]:
    return [Waiting(load_w, stops)] * count


@given(LIMITS, STEPS, st.integers(0, 40), st.integers(0, 40), st.integers(0, 12), st.floats(0, 2000))
def test_nothing_begins_beyond_a_limit(limits, waiting, under_way, out_of_service, failed, ramp_kw):
    told = release(limits, Standing(under_way, out_of_service, failed), waiting, ramp_kw)

    begun = waiting[: told.steps]
    assert len(begun) == told.steps
    assert not begun or under_way + told.steps <= limits.batch
    if limits.out_of_service_max is not None and any(step.stops for step in begun):
        assert out_of_service + sum(step.stops for step in begun) <= limits.out_of_service_max
    assert told.must_halt == (failed >= limits.failures_max)
    assert not (told.must_halt and begun)


@given(st.floats(1, 300), st.lists(st.floats(100, 5000), min_size=1, max_size=200), st.sampled_from([0.3, 0.5, 1.0]))
def test_a_ramp_is_kept_over_any_time_but_for_what_was_saved_up_and_one_machine(ramp_kw_s, loads_w, tick_s):
    limits = Limits(batch=10_000, ramp_kw_s=ramp_kw_s)
    waiting, ramp_kw, changed_kw, now_s = [Waiting(load, stops=False) for load in loads_w], 0.0, 0.0, 0.0
    while waiting:
        now_s += tick_s
        told = release(limits, Standing(), waiting, saved_up(limits, ramp_kw, tick_s))
        changed_kw += sum(step.load_w for step in waiting[: told.steps]) / 1000
        waiting, ramp_kw = waiting[told.steps :], told.ramp_kw
        assert changed_kw <= ramp_kw_s * now_s + max(loads_w) / 1000 + 1e-6
        assert now_s < 20 + sum(loads_w) / 1000 / ramp_kw_s + len(loads_w) * tick_s, "it never comes to its end"


def test_what_takes_effect_later_begins_earlier_and_is_owed_to_the_ramp():
    """10 kW/s, machines of 5 kW: one that rests 2 s later begins with 20 kW of the ramp still to come."""
    limits = Limits(batch=1000, ramp_kw_s=10.0)
    slow, quick = [Waiting(-5000.0, stops=True, after_s=2.0)] * 6, steps(6, -5000.0)

    first = release(limits, Standing(), slow + quick, 0.0)
    assert first == Release(4, -20.0, must_halt=False)
    # After a second the ramp has 10 kW more: two more of the slow ones, and none of the quick.
    second = release(limits, Standing(), slow[4:] + quick, saved_up(limits, first.ramp_kw, 1.0))
    assert second == Release(2, -20.0, must_halt=False)
    # With all that a rest saves up there are no more at one moment than the burst.
    assert release(limits, Standing(), slow, saved_up(limits, 0.0, 3600.0)).steps == 4
    # The quick ones wait until what was begun early is made up for.
    assert release(limits, Standing(), quick, saved_up(limits, second.ramp_kw, 2.0)).steps == 0
    assert release(limits, Standing(), quick, saved_up(limits, second.ramp_kw, 3.0)).steps == 2


def test_a_ramp_that_rested_saves_up_no_more_than_its_burst():
    limits = Limits(batch=1000, ramp_kw_s=100.0)

    rested = saved_up(limits, 0.0, 3600.0)

    assert rested == 100.0 * BURST_S
    assert release(limits, Standing(), steps(1000, 2000.0), rested).steps == 100


def test_time_that_goes_backwards_saves_up_nothing():
    assert saved_up(Limits(ramp_kw_s=10.0), 3.0, -5.0) == 3.0


def test_a_machine_larger_than_the_ramp_saves_up_begins_alone_and_the_next_waits():
    limits = Limits(ramp_kw_s=1.0)

    first = release(limits, Standing(), steps(2), saved_up(limits, 0.0, 10.0))
    assert first == Release(1, 2.0 - 3.5, must_halt=False)

    assert release(limits, Standing(), steps(1), saved_up(limits, first.ramp_kw, 3.0)).steps == 0
    assert release(limits, Standing(), steps(1), saved_up(limits, first.ramp_kw, 3.5)).steps == 1


def test_machines_that_do_not_mine_again_hold_up_those_that_would_stop():
    limits = Limits(out_of_service_max=3)

    assert release(limits, Standing(out_of_service=2), steps(5), 0.0).steps == 1
    assert release(limits, Standing(out_of_service=3), steps(5), 0.0).steps == 0
    assert release(limits, Standing(out_of_service=3), steps(5, stops=False), 0.0).steps == 5


def test_it_halts_at_the_failure_that_the_limit_names():
    limits = Limits(failures_max=2)

    assert not release(limits, Standing(failed=1), steps(1), 0.0).must_halt
    assert release(limits, Standing(failed=2), steps(1), 0.0) == Release(0, 0.0, must_halt=True)
