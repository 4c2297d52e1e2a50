"""Curtailing a small virtual site by its meter with the real fleet process, killed in the middle."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mbongi.core.bus import messages
from mbongi.core.bus.client import Bus
from mbongi.core.identity.models import User
from mbongi.core.identity.values import Role
from mbongi.core.ledger import selectors as ledger
from mbongi.fleet import curtail_rows, curtail_triggers, curtailing, operation_rows
from mbongi.fleet.heard import PowerCapacity
from mbongi.fleet.rules.metering import MeterTrouble
from mbongi.fleet.rules.triggers import Condition, TriggerKind
from mbongi.fleet.values import ActionStatus, CurtailPhase, CurtailWish, OperationState
from tests.fleet.site_bed import SiteBed, wait_for

pytestmark = [
    pytest.mark.system,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("as_site"),
]
MACHINES = 12
LIMIT_S = 180.0


def person(role: Role) -> User:
    user, _made = User.objects.get_or_create(email=f"{role}@example.org", defaults={"name": "Ada", "role": role})
    return user


@pytest.fixture
def bed(tmp_path: Path) -> Iterator[SiteBed]:
    with SiteBed(tmp_path, machines=MACHINES, hall=9, with_meter=True) as running:
        yield running


def check_ledger(number: int) -> None:
    """Each step that began has one request and one end, whoever performed it."""
    for step in operation_rows.steps(number, limit=1000).rows:
        name = f"fleet.machine.{step.kind}."
        entries = [
            entry.action.removeprefix(name)
            for entry in ledger.entries(subject=f"machine:{step.machine_id}")
            if entry.action.startswith(name) and entry.after.get("operation") == number
        ]
        expected = {ActionStatus.DONE: ["done", "request"], ActionStatus.FAILED: ["fail", "request"]}
        assert entries == expected.get(step.status, []), step


async def publish_capacity(bed: SiteBed, available_w: float | None) -> None:
    bus = await Bus.open(bed.config, name="facility")
    try:
        told = PowerCapacity(available_w=available_w, source="test", at_ms=int(time.time() * 1000))
        message_id = f"capacity:{told.at_ms}"
        await bus.publish(messages.subject_of(told), messages.encode(told), message_id=message_id)
    finally:
        await bus.close()


def test_half_of_a_site_sleeps_by_the_meter_although_the_process_is_killed_and_all_of_it_wakes(bed: SiteBed) -> None:
    lead = person(Role.SHIFT_LEAD)
    bed.start_fleet()
    bed.wait_known(MACHINES)

    def known_w() -> float | None:
        power = curtail_rows.power_now()
        awake = [one for one in curtail_rows.facts({}) if one.is_mining]
        return power.known_w if power is not None and len(awake) == MACHINES else None

    before_w = wait_for(known_w, lambda: bed.log("fleet"), limit_s=LIMIT_S)
    number = curtailing.begin(
        lead, CurtailWish(reduce_pct=50, ramp_kw_s=3.0), {}, reason="the grid is weak", ramp_kw_s_max=0
    ).id
    wait_for(lambda: len(curtail_rows.asleep_by(number)) >= 1, lambda: bed.log("fleet"), limit_s=LIMIT_S)
    bed.kill("fleet")
    assert curtail_rows.curtailment(number).phase is CurtailPhase.SHED
    bed.start_fleet()
    wait_for(
        lambda: curtail_rows.curtailment(number).phase is CurtailPhase.HOLD,
        lambda: f"{curtail_rows.curtailment(number)} {bed.log('fleet')}",
        limit_s=LIMIT_S,
    )
    target_w = curtail_rows.curtailment(number).target_w
    # By the truth, not by what we read of it.
    wait_for(lambda: bed.twin("/meter")["truth_w"] <= target_w + 0.01 * before_w, limit_s=LIMIT_S)
    phases = [one["phase"] for one in bed.twin("/machines")]
    assert 0 < phases.count("mining") < MACHINES

    # A meter that stands still is not believed.
    bed.twin("/meter/fault", {"fault": "frozen"})
    wait_for(lambda: curtail_rows.power_now().trouble is MeterTrouble.FROZEN, lambda: bed.log("fleet"), limit_s=LIMIT_S)
    bed.twin("/meter/fault", {"fault": "none"})
    wait_for(lambda: curtail_rows.power_now().known_w is not None, lambda: bed.log("fleet"), limit_s=LIMIT_S)

    curtailing.end(lead, number, reason="the grid is well")
    wait_for(
        lambda: curtail_rows.curtailment(number).is_over,
        lambda: f"{curtail_rows.curtailment(number)} {bed.log('fleet')}",
        limit_s=LIMIT_S,
    )
    over = curtail_rows.curtailment(number)
    assert over.state is OperationState.DONE
    assert over.saved_wh > 0
    assert not curtail_rows.asleep_by(number)
    assert "sleeping" not in [one["phase"] for one in bed.twin("/machines")]
    check_ledger(number)
    verbs = [entry.action.rpartition(".")[2] for entry in ledger.entries(subject=f"operation:{number}")]
    assert {"plan", "start", "reach", "wake", "done"} <= set(verbs)

    check_capacity(bed, lead, wait_for(known_w, lambda: bed.log("fleet"), limit_s=LIMIT_S) or 0.0)


def check_capacity(bed: SiteBed, lead: User, before_w: float) -> None:
    """Another domain says how much power there is, and says so no longer."""
    row = curtail_triggers.write_trigger(lead, "Feeder", TriggerKind.CAPACITY, Condition(), CurtailWish(), reason="x")
    curtail_triggers.approve_trigger(person(Role.SITE_MANAGER), row.id, reason="x")
    asyncio.run(publish_capacity(bed, before_w * 0.8))
    wait_for(curtail_rows.active, lambda: bed.log("fleet"), limit_s=LIMIT_S)
    begun = curtail_rows.active()
    assert begun is not None
    assert begun.actor == f"trigger:{row.id}"
    wait_for(lambda: curtail_rows.asleep_by(begun.id), lambda: bed.log("fleet"), limit_s=LIMIT_S)
    asyncio.run(publish_capacity(bed, None))
    wait_for(lambda: curtail_rows.curtailment(begun.id).is_over, lambda: bed.log("fleet"), limit_s=LIMIT_S)
    assert curtail_rows.curtailment(begun.id).state is OperationState.DONE
