"""Statements: closing that waits and goes on, corrections, days read once and once more, nobody else's rows."""

import pytest

from mbongi.core.identity.scope import SITE, Scope, acting
from mbongi.core.telemetry.errors import StoreUnavailable
from mbongi.fleet import contracts, hosting_rows, statements
from mbongi.fleet.errors import HostingRefusedError, UnknownContractError
from mbongi.fleet.hosting_readings import gather, read, unread, windows
from mbongi.fleet.models import Closing, Hosted, HostedDay
from mbongi.fleet.rules.hosting_terms import CurtailmentClass, ExcuseClass, Member
from mbongi.fleet.values import MachineState
from tests.fleet.hosted_site import (
    BRAZZAVILLE,
    LATER,
    NOVEMBER,
    WrittenStore,
    check_sheet,
    close,
    contract,
    listed,
    machine,
    utc,
)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("as_site")]


# Closing, correcting, reading.


def test_a_correction_is_a_new_version_that_states_the_difference(lead, manager, north):
    one = machine(1, north)
    made = contract(lead, manager, north, listed(Member(machine_id=one.pk)))
    store = WrittenStore()
    store.write(one, NOVEMBER[0], utc(2026, 11, 20))
    store.write(one, utc(2026, 11, 20), NOVEMBER[1], MachineState.OFF)
    close(manager, "2026-11", store)
    again = [made.contract_id]
    with pytest.raises(HostingRefusedError, match="reason"):
        statements.ask_closing(manager, "2026-11", BRAZZAVILLE, now=LATER, contract_ids=again)
    run = close(manager, "2026-11", store, reason="complaint 4", contract_ids=again)
    assert "nothing differs" in run.done[made.contract_id][1]
    late = contracts.enter_excuse(
        lead, ExcuseClass.GRID, utc(2026, 11, 20), utc(2026, 11, 30), note="x", contract_id=made.contract_id
    )
    contracts.approve_excuse(manager, late.id, reason="notice")

    close(manager, "2026-11", store, reason="notice 17 came late", contract_ids=again)

    second, first = hosting_rows.statements(contract_id=made.contract_id)
    assert [(row.version, row.newest) for row in (first, second)] == [(1, False), (2, True)]
    assert hosting_rows.statements(newest=True) == [second]
    named = {one.name: (one.before, one.after) for one in second.document.differences}
    assert named["sums.excused_s.grid"] == (0, 10 * 86_400)
    assert named["sums.unexcused_s"] == (first.document.sums.unexcused_s, 23 * 3600)
    assert named["bill.credit_minor"][0] == first.document.bill.credit_minor
    assert second.document.reason == "notice 17 came late"
    assert first.document.differences == []
    check_sheet(second)


def test_a_month_is_closed_when_it_is_over_and_what_comes_late_is_there(manager):
    for moment in (utc(2026, 11, 15), utc(2026, 12, 1, 4, 59)):
        with pytest.raises(HostingRefusedError, match="not over"):
            statements.ask_closing(manager, "2026-11", BRAZZAVILLE, now=moment)
    for word in ("2026-13", "x"):
        with pytest.raises(HostingRefusedError):
            statements.ask_closing(manager, word, BRAZZAVILLE, now=LATER)


def test_a_store_that_is_away_leaves_the_closing_where_it_is(lead, manager, north):
    one = machine(1, north)
    contract(lead, manager, north, listed(Member(machine_id=one.pk)))
    store = WrittenStore(fails=StoreUnavailable("away"))
    run = statements.ask_closing(manager, "2026-11", BRAZZAVILLE, now=LATER)
    with pytest.raises(StoreUnavailable):
        statements.advance(run.id, store, BRAZZAVILLE, clock=lambda: LATER)
    assert statements.open_closings() == [run.id]
    with pytest.raises(HostingRefusedError, match="being closed"):
        statements.ask_closing(manager, "2026-11", BRAZZAVILLE, now=LATER)
    store.fails = None
    store.write(one, *NOVEMBER)
    while not statements.advance(run.id, store, BRAZZAVILLE, clock=lambda: LATER):
        pass
    assert hosting_rows.statements()[0].document.sums.up_s == 30 * 86_400
    assert Closing.objects.get(pk=run.id).finished_at == LATER


