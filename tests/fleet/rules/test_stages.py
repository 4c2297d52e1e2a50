"""The stages of a campaign: sizes, order, and plans that cannot be."""

import msgspec
import pytest

from mbongi.fleet.rules.gate import Criteria
from mbongi.fleet.rules.stages import CampaignPlan, Place, Stage, divided, problem

USUAL = CampaignPlan()


def test_stages_take_from_the_racks_in_turn_and_percentages_count_those_before():
    places = [Place(number, f"20/{(number - 1) // 50 + 1:02d}") for number in range(1, 101)]
    stages = divided(USUAL, places)
    # 3 machines; 5 % of 100 with those; 25 %; all.
    assert [len(stage) for stage in stages] == [3, 2, 20, 75]
    assert stages[0] == [1, 51, 2]
    assert sorted(pk for stage in stages for pk in stage) == list(range(1, 101))


def test_a_canary_larger_than_the_fleet_takes_all_of_it():
    assert divided(USUAL, [Place(1, "20/01"), Place(2, "20/01")]) == [[1, 2], [], [], []]
    assert divided(USUAL, []) == [[], [], [], []]


@pytest.mark.parametrize(
    ("stages", "found"),
    [
        ((), "stages"),
        ((Stage(percent=100.0),) * 11, "stages"),
        ((Stage(),), "size"),
        ((Stage(machines=0),), "size"),
        ((Stage(machines=1, percent=5.0),), "size"),
        ((Stage(percent=25.0), Stage(percent=5.0)), "size"),
        ((Stage(percent=101.0),), "size"),
        ((Stage(machines=1, soak_s=10.0, soak_max_s=5.0),), "soak"),
        ((Stage(machines=1, soak_s=-1.0),), "soak"),
        ((Stage(machines=1), Stage(percent=100.0)), ""),
    ],
)
def test_a_plan_that_cannot_be_says_what_is_wrong(stages, found):
    assert problem(CampaignPlan(stages=stages)) == found


@pytest.mark.parametrize(
    "fields", [{"confidence": 1.0}, {"hashrate_drop_pct": 0.0}, {"block_s": 0.0}, {"reboots_max": -1}]
)
def test_criteria_that_decide_nothing_are_refused(fields):
    assert problem(msgspec.structs.replace(USUAL, criteria=Criteria(**fields))) == "gate"
