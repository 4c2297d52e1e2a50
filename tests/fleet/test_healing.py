"""Healing: rules as they are written and switched, and what they do to machines in the database."""

from datetime import timedelta

import msgspec
import pytest

from mbongi.base.clock import utc_now
from mbongi.base.ids import MachineId
from mbongi.core.identity.scope import Scope, acting
from mbongi.core.identity.values import Role
from mbongi.core.ledger import selectors as ledger
from mbongi.fleet import groups, healing, healing_work, operations, pacing, reassertion, services, work_orders
from mbongi.fleet.action_work import Ending
from mbongi.fleet.errors import NotPermittedError, RuleRefusedError, UnknownRuleError
from mbongi.fleet.models import Action, Event, HealingAttempt, HealingRule, Machine, Operation, WorkOrder
from mbongi.fleet.operations import Plan, Step
from mbongi.fleet.rules.healing import Cure, Mode, Outcome, RuleDocument
from mbongi.fleet.rules.recovery import Recovered
from mbongi.fleet.values import ActionKind, ActionStatus, EventKind, MachineState, OperationKind, Severity
from tests.fleet.rows import add_machines

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("as_site")]
LONG_AGO = utc_now() - timedelta(days=1)
HUNG = {"kinds": ["fault"], "for_s": 600, "steps": ["reboot"], "judge_s": 1200, "prove_s": 300}


def add(user, document=HUNG, *, mode=Mode.ON, name="hung here", **rest):
    number = healing.add_rule(user, name, document, reason="try", **rest)
    healing.change_rule(user, number, mode=mode, reason="go")
    return number


def trouble(machine_id, kind=EventKind.FAULT, *, minutes=30, part="", state=MachineState.FAULT):
    at = utc_now() - timedelta(minutes=minutes)
    Event.objects.create(machine_id=machine_id, kind=kind, part=part, severity=Severity.CRITICAL, at=at)
    Machine.objects.filter(pk=machine_id).update(state=state.value)


def mend(machine_id):
    now = utc_now()
    Event.objects.filter(machine_id=machine_id, cleared_at=None).update(cleared_at=now)
    Machine.objects.filter(pk=machine_id).update(state=MachineState.MINING.value, last_seen_at=now + timedelta(hours=2))


def look(*, minutes=0.0, since=LONG_AGO):
    return healing_work.look(watching_since=since, now=utc_now() + timedelta(minutes=minutes))


def attempts(**filters):
    rows = HealingAttempt.objects.filter(**filters).order_by("pk")
    return [(row.machine_id, row.cure, row.outcome) for row in rows]


def perform(*, done=True, message="ok"):
    """Carry operations on and perform what they release, as the fleet process does."""
    for operation_id, kind in pacing.running_operations():
        if kind is OperationKind.HEAL:
            healing_work.recheck(operation_id)
        pacing.advance(operation_id)
    work = services.claim_actions(1000)
    services.finish_actions([Ending(each.action_id, done, message, verified=done) for each in work])
    return [(each.machine_id, each.kind) for each in work]


def prove(machine_id):
    """The machine holds its rate."""
    for each in healing_work.to_prove():
        if each.machine_id == machine_id:
            at_ms = each.since_ms + 1000
            healing_work.prove(each.attempt_id, Recovered(MachineId(machine_id), at_ms, at_ms + 300_000, 0.95))


def verbs(subject):
    return [(entry.action, entry.actor) for entry in reversed(ledger.entries(subject=subject))]


# Rules as they are written.


def test_built_in_rules_watch_until_somebody_switches_them_on_and_stay_as_people_left_them(lead):
    assert healing.ensure_built_in() == len(healing.built_in_rules()) == 9
    hung = HealingRule.objects.get(key="hung")
    assert (hung.mode, hung.author) == (Mode.WATCH, None)
    healing.change_rule(lead, hung.pk, mode=Mode.ON, rank=7, reason="seen to be right")

    assert healing.ensure_built_in() == 0
    hung.refresh_from_db()
    assert (hung.mode, hung.rank, hung.version, hung.author) == (Mode.ON, 7, 2, lead)
    assert verbs(f"healing_rule:{hung.pk}") == [
        ("fleet.healing_rule.add", "process:fleet"),
        ("fleet.healing_rule.change", lead.actor),
    ]


