"""The list of machines: registering, moving, states, conditions, and who may see what."""

import pytest

from mbongi.base.ids import MachineId
from mbongi.core.bus.models import OutboxMessage
from mbongi.core.identity.scope import acting, scope_of
from mbongi.core.identity.values import Role
from mbongi.core.ledger import selectors as ledger
from mbongi.fleet import selectors, services
from mbongi.fleet.errors import ActionRefusedError, NotPermittedError, UnknownMachineError
from mbongi.fleet.models import Machine
from mbongi.fleet.reading import BoardDetail, DetailReport, Found, MachineDetail, StateChange
from mbongi.fleet.rules.identity import normal_mac
from mbongi.fleet.selectors import EventFilter, MachineFilter
from mbongi.fleet.values import ConditionChange, EventKind, Family, MachineState, Severity

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("as_site")]

NOW_MS = 1_800_000_000_000


def found(address="10.20.3.7", mac="AA:BB:CC:00:00:01", **rest):
    return Found(address=address, family=Family.ANTMINER, model="Antminer S21", mac=mac, **rest)


def only_machine():
    (row,) = selectors.machines().rows
    return row


def state(machine_id, value, at_ms=NOW_MS, reason=""):
    return StateChange(machine_id=MachineId(machine_id), state=value, before=None, at_ms=at_ms, reason=reason)


def condition(machine_id, opened, kind=EventKind.FAN_FAILED, part="fan 1", at_ms=NOW_MS):
    return ConditionChange(MachineId(machine_id), kind, part, opened, at_ms, Severity.CRITICAL, {"rpm": 0.0})


def test_a_found_machine_is_entered_with_its_position_a_ledger_entry_and_a_message():
    result = services.register([found()])

    row = only_machine()
    assert result.added == [row.id]
    assert (row.hall, row.rack, row.slot, row.rack_label) == (20, 3, 7, "20/03")
    assert row.state is MachineState.UNKNOWN
    assert [entry.action for entry in ledger.entries(subject=f"machine:{row.id}")] == ["fleet.machine.register"]
    assert OutboxMessage.objects.filter(subject="event.fleet.machine_found.v1").count() == 1
    assert [event.kind for event in selectors.events().rows] == [EventKind.FOUND]


def test_a_machine_found_again_is_not_entered_again():
    services.register([found()])

    result = services.register([found(mac="aabbcc000001")])

    assert result.seen == [only_machine().id]
    assert not result.added


def test_a_known_mac_at_a_new_address_is_the_same_machine_moved():
    services.register([found()])
    before = only_machine()

    result = services.register([found("10.20.4.9")])

    row = only_machine()
    assert result.moved == [before.id] == [row.id]
    assert (row.address, row.rack, row.slot) == ("10.20.4.9", 4, 9)
    (entry,) = [each for each in ledger.entries(subject=f"machine:{row.id}") if each.action == "fleet.machine.move"]
    assert (entry.before, entry.after) == ({"address": "10.20.3.7"}, {"address": "10.20.4.9"})


def test_two_machines_that_swapped_addresses_swap_places_and_keep_their_records():
    services.register([found("10.20.3.1", "AA:BB:CC:00:00:01"), found("10.20.3.2", "AA:BB:CC:00:00:02")])
    was = {row.mac: row.id for row in selectors.machines().rows}

    services.register([found("10.20.3.1", "AA:BB:CC:00:00:02"), found("10.20.3.2", "AA:BB:CC:00:00:01")])

    rows = {row.mac: row for row in selectors.machines().rows}
    assert {mac: row.id for mac, row in rows.items()} == was
    assert rows["AA:BB:CC:00:00:01"].address == "10.20.3.2"
    assert rows["AA:BB:CC:00:00:02"].address == "10.20.3.1"


def test_another_machine_at_a_known_address_takes_its_place():
    services.register([found(mac="AA:BB:CC:00:00:01")])
    first = only_machine()
    services.record_conditions([condition(first.id, opened=True)])

    result = services.register([found(mac="AA:BB:CC:00:00:02")])

    assert result.displaced == [first.id]
    displaced = selectors.machine(first.id)
    assert (displaced.address, displaced.rack, displaced.state) == (None, None, MachineState.UNKNOWN)
    assert selectors.machine(result.added[0]).address == "10.20.3.7"
    assert not selectors.open_alarms()


