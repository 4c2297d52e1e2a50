"""Curtailment from the wish to the last woken machine, on a site whose machines and meter are figures."""

import math
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest

from mbongi.base.clock import utc_now
from mbongi.core.identity.values import Role
from mbongi.core.ledger import selectors as ledger
from mbongi.fleet import actions, curtail_rows, curtail_steps, curtailing, groups, operations, pacing, services
from mbongi.fleet.action_work import Ending
from mbongi.fleet.curtail_steps import PowerSight
from mbongi.fleet.errors import NotPermittedError, OperationRefusedError, UnknownOperationError
from mbongi.fleet.models import Action, Curtailment, Machine, PowerReading
from mbongi.fleet.power_figures import MachinePower
from mbongi.fleet.values import (
    ActionKind,
    ActionStatus,
    CurtailPhase,
    CurtailWish,
    Desired,
    MachineState,
    OperationKind,
    OperationState,
)
from tests.fleet.rows import add_machines

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("as_site")]
POWER_W = 3000.0


@dataclass
class Model:
    """Machines of 3 kW each, a meter that reads 5 % more, and a clock."""

    count: int = 20
    stubborn: set[int] = field(default_factory=set)
    """These say that they sleep and do not."""
    failing: set[int] = field(default_factory=set)
    asleep: set[int] = field(default_factory=set)
    other_w: float = 0.0
    now: datetime = field(default_factory=utc_now)

    def __post_init__(self):
        self.ids = add_machines(self.count)
        # The first ones are the least efficient.
        self.figures = {one: MachinePower(POWER_W, 40.0 - rank, 70.0, 0.0) for rank, one in enumerate(self.ids)}
        self.measure()

    @property
    def power_w(self):
        awake = [one for one in self.ids if one not in self.asleep or one in self.stubborn]
        return 1.05 * (POWER_W * len(awake) + 0.03 * POWER_W * (self.count - len(awake))) + self.other_w

    def measure(self, **rest):
        PowerReading.objects.create(
            **({"at": utc_now(), "power_w": self.power_w, "source": "meter", "machines_w": 1.0} | rest)
        )

    def begin(self, user, *, ramp_kw_s_max=0.0, **wish):
        asked = CurtailWish(**wish)
        found = curtailing.begin(user, asked, self.figures, reason="grid", ramp_kw_s_max=ramp_kw_s_max)
        self.now = utc_now()
        return found.id

    def perform(self):
        """What was released, as machines do it."""
        endings = []
        for work in services.claim_actions(1000):
            fails = work.machine_id in self.failing
            was_asleep = work.machine_id in self.asleep
            if not fails:
                (self.asleep.add if work.kind is ActionKind.SLEEP else self.asleep.discard)(work.machine_id)
            before, after = {"asleep": was_asleep}, {"asleep": work.kind is ActionKind.SLEEP}
            endings.append(Ending(work.action_id, not fails, "ok", before, after, not fails))
        services.finish_actions(endings)
        return len(endings)

    def look(self, operation_id, seconds=10.0, *, power_w=None, proof=True):
        """One look, after some time, so that the meter shows all that was written."""
        self.now += timedelta(seconds=seconds)
        sight = PowerSight(self.power_w if power_w is None else power_w, 0.0, is_proof=proof)
        curtail_steps.drive(operation_id, sight, now=self.now)
        pacing.advance(operation_id, now=self.now)
        return self.perform()

    def until_over(self, operation_id, looks=40):
        for _look in range(looks):
            self.look(operation_id)
            if curtail_rows.curtailment(operation_id).is_over:
                return curtail_rows.curtailment(operation_id)
        raise AssertionError(curtail_rows.curtailment(operation_id))


@pytest.fixture
def model():
    return Model()


def row(operation_id):
    return curtail_rows.curtailment(operation_id)


def verbs(operation_id):
    entries = ledger.entries(subject=f"operation:{operation_id}")
    return [entry.action.rpartition(".")[2] for entry in reversed(entries)]


