"""The gate of a campaign, by numbers that were worked out by hand or stand in published tables."""

import math

import pytest

from mbongi.fleet.rules.gate import Criteria, Hard, Mark, Outcome, Side, Track, change, judge, student_t

NOBODY = Hard()
CRITERIA = Criteria(hashrate_drop_pct=3.0, efficiency_rise_pct=3.0, reject_rise_points=0.5, confidence=0.99)
STEADY = (99.0, 100.0, 101.0, 100.0)


def track(machine_id, old, new, *, before=None, after=None):
    return Track(machine_id, Side(old, **(before or {})), Side(new, **(after or {})))


def scaled(factor, blocks=STEADY):
    return tuple(factor * block for block in blocks)


def of(verdict, mark):
    return next(finding for finding in verdict.findings if finding.mark is mark)


@pytest.mark.parametrize(
    # NIST/SEMATECH e-Handbook, 1.3.6.7.2, "Critical values of the Student's t distribution".
    ("probability", "degrees", "expected"),
    [(0.95, 1, 6.314), (0.99, 1, 31.821), (0.975, 5, 2.571), (0.99, 10, 2.764), (0.999, 30, 3.385), (0.99, 100, 2.364)],
)
def test_student_t_is_that_of_the_published_table(probability, degrees, expected):
    assert student_t(probability, degrees) == pytest.approx(expected, abs=0.0006)


def test_student_t_of_half_is_nothing_and_other_arguments_are_refused():
    assert student_t(0.5, 7) == pytest.approx(0, abs=1e-9)
    for probability, degrees in ((0.4, 5), (1.0, 5), (0.9, 0)):
        with pytest.raises(ValueError, match="t quantile"):
            student_t(probability, degrees)


def test_a_change_and_its_error_are_welchs():
    # By hand: means 100 and 90, so -0.1. Variance of each side 2/3 (sum of squares 2 over 3) and 0.54: scaled by 0.9,
    # 0.81 x 2/3. Error^2 = (2/3/4 + 0.54/4) / 100^2 = 0.3016667e-4; degrees
    # = 0.3016667^2 / ((0.1666667^2 + 0.135^2) / 3) = 0.0910028 / 0.0153343 = 5.9346.
    found = change([(STEADY, scaled(0.9))])
    assert found is not None
    assert found.value == pytest.approx(-0.1)
    assert found.error == pytest.approx(math.sqrt(0.3016667e-4), rel=1e-5)
    assert found.degrees == pytest.approx(5.9346, rel=1e-4)


def test_machines_that_differ_among_themselves_are_less_sure_than_their_blocks():
    # By hand: changes -0.1 and +0.1; variance 0.02, over two machines 0.01; its root 0.1, one degree of freedom.
    found = change([(STEADY, scaled(0.9)), (STEADY, scaled(1.1))])
    assert found is not None
    assert (found.value, found.error, found.degrees) == (pytest.approx(0, abs=1e-12), pytest.approx(0.1), 1.0)


def test_a_machine_with_too_few_known_blocks_says_nothing():
    assert change([(STEADY, (90.0, math.nan, 90.0))]) is None
    assert change([((0.0, 0.0, 0.0), STEADY)]) is None
    assert change([]) is None


@pytest.mark.parametrize(
    ("factor", "outcome"),
    # By hand, with t(0.99; about 6) = 3.16 and an error of 0.56 %: the interval reaches 1.8 points either way.
    [(1.0, Outcome.PASS), (1.2, Outcome.PASS), (0.97, Outcome.UNDECIDED), (0.94, Outcome.FAIL), (0.8, Outcome.FAIL)],
)
def test_the_hashrate_passes_or_fails_only_where_the_whole_interval_says_so(factor, outcome):
    verdict = judge(CRITERIA, [track(1, STEADY, scaled(factor))], [], NOBODY)
    assert of(verdict, Mark.HASHRATE).outcome is outcome
    assert verdict.outcome is outcome


def test_one_noisy_block_decides_nothing():
    verdict = judge(CRITERIA, [track(1, STEADY, (100.0, 100.0, 0.0, 100.0))], [], NOBODY)
    assert verdict.outcome is Outcome.UNDECIDED