def test_the_ledger_has_every_version_of_a_rule_whole(lead):
    number = healing.add_rule(lead, "mine", HUNG, reason="try")
    healing.change_rule(lead, number, document=HUNG | {"for_s": 900}, reason="slower")

    entry = ledger.entries(subject=f"healing_rule:{number}")[0]
    assert (entry.before["document"]["for_s"], entry.after["document"]["for_s"]) == (600, 900)
    assert entry.after["version"] == 2


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"for_s": 5}, "for_s"),
        ({"kinds": []}, "conditions or a figure"),
        ({"figure": {"column": "power_w", "above": 5}}, "not both"),
        ({"kinds": [], "figure": {"column": "power_w"}}, "one limit"),
        ({"kinds": [], "figure": {"column": "power_w", "above": 1, "below": 2}}, "one limit"),
        ({"kinds": [], "figure": {"column": "pool", "above": 1}}, "expected one of"),
        ({"kinds": ["found"]}, "not a condition"),
        ({"steps": ["sleep", "reboot"]}, "last step"),
        ({"steps": ["work_order"]}, "work order"),
        ({"steps": ["reboot"] * 6}, "at most 5"),
        ({"steps": ["lower"], "work_order": False}, "no work order"),
        ({"steps": [], "work_order": False}, "no work order"),
        ({"steps": ["explode"]}, "explode"),
        ({"prove_s": 1800, "judge_s": 600}, "prove_s"),
        ({"limits": {"at_once": 0}}, "at_once"),
        ({"limits": {"common_percent": float("nan")}}, "common_percent"),
        ({"models": [""]}, "empty"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_a_rule_that_cannot_be_is_refused_and_a_valid_one_does_not_become_it(lead, change, what):
    number = healing.add_rule(lead, "mine", HUNG, reason="try")

    with pytest.raises(RuleRefusedError, match=what):
        healing.add_rule(lead, "other", HUNG | change, reason="try")
    with pytest.raises(RuleRefusedError, match=what):
        healing.change_rule(lead, number, document=HUNG | change, reason="worse")
    row = HealingRule.objects.get(pk=number)
    assert (row.version, row.document["for_s"]) == (1, 600)


def test_a_copy_is_off_and_names_are_there_once(lead):
    healing.ensure_built_in()
    hung = HealingRule.objects.get(key="hung")

    copy = HealingRule.objects.get(pk=healing.copy_rule(lead, hung.pk, "hung in hall 20", reason="try there"))
    assert (copy.key, copy.mode, copy.document) == ("", Mode.OFF, hung.document)
    with pytest.raises(RuleRefusedError, match="there already"):
        healing.copy_rule(lead, hung.pk, "Hung in hall 20", reason="again")
    with pytest.raises(RuleRefusedError, match="built in"):
        healing.remove_rule(lead, hung.pk, reason="away")
    healing.remove_rule(lead, copy.pk, reason="done")
    with pytest.raises(UnknownRuleError):
        healing.change_rule(lead, copy.pk, mode=Mode.ON, reason="back")
    healing.copy_rule(lead, hung.pk, "hung in hall 20", reason="anew")


def test_only_who_may_writes_rules(people):
    technician = people(Role.TECHNICIAN)
    with pytest.raises(NotPermittedError):
        healing.add_rule(technician, "mine", HUNG, reason="try")


# What they do.


def test_a_hung_machine_is_rebooted_in_the_name_of_the_rule_and_recovers_by_what_is_seen(lead):
    (machine,) = add_machines(1)
    rule = add(lead)
    trouble(machine)

    (operation,) = look().begun
    assert look(minutes=1).begun == [], "one attempt at a time"
    assert perform() == [(machine, ActionKind.REBOOT)]
    mend(machine)
    look(minutes=5)
    assert attempts() == [(machine, "reboot", "open")], "nothing is proved yet"
    prove(machine)
    look(minutes=6)

    assert attempts() == [(machine, "reboot", "recovered")]
    actor = f"healing:{rule}"
    assert sorted(verbs(f"machine:{machine}")) == sorted(
        [
            ("fleet.healing.begin", actor),
            ("fleet.machine.reboot.request", actor),
            ("fleet.machine.reboot.done", "process:fleet"),
            ("fleet.healing.recovered", actor),
        ]
    )
    assert {actor for _action, actor in verbs(f"operation:{operation}")} == {actor}
    assert not WorkOrder.objects.exists()


def test_a_machine_that_stays_broken_gets_a_work_order_that_tells_what_was_tried(lead):
    (machine,) = add_machines(1)
    rule = add(lead, HUNG | {"fault": "hashboard"})
    trouble(machine)
    look()
    perform()

    look(minutes=19)
    assert attempts() == [(machine, "reboot", "open")], "its time is not over"
    look(minutes=21)
    assert attempts() == [(machine, "reboot", "not_recovered")]
    look(minutes=25)
    assert not WorkOrder.objects.exists(), "the cool-down passes first"
    look(minutes=32)

    order = WorkOrder.objects.get()
    assert (order.machine_id, order.fault, order.state) == (machine, "hashboard", "open")
    assert "reboot not_recovered" in order.note
    assert attempts()[1:] == [(machine, "work_order", "ordered")]
    look(minutes=33)
    look(minutes=60 * 25)
    assert len(attempts()) == 2
    assert ("fleet.work_order.report", f"healing:{rule}") in verbs(f"machine:{machine}")


def test_a_write_that_fails_is_a_try(lead):
    (machine,) = add_machines(1)
    add(lead)
    trouble(machine)
    look()
    perform(done=False, message="no answer within 5 s")
    look(minutes=1)

    row = HealingAttempt.objects.get()
    assert (row.outcome, row.message) == (Outcome.FAILED, "no answer within 5 s")


def test_a_machine_that_mines_below_the_proof_is_cleared_and_one_that_went_off_is_not(lead):
    add(lead)
    weak, gone = add_machines(2)
    for machine in (weak, gone):
        trouble(machine)
    look()
    perform()
    mend(weak)
    mend(gone)
    Machine.objects.filter(pk=gone).update(state=MachineState.OFF.value)
    look(minutes=21)

    assert attempts() == [(weak, "reboot", "cleared"), (gone, "reboot", "not_recovered")]


def test_a_dead_fan_is_no_matter_of_rebooting_the_machine_sleeps_and_people_are_told(lead):
    healing.ensure_built_in()
    row = HealingRule.objects.get(key="fan_failed")
    healing.change_rule(lead, row.pk, mode=Mode.ON, reason="go")
    (machine,) = add_machines(1)
    trouble(machine, EventKind.FAN_FAILED, part="fan 2", state=MachineState.MINING)
    look()
    assert perform() == [(machine, ActionKind.SLEEP)]
    Machine.objects.filter(pk=machine).update(state=MachineState.SLEEPING.value)
    look(minutes=1)

    assert attempts() == [(machine, "sleep", "protected"), (machine, "work_order", "ordered")]
    assert WorkOrder.objects.get().fault == "fan"


def test_a_hot_machine_of_a_family_without_a_low_mode_sleeps_and_the_others_give_less(lead):
    healing.ensure_built_in()
    row = HealingRule.objects.get(key="over_temperature")
    healing.change_rule(lead, row.pk, mode=Mode.ON, reason="go")
    (whatsminer,) = add_machines(1, family="whatsminer", model="Whatsminer M50S")
    Machine.objects.filter(pk=whatsminer).update(address="10.21.0.1")
    (bitaxe,) = add_machines(1, family="bitaxe", model="Bitaxe Gamma")
    for machine in (whatsminer, bitaxe):
        trouble(machine, EventKind.OVER_TEMPERATURE, state=MachineState.MINING)
    look()

    assert sorted(perform()) == sorted([(whatsminer, ActionKind.SET_POWER), (bitaxe, ActionKind.SLEEP)])
    mend(whatsminer)
    prove(whatsminer)
    look(minutes=7)
    assert (whatsminer, "lower", "recovered") in attempts()
    assert WorkOrder.objects.get(machine=whatsminer).fault == "heat", "somebody must give it its power back"


def test_a_profile_is_written_again_where_it_differs_and_else_the_next_step_follows(lead):
    (machine,) = add_machines(1)
    group = groups.add_group(lead, "g1", reason="try").id
    groups.put_machines(lead, group, [machine], reason="try")
    profile = groups.write_profile(lead, group, {"power": {"mode": "normal"}}, reason="try")
    groups.propose_profile(lead, profile.id)
    add(lead, HUNG | {"steps": ["reapply", "reboot"], "cool_down_s": 60})
    trouble(machine)
    assert not look().begun

    assert HealingAttempt.objects.get().message == "nothing of its profile could be written again"
    assert look(minutes=2).begun
    assert perform() == [(machine, ActionKind.REBOOT)]


# What they leave alone.


def slept(user, machine, *, wake=False):
    kinds = [ActionKind.SLEEP, ActionKind.WAKE] if wake else [ActionKind.SLEEP]
    for kind in kinds:
        services.request_action(user, [machine], kind, reason="grid")
        perform()
    Action.objects.update(finished_at=utc_now() - timedelta(hours=1))


def test_a_machine_that_we_put_to_sleep_is_left_alone_even_when_it_goes_silent(lead):
    machine, woken = add_machines(2)
    add(lead, HUNG | {"kinds": ["unknown"]})
    slept(lead, machine)
    slept(lead, woken, wake=True)
    for each in (machine, woken):
        trouble(each, EventKind.UNKNOWN, state=MachineState.UNKNOWN)
    look()

    assert attempts() == [(woken, "reboot", "open")]
    standing = HealingRule.objects.get().standing
    assert standing["counts"] == {"aside:asleep_by_us": 1}


def test_a_machine_that_was_switched_off_at_the_wall_while_it_should_mine_is_told_to_people(lead):
    (machine,) = add_machines(1)
    add(lead, HUNG | {"kinds": ["off"], "steps": [], "fault": "power_supply"})
    trouble(machine, EventKind.OFF, state=MachineState.OFF)
    look()

    assert WorkOrder.objects.get().fault == "power_supply"


def test_one_that_a_profile_wants_asleep_or_whose_group_is_paused_is_left_alone(lead):
    resting, paused = add_machines(2)
    add(lead, HUNG | {"kinds": ["off"]})
    for name, machine in (("resting", resting), ("paused", paused)):
        group = groups.add_group(lead, name, reason="try").id
        groups.put_machines(lead, group, [machine], reason="try")
        if machine == resting:
            profile = groups.write_profile(lead, group, {"power": {"mode": "sleep"}}, reason="summer")
            groups.propose_profile(lead, profile.id)
        else:
            groups.change_group(lead, group, paused=True, reason="works on the rack")
        trouble(machine, EventKind.OFF, state=MachineState.OFF)
    look()

    assert not attempts()
    assert HealingRule.objects.get().standing["counts"] == {"aside:profile": 1, "aside:paused": 1}


def test_one_under_a_step_of_an_operation_an_action_or_a_work_order_is_left_alone(lead):
    stepped, acted, ordered, planned = add_machines(4)
    add(lead)
    step = operations.plan_operation(
        lead, Plan(kind=OperationKind.CURTAIL, steps=[Step(stepped, ActionKind.SLEEP)], reason="grid")
    )
    operations.start_operation(lead, step.id)
    operations.plan_operation(
        lead, Plan(kind=OperationKind.CURTAIL, steps=[Step(planned, ActionKind.SLEEP)], reason="tonight")
    )
    services.request_action(lead, [acted], ActionKind.REBOOT, reason="by hand")
    key = "00000000-0000-0000-0000-000000000001"
    work_orders.escalate(ordered, work_orders.Fault.FAN, "seen", key=msgspec.convert(key, type=work_orders.UUID))
    for machine in (stepped, acted, ordered, planned):
        trouble(machine)
    look()

    assert attempts() == [(planned, "reboot", "open")], "what nobody has started holds nothing back"
    assert HealingRule.objects.get().standing["counts"] == {"aside:operation": 1, "aside:action": 1, "aside:order": 1}


def test_a_machine_that_was_told_something_just_now_is_given_time(lead):
    (machine,) = add_machines(1)
    add(lead)
    services.request_action(lead, [machine], ActionKind.REBOOT, reason="by hand")
    perform()
    trouble(machine)

    look(minutes=9)
    assert not attempts()
    look(minutes=11)
    assert attempts() == [(machine, "reboot", "open")]


def test_what_somebody_takes_in_hand_between_the_look_and_the_write_is_not_written(lead):
    (machine,) = add_machines(1)
    add(lead)
    trouble(machine)
    (operation,) = look().begun
    services.request_action(lead, [machine], ActionKind.SLEEP, reason="by hand")

    assert perform() == [(machine, ActionKind.SLEEP)]
    assert perform() == []
    look(minutes=1)
    row = HealingAttempt.objects.get()
    assert (row.outcome, row.message) == (Outcome.ABANDONED, "left to others: action")
    assert Operation.objects.get(pk=operation).state == "done"


def test_a_rule_that_only_watches_records_and_does_nothing_and_switched_on_it_heals(lead):
    (machine,) = add_machines(1)
    rule = add(lead, mode=Mode.WATCH)
    trouble(machine)
    for minutes in (0, 1, 21, 32):
        assert not look(minutes=minutes).begun

    assert attempts(is_watch=True) == [(machine, "reboot", "not_recovered"), (machine, "work_order", "ordered")]
    assert [Operation.objects.count(), Action.objects.count(), WorkOrder.objects.count()] == [0, 0, 0]
    healing.change_rule(lead, rule, mode=Mode.ON, reason="it says what people would do")
    assert len(look(minutes=33).begun) == 1


# What a restart finds.


def test_a_process_that_died_after_a_look_leaves_one_reboot_and_the_next_one_judges_it(lead):
    (machine,) = add_machines(1)
    add(lead)
    trouble(machine)
    look()
    # The process dies here, before anything is released; the next one looks, and carries on what is there.
    assert look(minutes=2, since=utc_now()).begun == []
    assert perform() == [(machine, ActionKind.REBOOT)]
    assert perform() == []

    restarted = utc_now() + timedelta(minutes=15)
    look(minutes=21, since=restarted)
    assert attempts() == [(machine, "reboot", "open")], "it is given its whole time anew"
    look(minutes=36, since=restarted)
    assert attempts() == [(machine, "reboot", "not_recovered")]


def test_who_may_no_longer_run_operations_lends_no_name_and_people_see_it(lead):
    (machine,) = add_machines(1)
    rule = add(lead)
    trouble(machine)
    lead.role = Role.AUDITOR
    lead.save()
    look()

    assert not attempts()
    assert "does not permit" in HealingRule.objects.get(pk=rule).standing["refused"]


def test_a_rule_that_is_switched_off_begins_nothing_and_what_is_under_way_is_judged(lead):
    (machine,) = add_machines(1)
    rule = add(lead)
    trouble(machine)
    look()
    perform()
    healing.change_rule(lead, rule, mode=Mode.OFF, reason="stop")
    look(minutes=21)
    look(minutes=90)

    assert attempts() == [(machine, "reboot", "not_recovered")]


def test_tenants_see_no_rules(lead, tenant):
    add(lead)
    with acting(Scope(tenant_id=tenant("north").pk, site_wide=False)):
        assert not HealingRule.objects.exists()


def test_documents_of_built_in_rules_read_back_as_they_are_written():
    for _rank, document in healing.built_in_rules().values():
        assert msgspec.convert(msgspec.to_builtins(document), RuleDocument) == document
        assert Cure.WORK_ORDER not in document.steps
        assert document.work_order


def test_the_figures_of_rules_that_are_not_off_are_watched(lead):
    document = HUNG | {"kinds": [], "figure": {"column": "chip_temp_max_c", "above": 80}}
    rule = add(lead, document, mode=Mode.WATCH)
    add(lead, document, mode=Mode.OFF, name="other")

    ((part, figure, for_s),) = healing_work.rule_figures()
    assert (part, figure.above, for_s) == (f"rule {rule}", 80, 600)


def test_statuses_of_steps_are_words_that_the_judge_knows():
    assert {*healing_work._ENDED} | {status for status in ActionStatus if status.is_open} | {
        ActionStatus.PLANNED
    } == set(ActionStatus)


def test_a_machine_brought_to_low_power_is_not_brought_back_by_its_profile_before_that_is_judged(lead):
    (machine,) = add_machines(1, family="whatsminer", model="Whatsminer M50S")
    group = groups.add_group(lead, "g1", reason="try").id
    groups.put_machines(lead, group, [machine], reason="try")
    at = utc_now() - timedelta(hours=1)
    Event.objects.create(machine_id=machine, kind=EventKind.POWER_DRIFT, severity=Severity.WARNING, at=at)
    assert reassertion._drifting(group, ())
    add(lead, HUNG | {"steps": ["lower"]})
    trouble(machine)
    look()
    perform()
    Operation.objects.update(state="done")

    assert not reassertion._drifting(group, ())
    HealingAttempt.objects.update(outcome=Outcome.RECOVERED)
    assert reassertion._drifting(group, ())