def test_a_dry_run_says_which_machines_and_how_many_watts_and_writes_nothing(model):
    found = curtailing.rehearse(CurtailWish(reduce_pct=50), model.figures, ramp_kw_s_max=0)

    # 20 x 3 kW x 1.05 = 63 kW at the meter; one machine saves 3 x 0.97 x 1.05 = 3.0555 kW: 10.3 of them for 31.5 kW,
    # of which the last may save 0.015 x 63 kW more than is needed.
    assert found.baseline_w == pytest.approx(63_000)
    assert found.target_w == pytest.approx(31_500)
    assert [one.machine_id for one in found.chosen] == model.ids[:11]
    assert found.saves_w == pytest.approx(11 * 3055.5)
    assert not found.problem
    assert not Action.objects.exists()


def test_the_meter_shows_the_target_then_everything_wakes_and_the_ledger_lacks_nothing(model, lead):
    number = model.begin(lead, reduce_pct=50)
    model.look(number)
    model.look(number)

    held = row(number)
    assert held.phase is CurtailPhase.HOLD
    assert model.power_w <= held.target_w * 1.01
    assert model.asleep == set(model.ids[:11])
    curtailing.end(lead, number, reason="the grid is well")
    over = model.until_over(number)

    assert over.state is OperationState.DONE
    assert not model.asleep
    assert verbs(number) == ["plan", "start", "reach", "wake", "extend", "done"]
    for one in model.ids[:11]:
        told = [entry.action for entry in ledger.entries(subject=f"machine:{one}")]
        words = ["wake.done", "wake.request", "sleep.done", "sleep.request"]
        assert told == [f"fleet.machine.{word}" for word in words]


def test_energy_not_used_is_the_baseline_less_the_power_over_time(model, lead):
    number = model.begin(lead, reduce_pct=50)
    model.now = row(number).began_at
    Curtailment.objects.update(power_at=model.now)
    curtail_steps.drive(number, PowerSight(43_000, 0.0), now=model.now + timedelta(seconds=36))
    curtail_steps.drive(number, PowerSight(math.nan, 0.0), now=model.now + timedelta(seconds=40))
    curtail_steps.drive(number, PowerSight(33_000, 0.0), now=model.now + timedelta(seconds=72))

    # (63 + 43)/2 = 53, so 10 kW for 36 s: 100 Wh; (43 + 33)/2 = 38, so 25 kW for 36 s: 250 Wh.
    assert row(number).saved_wh == pytest.approx(350, abs=1)


def test_machines_that_do_not_obey_are_replaced_by_what_the_meter_says(model, lead):
    model.stubborn, model.failing = set(model.ids[:3]), {model.ids[5]}
    number = model.begin(lead, reduce_pct=50)
    for _look in range(6):
        model.look(number)

    found = row(number)
    assert found.phase is CurtailPhase.HOLD
    assert model.power_w <= found.target_w + 0.005 * found.baseline_w
    assert found.added >= 4
    assert set(model.ids[11:15]) <= model.asleep
    curtailing.end(lead, number, reason="over")
    assert model.until_over(number).state is OperationState.DONE
    assert not model.asleep


def test_too_much_is_woken_again(model, lead):
    number = model.begin(lead, reduce_pct=50)
    model.look(number)
    model.other_w = -9_000.0  # something else was switched off
    for _look in range(3):
        model.look(number)

    # 63 - 11 x 3.0555 = 29.4 kW is 2.1 kW below the target; with the 9 kW there is room for three of 3.06 kW.
    assert len(model.asleep) == 8


def test_steps_that_have_not_begun_are_dropped_when_the_load_falls_by_itself(model, lead):
    number = model.begin(lead, reduce_pct=50, ramp_kw_s=1.0)
    model.other_w = -20_000.0
    model.look(number, 2)

    cancelled = Action.objects.filter(operation_id=number, status=ActionStatus.CANCELLED).count()
    # Of 31.5 kW only 11.5 are needed: at least 6 steps of 3.06 kW are dropped.
    assert cancelled >= 6
    assert "shorten" in verbs(number)


