"""Healing rules by hand-made timelines: what they do, when, how often, and what they leave alone."""

import pytest

from mbongi.fleet.rules import healing
from mbongi.fleet.rules.healing import (
    Attempt,
    Cure,
    Figure,
    HealLimits,
    Mode,
    Move,
    Outcome,
    Past,
    Rule,
    RuleDocument,
    Sight,
)
from mbongi.fleet.values import EventKind

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
NOW = 100 * DAY
FREE = HealLimits(machine_day=24, hour=1000, at_once=500, common_percent=None)


def rule(number=1, *, rank=10, mode=Mode.ON, **facts):
    document = {"kinds": (EventKind.FAULT,), "for_s": 600, "steps": (Cure.REBOOT, Cure.REBOOT), "limits": FREE}
    return Rule(number, rank, mode, RuleDocument(**(document | facts)))


def sight(machine_id=7, since_ms=NOW - HOUR, *, kind=EventKind.FAULT, part="", **facts):
    given = {"group_id": 3, "model": "Antminer S21", "hall": 20} | facts
    return Sight(machine_id=machine_id, conditions={(kind, part): since_ms}, **given)


def tried(outcome, minutes_ago, *, step=0, cure=Cure.REBOOT, machine_id=7, rule_id=1, lasted=5, watch=False):
    start = NOW - minutes_ago * MINUTE
    ended = None if outcome is Outcome.OPEN else start + lasted * MINUTE
    return Attempt(rule_id, machine_id, cure, step, start, ended, outcome, watch)


def ask(rules, sights, attempts=(), *, at_ms=NOW, population=100):
    rules = [rules] if isinstance(rules, Rule) else rules
    sights = [sights] if isinstance(sights, Sight) else sights
    return healing.decide(rules, sights, Past.of(attempts), at_ms, {each.id: population for each in rules})


def only(verdicts):
    (verdict,) = verdicts
    return verdict.move, verdict.cure, verdict.why


def test_a_machine_is_healed_once_its_condition_has_lasted_for_the_rules_time():
    for minutes, expected in ((9, []), (10, [(Move.ACT, Cure.REBOOT)])):
        verdicts = ask(rule(), sight(since_ms=NOW - minutes * MINUTE))
        assert [(each.move, each.cure) for each in verdicts] == expected


def test_the_condition_that_began_first_counts_where_a_rule_has_several():
    seen = Sight(7, 3, "Antminer S21", 20, {(EventKind.FAULT, ""): NOW, (EventKind.UNKNOWN, ""): NOW - HOUR})

    assert only(ask(rule(kinds=(EventKind.FAULT, EventKind.UNKNOWN)), seen)) == (Move.ACT, Cure.REBOOT, "")
    assert not ask(rule(kinds=(EventKind.FAULT,)), seen)


@pytest.mark.parametrize(
    ("scope", "fits"),
    [
        ({}, True),
        ({"groups": (3,)}, True),
        ({"groups": (4,)}, False),
        ({"halls": (20,), "models": ("Antminer",)}, True),
        ({"halls": (21,)}, False),
        ({"models": ("Whatsminer", "Antminer S19")}, False),
    ],
)
def test_a_rule_speaks_of_the_machines_in_its_scope_alone(scope, fits):
    assert bool(ask(rule(**scope), sight())) is fits


def test_a_rule_that_is_off_says_nothing():
    assert not ask(rule(mode=Mode.OFF), sight())


def test_a_figure_of_another_rule_is_no_condition_of_this_one():
    by_figure = rule(2, kinds=(), figure=Figure(column="chip_temp_max_c", above=80.0))

    assert only(ask(by_figure, sight(kind=EventKind.RULE, part="rule 2"))) == (Move.ACT, Cure.REBOOT, "")
    assert not ask(by_figure, sight(kind=EventKind.RULE, part="rule 1"))


@pytest.mark.parametrize("why", ["asleep_by_us", "order", "operation", "action", "paused", "profile", "settling"])
def test_a_machine_that_is_left_alone_is_never_healed(why):
    assert only(ask(rule(), sight(aside=why))) == (Move.ASIDE, None, why)


def test_a_machine_asleep_that_nobody_put_to_sleep_is_woken_by_a_rule_that_wakes_and_by_no_other():
    wakes = rule(steps=(Cure.WAKE,))

    assert only(ask(rule(), sight(aside="asleep"))) == (Move.ASIDE, None, "asleep")
    assert only(ask(wakes, sight(aside="asleep"))) == (Move.ACT, Cure.WAKE, "")
    assert only(ask(wakes, sight(aside="asleep_by_us"))) == (Move.ASIDE, None, "asleep_by_us")


