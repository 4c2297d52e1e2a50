"""Contracts, excuses and statements in the database: two people, months by hand, sheets that add up, corrections."""

import msgspec
import pytest
from django.db import IntegrityError, ProgrammingError, transaction

from mbongi.core.identity.scope import Scope, acting
from mbongi.core.identity.values import Role
from mbongi.core.ledger import selectors as ledger
from mbongi.fleet import contracts, hosting_rows, statements
from mbongi.fleet.errors import HostingRefusedError, NotPermittedError, UnknownContractError
from mbongi.fleet.models import Action, Contract, Hosted, HostedDay, Machine, Operation, Statement
from mbongi.fleet.rules.hosting_terms import CurtailmentClass, ExcuseClass, Member
from mbongi.fleet.values import MachineState
from tests.fleet.hosted_site import (
    BRAZZAVILLE,
    LATER,
    NOVEMBER,
    PARIS,
    TERMS,
    WrittenStore,
    check_sheet,
    close,
    contract,
    lines_of,
    listed,
    machine,
    utc,
)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("as_site")]


# Contracts.


def test_a_contract_governs_once_somebody_else_approved_it(lead, manager, north):
    machine(1, north)
    made = contracts.add_contract(lead, north.pk, "North 1", TERMS, reason="signed")
    assert hosting_rows.governing(made.contract_id, "2026-11") is None
    with pytest.raises(NotPermittedError):
        contracts.approve_version(lead, made.id, reason="mine")
    own = contracts.add_contract(manager, north.pk, "North 2", TERMS, reason="signed")
    with pytest.raises(HostingRefusedError, match="wrote it"):
        contracts.approve_version(manager, own.id, reason="mine")

    contracts.approve_version(manager, made.id, reason="read it")

    assert hosting_rows.governing(made.contract_id, "2026-11") == (1, TERMS)
    assert hosting_rows.governing(made.contract_id, "2025-12") is None
    with pytest.raises(HostingRefusedError, match="it is active"):
        contracts.approve_version(manager, made.id, reason="again")
    entries = [entry.action for entry in ledger.entries(limit=20) if entry.subject == f"contract:{made.contract_id}"]
    assert sorted(entries) == ["fleet.contract.approve", "fleet.contract.follow", "fleet.contract.propose"]


def test_versions_govern_from_their_month_on_and_a_refused_one_never(lead, manager, north):
    made = contract(lead, manager, north)
    dearer = msgspec.structs.replace(TERMS, valid_from="2026-12", mwh_minor=6000)
    second = contracts.write_version(lead, made.contract_id, dearer, reason="index")
    with pytest.raises(HostingRefusedError, match="proposed"):
        contracts.write_version(lead, made.contract_id, dearer, reason="again")
    contracts.refuse_version(lead, second.id, reason="typed wrongly")
    third = contracts.write_version(lead, made.contract_id, dearer, reason="index")
    contracts.approve_version(manager, third.id, reason="agreed")

    assert [hosting_rows.governing(made.contract_id, month)[0] for month in ("2026-11", "2026-12")] == [1, 3]
    newest = hosting_rows.versions(made.contract_id)[0]
    assert newest.changes == [("valid_from", "2026-01", "2026-12"), ("mwh_minor", 5500, 6000)]


def test_what_cannot_be_a_contract_is_refused_in_words(lead, north, tenant):
    strange = machine(2, tenant("south"))
    for terms, words in (
        ({"valid_from": "soon"}, "missing required"),
        (msgspec.structs.replace(TERMS, currency="FCFA"), "currency"),
        (listed(Member(machine_id=strange.pk)), "not of tenant"),
        (listed(Member(machine_id=99)), "not known"),
        (msgspec.structs.replace(TERMS, group_id=9), "group 9"),
    ):
        with pytest.raises(HostingRefusedError, match=words):
            contracts.add_contract(lead, north.pk, "North", terms, reason="x")
    for name, reason in (("", "x"), ("North", " ")):
        with pytest.raises(HostingRefusedError):
            contracts.add_contract(lead, north.pk, name, TERMS, reason=reason)
    with pytest.raises(HostingRefusedError, match="tenant 999"):
        contracts.add_contract(lead, 999, "North", TERMS, reason="x")
    assert not Contract.objects.exists()


