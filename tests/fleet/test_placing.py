"""From a report to a place: who is offered, who is asked, and what can be taken back."""

from datetime import timedelta

import pytest

from mbongi.base.clock import utc_now
from mbongi.core.identity.scope import acting, scope_of
from mbongi.core.identity.values import Role
from mbongi.core.ledger import selectors as ledger
from mbongi.fleet import onboarding_rows, placing, reports
from mbongi.fleet.errors import NotPermittedError
from mbongi.fleet.models import Action, Machine, Report, Walk
from mbongi.fleet.placing import PlacingQuestionError, PlacingRefusedError, Spot
from mbongi.fleet.reading import Found
from mbongi.fleet.registry import register
from mbongi.fleet.reports import Heard
from mbongi.fleet.values import ActionKind, Family
from tests.fleet.rows import add_machines

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("as_site")]
SPOT = Spot(20, 3, 4)


def mac_of(number: int) -> str:
    return f"02:4D:42:00:00:{number:02X}"


@pytest.fixture
def machines() -> list[int]:
    """Three whose place is open."""
    ids = add_machines(3)
    for number, pk in enumerate(ids):
        Machine.objects.filter(pk=pk).update(mac=mac_of(number), hall=None, rack=None, slot=None)
    return ids


def press(pk: int, *, mac: str = "") -> list[str]:
    machine = Machine.objects.get(pk=pk)
    return reports.hear([Heard(machine.address or "", machine.address or "", mac or machine.mac, utc_now())])


def test_a_report_of_a_known_machine_is_a_note_and_one_of_a_stranger_is_looked_at(machines: list[int]) -> None:
    assert press(machines[0]) == []
    assert press(machines[1], mac=mac_of(77)) == ["10.20.0.2"]
    assert reports.hear([Heard("10.9.9.9", "10.9.9.8", mac_of(9), utc_now())]) == ["10.9.9.9"]
    assert reports.looked_at(["10.20.0.2", "10.9.9.9"]) == 1
    rows, total = onboarding_rows.waiting(what="unknown")
    assert (total, rows[0].address, rows[0].is_flagged) == (1, "10.9.9.9", True)
    known = onboarding_rows.waiting()[0]
    assert [row.is_flagged for row in known] == [False, True, False]
    press(machines[0])
    assert Report.objects.get(address="10.20.0.1").count == 2


def test_reports_are_bounded_and_known_machines_are_kept(monkeypatch: pytest.MonkeyPatch, machines: list[int]) -> None:
    monkeypatch.setattr(reports, "REPORTS_MAX", 3)
    press(machines[0])
    for number in range(6):
        reports.hear([Heard(f"10.9.9.{number}", "10.9.9.1", mac_of(9), utc_now())])
    assert Report.objects.count() == 3
    assert Report.objects.filter(machine=machines[0]).exists()


def test_the_next_report_is_offered_for_the_slot_and_the_walk_goes_on(people, machines: list[int]) -> None:
    walker = people(Role.TECHNICIAN)
    press(machines[2])
    placing.walk_to(walker, SPOT)
    sight = onboarding_rows.walk(walker)
    assert sight is not None
    assert sight.offers == [], "what was heard before is of another slot"
    press(machines[0])
    sight = onboarding_rows.walk(walker)
    assert sight is not None
    assert [offer.machine_id for offer in sight.offers] == [machines[0]]
    placing.place(walker, machines[0], SPOT, rotate=True)
    sight = onboarding_rows.walk(walker)
    assert sight is not None
    assert sight.spot == Spot(20, 3, 5)
    assert [row.machine_id for row in sight.done] == [machines[0]]
    assert sight.filled == [4]
    press(machines[0])
    sight = onboarding_rows.walk(walker)
    assert sight is not None
    assert sight.offers == [], "it says everything twice"
    [action] = Action.objects.all()
    assert (action.kind, action.machine_id) == (ActionKind.SET_CREDENTIALS, machines[0])
    names = [entry.action for entry in ledger.entries(subject=f"machine:{machines[0]}")]
    assert sorted(names) == ["fleet.machine.place", "fleet.machine.set_credentials.request"]


def test_two_people_in_two_racks_see_each_other_and_who_confirms_first_has_it(people, machines: list[int]) -> None:
    first, second = people(Role.TECHNICIAN), people(Role.TECHNICIAN)
    placing.walk_to(first, SPOT)
    placing.walk_to(second, Spot(20, 7, 1), step=-1)
    press(machines[0])
    sights = [onboarding_rows.walk(each) for each in (first, second)]
    assert all(sight is not None and sight.offers for sight in sights)
    assert sights[0] is not None
    assert [spot for _name, spot in sights[0].others] == [Spot(20, 7, 1)]
    placing.place(first, machines[0], SPOT)
    late = onboarding_rows.walk(second)
    assert late is not None
    assert late.offers == []
    with pytest.raises(PlacingQuestionError) as asked:
        placing.place(second, machines[0], Spot(20, 7, 1))
    assert (asked.value.question, asked.value.machine_id) == ("moved", machines[0])


