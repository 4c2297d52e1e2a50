"""The replay of hand-made days: what rules would have done, when, and what they would have left alone."""

from mbongi.fleet.rules.healing import Cure, HealLimits, Mode, Outcome, Rule, RuleDocument
from mbongi.fleet.rules.healing_spans import Span
from mbongi.fleet.rules.healing_timeline import Story, Stretch, replay
from mbongi.fleet.values import EventKind

MINUTE, HOUR = 60_000, 3_600_000
FREE = HealLimits(machine_day=9, hour=1000, at_once=500, common_percent=None)


def rule(**facts):
    document = {
        "kinds": (EventKind.FAULT,),
        "for_s": 600,
        "steps": (Cure.REBOOT, Cure.REBOOT),
        "judge_s": 1200,
        "cool_down_s": 600,
        "limits": FREE,
    }
    return Rule(1, 10, Mode.ON, RuleDocument(**(document | facts)))


def story(machine_id, *spans, aside=()):
    made = [
        Span(EventKind.FAULT, "", start * MINUTE, start * MINUTE, None if end is None else end * MINUTE)
        for start, end in spans
    ]
    return Story(machine_id, None, "Antminer S21", 20, made, aside)


def day(rules, stories, *, population=1000, until=24 * HOUR):
    progress = []
    found = replay(
        rules,
        stories,
        {each.id: population for each in rules},
        since_ms=0,
        until_ms=until,
        on_progress=progress.append,
    )
    assert progress == sorted(progress)
    return found


def acts(found):
    return [(each.machine_id, each.cure.value, each.started_ms / MINUTE, each.outcome.value) for each in found.attempts]


def kept(found):
    return {why: {machine: s / 60 for machine, s in each.machines.items()} for (_rule, why), each in found.kept.items()}


def test_a_machine_that_stays_broken_is_tried_as_often_as_the_rule_says_then_people_are_told():
    found = day([rule()], [story(7, (60, None))])

    # 10 minutes in trouble; each reboot is judged after 20, and 10 to cool down pass.
    assert acts(found) == [
        (7, "reboot", 70.0, "not_recovered"),
        (7, "reboot", 100.0, "not_recovered"),
        (7, "work_order", 130.0, "ordered"),
    ]
    # Asked every half minute, the looks that act left out.
    assert kept(found)["hold:under_way"] == {7: 39.0}
    assert kept(found)["hold:cool_down"] == {7: 20.0}
    assert kept(found)["aside:order"] == {7: 1310.0}


def test_a_trouble_that_ended_by_itself_before_its_time_is_none():
    assert not day([rule()], [story(7, (60, 69))]).attempts


def test_a_machine_that_mined_again_as_it_did_without_is_cleared():
    found = day([rule()], [story(7, (60, 80))])

    assert acts(found) == [(7, "reboot", 70.0, "cleared")]


def test_a_machine_that_was_asleep_or_in_hand_is_left_alone_for_that_time_and_no_longer():
    asleep = [Stretch(0, 100 * MINUTE, "asleep_by_us")]
    found = day([rule()], [story(7, (60, 110), aside=asleep)])

    assert acts(found) == [(7, "reboot", 100.0, "cleared")]
    assert kept(found)["aside:asleep_by_us"] == {7: 30.0}


def test_a_machine_put_to_sleep_is_told_to_people_and_left_alone_to_the_end():
    found = day([rule(steps=(Cure.SLEEP,))], [story(7, (60, 90), (120, None))])

    assert [each[:2] for each in acts(found)] == [(7, "sleep"), (7, "work_order")]
    assert found.attempts[0].outcome is Outcome.PROTECTED


def test_the_limits_of_the_site_hold_the_others_back():
    limits = HealLimits(machine_day=9, hour=2, at_once=5, common_percent=None)
    found = day([rule(limits=limits, steps=(Cure.REBOOT,))], [story(n, (60, 85)) for n in (1, 2, 3)])

    assert [each[:3] for each in acts(found)] == [(1, "reboot", 70.0), (2, "reboot", 70.0)]
    assert kept(found)["hold:hour"] == {3: 15.0}


def test_a_common_cause_is_left_to_people_and_what_remains_of_it_is_healed():
    limits = HealLimits(machine_day=9, hour=100, at_once=50, common_percent=20)
    many = [story(n, (60, 200)) for n in range(1, 30)]
    found = day([rule(limits=limits)], [*many, story(77, (60, None))], population=100)

    assert acts(found)[0][:3] == (77, "reboot", 200.0)
    assert len(kept(found)["hold:common"]) == 30


def test_a_quiet_day_asks_nothing_and_long_days_end():
    assert not day([rule()], []).attempts
    assert day([rule()], [story(7, (23 * 60, None))]).attempts
