"""Machines that change owner: each tenant sees, pays and is written to for its own time alone."""

from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import uuid4

import pytest

from mbongi.base.clock import utc_now
from mbongi.core.identity.models import Tenant, User
from mbongi.core.identity.scope import Scope, acting
from mbongi.core.identity.values import Role
from mbongi.core.ledger import selectors as ledger
from mbongi.fleet import (
    handing_over,
    hosting_rows,
    operation_rows,
    operations,
    pacing,
    services,
    statements,
    work_order_rows,
    work_orders,
)
from mbongi.fleet.errors import UnknownOrderError
from mbongi.fleet.models import Action, HostedDay, Machine, Owned
from mbongi.fleet.operation_wording import operation_text
from mbongi.fleet.operations import Plan, Step
from mbongi.fleet.rules.hosting_days import Span
from mbongi.fleet.rules.hosting_terms import Member
from mbongi.fleet.rules.work_orders import EntryKind, Fault
from mbongi.fleet.values import ActionKind, ActionStatus, OperationKind, OperationState
from mbongi.fleet.work_orders import NewWork
from tests.fleet.hosted_site import BRAZZAVILLE, NOVEMBER, WrittenStore, close, contract, listed, machine, utc

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("as_site")]

POOLS = {"pools": [{"url": "stratum+tcp://pool.example:3333", "user": "north.1"}]}
MONTH: Span = (int(NOVEMBER[0].timestamp()), int(NOVEMBER[1].timestamp()))
HANDED = utc(2026, 11, 11, 9)


@pytest.fixture
def south(tenant: Callable[[str], Tenant]) -> Tenant:
    return tenant("south")


def hand(user: User, one: Machine, to: Tenant | None, at: datetime | None, monkeypatch: Any) -> None:
    if at is not None:
        monkeypatch.setattr(handing_over, "utc_now", lambda: at)
    services.assign(user, [one.pk], None if to is None else to.pk, "sold")


def spans(contract_id: int) -> list[tuple[int, Span]]:
    found = hosting_rows.governing(contract_id, "2026-11")
    assert found is not None
    return hosting_rows.memberships(contract_id, found[1], MONTH, BRAZZAVILLE.zone)


def eyes(who: Tenant) -> Any:
    return acting(Scope(tenant_id=who.pk, site_wide=False))


def verbs(subject: str) -> list[str]:
    return [entry.action for entry in reversed(ledger.entries(subject=subject))]


def test_a_listed_machine_counts_until_it_is_handed_over_and_for_the_next_from_then(
    lead, manager, north, south, monkeypatch
):
    one, kept = machine(1, north), machine(2, north)
    made = contract(lead, manager, north, listed(Member(machine_id=one.pk), Member(machine_id=kept.pk)))
    assert spans(made.contract_id) == [(one.pk, MONTH), (kept.pk, MONTH)]

    hand(manager, one, south, HANDED, monkeypatch)
    # The next owner's contract says the whole month; before it owned the machine, that is not true.
    other = contract(lead, manager, south, listed(Member(machine_id=one.pk)), name="South 1")

    moment = int(HANDED.timestamp())
    assert spans(made.contract_id) == [(one.pk, (MONTH[0], moment)), (kept.pk, MONTH)]
    assert spans(other.contract_id) == [(one.pk, (moment, MONTH[1]))]
    store = WrittenStore()
    store.write(one, *NOVEMBER)
    store.write(kept, *NOVEMBER)
    close(manager, "2026-11", store)
    first, second = hosting_rows.statements(month="2026-11")
    assert first.document.sums.up_s == moment - MONTH[0] + MONTH[1] - MONTH[0]
    assert second.document.sums.up_s == MONTH[1] - moment
    with eyes(north):
        days = HostedDay.objects.filter(machine=one)
        assert max(days.values_list("until", flat=True)) == HANDED
    with eyes(south):
        assert min(HostedDay.objects.values_list("since", flat=True)) == HANDED


def test_a_machine_that_comes_back_counts_again_and_not_for_the_time_between(lead, manager, north, south, monkeypatch):
    one = machine(1, None)
    hand(manager, one, north, utc(2026, 11, 3), monkeypatch)
    made = contract(lead, manager, north, listed(Member(machine_id=one.pk)))
    # Nobody else is known to have owned it before, so the contract's word on that time holds.
    assert spans(made.contract_id) == [(one.pk, MONTH)]

    hand(manager, one, None, utc(2026, 11, 10), monkeypatch)
    assert [span[1] for _pk, span in spans(made.contract_id)] == [int(utc(2026, 11, 10).timestamp())]
    hand(manager, one, north, utc(2026, 11, 20), monkeypatch)

    first, second = int(utc(2026, 11, 10).timestamp()), int(utc(2026, 11, 20).timestamp())
    assert spans(made.contract_id) == [(one.pk, (MONTH[0], first)), (one.pk, (second, MONTH[1]))]


def test_a_closed_statement_stays_as_it_was(lead, manager, north, south, monkeypatch):
    one = machine(1, north)
    made = contract(lead, manager, north, listed(Member(machine_id=one.pk)))
    store = WrittenStore()
    store.write(one, *NOVEMBER)
    close(manager, "2026-11", store)
    [before] = hosting_rows.statements(month="2026-11")
    sheet = statements.sheet_of(before.id)

    hand(manager, one, south, utc(2026, 12, 3), monkeypatch)

    assert hosting_rows.statements(month="2026-11") == [before]
    assert statements.sheet_of(before.id) == sheet
    assert spans(made.contract_id) == [(one.pk, MONTH)]