def test_people_of_a_tenant_decide_nothing_whatever_their_role(people, lead, manager, north):
    made = contract(lead, manager, north)
    second = contracts.write_version(lead, made.contract_id, TERMS, reason="same")
    guest = people(Role.SITE_MANAGER, tenant=north)
    with acting(Scope(tenant_id=north.pk, site_wide=False)):
        for attempt in (
            lambda: contracts.add_contract(guest, north.pk, "Mine", TERMS, reason="x"),
            lambda: contracts.write_version(guest, made.contract_id, TERMS, reason="x"),
            lambda: contracts.approve_version(guest, second.id, reason="x"),
            lambda: contracts.enter_excuse(guest, ExcuseClass.GRID, *NOVEMBER, note="x"),
            lambda: statements.ask_closing(guest, "2026-11", BRAZZAVILLE, now=LATER),
        ):
            with pytest.raises(NotPermittedError):
                attempt()


def test_machines_come_and_go_by_the_rule_from_when_it_is_looked_at(lead, manager, north):
    first, second = machine(1, north), machine(2, None)
    made = contract(lead, manager, north)
    assert [row.machine_id for row in Hosted.objects.filter(until=None)] == [first.pk]
    Machine.objects.filter(pk=second.pk).update(tenant=north)
    Machine.objects.filter(pk=first.pk).update(tenant=None)
    assert contracts.follow_rules() == 2
    assert contracts.follow_rules() == 0
    assert [row.machine_id for row in Hosted.objects.filter(contract_id=made.contract_id, until=None)] == [second.pk]
    assert Hosted.objects.get(machine=first).until == Hosted.objects.get(machine=second).since
    with pytest.raises(IntegrityError), transaction.atomic():
        Hosted.objects.create(contract_id=made.contract_id, tenant=north, machine=second, since=LATER)


# A month by hand.


def test_a_month_by_hand_is_closed_adds_up_and_is_never_changed(lead, manager, north):
    """Machine 1 all month; machine 2 from the 11th; faults, a grid outage, a gap of monitoring."""
    one, two = machine(1, north), machine(2, north)
    contract(lead, manager, north, listed(Member(machine_id=one.pk), Member(machine_id=two.pk, since="2026-11-11")))
    store = WrittenStore()
    # One: 5 November off from 08:00 to 20:00 UTC, of which the grid 08:00 to 14:00; the 7th not seen for 3 h.
    store.write(one, NOVEMBER[0], utc(2026, 11, 5, 8))
    store.write(one, utc(2026, 11, 5, 8), utc(2026, 11, 5, 20), MachineState.OFF)
    store.write(one, utc(2026, 11, 5, 20), utc(2026, 11, 7))
    store.write(one, utc(2026, 11, 7, 3), NOVEMBER[1])
    # Two mines from before it was under contract on; half an hour of the 20th it does not answer.
    store.write(two, utc(2026, 11, 9), utc(2026, 11, 20, 10), ths=190.0)
    store.write(two, utc(2026, 11, 20, 10), utc(2026, 11, 20, 10, 30), MachineState.UNKNOWN)
    store.write(two, utc(2026, 11, 20, 10, 30), NOVEMBER[1], ths=190.0)
    grid = contracts.enter_excuse(
        lead, ExcuseClass.GRID, utc(2026, 11, 5, 8), utc(2026, 11, 5, 14), note="feeder lost", hall=20
    )
    contracts.approve_excuse(manager, grid.id, reason="utility's notice 17")

    run = close(manager, "2026-11", store)

    [found] = hosting_rows.statements(month="2026-11")
    assert (run.failed, run.done) == (0, {found.contract_id: (found.id, "")})
    sums, bill = found.document.sums, found.document.bill
    hours = 3600
    assert sums.seconds == (30 * 24 + 20 * 24) * hours
    assert sums.up_s == (30 * 24 - 12 - 3) * hours + 20 * 24 * hours - 1800
    assert (sums.excused_s[ExcuseClass.GRID], sums.excused_all_s) == (6 * hours, 6 * hours)
    assert (sums.unexcused_s, sums.unknown_s) == (6 * hours + 1800, 3 * hours)
    # Energy: 3.5 kW while up. Hash-hours: 200 and 190 TH/s while up.
    assert sums.energy_wh == 3500 * (705 + 479.5)
    assert sums.hash_milli == (200 * 705 + 190 * 479.5) * 1000
    # Promised: 95 % of 200 TH/s for what was owed: up and unexcused.
    assert sums.promised_milli == 190 * (705 + 6 + 480) * 1000
    # 1184.5 of 1191 owed hours: 99.454 %, below 99.5 %: 5 % of the charges. 4,145.75 kWh at 55.00 per 1,000 kWh.
    assert sums.uptime_ppm == 994_542
    assert (bill.charges_minor, bill.credit_minor, bill.total_minor) == (22_802, 1140, 21_662)
    check_sheet(found)
    with pytest.raises(ProgrammingError), transaction.atomic():
        Statement.objects.filter(pk=found.id).update(month="2026-10")
    with pytest.raises(HostingRefusedError, match="0 contracts"):
        statements.ask_closing(manager, "2026-11", BRAZZAVILLE, now=LATER)