def test_what_happened_to_all_machines_is_not_the_images_doing():
    hot = [track(number, STEADY, scaled(0.9)) for number in (1, 2)]
    cool = [track(number, STEADY, scaled(0.9)) for number in (3, 4)]
    assert judge(CRITERIA, hot, [], NOBODY).outcome is Outcome.FAIL
    assert judge(CRITERIA, hot, cool, NOBODY).outcome is Outcome.PASS


def test_efficiency_is_judged_where_machines_state_their_power_and_left_out_where_not():
    fine = Side(STEADY, efficiency_jth=(20.0, 20.1, 19.9, 20.0))
    worse = Side(STEADY, efficiency_jth=(22.0, 22.1, 21.9, 22.0))
    verdict = judge(CRITERIA, [Track(1, fine, worse)], [], NOBODY)
    assert (of(verdict, Mark.EFFICIENCY).outcome, of(verdict, Mark.EFFICIENCY).value) == (
        Outcome.FAIL,
        pytest.approx(10.0),
    )
    unstated = judge(CRITERIA, [track(1, STEADY, STEADY)], [], NOBODY)
    assert (of(unstated, Mark.EFFICIENCY).outcome, unstated.outcome) == (Outcome.UNSTATED, Outcome.PASS)


@pytest.mark.parametrize(
    ("before", "after", "outcome"),
    [
        # By hand, Agresti and Caffo: (1+1)/(1000+2) and (40+1)/(1000+2): 0.1996 % and 4.092 %; error 0.0064; times
        # 2.326 gives 1.49 points: from 2.40 to 5.38 points, all above 0.5.
        ((999, 1), (960, 40), Outcome.FAIL),
        ((99_950, 50), (99_950, 50), Outcome.PASS),
        ((999, 1), (995, 5), Outcome.UNDECIDED),
        ((9, 0), (9, 0), Outcome.UNDECIDED),
    ],
)
def test_refused_shares_are_two_proportions(before, after, outcome):
    sides = [{"accepted": float(good), "rejected": float(bad)} for good, bad in (before, after)]
    found = of(judge(CRITERIA, [track(1, STEADY, STEADY, before=sides[0], after=sides[1])], [], NOBODY), Mark.REJECTS)
    assert found.outcome is outcome
    if outcome is Outcome.FAIL:
        assert (found.low, found.high) == (pytest.approx(2.40, abs=0.01), pytest.approx(5.38, abs=0.01))


def test_too_few_shares_hold_nothing_up():
    assert judge(CRITERIA, [track(1, STEADY, STEADY)], [], NOBODY).outcome is Outcome.PASS


@pytest.mark.parametrize(("after", "outcome"), [(1, Outcome.PASS), (2, Outcome.FAIL)])
def test_restarts_beyond_those_before_and_one_more_are_a_regression(after, outcome):
    verdict = judge(CRITERIA, [track(7, STEADY, STEADY, after={"reboots": after})], [], NOBODY)
    assert (of(verdict, Mark.REBOOTS).outcome, verdict.outcome) == (outcome, outcome)
    used_to = judge(CRITERIA, [track(7, STEADY, STEADY, before={"reboots": 3}, after={"reboots": 4})], [], NOBODY)
    assert used_to.outcome is Outcome.PASS


def test_restarts_that_most_others_had_too_are_the_grids():
    twice = {"reboots": 2}
    flashed = [track(7, STEADY, STEADY, after=twice)]
    rest = [track(8, STEADY, STEADY, after={"reboots": 1}), track(9, STEADY, STEADY, after={"reboots": 1})]
    assert judge(CRITERIA, flashed, rest, NOBODY).outcome is Outcome.PASS
    one_of_three = [*rest[:1], *(track(number, STEADY, STEADY) for number in (9, 10))]
    assert of(judge(CRITERIA, flashed, one_of_three, NOBODY), Mark.REBOOTS).outcome is Outcome.FAIL


@pytest.mark.parametrize(("hard", "mark"), [(Hard(lost=[4]), Mark.LOST), (Hard(robbed=[5, 6]), Mark.POOLS)])
def test_a_lost_or_robbed_machine_is_a_regression_whatever_the_figures_say(hard, mark):
    verdict = judge(CRITERIA, [track(1, STEADY, STEADY)], [], hard)
    assert verdict.outcome is Outcome.FAIL
    assert of(verdict, mark).machines == (*hard.lost, *hard.robbed)


def test_without_any_machine_the_gate_cannot_say():
    assert judge(CRITERIA, [], [], NOBODY).outcome is Outcome.UNDECIDED