def test_each_try_that_does_not_help_leads_to_the_next_step_and_the_last_to_a_work_order():
    ladder = rule(steps=(Cure.REAPPLY, Cure.REBOOT))
    first = tried(Outcome.NOT_RECOVERED, 60, cure=Cure.REAPPLY)
    second = tried(Outcome.FAILED, 30, step=1)

    assert only(ask(ladder, sight())) == (Move.ACT, Cure.REAPPLY, "")
    assert only(ask(ladder, sight(), [first])) == (Move.ACT, Cure.REBOOT, "")
    assert only(ask(ladder, sight(), [first, second])) == (Move.ORDER, Cure.WORK_ORDER, "")


def test_a_rule_without_steps_tells_people_at_once():
    assert only(ask(rule(steps=()), sight())) == (Move.ORDER, Cure.WORK_ORDER, "")


def test_a_machine_that_recovered_begins_again_with_the_first_step():
    attempts = [tried(Outcome.NOT_RECOVERED, 120), tried(Outcome.RECOVERED, 90, step=1)]

    (verdict,) = ask(rule(steps=(Cure.REBOOT, Cure.SLEEP)), sight(since_ms=NOW - 20 * MINUTE), attempts)
    assert (verdict.cure, verdict.step) == (Cure.REBOOT, 0)


def test_what_was_taken_out_of_the_rules_hands_is_no_try():
    assert only(ask(rule(steps=(Cure.REBOOT,)), sight(), [tried(Outcome.ABANDONED, 60)]))[0] is Move.ACT


def test_steps_that_a_machine_cannot_be_told_are_passed_over():
    ladder = rule(steps=(Cure.LOWER, Cure.SLEEP))
    able, unable = sight(), sight(cures=frozenset({Cure.REBOOT, Cure.SLEEP}))

    assert only(ask(ladder, able))[1] is Cure.LOWER
    assert only(ask(ladder, unable))[1] is Cure.SLEEP
    assert only(ask(rule(steps=(Cure.REAPPLY,)), unable))[0] is Move.ORDER


def test_people_are_told_once_of_a_trouble_and_again_when_it_comes_anew():
    order = tried(Outcome.ORDERED, 60, cure=Cure.WORK_ORDER, step=2)

    assert only(ask(rule(), sight(since_ms=NOW - 3 * HOUR), [order])) == (Move.ASIDE, None, "told")
    assert only(ask(rule(), sight(since_ms=NOW - 20 * MINUTE), [order]))[0] is Move.ACT


def test_no_more_attempts_in_a_day_than_the_limit_then_people_are_told():
    limits = HealLimits(machine_day=2, common_percent=None)
    attempts = [tried(Outcome.RECOVERED, 300), tried(Outcome.RECOVERED, 200)]

    assert only(ask(rule(limits=limits), sight(since_ms=NOW - 20 * MINUTE), attempts)) == (
        Move.ORDER,
        Cure.WORK_ORDER,
        "",
    )
    without = rule(limits=limits, work_order=False)
    assert only(ask(without, sight(since_ms=NOW - 20 * MINUTE), attempts)) == (Move.ASIDE, None, "exhausted")
    day_old = [tried(Outcome.RECOVERED, 25 * 60), tried(Outcome.RECOVERED, 200)]
    assert only(ask(rule(limits=limits), sight(since_ms=NOW - 20 * MINUTE), day_old))[0] is Move.ACT


def test_between_two_attempts_the_cool_down_passes():
    again = rule(cool_down_s=1800, steps=(Cure.REBOOT,) * 3)

    assert only(ask(again, sight(), [tried(Outcome.NOT_RECOVERED, 34)])) == (Move.HOLD, None, "cool_down")
    assert only(ask(again, sight(), [tried(Outcome.NOT_RECOVERED, 35)]))[0] is Move.ACT


def test_no_more_attempts_in_an_hour_and_at_once_than_the_limits():
    three = [sight(number, since_ms=NOW - HOUR - number) for number in (1, 2, 3)]
    hourly, at_once = HealLimits(hour=2, common_percent=None), HealLimits(at_once=1, common_percent=None)

    assert [(v.machine_id, v.move, v.why) for v in ask(rule(limits=hourly), three)] == [
        (3, Move.ACT, ""),  # In trouble for longest.
        (2, Move.ACT, ""),
        (1, Move.HOLD, "hour"),
    ]
    before = [tried(Outcome.RECOVERED, 59, machine_id=9), tried(Outcome.RECOVERED, 30, machine_id=8)]
    assert {v.why for v in ask(rule(limits=hourly), three, before)} == {"hour"}
    before[0].started_ms -= MINUTE
    assert [v.move for v in ask(rule(limits=hourly), three, before)] == [Move.ACT, Move.HOLD, Move.HOLD]
    assert [v.why for v in ask(rule(limits=at_once), three)] == ["", "at_once", "at_once"]
    assert {v.why for v in ask(rule(limits=at_once), three, [tried(Outcome.OPEN, 2, machine_id=9)])} == {"at_once"}


