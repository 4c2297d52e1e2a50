"""The fleet process as a real process: finding, polling, recording, acting, and every kind of loss."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mbongi.core.identity.models import User
from mbongi.core.identity.values import Role
from mbongi.core.ledger import selectors as ledger
from mbongi.fleet import operations, selectors, services
from mbongi.fleet.models import Action
from mbongi.fleet.selectors import EventFilter
from mbongi.fleet.values import ActionKind, ActionStatus, EventKind, MachineState
from tests.fleet.site_bed import SiteBed, wait_for

pytestmark = [
    pytest.mark.system,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("as_site"),
]
MACHINES = 5


@pytest.fixture
def bed(tmp_path: Path) -> Iterator[SiteBed]:
    with SiteBed(tmp_path, machines=MACHINES, hall=1) as running:
        yield running


def state_of(machine_id):
    return selectors.machine(machine_id).state


def wait_state(bed, machine_id, state):
    wait_for(
        lambda: state_of(machine_id) is state,
        lambda: f"{selectors.machine(machine_id)} never {state}; {bed.log('fleet')}",
    )


def wait_ended(bed, action_id):
    wait_for(
        lambda: selectors.action(action_id).finished_at is not None,
        lambda: f"{selectors.action(action_id)}; {bed.log('fleet')}",
    )
    return selectors.action(action_id)


def actions_in_ledger(machine_id):
    return [entry.action for entry in reversed(ledger.entries(subject=f"machine:{machine_id}"))]


def test_machines_are_found_polled_and_followed_into_off_unknown_and_back(bed):
    bed.start_fleet()
    rows = bed.wait_known(MACHINES)
    assert {row.rack_label for row in rows} == {"25/01"}
    assert all(row.mac and row.model and row.detail["pools"] for row in rows)
    off, hung = rows[0], rows[1]
    wait_for(lambda: state_of(off.id).is_mining and state_of(hung.id).is_mining, lambda: bed.log("fleet"))

    bed.fault(off.address, "off")
    bed.fault(hung.address, "hung")

    wait_state(bed, off.id, MachineState.OFF)
    wait_state(bed, hung.id, MachineState.UNKNOWN)
    wait_for(lambda: [each.kind for each in selectors.open_alarms() if each.machine_id == off.id] == [EventKind.OFF])
    bed.kill("fleet")
    bed.start_fleet()
    bed.fault(off.address, "none")
    bed.fault(hung.address, "none")
    wait_for(lambda: state_of(off.id).is_mining and state_of(hung.id).is_mining, lambda: bed.log("fleet"))

    past = EventFilter(machine_id=off.id, kinds=[EventKind.OFF])
    wait_for(lambda: all(each.cleared_at for each in selectors.events(past).rows))
    assert selectors.events(past).total == 1


def test_an_action_goes_from_the_request_to_the_machine_and_the_ledger(bed):
    bed.start_fleet()
    machine = bed.wait_known(MACHINES, "antminer")[0]
    user = Users.technician()
    wait_state(bed, machine.id, MachineState.MINING)

    (rehearsal,) = services.request_action(user, [machine.id], ActionKind.SLEEP, reason="drill", dry_run=True)
    ended = wait_ended(bed, rehearsal.id)
    assert (ended.status, ended.verified) == (ActionStatus.DONE, None)
    assert ended.before != ended.after
    assert bed.twin(f"/machines/{machine.address}")["phase"] == "mining"

    (sleep,) = services.request_action(user, [machine.id], ActionKind.SLEEP, reason="heat wave")
    ended = wait_ended(bed, sleep.id)
    assert (ended.status, ended.verified, ended.after) == (ActionStatus.DONE, True, {"work_mode": "sleep"})
    wait_state(bed, machine.id, MachineState.SLEEPING)

    pools = {"pools": [{"url": "stratum+tcp://pool.example:3333", "user": "site.7"}]}
    (set_pools,) = services.request_action(Users.lead(), [machine.id], ActionKind.SET_POOLS, pools, reason="move")
    assert set_pools.awaits_second
    assert set_pools.operation_id is not None
    operations.approve_operation(Users.manager(), set_pools.operation_id, reason="agreed", start=True)
    assert wait_ended(bed, set_pools.id).after == pools
    wait_for(
        # While its program restarts, a machine states no pools.
        lambda: [pool["user"] for pool in selectors.machine(machine.id).detail["pools"]] == ["site.7"],
        lambda: bed.log("fleet"),
    )

    assert actions_in_ledger(machine.id)[-6:] == [
        "fleet.machine.sleep.request",
        "fleet.machine.sleep.rehearse",
        "fleet.machine.sleep.request",
        "fleet.machine.sleep.done",
        "fleet.machine.set_pools.request",
        "fleet.machine.set_pools.done",
    ]


def test_an_action_on_a_machine_that_gives_no_answer_fails_with_the_reason(bed):
    bed.start_fleet()
    machine = bed.wait_known(MACHINES)[0]
    bed.fault(machine.address, "off")

    (row,) = services.request_action(Users.technician(), [machine.id], ActionKind.SLEEP, reason="heat wave")

    ended = wait_ended(bed, row.id)
    assert ended.status is ActionStatus.FAILED
    assert machine.address in ended.message
    assert actions_in_ledger(machine.id)[-1] == "fleet.machine.sleep.fail"


def test_a_killed_process_leaves_no_action_undone_or_done_twice(bed):
    bed.start_fleet()
    antminers = bed.wait_known(MACHINES, "antminer")
    asleep, rebooted = antminers[0], antminers[1]
    wait_for(lambda: all(state_of(each.id) is MachineState.MINING for each in antminers), lambda: bed.log("fleet"))
    for machine in (asleep, rebooted):
        bed.fault(machine.address, "slow")  # Each request takes some seconds, so the kill falls into the middle.
    user = Users.technician()
    (sleep,) = services.request_action(user, [asleep.id], ActionKind.SLEEP, reason="heat wave")
    (reboot,) = services.request_action(user, [rebooted.id], ActionKind.REBOOT, reason="stuck")
    wait_for(lambda: Action.objects.filter(status=ActionStatus.RUNNING).count() == 2, lambda: bed.log("fleet"))
    time.sleep(0.5)

    bed.kill("fleet")
    for machine in (asleep, rebooted):
        bed.fault(machine.address, "none")
    Action.objects.filter(pk=reboot.id).update(claimed_at=selectors.action(reboot.id).requested_at)
    bed.start_fleet()

    ended = wait_ended(bed, sleep.id)
    assert (ended.status, ended.verified) == (ActionStatus.DONE, True)
    assert "interrupted" in ended.message
    wait_state(bed, asleep.id, MachineState.SLEEPING)
    assert actions_in_ledger(asleep.id).count("fleet.machine.sleep.done") == 1
    assert selectors.action(reboot.id).status in {ActionStatus.RUNNING, ActionStatus.DONE}


def test_without_the_bus_polling_goes_on_and_the_readings_follow_when_it_is_back(bed):
    bed.start_fleet()
    machine = bed.wait_known(MACHINES)[0]
    wait_for(lambda: state_of(machine.id).is_mining)
    bed.kill("bus")
    time.sleep(2)
    bed.fault(machine.address, "off")
    wait_state(bed, machine.id, MachineState.OFF)

    bed.start("bus")

    wait_for(lambda: "bus_back" in bed.log("fleet"), lambda: bed.log("fleet"))
    wait_for(lambda: bed.status().batches_waiting <= 1, lambda: bed.log("fleet"))
    assert bed.status().batches_dropped == 0
    assert bed.log("fleet").count("bus_away") == 1
    assert bed.stop("fleet") == 0


def test_without_the_database_polling_goes_on_and_what_changed_is_recorded_when_it_is_back(bed):
    bed.start_fleet()
    machine = bed.wait_known(MACHINES)[0]
    wait_for(lambda: state_of(machine.id).is_mining)
    bed.gate.shut()
    bed.fault(machine.address, "off")
    wait_for(lambda: "database_away" in bed.log("fleet"), lambda: bed.log("fleet"))
    time.sleep(3)
    assert state_of(machine.id).is_mining

    bed.gate.open()

    wait_state(bed, machine.id, MachineState.OFF)
    wait_for(lambda: "database_back" in bed.log("fleet"), lambda: bed.log("fleet"))
    assert bed.log("fleet").count("database_away") == 1


def test_a_second_process_on_the_same_data_folder_is_refused(bed):
    bed.start_fleet()

    second = bed.run("fleet")

    assert second.returncode == 1
    assert "works on" in second.stderr


def test_a_scan_by_hand_shows_what_is_there_and_enters_it_unless_told_not_to(bed):
    network = bed.config.fleet.ranges[0]

    rehearsal = bed.run("fleet", "scan", network, "--dry-run")
    assert rehearsal.returncode == 0, rehearsal.stderr
    assert f"{MACHINES} machines; dry run, nothing was entered" in rehearsal.stdout
    assert selectors.counts().total == 0

    alone = bed.run("fleet", "scan", network)
    assert f"{MACHINES} machines: {MACHINES} new" in alone.stdout, alone.stdout + alone.stderr
    assert "Antminer S21" in alone.stdout
    assert selectors.counts().total == MACHINES

    bed.start_fleet()
    together = bed.run("fleet", "scan", network)
    assert f"0 new, {MACHINES} known" in together.stdout, together.stdout + together.stderr


@pytest.mark.parametrize("words", [["10.20.0.0/40"], ["nonsense"]])
def test_a_range_that_cannot_be_scanned_is_one_clear_line(bed, words):
    refused = bed.run("fleet", "scan", *words, "--dry-run")

    assert refused.returncode == 1
    assert words[0] in refused.stderr
    assert refused.stderr.count("\n") == 1


class Users:
    """People who act in these tests."""

    @staticmethod
    def technician():
        return _user(Role.TECHNICIAN)

    @staticmethod
    def lead():
        return _user(Role.SHIFT_LEAD)

    @staticmethod
    def manager():
        return _user(Role.SITE_MANAGER)


def _user(role):
    return User.objects.get_or_create(email=f"{role}@example.org", defaults={"name": "Ada", "role": role})[0]
