"""Diverted work as it is written down: counted once, ended once, each tenant's own, in the ledger."""

from datetime import UTC, datetime

import pytest

from mbongi.base.ids import MachineId
from mbongi.core.identity.scope import SITE, acting
from mbongi.core.identity.values import Role, Scope
from mbongi.core.ledger import selectors as ledger
from mbongi.fleet import drift, services
from mbongi.fleet.models import Diversion, Machine
from mbongi.fleet.reading import Found
from mbongi.fleet.rules.diversion import Diverted
from mbongi.fleet.values import Family
from tests.fleet.rows import add_machines

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("as_site")]
URL = "stratum+tcp://elsewhere:3333"
START_MS = 1_800_000_000_123


def diverted(machine_id, hashes_th=0.0, *, seen_s=0, until_s=None, url=URL, since_ms=START_MS):
    until_ms = None if until_s is None else START_MS + 1000 * until_s
    return Diverted(MachineId(machine_id), url, "thief", since_ms, hashes_th, START_MS + 1000 * seen_s, until_ms)


def verbs(machine_id):
    return [entry.action.rpartition(".")[2] for entry in reversed(ledger.entries(subject=f"machine:{machine_id}"))]


def test_a_diversion_begins_grows_and_ends_with_one_entry_for_each_of_its_ends():
    [machine_id] = add_machines(1)
    for told in (diverted(machine_id), diverted(machine_id, 2_000.0, seen_s=10)):
        drift.record_diversions([told])
        drift.record_diversions([told])  # nobody knows whether the first was stored

    assert drift.open_diversions() == [diverted(machine_id, 2_000.0, seen_s=10)]
    drift.record_diversions([diverted(machine_id, 3_000.0, seen_s=20, until_s=25)])

    row = Diversion.objects.get()
    assert (row.hashes_th, row.until) == (3_000.0, datetime.fromtimestamp((START_MS + 25_000) / 1000, UTC))
    assert not drift.open_diversions()
    assert verbs(machine_id) == ["begin", "end"]
    end = ledger.entries(subject=f"machine:{machine_id}")[0]
    assert (end.after["pool"], end.after["hashes_th"], end.actor) == (URL, 3_000.0, "process:fleet")


def test_an_older_count_that_comes_late_changes_nothing():
    [machine_id] = add_machines(1)
    drift.record_diversions([diverted(machine_id, 3_000.0, seen_s=20, until_s=25)])

    assert drift.record_diversions([diverted(machine_id, 2_000.0, seen_s=10)]) == 0

    assert Diversion.objects.get().hashes_th == 3_000.0
    assert Diversion.objects.get().until is not None


def test_a_new_diversion_ends_the_one_that_a_killed_process_left_open():
    [machine_id] = add_machines(1)
    drift.record_diversions([diverted(machine_id, 2_000.0, seen_s=10)])

    drift.record_diversions([diverted(machine_id, url="stratum+tcp://third:1", since_ms=START_MS + 60_000)])

    assert [each.url for each in drift.open_diversions()] == ["stratum+tcp://third:1"]
    assert verbs(machine_id) == ["begin", "end", "begin"]


def test_what_a_retired_machine_diverted_ends_when_it_was_last_counted_and_begins_no_more(people):
    [machine_id, other] = add_machines(2)
    drift.record_diversions([diverted(machine_id, 2_000.0, seen_s=10), diverted(other, 1_000.0, seen_s=10)])
    lead = people(Role.SHIFT_LEAD)

    services.retire(lead, [machine_id], "sold")

    row = Diversion.objects.get(machine=machine_id)
    assert row.until == datetime.fromtimestamp((START_MS + 10_000) / 1000, UTC)
    [end] = [entry for entry in ledger.entries(subject=f"machine:{machine_id}") if "diversion.end" in entry.action]
    assert (end.actor, end.reason, end.after["hashes_th"]) == (lead.actor, "sold", 2_000.0)
    assert [each.machine_id for each in drift.open_diversions()] == [other]
    late = diverted(machine_id, 2_500.0, seen_s=12)  # counted before the fleet process heard of it
    assert drift.record_diversions([late]) == 0
    row.refresh_from_db()
    assert (row.hashes_th, row.until) == (2_500.0, row.seen_at)
    drift.record_diversions([diverted(machine_id, since_ms=START_MS + 13_000)])
    assert [each.machine_id for each in drift.open_diversions()] == [other]


def test_what_a_machine_diverted_whose_address_another_one_took_has_ended():
    [machine_id] = add_machines(1)
    Machine.objects.filter(pk=machine_id).update(mac="02:4D:42:00:00:01")
    drift.record_diversions([diverted(machine_id, 2_000.0, seen_s=10)])

    found = Found(address="10.20.0.1", family=Family.ANTMINER, mac="02:4D:42:00:00:02")
    assert services.register([found]).displaced == [machine_id]

    assert not drift.open_diversions()
    assert sorted(verbs(machine_id)) == ["begin", "displace", "end"]


def test_a_machine_that_is_gone_is_passed_over():
    assert drift.record_diversions([diverted(999_999)]) == 0


def test_tenants_see_the_diversions_of_their_own_machines_only(tenant):
    north = tenant("north")
    [machine_id] = add_machines(1, tenant_id=north.pk)
    drift.record_diversions([diverted(machine_id)])

    with acting(Scope(tenant_id=north.pk, site_wide=False)):
        assert Diversion.objects.count() == 1
    with acting(Scope(tenant_id=north.pk + 1, site_wide=False)):
        assert not Diversion.objects.exists()
    with acting(SITE):
        assert Diversion.objects.get().tenant_id == north.pk
