"""Healing over the virtual site by the real fleet process, which is killed amid the write and amid the judgement."""

import dataclasses
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mbongi.core.identity.values import Role
from mbongi.core.ledger import selectors as ledger
from mbongi.fleet import groups, healing, healing_rows
from mbongi.fleet.models import Action, HealingAttempt, HealingRule, WorkOrder
from mbongi.fleet.rules.healing import Cure, Mode, Outcome
from mbongi.fleet.values import ActionKind, ActionStatus, MachineState
from mbongi.twin.values import Fault
from tests.fleet.site_bed import SOURCE, SiteBed, wait_for
from tests.fleet.test_curtail_site import check_ledger, person

pytestmark = [
    pytest.mark.system,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("as_site"),
]
LIMIT_S = 180.0
QUICK = {"for_s": 1.0, "cool_down_s": 1.0, "prove_s": 4.0, "share_percent": 50.0, "judge_s": 20.0}
"""Beyond what people may write down, so that the test is short."""


class Hasty(SiteBed):
    """A site whose fleet process heals within seconds."""

    def start(self, name: str) -> None:
        if name != "fleet":
            super().start(name)
            return
        environment = self.environment() | {"PYTHONPATH": os.pathsep.join((str(SOURCE), str(SOURCE.parent)))}
        with (self.directory / "fleet.log").open("ab") as log:
            command = [sys.executable, "-m", "tests.fleet.hasty_fleet"]
            self._running[name] = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=self.directory)


@pytest.fixture
def bed(tmp_path: Path) -> Iterator[SiteBed]:
    made = Hasty(tmp_path, machines=3, hall=30)
    twin = dataclasses.replace(made.config.twin, families=("antminer",))
    # A pool to work for is not there; what this is about is the machines.
    made.config = dataclasses.replace(made.config, twin=twin)
    with made as running:
        yield running


def switch_on(stuck: int, broken: int) -> None:
    """The built-in rules of stuck machines and of missing boards, each of which tries one restart a day."""
    lead = person(Role.SHIFT_LEAD)
    healing.ensure_built_in()
    # A stuck machine shows no board either, and one that nobody asked for a moment is not known: here each rule has its
    # own machine, however the polls fall.
    for key, machine_id in (("hung", stuck), ("board_missing", broken)):
        group = groups.add_group(lead, key, reason="test").id
        groups.put_machines(lead, group, [machine_id], reason="test")
        row = HealingRule.objects.get(key=key)
        healing.change_rule(lead, row.pk, mode=Mode.ON, reason="test")
        document = HealingRule.objects.get(pk=row.pk).document
        limits = document["limits"] | {"machine_day": 1, "common_percent": None}
        HealingRule.objects.filter(pk=row.pk).update(document=document | QUICK | {"groups": [group], "limits": limits})


def tried(machine_id: int) -> list[tuple[Cure, Outcome]]:
    return [(row.cure, row.outcome) for row in reversed(healing_rows.attempts().rows) if row.machine_id == machine_id]


def reboots(*statuses: ActionStatus) -> set[int]:
    found = Action.objects.filter(kind=ActionKind.REBOOT, status__in=statuses)
    return set(found.values_list("machine_id", flat=True))


def restart(bed: SiteBed) -> None:
    bed.kill("fleet")
    bed.start_fleet()


def test_killed_while_it_writes_and_while_it_judges_each_machine_is_restarted_once_and_ends_as_it_should(
    bed: SiteBed,
) -> None:
    bed.start_fleet()
    rows = bed.wait_known(3)
    wait_for(
        lambda: {row.state for row in bed.wait_known(3)} == {MachineState.MINING}, lambda: bed.log("fleet"), limit_s=60
    )
    stuck, broken, well = (row.id for row in rows)
    switch_on(stuck, broken)
    bed.fault(rows[0].address, Fault.STUCK)
    bed.fault(rows[1].address, Fault.BOARD_DEAD)

    begun = (ActionStatus.RUNNING, ActionStatus.DONE)
    wait_for(lambda: reboots(*begun) == {stuck, broken}, lambda: bed.log("fleet"), limit_s=LIMIT_S)
    restart(bed)  # amid a restart of at least one of them
    both = {stuck, broken}
    wait_for(lambda: reboots(ActionStatus.DONE) == both, lambda: bed.log("fleet"), limit_s=LIMIT_S)
    assert HealingAttempt.objects.filter(machine=broken, outcome=Outcome.OPEN).exists(), list(
        HealingAttempt.objects.values_list("machine_id", "cure", "outcome", "message", "started_at", "ended_at")
    )
    restart(bed)  # before anybody knows whether it helped

    wait_for(
        lambda: WorkOrder.objects.exists() and not HealingAttempt.objects.filter(outcome=Outcome.OPEN).exists(),
        lambda: f"{tried(stuck)} {tried(broken)} {bed.log('fleet')}",
        limit_s=LIMIT_S,
    )
    assert tried(stuck) == [(Cure.REBOOT, Outcome.RECOVERED)]
    assert tried(broken) == [(Cure.REBOOT, Outcome.NOT_RECOVERED), (Cure.WORK_ORDER, Outcome.ORDERED)]
    assert tried(well) == []
    assert [(order.machine_id, order.fault) for order in WorkOrder.objects.all()] == [(broken, "hashboard")]
    assert {one: Action.objects.filter(machine=one).count() for one in (stuck, broken, well)} == {
        stuck: 1, broken: 1, well: 0,
    }  # fmt: skip
    for machine_id, end in ((stuck, "recovered"), (broken, "not_recovered")):
        check_ledger(Action.objects.get(machine=machine_id).operation_id or 0)
        words = [one.action.removeprefix("fleet.healing.") for one in ledger.entries(subject=f"machine:{machine_id}")]
        assert [words.count("begin"), words.count(end), words.count("order")] == [1, 1, machine_id == broken]