def test_rows_that_are_gone_are_unknown_and_counted_neither_way(lead, manager, north):
    one = machine(1, north)
    contract(lead, manager, north, listed(Member(machine_id=one.pk)))
    store = WrittenStore()
    store.write(one, *NOVEMBER)
    short = statements.Site("x", BRAZZAVILLE.zone, raw_days=10)
    close(manager, "2026-11", store, short)
    document = hosting_rows.statements()[0].document
    # On 2 December rows of the ten days before it are there, whole from the 23rd on.
    assert (document.unread_days, document.sums.unknown_s) == (22, 22 * 86_400)
    assert document.sums.up_s == 8 * 86_400
    assert document.sums.uptime_ppm == 1_000_000
    assert document.sums.uptime_low_ppm == 8 * 1_000_000 // 30


def test_days_are_read_once_and_once_more_for_what_came_late(lead, manager, north):
    one = machine(1, north)
    made = contract(lead, manager, north, listed(Member(machine_id=one.pk), starts="2026-11-28"))
    store = WrittenStore()
    store.write(one, utc(2026, 11, 27, 23), utc(2026, 11, 29, 12))
    noon = int(utc(2026, 11, 29, 12).timestamp())

    assert gather(store, BRAZZAVILLE.zone, 30, noon, lambda: True) == 2
    assert gather(store, BRAZZAVILLE.zone, 30, noon + 60, lambda: True) == 0
    first, today = HostedDay.objects.order_by("day")
    assert (first.runs, today.runs) == ("u86400", "u46800")
    # A quarter of an hour later today again, the day that was final not.
    store.write(one, utc(2026, 11, 29, 12), utc(2026, 11, 29, 12, 30))
    assert gather(store, BRAZZAVILLE.zone, 30, noon + 1800, lambda: True) == 1
    assert HostedDay.objects.get(day="2026-11-29").runs == "u48600"
    # The next day: over, read again soon after midnight, then for good six hours later.
    midnight = utc(2026, 11, 29, 23)
    wanted = windows(made.contract_id, "2026-11", BRAZZAVILLE.zone, int(midnight.timestamp()))
    for after_s, expected in ((200, 0), (400, 1), (5 * 3600, 0), (6 * 3600, 1), (7 * 3600, 0)):
        moment = int(midnight.timestamp()) + after_s
        due = unread(made.contract_id, wanted, moment)
        assert len(due) == expected, after_s
        read(made.contract_id, due, store, moment)
    assert HostedDay.objects.count() == 2
    assert not gather(store, BRAZZAVILLE.zone, 30, noon, lambda: False)


def test_another_version_of_who_is_in_replaces_what_was_read(lead, manager, north):
    one = machine(1, north)
    made = contract(lead, manager, north, listed(Member(machine_id=one.pk), starts="2026-11-29"))
    store = WrittenStore()
    store.write(one, *NOVEMBER)
    now = int(LATER.timestamp())
    read(made.contract_id, windows(made.contract_id, "2026-11", BRAZZAVILLE.zone), store, now)
    assert HostedDay.objects.count() == 2
    second = contracts.write_version(
        lead, made.contract_id, listed(Member(machine_id=one.pk), starts="2026-11-30"), reason="typo"
    )
    contracts.approve_version(manager, second.id, reason="x")
    close(manager, "2026-11", store)
    assert hosting_rows.statements()[0].document.sums.up_s == 86_400


# Row security.


def test_a_tenant_sees_no_row_of_anothers(lead, manager, north, tenant):
    south, one = tenant("south"), machine(1, north)
    made = contract(lead, manager, north)
    store = WrittenStore()
    store.write(one, *NOVEMBER)
    excuse = contracts.enter_excuse(lead, ExcuseClass.GRID, *NOVEMBER, note="x")
    contracts.refuse_excuse(lead, excuse.id, reason="x")
    close(manager, "2026-11", store)
    [found] = hosting_rows.statements()
    with acting(Scope(tenant_id=south.pk, site_wide=False)):
        assert (hosting_rows.contracts(), hosting_rows.statements(), hosting_rows.excuses()) == ([], [], [])
        assert (hosting_rows.closings(), hosting_rows.versions(made.contract_id)) == ([], [])
        for look in (
            lambda: hosting_rows.contract(made.contract_id),
            lambda: hosting_rows.statement(found.id),
            lambda: hosting_rows.excuse(excuse.id),
            lambda: statements.sheet_of(found.id),
        ):
            with pytest.raises(UnknownContractError):
                look()
        assert not HostedDay.objects.exists()
        assert not Hosted.objects.exists()
    with acting(Scope(tenant_id=north.pk, site_wide=False)):
        assert [row.id for row in hosting_rows.contracts()] == [made.contract_id]
        assert hosting_rows.statement(found.id).contract == "North 1"
        assert hosting_rows.closings() == []
    with acting(SITE):
        assert hosting_rows.curtailment_classes() == {one.pk: CurtailmentClass.AGREED}
