"""Supplies in versions, plans that are kept, targets that reach the fleet."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import pytest

from mbongi.core.identity.values import Role
from mbongi.core.ledger import selectors as ledger
from mbongi.energy import dispatching, supplies
from mbongi.energy.adapters.highs import Highs
from mbongi.energy.errors import NotPermittedError, SupplyRefusedError
from mbongi.energy.models import DispatchPlan, DispatchState
from mbongi.energy.ports import Found
from mbongi.energy.rules.blackout import Orders, Phase, Source
from mbongi.energy.rules.steering import Why
from mbongi.fleet import curtail_triggers
from tests.energy.supplies import DOCUMENT, readings, supply

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("as_site")]
ZONE = ZoneInfo("Africa/Brazzaville")
NOW = datetime(2026, 11, 25, 18, 2, tzinfo=UTC)  # 19:02 in Brazzaville, within the dear period


@pytest.fixture
def in_force(lead, manager):
    row = supplies.write(lead, supply(), reason="contract of 2026")
    return supplies.approve(manager, row.id, reason="read")


class Fails:
    def solve(self, matrix, *, limit_s, gap):
        return Found("time limit", None, 0.0, 0.0, 0.0, np.empty(0))


def plan(told=None, solver=None):
    return dispatching.plan_now(solver or Highs(), told or readings(NOW.timestamp()), ZONE, now=NOW)


def steer(kept, *, now=NOW, orders=None, phase=Phase.GRID):
    return dispatching.steer(kept, orders, readings(now.timestamp()), ZONE, phase=phase, now=now)


def capacity():
    return next((row for row in curtail_triggers.signals() if row.kind == "capacity"), None)


def test_a_supply_is_in_force_once_a_second_person_approved_it(lead, manager, people):
    with pytest.raises(NotPermittedError):
        supplies.write(people(Role.TECHNICIAN), supply(), reason="x")
    row = supplies.write(lead, supply(), reason="contract")
    assert row.needs_second
    assert supplies.in_force() is None
    with pytest.raises(SupplyRefusedError, match="somebody else"):
        supplies.approve(lead, row.id, reason="x")
    assert supplies.approve(manager, row.id, reason="read").approver == str(manager)
    with pytest.raises(SupplyRefusedError, match="already"):
        supplies.approve(manager, row.id, reason="x")
    assert supplies.in_force().supply == supply()
    # A new version waits; the old one stays in force.
    supplies.write(manager, supply(import_kw=100), reason="new")
    assert supplies.in_force().id == row.id
    assert [one.action for one in ledger.entries(subject=f"supply:{row.id}")] == [
        "energy.supply.approve",
        "energy.supply.write",
    ]


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"currency": "francs"}, "currency"),
        ({"unknown": 1}, "unknown"),
        ({"outage_p": [0.5]}, "24"),
        ({"loads": [{"tag": "JOBS", "kw": 1, "order": 1, "shed_per_kwh": 1}]}, "expected more than"),
        ({"gensets": [{**DOCUMENT["gensets"][0], "tank": "NONE"}]}, "NONE"),
    ],
)
def test_a_document_that_cannot_be_planned_with_is_refused(change, match):
    assert supplies.read_document(msgspec.json.encode(DOCUMENT)) == supply()
    with pytest.raises(SupplyRefusedError, match=match):
        supplies.read_document(msgspec.json.encode({**DOCUMENT, **change}))
    with pytest.raises(SupplyRefusedError):
        supplies.read_document(b"{")


def test_a_plan_is_kept_with_its_inputs_and_what_it_saves(in_force):
    kept = plan()

    row = DispatchPlan.objects.get(pk=kept.id)
    assert (row.status, row.is_usable, row.assumed) == ("optimal", True, [])
    assert row.starts_at == NOW - timedelta(minutes=2)
    assert row.inputs["BAT charge_pct"] == [60.0, NOW.timestamp()]
    assert row.summary["saved"] == pytest.approx(row.summary["nothing"]["net"] - row.summary["plan"]["net"], abs=0.01)
    assert row.summary["saved"] > 0
    assert len(row.document["plan"]["mining"]["MINE"]) == 288
    # 60,000,000 x 4.5e-7 / 0.432 kWh = 62.5 a kWh: at 85 and carbon's price nothing is bought for mining, and 500 kW of
    # hydro at 44 are all there is for it.
    assert row.document["plan"]["feed"]["FEED-A"][0] == 0
    assert row.document["plan"]["mining"]["MINE"][0] <= 500
    assert ["feed_limit", "HYDRO"] in row.document["reasons"][0]


def test_a_try_without_a_plan_is_kept_with_its_reason_and_the_rules_steer(in_force):
    kept = plan(solver=Fails())
    row = DispatchPlan.objects.get(pk=kept.id)
    assert not row.is_usable
    assert "time limit" in row.status
    assert steer(kept).why is Why.NO_PLAN


def test_targets_are_only_shown_until_dispatch_is_switched_on(lead, in_force):
    kept = plan()
    told = steer(kept)
    assert told.why is Why.PLAN
    assert told.mining_kw <= 500
    assert capacity() is None
    assert DispatchState.objects.get().targets["mining"] == {"MINE": told.mining_kw}

    supplies.switch(lead, on=True, reason="trial")
    steer(kept)
    assert (capacity().value, capacity().source) == (1000 * told.mining_kw, "dispatch")
    assert capacity().until == NOW + dispatching.TOLD_FOR
    supplies.switch(lead, on=False, reason="enough")
    steer(kept, now=NOW + timedelta(seconds=10))
    assert capacity().value is None


def test_a_limit_ends_when_mining_pays_again(lead, in_force):
    supplies.switch(lead, on=True, reason="trial")
    kept = plan()
    assert capacity() is None
    steer(kept)
    assert capacity().value <= 500_000
    # Four hours on the dear period is over; a plan made then mines with all it has.
    later = NOW + timedelta(hours=4)
    kept = dispatching.plan_now(Highs(), readings(later.timestamp()), ZONE, now=later)
    assert steer(kept, now=later).mining_kw == 2000
    assert capacity().value is None


def test_a_step_that_does_not_divide_the_most_is_no_limit(lead, manager):
    # 2000 kW in steps of 300: six steps, 1800 kW, are all that there is.
    mining = {**DOCUMENT["mining"][0], "step_kw": 300}
    supplies.approve(manager, supplies.write(lead, supply(mining=[mining]), reason="steps").id, reason="read")
    supplies.switch(lead, on=True, reason="trial")
    assert steer(None).mining_kw == 1800
    assert capacity() is None


def test_a_version_older_than_the_one_in_force_is_not_approved(lead, manager):
    old = supplies.write(lead, supply(), reason="first")
    new = supplies.write(lead, supply(), reason="second")
    supplies.approve(manager, new.id, reason="read")
    with pytest.raises(SupplyRefusedError, match="newer"):
        supplies.approve(manager, old.id, reason="read")
    assert supplies.in_force().id == new.id


def test_a_plan_that_grew_old_gives_way_to_the_rules(in_force):
    kept = plan()
    assert steer(kept, now=NOW + timedelta(minutes=12)).why is Why.PLAN
    assert steer(kept, now=NOW + timedelta(minutes=14)).why is Why.LATE


def test_the_blackout_sequence_has_the_last_word(lead, in_force):
    supplies.switch(lead, on=True, reason="trial")
    orders = Orders(frozenset(), Source.UPS, frozenset({"CORE"}), 0.0, ())
    later = NOW + timedelta(hours=4)
    kept = dispatching.plan_now(Highs(), readings(later.timestamp()), ZONE, now=later)
    told = steer(kept, now=later, orders=orders, phase=Phase.HOLD)
    assert (told.why, told.mining_kw) == (Why.BLACKOUT, 0)
    assert capacity().value == 0
    state = DispatchState.objects.get()
    assert (state.phase, state.phase_since) == ("hold", later)
    steered = [one.after for one in ledger.entries(subject="dispatch") if one.action == "energy.dispatch.steer"]
    assert steered[0] == {"why": "blackout", "phase": "hold", "mining_kw": 0.0}


def test_without_a_supply_nothing_is_planned_or_steered(lead):
    assert plan() is None
    assert steer(None) is None
    with pytest.raises(SupplyRefusedError, match="no supply"):
        supplies.switch(lead, on=True, reason="x")
    assert DispatchPlan.objects.count() == 0


def test_old_series_are_dropped_and_the_figures_stay(in_force):
    old = plan()
    DispatchPlan.objects.filter(pk=old.id).update(made_at=NOW - timedelta(days=400))
    middle = plan()
    DispatchPlan.objects.filter(pk=middle.id).update(made_at=datetime.now(UTC) - timedelta(days=3))
    plan()
    kept = DispatchPlan.objects.get(pk=middle.id)
    assert kept.document == {}
    assert kept.summary["saved"] > 0
    assert not DispatchPlan.objects.filter(pk=old.id).exists()


def test_a_genset_is_remembered_to_run_or_rest():
    told = readings(0.0, GEN_running=1)
    memory = dispatching.remember({}, told, ["GEN", "OTHER"], now_s=0.0)
    assert (memory["GEN"].is_on, memory["GEN"].since_steps) == (True, 0)
    memory = dispatching.remember(memory, told, ["GEN"], now_s=0.0)
    assert memory["GEN"].since_steps == 1
    memory = dispatching.remember(memory, readings(0.0, GEN_running=0), ["GEN"], now_s=0.0)
    assert (memory["GEN"].is_on, memory["GEN"].since_steps) == (False, 0)