def test_the_ramp_limits_how_much_is_released(model, lead):
    number = model.begin(lead, reduce_pct=50, ramp_kw_s=4.0)
    model.now = row(number).began_at

    # 2 s save up 8 kW, the most that a ramp of 4 kW/s keeps: two machines of 3.06 kW.
    assert model.look(number, 2) == 2
    assert model.look(number, 1) == 1
    assert row(number).phase is CurtailPhase.SHED


def test_without_a_meter_that_can_be_believed_nothing_is_corrected_nor_called_reached(model, lead):
    model.stubborn = set(model.ids[:3])
    number = model.begin(lead, reduce_pct=50)
    for _look in range(4):
        model.look(number, power_w=math.nan)
    assert row(number).phase is CurtailPhase.SHED
    assert len(model.asleep) == 11
    for _look in range(4):
        model.look(number, proof=False)
    found = row(number)
    assert found.phase is CurtailPhase.SHED
    assert len(model.asleep) > 11
    model.look(number)
    assert row(number).phase is CurtailPhase.HOLD


def test_an_abort_in_the_middle_wakes_what_it_put_to_sleep_and_nothing_else(model, lead):
    by_hand = model.ids[-1]
    Machine.objects.filter(pk=by_hand).update(state=MachineState.SLEEPING)
    model.asleep.add(by_hand)
    number = model.begin(lead, reduce_pct=50, ramp_kw_s=2.0)
    model.look(number, 2)
    assert 1 <= len(model.asleep) - 1 < 10
    found_asleep = next(one for one in model.ids if one not in model.asleep)
    model.asleep.add(found_asleep)  # somebody puts the next one to sleep on its own page, before we do
    model.look(number, 2)
    curtailing.end(lead, number, reason="a mistake", abort=True)
    over = model.until_over(number)

    assert over.state is OperationState.ROLLED_BACK
    assert model.asleep == {by_hand, found_asleep}
    assert Action.objects.filter(operation_id=number, status=ActionStatus.CANCELLED).exists()
    assert "abort" in verbs(number)


def test_a_machine_that_somebody_woke_or_put_to_sleep_since_is_left_as_they_want_it(model, lead):
    number = model.begin(lead, reduce_pct=50)
    model.look(number)
    woken, kept = model.ids[0], model.ids[1]
    actions.request_action(lead, [woken], ActionKind.WAKE, reason="needed")
    actions.request_action(lead, [kept], ActionKind.SLEEP, reason="to be repaired")
    model.perform()
    assert set(curtail_rows.asleep_by(number)) == set(model.ids[2:11])
    curtailing.end(lead, number, reason="over")
    model.until_over(number)

    assert model.asleep == {kept}


def test_a_machine_that_does_not_wake_is_tried_again_and_then_named(model, lead):
    number = model.begin(lead, reduce_pct=50)
    model.look(number)
    model.failing = {model.ids[0]}
    curtailing.end(lead, number, reason="over")
    over = model.until_over(number)

    tries = Action.objects.filter(operation_id=number, kind=ActionKind.WAKE, machine_id=model.ids[0])
    assert tries.count() == curtail_steps.WAKE_TRIES
    assert f"1 machines do not wake: {model.ids[0]}" in over.message
    assert model.asleep == {model.ids[0]}


def test_a_machine_that_has_left_the_fleet_does_not_keep_the_others_asleep(model, lead):
    number = model.begin(lead, reduce_pct=50)
    model.look(number)
    gone = model.ids[0]
    Machine.objects.filter(pk=gone).update(retired_at=utc_now(), address=None)
    curtailing.end(lead, number, reason="over")
    over = model.until_over(number)

    assert over.state is OperationState.DONE
    assert model.asleep == {gone}
    assert curtail_rows.asleep_by(number) == []


def test_what_was_woken_for_a_higher_target_sleeps_again_for_a_lower_one(model, lead):
    number = model.begin(lead, reduce_pct=80)
    for _look in range(3):
        model.look(number)
    asleep = len(model.asleep)
    for percent in (20, 80):
        wish = CurtailWish(reduce_pct=percent)
        curtailing.retarget(lead, number, wish, reason="the capacity moves", ramp_kw_s_max=0)
        for _look in range(3):
            model.look(number)

    # 80 % of 63 kW is 50.4: seventeen of 3.06 kW, although only three of twenty have not slept before.
    assert asleep == len(model.asleep) == 17
    assert row(number).phase is CurtailPhase.HOLD