@pytest.mark.parametrize(("month", "hours"), [("2026-03", 743), ("2026-10", 745), ("2028-02", 696)])
def test_months_whose_clocks_change_and_leap_months_have_every_second(lead, manager, north, month, hours):
    one = machine(1, north)
    contract(lead, manager, north, listed(Member(machine_id=one.pk), machine_month_minor=10_000, mwh_minor=0))
    store = WrittenStore()
    store.write(one, utc(2026, 1, 1), utc(2026, 1, 2))
    year, number = map(int, month.split("-"))
    for day in range(1, 29):
        store.write(one, utc(year, number, day), utc(year, number, day, 23))
    close(manager, month, store, PARIS, now=utc(2028, 3, 2), contract_ids=None)
    [found] = hosting_rows.statements(month=month)
    assert found.document.sums.seconds == hours * 3600 == found.document.month_s
    assert found.document.bill.charges_minor == 10_000
    check_sheet(found)


def test_a_contract_that_begins_and_ends_within_the_month_is_charged_for_its_part(lead, manager, north):
    one = machine(1, north)
    terms = listed(
        Member(machine_id=one.pk), starts="2026-11-10", ends="2026-11-25", mwh_minor=0, machine_month_minor=3000
    )
    contract(lead, manager, north, terms)
    store = WrittenStore()
    store.write(one, *NOVEMBER)
    close(manager, "2026-11", store)
    [found] = hosting_rows.statements(month="2026-11")
    assert found.document.sums.up_s == 15 * 86_400
    assert found.document.bill.total_minor == 1500
    assert {line["day"] for line in lines_of(found)} == {f"2026-11-{day}" for day in range(10, 25)}


def test_a_machine_that_changes_hands_in_the_month_is_in_each_contract_for_its_part(lead, manager, north, tenant):
    south, one = tenant("south"), machine(1, north)
    contract(lead, manager, north, listed(Member(machine_id=one.pk, until="2026-11-16")))
    Machine.objects.filter(pk=one.pk).update(tenant=south)
    contract(lead, manager, south, listed(Member(machine_id=one.pk, since="2026-11-16")), name="South 1")
    store = WrittenStore()
    store.write(one, *NOVEMBER)
    close(manager, "2026-11", store)
    first, second = hosting_rows.statements(month="2026-11")
    assert (first.document.sums.up_s, second.document.sums.up_s) == (15 * 86_400, 15 * 86_400)
    assert first.document.until == second.document.until
    for who, own in ((north, first), (south, second)):
        with acting(Scope(tenant_id=who.pk, site_wide=False)):
            assert [row.id for row in hosting_rows.statements()] == [own.id]
            assert set(HostedDay.objects.values_list("tenant_id", flat=True)) == {who.pk}


# Excuses.


