"""When conditions open and clear; the limits are those of ``conditions.csv``."""

from mbongi.base.ids import MachineId
from mbongi.fleet.reading import DetailReport, ErrorDetail, MachineDetail, MachineReading, PoolDetail, StateChange
from mbongi.fleet.rules.conditions import Watch, limit
from mbongi.fleet.values import EventKind, MachineState, Severity

MACHINE = MachineId(7)
MINING = MachineState.MINING.value


def reading(at_s=0.0, state=MINING, **figures):
    return MachineReading(ts=int(at_s * 1000), machine_id=7, model="Antminer S21", state=state, **figures)


def change(state, at_s=0.0, reason=""):
    return StateChange(machine_id=MACHINE, state=state, before=None, at_ms=int(at_s * 1000), reason=reason)


def words(changes):
    return [f"{'+' if each.opened else '-'}{each.kind.value}{' ' + each.part if each.part else ''}" for each in changes]


def test_a_machine_that_is_off_is_told_at_once_and_cleared_when_it_answers():
    watch = Watch()

    assert words(watch.states([change(MachineState.OFF)])) == ["+off"]
    assert words(watch.states([change(MachineState.STARTING, 10)])) == ["-off"]


def test_one_lost_answer_is_no_condition_but_thirty_seconds_without_one_are():
    watch = Watch()

    assert not watch.states([change(MachineState.UNKNOWN, 0, "no answer within 5 s")])
    assert not watch.tick(20_000)
    assert not watch.states([change(MachineState.MINING, 21)])
    assert not watch.tick(60_000)

    watch.states([change(MachineState.UNKNOWN, 100, "no answer within 5 s")])
    (opened,) = watch.tick(130_000)
    assert (opened.kind, opened.at_ms, opened.params["reason"]) == (EventKind.UNKNOWN, 100_000, "no answer within 5 s")


def test_a_hot_chip_opens_after_its_hold_time_and_clears_only_below_the_dead_band():
    watch = Watch()

    assert not watch.readings([reading(0, chip_temp_max_c=86.0)])
    assert words(watch.readings([reading(20, chip_temp_max_c=87.0)])) == ["+over_temperature"]
    assert not watch.readings([reading(30, chip_temp_max_c=83.0)])
    assert not watch.readings([reading(40, chip_temp_max_c=86.0)])
    assert words(watch.readings([reading(50, chip_temp_max_c=79.0)])) == ["-over_temperature"]


def test_a_figure_that_nobody_knows_changes_nothing():
    watch = Watch()
    watch.adopt({MACHINE}, [(MACHINE, EventKind.OVER_TEMPERATURE, "")])

    assert not watch.readings([reading(0)])
    assert words(watch.readings([reading(10, chip_temp_max_c=60.0)])) == ["-over_temperature"]


def test_each_fan_is_a_condition_of_its_own():
    watch = Watch()
    watch.readings([reading(0, fan1_rpm=0.0, fan2_rpm=0.0, fan3_rpm=5000.0)])

    assert words(watch.tick(20_000)) == ["+fan_failed fan 1", "+fan_failed fan 2"]
    assert words(watch.readings([reading(30, fan1_rpm=4000.0, fan2_rpm=0.0)])) == ["-fan_failed fan 1"]


def test_the_fans_of_a_sleeping_machine_may_stand_still():
    watch = Watch()
    watch.readings([reading(0, state=MachineState.SLEEPING.value, fan1_rpm=0.0)])

    assert not watch.tick(60_000)


def test_a_missing_board_is_told_with_both_counts():
    watch = Watch()
    watch.readings([reading(0, board_count=2.0, board_expected=3.0)])

    (opened,) = watch.tick(30_000)
    assert (opened.kind, opened.severity) == (EventKind.BOARD_MISSING, Severity.CRITICAL)
    assert opened.params == {"boards": 2.0, "expected": 3.0}


def test_a_low_hashrate_must_last_five_minutes_and_sleep_ends_it():
    watch = Watch()
    watch.readings([reading(0, hashrate_ths=150.0, hashrate_nominal_ths=200.0)])
    assert not watch.tick(299_000)
    assert words(watch.tick(300_000)) == ["+hashrate_low"]

    assert words(watch.states([change(MachineState.SLEEPING, 310)])) == ["-hashrate_low"]


def test_rejected_shares_count_since_the_last_look_and_not_since_the_start():
    watch = Watch()
    watch.readings([reading(0, accepted=1000.0, rejected=500.0)])

    assert not watch.readings([reading(600, accepted=1100.0, rejected=501.0)])
    assert words(watch.readings([reading(1200, accepted=1190.0, rejected=511.0)])) == ["+rejects_high"]
    assert not watch.readings([reading(1300, accepted=5.0, rejected=0.0)])
    assert words(watch.readings([reading(1900, accepted=105.0, rejected=1.0)])) == ["-rejects_high"]


def test_error_codes_open_and_clear_one_by_one():
    watch = Watch()

    def stated(*codes):
        detail = MachineDetail(errors=[ErrorDetail(code, "fan") for code in codes])
        return watch.details([DetailReport(machine_id=MACHINE, detail=detail)], 1000)

    assert words(stated("110", "2320")) == ["+error_code 110", "+error_code 2320"]
    assert words(stated("2320")) == ["-error_code 110"]
    assert not stated("2320")


def test_no_pool_that_takes_shares_is_a_condition_unless_the_machine_does_not_say():
    watch = Watch()

    def stated(*pools):
        active = {"dead": False, "alive": True, "unsaid": None}
        detail = MachineDetail(pools=[PoolDetail(url="stratum+tcp://a:1", active=active[each]) for each in pools])
        return watch.details([DetailReport(machine_id=MACHINE, detail=detail)], 0)

    stated("unsaid", "dead")
    assert not watch.tick(100_000)
    stated("dead", "dead")
    assert words(watch.tick(100_000)) == ["+pool_dead"]
    assert words(stated("dead", "alive")) == ["-pool_dead"]


def test_what_was_open_before_a_restart_is_not_opened_again():
    watch = Watch()
    watch.adopt({MACHINE}, [(MACHINE, EventKind.OFF, "")])

    assert not watch.states([change(MachineState.OFF)])
    assert words(watch.states([change(MachineState.MINING, 5)])) == ["-off"]


def test_machines_that_are_no_longer_asked_are_forgotten():
    watch = Watch()
    watch.states([change(MachineState.UNKNOWN)])

    watch.keep_only(set())

    assert not watch.tick(100_000)


def test_a_model_has_its_familys_limit_and_any_other_the_general_one():
    assert limit(EventKind.OVER_TEMPERATURE, "Bitaxe Supra").open_at == 70
    assert limit(EventKind.OVER_TEMPERATURE, "Avalon 1246").open_at == 85
