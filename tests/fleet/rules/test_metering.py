"""A meter that answers is not a meter that measures."""

import math

from mbongi.fleet.rules.metering import Measured, MeterJudge, MeterTrouble, Standstill


def reading(power_w: float, number: int = 0) -> Measured:
    return Measured(power_w, 50.0, (203, int(power_w) & 0xFFFF, number))


def test_readings_that_change_are_believed_and_their_median_steers() -> None:
    judge = MeterJudge()

    found = [
        judge.judge(reading(power, at), machines_w=math.nan, now_s=at)
        for at, power in enumerate([100e3, 101e3, 180e3, 102e3])
    ]

    assert [one.power_w for one in found] == [100e3, 101e3, 180e3, 102e3]
    assert [one.steady_w for one in found] == [100e3, 100e3, 101e3, 102e3]


def test_a_meter_whose_every_register_stays_the_same_is_frozen_until_one_moves() -> None:
    judge = MeterJudge()

    troubles = [judge.judge(reading(100e3), machines_w=math.nan, now_s=at).trouble for at in range(7)]

    assert troubles == [MeterTrouble.NONE] * 4 + [MeterTrouble.FROZEN] * 3
    assert judge.judge(reading(60e3, 1), machines_w=math.nan, now_s=8).trouble is MeterTrouble.NONE


def test_one_meter_of_several_that_stands_still_is_seen_by_itself() -> None:
    still, moving = Standstill(), Standstill()

    found = [(still.is_still((203, 7), at), moving.is_still((203, at), at)) for at in range(6)]

    assert found == [(False, False)] * 4 + [(True, False)] * 2


def test_a_meter_asked_often_is_not_frozen_because_it_refreshes_slowly() -> None:
    judge = MeterJudge()

    assert all(
        judge.judge(reading(100e3), machines_w=math.nan, now_s=at / 10).trouble is MeterTrouble.NONE for at in range(20)
    )


def test_a_leap_of_ten_is_a_lost_scale_until_the_figure_comes_back() -> None:
    judge = MeterJudge()
    judge.judge(reading(100e3), machines_w=95e3, now_s=0)

    leapt = judge.judge(reading(1000e3, 1), machines_w=95e3, now_s=1)

    assert leapt.trouble is MeterTrouble.LEAP
    assert math.isnan(leapt.power_w)
    assert math.isnan(leapt.steady_w)
    assert judge.judge(reading(10e3, 2), machines_w=math.nan, now_s=2).trouble is MeterTrouble.LEAP
    assert judge.judge(reading(98e3, 3), machines_w=95e3, now_s=3).trouble is MeterTrouble.NONE


def test_a_leap_that_the_machines_bear_out_is_real() -> None:
    judge = MeterJudge()
    judge.judge(reading(1000e3), machines_w=950e3, now_s=0)

    assert judge.judge(reading(100e3, 1), machines_w=900e3, now_s=1).trouble is MeterTrouble.LEAP  # not polled yet
    assert judge.judge(reading(100e3, 2), machines_w=90e3, now_s=10).trouble is MeterTrouble.NONE


def test_no_answer_and_no_number_are_no_power() -> None:
    judge = MeterJudge()

    assert judge.silent().trouble is MeterTrouble.SILENT
    assert judge.judge(Measured(math.nan, 50.0, (1,)), machines_w=1, now_s=0).trouble is (MeterTrouble.GARBLED)