def test_an_excuse_counts_once_a_second_person_agreed_and_one_that_waits_holds_the_month_open(lead, manager, north):
    one = machine(1, north)
    made = contract(lead, manager, north, listed(Member(machine_id=one.pk)))
    store = WrittenStore()
    store.write(one, NOVEMBER[0], utc(2026, 11, 30))
    store.write(one, utc(2026, 11, 30), NOVEMBER[1], MachineState.FAULT)
    waiting = contracts.enter_excuse(
        lead,
        ExcuseClass.CUSTOMER,
        utc(2026, 11, 30),
        utc(2026, 11, 30, 12),
        note="asked by phone",
        machine_ids=[one.pk],
    )
    with pytest.raises(NotPermittedError):
        contracts.approve_excuse(lead, waiting.id, reason="mine")

    run = close(manager, "2026-11", store)

    assert "is proposed" in run.done[made.contract_id][1]
    contracts.refuse_excuse(manager, waiting.id, reason="no evidence")
    assert close(manager, "2026-11", store).failed == 0
    [found] = hosting_rows.statements()
    assert (found.document.sums.unexcused_s, found.document.sums.excused_all_s) == (23 * 3600, 0)
    with pytest.raises(HostingRefusedError, match="it is refused"):
        contracts.approve_excuse(manager, waiting.id, reason="after all")


def test_excuses_that_cannot_be_are_refused(lead, north):
    for change, words in (
        ({"since": NOVEMBER[1], "until": NOVEMBER[0]}, "from"),
        ({"note": " "}, "reason"),
        ({"machine_ids": [99]}, "not known"),
        ({"hall": 1, "contract_id": 1}, "reach"),
    ):
        given = {"since": NOVEMBER[0], "until": NOVEMBER[1], "note": "x"} | change
        with pytest.raises(HostingRefusedError, match=words):
            contracts.enter_excuse(lead, ExcuseClass.GRID, given.pop("since"), given.pop("until"), **given)
    with pytest.raises(UnknownContractError):
        contracts.enter_excuse(lead, ExcuseClass.GRID, *NOVEMBER, note="x", contract_id=99)


def action(user, one, kind, at, operation=None):
    return Action.objects.create(
        machine=one, tenant=one.tenant, kind=kind, reason="x", author=user, status="done",
        requested_at=at, claimed_at=at, finished_at=at, operation=operation,
    )  # fmt: skip


@pytest.mark.parametrize("klass", [CurtailmentClass.AGREED, CurtailmentClass.FIRM])
def test_sleeps_of_curtailment_and_of_the_tenants_own_people_excuse_by_themselves(people, lead, manager, north, klass):
    one = machine(1, north)
    contract(lead, manager, north, listed(Member(machine_id=one.pk), curtailment=klass))
    owner = people(Role.SHIFT_LEAD, tenant=north)
    operation = Operation.objects.create(
        kind="curtail",
        state="done",
        limits={},
        reason="peak",
        author=lead,
        actor=lead.actor,
        planned_at=utc(2026, 11, 3),
    )
    store = WrittenStore()
    store.write(one, NOVEMBER[0], utc(2026, 11, 3))
    store.write(one, utc(2026, 11, 3), utc(2026, 11, 3, 4), MachineState.SLEEPING)  # curtailed
    store.write(one, utc(2026, 11, 3, 4), utc(2026, 11, 4))
    store.write(one, utc(2026, 11, 4), utc(2026, 11, 4, 2), MachineState.SLEEPING)  # the tenant's wish
    store.write(one, utc(2026, 11, 4, 2), utc(2026, 11, 6))
    store.write(one, utc(2026, 11, 6), utc(2026, 11, 6, 1), MachineState.SLEEPING)  # the site's own
    store.write(one, utc(2026, 11, 6, 1), NOVEMBER[1])
    action(lead, one, "sleep", utc(2026, 11, 3), operation)
    action(lead, one, "wake", utc(2026, 11, 3, 4))
    slept = action(owner, one, "sleep", utc(2026, 11, 4))
    action(lead, one, "sleep", utc(2026, 11, 6))

    close(manager, "2026-11", store)

    [found] = hosting_rows.statements()
    excused = found.document.sums.excused_s
    curtailed = 4 * 3600 if klass is CurtailmentClass.AGREED else 0
    assert (excused[ExcuseClass.CURTAILMENT], excused[ExcuseClass.CUSTOMER]) == (curtailed, 2 * 3600)
    assert found.document.sums.unexcused_s == 3600 + 4 * 3600 - curtailed
    assert {one.cause for one in found.document.excuses} == {f"operation:{operation.pk}", f"action:{slept.pk}"}