def test_a_machine_that_warms_up_counts_as_woken_although_the_meter_does_not_show_it(model, lead):
    number = model.begin(lead, reduce_pct=50)
    model.look(number)
    low_w = model.power_w - 9_000.0
    for _look in range(6):
        model.look(number, power_w=low_w)

    # There is room for three; the meter shows none of them for a minute, and still no fourth is woken.
    assert len(model.asleep) == 8


def test_a_machine_that_does_not_wake_makes_way_for_others(model, lead):
    number = model.begin(lead, reduce_pct=50)
    model.look(number)
    model.failing, model.other_w = {model.ids[0]}, -9_000.0
    for _look in range(6):
        model.look(number, seconds=400)

    tries = Action.objects.filter(operation_id=number, kind=ActionKind.WAKE, machine_id=model.ids[0])
    assert tries.count() == curtail_steps.WAKE_TRIES
    assert len(model.asleep) == 8


def test_the_course_of_a_long_time_has_no_more_points_than_a_chart_needs(as_site):
    began, day_s = utc_now() - timedelta(days=2), 86_400
    PowerReading.objects.bulk_create(
        PowerReading(at=began + timedelta(seconds=at), power_w=float(at), source="meter") for at in range(0, day_s, 30)
    )

    found = curtail_rows.power_series(began, began + timedelta(seconds=day_s))
    last = curtail_rows.power_series(began + timedelta(seconds=day_s - 95), began + timedelta(days=2))

    # A day of 900 parts: each is 96 s long and begins with the first reading that lies in it.
    assert [power_w for _at, power_w in found[:4]] == [0.0, 120.0, 210.0, 300.0]
    assert len(found) == curtail_rows.POINTS_MAX
    assert [power_w for _at, power_w in last] == [86_310.0]
    assert curtail_rows.power_series(began, began) == []


def test_it_ends_by_itself_when_its_time_is_over(model, lead):
    number = model.begin(lead, reduce_pct=20, lasts_s=60)
    model.now = row(number).began_at
    model.look(number, 30)
    assert row(number).phase is not CurtailPhase.WAKE
    model.look(number, 31)
    assert row(number).phase is CurtailPhase.WAKE
    assert model.until_over(number).state is OperationState.DONE


def test_a_deadline_that_the_ramp_does_not_meet_is_said_at_once(model, lead):
    with pytest.raises(OperationRefusedError, match="does not meet the deadline: it takes 34 s, and there are 20 s"):
        # 31.5 kW at 1 kW/s and the lead of 2.5 s: 34 s.
        model.begin(lead, reduce_pct=50, within_s=20, ramp_kw_s=1.0)
    with pytest.raises(OperationRefusedError, match="deadline"):
        model.begin(lead, reduce_pct=50, within_s=20, ramp_kw_s_max=1.0)
    found = curtailing.rehearse(CurtailWish(reduce_pct=50, within_s=23.5), model.figures, ramp_kw_s_max=0)
    assert found.ramp_w_s == pytest.approx(1.05 * 31_500 / 21)
    assert not found.is_late
    late = CurtailWish(reduce_pct=50, within_s=20, ramp_kw_s=1.0, even_late=True)
    assert not curtailing.rehearse(late, model.figures, ramp_kw_s_max=0).problem


def test_the_power_must_be_known_and_fresh(model, lead):
    PowerReading.objects.all().delete()
    for rest in ({"power_w": None, "trouble": "frozen"}, {"at": utc_now() - timedelta(seconds=16)}):
        model.measure(**rest)
        with pytest.raises(OperationRefusedError, match="not known"):
            model.begin(lead, reduce_pct=50)
        PowerReading.objects.all().delete()


