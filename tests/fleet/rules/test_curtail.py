"""Which machines sleep and how the load moves: numbers worked out by hand."""

import math

import pytest

from mbongi.fleet.rules import curtail
from mbongi.fleet.rules.curtail import Candidate, Correction, Facts, NotChosen, Ramp, Standing


def machine(number: int, power_w: float = 3000.0, efficiency: float = 30.0, **rest: object) -> Facts:
    return Facts(number, power_w, efficiency, **rest)  # type: ignore[arg-type]


def ids(found: list[Candidate]) -> list[int]:
    return [one.machine_id for one in found]


def test_the_least_efficient_sleep_first_then_the_hottest_then_the_least_worn() -> None:
    machines = [
        machine(1, efficiency=21.5, heat_c=70),
        machine(2, efficiency=38.2, heat_c=70),
        machine(3, efficiency=38.9, heat_c=81),  # within 1 J/TH of machine 2, and hotter
        machine(4, efficiency=21.9, heat_c=71, cycles=1),  # as hot as machine 1 within 2 °C, but slept today
        machine(5, efficiency=math.nan),
    ]

    assert ids(curtail.ranked(machines)) == [3, 2, 1, 4, 5]


def test_contracts_go_before_efficiency_and_worn_machines_are_spared() -> None:
    machines = [
        machine(1, efficiency=50, contract_rank=2),
        machine(2, efficiency=20),
        machine(3, efficiency=50, cycles=4),
        machine(4, efficiency=20, contract_rank=1),
    ]

    assert ids(curtail.ranked(machines)) == [2, 3, 4, 1]


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ({"may_sleep": False}, NotChosen.MAY_NOT_SLEEP),
        ({"is_paused": True}, NotChosen.PAUSED),
        ({"is_busy": True}, NotChosen.BUSY),
        ({"is_busy": True, "is_flashing": True}, NotChosen.FLASHING),
        ({"is_mining": False}, NotChosen.NOT_MINING),
        ({"is_reachable": False}, NotChosen.UNREACHABLE),
        ({"can_sleep": False}, NotChosen.UNABLE),
        ({"power_w": math.nan}, NotChosen.POWER_UNKNOWN),
        ({"power_w": 0.0}, NotChosen.POWER_UNKNOWN),
    ],
)
def test_a_machine_that_must_be_left_alone_is_never_chosen(facts: dict[str, object], why: NotChosen) -> None:
    found = Facts(**({"machine_id": 1, "power_w": 3000.0} | facts))  # type: ignore[arg-type]

    assert curtail.not_chosen(found) is why
    assert curtail.ranked([found]) == []
    assert curtail.not_chosen(machine(1)) is None


def test_what_a_machine_saves_is_its_power_less_its_standby_as_the_meter_sees_it() -> None:
    # 3,000 W, of which 3 % stay; the meter reads 1.05 W for each watt stated: 3000 x 0.97 x 1.05.
    assert curtail.ranked([machine(1)], meter_per_machine=1.05) == [Candidate(1, pytest.approx(3055.5))]


def test_as_many_are_chosen_as_the_need_takes_and_no_larger_one_than_fits() -> None:
    turn = [Candidate(1, 3000), Candidate(2, 3000), Candidate(3, 3500), Candidate(4, 900), Candidate(5, 100)]

    # 6,950 W: two of 3,000 leave 950; 3,500 does not fit, 900 does; the 50 W that are left take the 100.
    assert ids(curtail.chosen(turn, 6950, slack_w=50)) == [1, 2, 4, 5]
    # Where nothing that fits is left, the smallest that suffices is taken.
    assert ids(curtail.chosen(turn[:3], 6200)) == [1, 2, 3]
    assert ids(curtail.chosen(turn, 1e6)) == [1, 2, 3, 4, 5]
    assert curtail.chosen(turn, 0) == []


def test_waking_gives_back_no_more_than_there_is_room_for() -> None:
    asleep = [Candidate(7, 3200), Candidate(6, 3000), Candidate(5, 1500)]

    assert ids(curtail.woken(asleep, 4700)) == [7, 5]
    assert curtail.woken(asleep, 1000) == []


def test_a_ramp_starts_after_its_lead_and_goes_by_its_rate() -> None:
    # 36 MW to 18 MW at 1,500 kW/s: 12 s, after the lead of 2.5 s.
    ramp = Ramp(100.0, 36e6, 18e6, 1.5e6)

    assert ramp.length_s == 14.5
    assert ramp.at(102.5) == 36e6
    assert ramp.at(104.5) == 33e6
    assert ramp.at(114.5) == 18e6
    assert ramp.at(200.0) == 18e6
    back = Ramp(0.0, 18e6, 36e6, 0.5e6)
    assert back.at(12.5) == 23e6
    assert Ramp(0.0, 10.0, 5.0, None).at(2.6) == 5.0


def test_a_deadline_says_which_ramp_it_needs_and_whether_it_can_be_met() -> None:
    assert curtail.ramp_needed_w_s(18e6, 14.5) == 1.5e6
    assert curtail.ramp_needed_w_s(18e6, 2.5) == math.inf
    assert curtail.soonest_s(18e6, 1e6) == 20.5
    assert curtail.soonest_s(18e6, None) == 2.5


BASE = {"target_w": 500e3, "baseline_w": 1e6}  # tolerance 5 kW, overshoot 15 kW


@pytest.mark.parametrize(
    ("standing", "called_for"),
    [
        # Everything needed is planned or under way.
        ({"power_w": 1e6, "planned_w": 500e3}, Correction()),
        ({"power_w": 900e3, "planned_w": 300e3, "under_way_w": 100e3}, Correction()),
        # 40 kW that did not obey: more machines.
        ({"power_w": 540e3}, Correction(sleep_w=40e3)),
        ({"power_w": 700e3, "planned_w": 100e3, "under_way_w": 60e3}, Correction(sleep_w=40e3)),
        # Within the tolerance nothing is done.
        ({"power_w": 504e3}, Correction()),
        ({"power_w": 486e3}, Correction()),
        # Too much: what is planned is dropped first, then machines wake, unless the meter may not show all yet.
        ({"power_w": 560e3, "planned_w": 100e3}, Correction(drop_w=40e3)),
        ({"power_w": 460e3}, Correction(wake_w=40e3)),
        ({"power_w": 460e3, "under_way_w": 10e3}, Correction()),
        ({"power_w": 460e3, "waking_w": 40e3}, Correction()),
        # Nobody corrects by a power that is not known.
        ({"power_w": math.nan, "planned_w": 100e3}, Correction()),
    ],
)
def test_what_the_meter_calls_for(standing: dict[str, float], called_for: Correction) -> None:
    assert curtail.correction(Standing(**(BASE | standing))) == called_for


def test_the_target_is_reached_by_the_meter_within_the_tolerance() -> None:
    assert Standing(power_w=505e3, **BASE).has_reached
    assert not Standing(power_w=506e3, **BASE).has_reached
    assert not Standing(power_w=math.nan, **BASE).has_reached


def test_a_machine_whose_power_is_not_known_is_behind_the_meter_all_the_same() -> None:
    """Two of 3 kW and one unknown: the meter's 9.45 kW are 1.05 for each watt, not 1.575."""
    machines = [machine(1), machine(2), machine(3, math.nan), machine(4, 500.0, is_mining=False)]

    assert curtail.meter_per_machine(machines, 9450.0) == pytest.approx(1.05)
    assert curtail.meter_per_machine(machines[2:], 9450.0) == 1.0