def test_two_machines_with_one_mac_found_in_one_scan_are_both_entered_and_stay_two():
    both = [found("10.20.3.1"), found("10.20.3.2")]

    services.register(both)
    result = services.register(both)

    assert len(result.seen) == 2
    assert selectors.counts().total == 2


def test_what_looks_moved_while_a_scan_is_under_way_waits_for_its_end():
    services.register([found()])

    result = services.register([found("10.20.4.9")], complete=False)

    assert result.waiting == 1
    assert only_machine().address == "10.20.3.7"


def test_an_address_without_a_known_family_is_passed_over():
    result = services.register([Found(address="10.20.3.9", ports=(80,))])

    assert not result.added
    assert selectors.counts().total == 0


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        ("aa-bb-cc-00-00-01", "AA:BB:CC:00:00:01"),
        ("AABBCC000001", "AA:BB:CC:00:00:01"),
        ("00:00:00:00:00:00", ""),
        ("none", ""),
    ],
)
def test_a_mac_is_kept_in_one_way_of_writing(written, normal):
    assert normal_mac(written) == normal


def test_a_new_state_is_recorded_once_and_told_to_the_bus():
    services.register([found()])
    row = only_machine()

    assert services.record_states([state(row.id, MachineState.MINING)]) == 1
    assert services.record_states([state(row.id, MachineState.MINING, NOW_MS + 5000)]) == 0

    row = selectors.machine(row.id)
    assert row.state is MachineState.MINING
    assert row.state_since.timestamp() * 1000 == NOW_MS
    assert OutboxMessage.objects.filter(subject="event.fleet.machine_state.v1").count() == 1


def test_a_machine_that_gave_no_answer_was_not_seen():
    services.register([found()])
    seen_at = only_machine().last_seen_at

    services.record_states([state(only_machine().id, MachineState.UNKNOWN, reason="no answer within 5 s")])

    row = only_machine()
    assert row.last_seen_at == seen_at
    assert row.state_reason == "no answer within 5 s"


def test_many_machines_are_written_down_at_once_each_with_its_own():
    first, second = services.register([found("10.20.3.1", mac=""), found("10.20.3.2", mac="")]).added
    Machine.objects.filter(pk=second).update(last_seen_at=None)

    services.record_states([state(first, MachineState.MINING), state(second, MachineState.OFF, reason='"no", {route}')])
    services.record_details(
        [
            DetailReport(machine_id=first, detail=MachineDetail(hostname="one, {1}", errors=[])),
            DetailReport(machine_id=second, detail=MachineDetail(hostname='"two"', model="M50")),
        ]
    )

    one, two = selectors.machine(first), selectors.machine(second)
    assert (one.state, one.hostname, one.detail["hostname"]) == (MachineState.MINING, "one, {1}", "one, {1}")
    assert (two.state, two.hostname, two.detail["hostname"]) == (MachineState.OFF, '"two"', '"two"')
    assert (two.state_reason, two.model) == ('"no", {route}', "M50")


def test_states_of_machines_that_are_gone_are_passed_over():
    assert services.record_states([state(999_999, MachineState.MINING)]) == 0


def test_details_are_kept_and_an_empty_field_leaves_the_known_value():
    services.register([found(firmware="FW-1")])
    detail = MachineDetail(hostname="s21-7", boards=[BoardDetail(index=1, chips=108)])

    services.record_details([DetailReport(machine_id=only_machine().id, detail=detail)])

    row = only_machine()
    assert (row.hostname, row.firmware, row.detail["boards"][0]["chips"]) == ("s21-7", "FW-1", 108)