@pytest.mark.parametrize(
    "wish",
    [
        {},
        {"reduce_pct": 50, "target_mw": 1},
        {"reduce_pct": 0},
        {"reduce_pct": 101},
        {"target_mw": -1},
        {"reduce_pct": 5, "within_s": 0.5},
        {"reduce_pct": 5, "ramp_kw_s": 0},
        {"reduce_pct": 5, "lasts_s": 1},
        {"target_mw": 1.0},
    ],
)
def test_a_wish_that_cannot_be_met_begins_nothing(model, lead, wish):
    with pytest.raises(OperationRefusedError):
        model.begin(lead, **wish)
    assert curtail_rows.active() is None


def test_one_is_under_way_at_a_time_and_its_target_may_change(model, lead):
    number = model.begin(lead, reduce_pct=50)
    with pytest.raises(OperationRefusedError, match="under way"):
        model.begin(lead, reduce_pct=10)
    model.look(number)
    curtailing.retarget(lead, number, CurtailWish(reduce_pct=20), reason="less will do", ramp_kw_s_max=0)
    for _look in range(4):
        model.look(number)

    # 20 % of 63 kW is 12.6: four or five machines of 3.06 kW.
    assert 4 <= len(model.asleep) <= 5
    assert row(number).phase is CurtailPhase.HOLD
    with pytest.raises(UnknownOperationError):
        curtailing.end(lead, 10_000, reason="x")


def test_machines_that_must_be_left_alone_stay_awake(model, lead, people):
    kept = groups.add_group(lead, "Kept", reason="x").id
    groups.put_machines(lead, kept, model.ids[:2], reason="x")
    draft = groups.write_profile(lead, kept, Desired(may_sleep=False), reason="x")
    groups.propose_profile(lead, draft.id)
    paused = groups.add_group(lead, "Paused", reason="x").id
    groups.put_machines(lead, paused, model.ids[2:3], reason="x")
    groups.change_group(lead, paused, paused=True, reason="x")
    actions.request_action(lead, model.ids[3:4], ActionKind.REBOOT, reason="x")
    number = model.begin(lead, reduce_pct=100)
    for _look in range(4):
        model.look(number)

    assert model.asleep == set(model.ids[4:]) | (model.asleep & {model.ids[3]})
    assert not model.asleep & set(model.ids[:3])
    assert "no further machine may be put to sleep" in row(number).message


def test_what_merely_awaits_an_approval_keeps_no_machine_awake(model, lead):
    steps = [operations.Step(one, ActionKind.REBOOT) for one in model.ids]
    plan = operations.Plan(OperationKind.HAND, steps, "some day", second=True)
    assert operations.plan_operation(lead, plan).state == OperationState.AWAITING
    number = model.begin(lead, reduce_pct=50)
    for _look in range(4):
        model.look(number)

    assert row(number).phase == CurtailPhase.HOLD


def test_who_may(model, people):
    technician, lead = people(Role.TECHNICIAN), people(Role.SHIFT_LEAD)
    with pytest.raises(NotPermittedError):
        model.begin(technician, reduce_pct=50)
    number = model.begin(lead, reduce_pct=50)
    with pytest.raises(NotPermittedError):
        curtailing.retarget(technician, number, CurtailWish(reduce_pct=5), reason="x", ramp_kw_s_max=0)
    with pytest.raises(NotPermittedError):
        curtailing.end(people(Role.AUDITOR), number, reason="x")
    # Whoever may wake one machine may bring all of them back.
    assert curtailing.end(technician, number, reason="x", abort=True).phase is CurtailPhase.WAKE


def test_a_cancelled_one_leaves_its_machines_asleep_and_they_can_be_woken(model, lead):
    number = model.begin(lead, reduce_pct=50)
    model.look(number)
    operations.cancel_operation(lead, number, reason="x")
    Machine.objects.filter(pk__in=model.asleep).update(state=MachineState.SLEEPING)
    assert set(curtail_rows.asleep_by_curtailment()) == set(model.ids[:11])

    woken = curtailing.wake_left(lead, reason="bring them back", ramp_kw_s_max=0)
    pacing.advance(woken)
    model.perform()

    assert not model.asleep
    assert curtail_rows.asleep_by_curtailment() == {}