def test_a_tenant_sees_its_own_times_of_ownership_alone(manager, north, south):
    one = machine(1, north)
    services.assign(manager, [one.pk], south.pk, "sold")
    for who, is_now in ((north, False), (south, True)):
        with eyes(who):
            [row] = Owned.objects.all()
            assert (row.tenant_id, row.until is None, row.since is None) == (who.pk, is_now, not is_now)


# What was planned.


def test_pools_planned_for_the_former_owner_are_never_written(lead, manager, people, north, south):
    one = machine(1, north)
    [step] = services.request_action(lead, [one.pk], ActionKind.SET_POOLS, POOLS, reason="new account")
    operation_id = Action.objects.get(pk=step.id).operation_id
    assert operation_rows.operation(operation_id).state is OperationState.AWAITING

    services.assign(manager, [one.pk], south.pk, "sold")

    row = Action.objects.get(pk=step.id)
    assert (row.status, row.message, row.tenant_id) == (ActionStatus.CANCELLED, handing_over.FORMER, north.pk)
    assert operation_text(row.message) == "It was planned for the machine's former owner."
    # Nothing is left of the operation, so nobody is asked to approve it.
    found = operation_rows.operation(operation_id)
    assert (found.state, found.message) == (OperationState.CANCELLED, handing_over.FORMER)
    assert "fleet.machine.set_pools.cancel" in verbs(f"machine:{one.pk}")
    assert verbs(f"operation:{operation_id}")[-1] == "fleet.operation.cancel"
    assert services.claim_actions() == []
    with eyes(south):
        assert not Action.objects.exists()
    with eyes(north):
        assert [each.pk for each in Action.objects.all()] == [step.id]


def test_the_former_owner_s_other_machines_are_written_as_planned(lead, manager, people, north, south):
    sold, kept = machine(1, north), machine(2, north)
    steps = services.request_action(lead, [sold.pk, kept.pk], ActionKind.SET_POOLS, POOLS, reason="new account")
    operation_id = Action.objects.get(pk=steps[0].id).operation_id

    services.assign(manager, [sold.pk], south.pk, "sold")
    operations.approve_operation(people(Role.SECURITY_OFFICER), operation_id, reason="seen", start=True)
    pacing.advance(operation_id)

    assert [work.machine_id for work in services.claim_actions()] == [kept.pk]


def test_a_request_by_hand_that_has_not_begun_is_cancelled_and_one_that_has_is_seen_through(
    lead, manager, north, south
):
    begun, waiting = machine(1, north), machine(2, north)
    [first] = services.request_action(lead, [begun.pk], ActionKind.REBOOT, reason="hung")
    assert [work.action_id for work in services.claim_actions()] == [first.id]
    [second] = services.request_action(lead, [waiting.pk], ActionKind.REBOOT, reason="hung")

    services.assign(manager, [begun.pk, waiting.pk], south.pk, "sold")

    found = dict(Action.objects.values_list("pk", "status"))
    assert found == {first.id: ActionStatus.RUNNING, second.id: ActionStatus.CANCELLED}
    assert set(Action.objects.values_list("tenant_id", flat=True)) == {north.pk}
    assert "fleet.machine.reboot.cancel" in verbs(f"machine:{waiting.pk}")


def test_a_machine_that_sleeps_by_the_site_s_wish_is_woken_for_its_new_owner(lead, manager, north, south):
    one = machine(1, north)
    plan = Plan(kind=OperationKind.WAKE, steps=[Step(one.pk, ActionKind.WAKE)], reason="the grid is back")
    row = operations.plan_operation(lead, plan)

    services.assign(manager, [one.pk], south.pk, "sold")

    step = Action.objects.get(operation=row.id)
    assert (step.status, step.tenant_id) == (ActionStatus.PLANNED, south.pk)
    assert operation_rows.operation(row.id).state is OperationState.PLANNED


# Work orders.


def test_an_open_order_goes_with_its_machine_and_a_closed_one_stays_with_its_tenant(lead, manager, north, south):
    one = machine(1, north)
    open_id, closed_id = (
        work_orders.enter_one(
            lead, NewWork(key=uuid4(), kind=EntryKind.REPORT, at=utc_now(), machine_id=one.pk, fault=fault)
        ).order
        for fault in (Fault.FAN, Fault.OTHER)
    )
    assert open_id is not None
    assert closed_id is not None
    work_orders.enter_one(
        lead, NewWork(key=uuid4(), kind=EntryKind.CANCEL, at=utc_now(), order=closed_id, text="a mistake")
    )
    with eyes(north):
        assert {row.id for row in work_order_rows.orders().rows} == {open_id, closed_id}

    services.assign(manager, [one.pk], south.pk, "sold")
    work_orders.enter_one(lead, NewWork(key=uuid4(), kind=EntryKind.NOTE, at=utc_now(), order=open_id, text="ordered"))

    with eyes(south):
        assert [row.id for row in work_order_rows.orders().rows] == [open_id]
        assert [row.text for row in work_order_rows.entries(open_id)] == ["ordered"]
        with pytest.raises(UnknownOrderError):
            work_order_rows.order(closed_id)
    with eyes(north), pytest.raises(UnknownOrderError):
        work_order_rows.order(open_id)