def test_whatever_a_machine_writes_can_be_stored():
    services.register([found(hostname="a\0b", firmware="\0")])
    machine_id = only_machine().id
    detail = MachineDetail(hostname="\0", work_mode="x\0\ud800", fans_rpm=[float("nan"), 5000.0])
    odd = ConditionChange(
        machine_id,
        EventKind.ERROR_CODE,
        "1\0",
        opened=True,
        at_ms=NOW_MS,
        severity=Severity.WARNING,
        params={"text": "\0bad"},
    )

    services.record_details([DetailReport(machine_id=machine_id, detail=detail)])
    services.record_states([state(machine_id, MachineState.FAULT, reason="\0why")])
    services.record_conditions([odd])

    row = only_machine()
    assert (row.hostname, row.detail["fans_rpm"], row.detail["work_mode"]) == ("ab", [None, 5000.0], "x?")
    assert (row.state_reason, selectors.open_alarms()[0].text) == ("why", "Code 1: bad")


def test_when_machines_were_seen_never_goes_back():
    services.register([found()])
    row = only_machine()
    services.record_seen([services.Seen(row.id, NOW_MS)])

    services.record_seen([services.Seen(row.id, NOW_MS - 60_000)])

    assert only_machine().last_seen_at.timestamp() * 1000 == NOW_MS


def test_a_condition_opens_once_and_clears_once_however_often_it_is_told():
    services.register([found()])
    row = only_machine()

    assert services.record_conditions([condition(row.id, opened=True)]) == 1
    assert services.record_conditions([condition(row.id, opened=True)]) == 0
    assert [alarm.part for alarm in selectors.open_alarms()] == ["fan 1"]
    assert services.record_conditions([condition(row.id, opened=False, at_ms=NOW_MS + 1000)]) == 1
    assert services.record_conditions([condition(row.id, opened=False, at_ms=NOW_MS + 2000)]) == 0

    assert not selectors.open_alarms()
    (event,) = selectors.events(EventFilter(kinds=[EventKind.FAN_FAILED])).rows
    assert event.cleared_at.timestamp() * 1000 == NOW_MS + 1000


def test_a_condition_that_clears_and_returns_in_one_batch_is_two_events_with_one_open():
    services.register([found()])
    row = only_machine()
    services.record_conditions([condition(row.id, opened=True)])

    services.record_conditions(
        [condition(row.id, opened=False, at_ms=NOW_MS + 1), condition(row.id, opened=True, at_ms=NOW_MS + 2)]
    )

    assert len(selectors.open_alarms()) == 1
    assert selectors.events(EventFilter(kinds=[EventKind.FAN_FAILED])).total == 2


def test_a_tenant_sees_its_own_machines_events_and_nothing_of_others(people, tenant):
    north = tenant("north")
    services.register([found(), found("10.20.3.8", "AA:BB:CC:00:00:02")])
    mine, other = [row.id for row in selectors.machines().rows]
    services.assign(people(Role.SITE_MANAGER), [mine], north.pk, "contract 7")
    services.record_conditions([condition(mine, opened=True), condition(other, opened=True)])

    with acting(scope_of(people(Role.TENANT, tenant=north))):
        assert [row.id for row in selectors.machines().rows] == [mine]
        assert [alarm.machine_id for alarm in selectors.open_alarms()] == [mine]
        assert selectors.counts().total == 1
        assert [slot.machine_id for hall in selectors.floor() for rack in hall.racks for slot in rack.slots] == [mine]
        with pytest.raises(UnknownMachineError):
            selectors.machine(other)


def test_only_a_site_manager_assigns_machines_and_only_with_a_reason(people, tenant):
    services.register([found()])
    machine_id, north = only_machine().id, tenant("north")

    with pytest.raises(NotPermittedError):
        services.assign(people(Role.TECHNICIAN), [machine_id], north.pk, "wish")
    with pytest.raises(ActionRefusedError, match="reason"):
        services.assign(people(Role.SITE_MANAGER), [machine_id], north.pk, " ")
    with pytest.raises(UnknownMachineError, match="999999"):
        services.assign(people(Role.SITE_MANAGER), [999_999], north.pk, "contract 7")


def test_a_retired_machine_leaves_the_list_and_returns_when_it_is_found_again(people):
    services.register([found()])
    row = only_machine()

    assert services.retire(people(Role.SHIFT_LEAD), [row.id], "sold") == 1
    assert not selectors.machines().rows
    assert [each.id for each in selectors.machines(MachineFilter(retired=True)).rows] == [row.id]
    services.register([found()])

    assert only_machine().id == row.id
    assert only_machine().retired_at is None