def test_a_taken_slot_is_a_question_and_undo_brings_both_back(people, machines: list[int]) -> None:
    walker = people(Role.TECHNICIAN)
    placing.place(walker, machines[0], SPOT)
    with pytest.raises(PlacingQuestionError) as asked:
        placing.place(walker, machines[1], SPOT)
    assert (asked.value.question, asked.value.machine_id) == ("replace", machines[0])
    placing.walk_to(walker, SPOT)
    number = placing.place(walker, machines[1], SPOT, replace=True)
    assert Machine.objects.get(pk=machines[0]).hall is None
    placing.undo(walker, number)
    assert Machine.objects.get(pk=machines[0]).slot == 4
    assert Machine.objects.get(pk=machines[0]).placed_at is not None
    assert Machine.objects.get(pk=machines[1]).hall is None
    assert Walk.objects.get().slot == 4
    with pytest.raises(PlacingRefusedError):
        placing.undo(walker, number)


def test_who_was_placed_in_a_slot_is_asked_about_before_who_only_has_its_address(people, machines: list[int]) -> None:
    by_address, placed, newcomer = machines
    here = {"hall": SPOT.hall, "rack": SPOT.rack, "slot": SPOT.slot}
    Machine.objects.filter(pk=by_address).update(**here)
    Machine.objects.filter(pk=placed).update(**here, placed_at=utc_now())
    with pytest.raises(PlacingQuestionError) as asked:
        placing.place(people(Role.TECHNICIAN), newcomer, SPOT)
    assert (asked.value.question, asked.value.machine_id) == ("replace", placed)


def test_the_people_of_a_tenant_walk_along_racks_too(people, tenant) -> None:
    walker = people(Role.TECHNICIAN, tenant=tenant("north"))
    with acting(scope_of(walker)):
        placing.walk_to(walker, SPOT)
        sight = onboarding_rows.walk(walker)
    assert sight is not None
    assert sight.spot == SPOT


def test_only_the_last_placement_of_a_machine_is_undone(people, machines: list[int]) -> None:
    walker = people(Role.TECHNICIAN)
    first = placing.place(walker, machines[0], SPOT)
    placing.place(walker, machines[0], Spot(20, 3, 9), moved=True)
    with pytest.raises(PlacingRefusedError):
        placing.undo(walker, first)


def test_a_place_that_was_said_stays_when_the_address_changes_and_one_by_address_follows(people) -> None:
    said, derived = add_machines(2)
    for number, pk in enumerate((said, derived)):
        Machine.objects.filter(pk=pk).update(mac=mac_of(number))
    placing.place(people(Role.TECHNICIAN), said, Spot(1, 2, 3), moved=True)
    found = [
        Found(address="10.20.9.1", family=Family.ANTMINER, mac=mac_of(0)),
        Found(address="10.20.9.2", family=Family.ANTMINER, mac=mac_of(1)),
    ]
    assert len(register(found).moved) == 2
    positions = Machine.objects.order_by("pk").values_list("hall", "rack", "slot")
    assert list(positions) == [(1, 2, 3), (20, 9, 2)]


def test_who_may_not_place_does_not_and_positions_have_numbers(people, machines: list[int]) -> None:
    with pytest.raises(NotPermittedError):
        placing.place(people(Role.AUDITOR), machines[0], SPOT)
    with pytest.raises(PlacingRefusedError):
        placing.checked_spot(20, -1, 3)
    with pytest.raises(PlacingRefusedError):
        placing.walk_to(people(Role.TECHNICIAN), SPOT, step=2)


def test_progress_counts_each_machine_as_far_as_it_has_come(people, machines: list[int]) -> None:
    placing.place(people(Role.TECHNICIAN), machines[0], SPOT)
    Machine.objects.filter(pk=machines[1]).update(family="bitaxe")
    Machine.objects.filter(pk=machines[2]).update(mac="")
    reports.hear([Heard("10.9.9.9", "10.9.9.8", mac_of(9), utc_now() - timedelta(hours=1))])
    found = onboarding_rows.progress()
    assert (found.found, found.identified, found.placed, found.exempt) == (4, 2, 1, 1)
    assert (found.unplaced, found.common) == (2, 2)