def test_many_machines_in_the_same_trouble_have_a_common_cause_that_no_machine_is_healed_of():
    limits = HealLimits(hour=100, at_once=100, common_percent=20)
    many = [sight(number) for number in range(1, 21)]

    assert {v.why for v in ask(rule(limits=limits), many, population=100)} == {"common"}
    assert {v.move for v in ask(rule(limits=limits), many, population=101)} == {Move.ACT}
    assert {v.move for v in ask(rule(limits=limits), many[:4], population=10)} == {Move.ACT}, "four are a few"
    resting = [sight(number, aside="asleep_by_us") for number in range(1, 20)] + [sight(30)]
    assert ask(rule(limits=limits), resting, population=20)[-1].move is Move.ACT


def test_of_several_rules_the_first_in_rank_has_the_machine_and_an_attempt_under_way_keeps_it():
    both = [rule(1, rank=20), rule(2, rank=10, kinds=(EventKind.FAN_FAILED,), steps=(Cure.SLEEP,))]
    seen = Sight(7, 3, "m", 20, {(EventKind.FAULT, ""): NOW - HOUR, (EventKind.FAN_FAILED, "fan 1"): NOW - HOUR})

    assert [(v.rule_id, v.move, v.why) for v in ask(both, seen)] == [(2, Move.ACT, ""), (1, Move.HOLD, "under_way")]
    under_way = [tried(Outcome.OPEN, 5, rule_id=1)]
    assert {v.why for v in ask(both, seen, under_way)} == {"under_way"}


def test_a_rule_that_only_watches_keeps_no_rule_that_acts_back():
    both = [rule(1, rank=10, mode=Mode.WATCH), rule(2, rank=20)]

    assert [v.move for v in ask(both, sight())] == [Move.ACT, Move.ACT]
    watched = [tried(Outcome.OPEN, 5, rule_id=1, watch=True)]
    assert [(v.rule_id, v.move) for v in ask(both, sight(), watched)] == [(1, Move.HOLD), (2, Move.ACT)]


def test_what_was_only_watched_is_no_try_and_no_word_to_people_once_the_rule_acts():
    watched = [
        tried(Outcome.NOT_RECOVERED, 55, watch=True),
        tried(Outcome.ORDERED, 40, cure=Cure.WORK_ORDER, step=1, lasted=0, watch=True),
        tried(Outcome.OPEN, 2, machine_id=8, watch=True),
    ]
    few = HealLimits(machine_day=1, hour=1, at_once=1, common_percent=None)

    assert only(ask(rule(mode=Mode.WATCH, limits=few), sight(), watched)) == (Move.ASIDE, None, "told")
    assert only(ask(rule(limits=few), sight(), watched)) == (Move.ACT, Cure.REBOOT, "")


def test_what_was_never_done_is_judged_by_what_the_machine_did_without():
    watched = rule(mode=Mode.WATCH, judge_s=1200)
    attempt = tried(Outcome.OPEN, 20)

    assert healing.unacted(watched, attempt, NOW - 1, since_ms=NOW - HOUR) is Outcome.OPEN
    assert healing.unacted(watched, attempt, NOW, since_ms=NOW - HOUR) is Outcome.NOT_RECOVERED
    assert healing.unacted(watched, attempt, NOW, since_ms=None) is Outcome.CLEARED
    asleep = tried(Outcome.OPEN, 1, cure=Cure.SLEEP)
    assert healing.unacted(watched, asleep, NOW, since_ms=NOW - HOUR) is Outcome.PROTECTED


def test_people_hear_at_once_of_a_machine_that_sleeps_or_gives_less_until_they_have_looked():
    assert healing.calls_for_order(Cure.SLEEP, Outcome.PROTECTED)
    assert healing.calls_for_order(Cure.LOWER, Outcome.RECOVERED)
    assert not healing.calls_for_order(Cure.LOWER, Outcome.NOT_RECOVERED), "the next step follows"
    assert not healing.calls_for_order(Cure.REBOOT, Outcome.RECOVERED)
