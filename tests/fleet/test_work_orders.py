"""Work orders in the database: entries kept once, conflicts kept, stock as a sum of moves, proof by telemetry."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import ProgrammingError, connections, transaction
from django.db.utils import InternalError

from mbongi.base.clock import utc_now
from mbongi.base.ids import MachineId
from mbongi.core.bus.models import OutboxMessage
from mbongi.core.identity.scope import SITE, acting, scope_of
from mbongi.core.identity.values import Role
from mbongi.core.ledger import selectors as ledger
from mbongi.fleet import stock, work_order_rows, work_orders
from mbongi.fleet.errors import NotPermittedError, UnknownPartError, WorkRefusedError
from mbongi.fleet.models import StockMove, WorkEntry, WorkOrder
from mbongi.fleet.reading import Found
from mbongi.fleet.registry import register
from mbongi.fleet.rules.recovery import Recovered
from mbongi.fleet.rules.work_orders import Clash, EntryKind, Fault, Outcome, WorkState
from mbongi.fleet.stock import MoveKind
from mbongi.fleet.values import Family
from mbongi.fleet.work_orders import NewWork, Receipt

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("as_site")]


@pytest.fixture
def machine_id() -> int:
    found = Found(address="10.20.3.7", family=Family.ANTMINER, model="Antminer S21", mac="AA:BB:CC:00:00:01")
    return register([found]).added[0]


@pytest.fixture
def ada(people: Any) -> Any:
    return people(Role.TECHNICIAN)


@pytest.fixture
def ben(people: Any) -> Any:
    return people(Role.SHIFT_LEAD)


def entry(kind: EntryKind, **rest: Any) -> NewWork:
    return NewWork(**({"key": uuid4(), "kind": kind, "at": utc_now()} | rest))


def enter(user: Any, *entries: NewWork) -> list[Receipt]:
    return work_orders.enter(user, entries, sent_at=utc_now())


def reported(user: Any, machine_id: int, fault: Fault = Fault.FAN, **rest: Any) -> int:
    (receipt,) = enter(user, entry(EntryKind.REPORT, machine_id=machine_id, fault=fault, **rest))
    assert receipt.order is not None, receipt
    return receipt.order


def part(user: Any, number: str = "FAN-120", **rest: Any) -> int:
    return stock.write_part(user, **({"number": number, "name": "Fan 120 mm", "reorder_point": 2} | rest))


def receive(user: Any, part_id: int, pieces: int, kind: MoveKind = MoveKind.RECEIVE, key: UUID | None = None) -> int:
    return stock.move(user, part_id, kind, pieces, key=key or uuid4(), reason="delivery 7")


def test_an_order_goes_from_report_to_proof_with_its_times_in_the_ledger(ada: Any, machine_id: int) -> None:
    order = reported(ada, machine_id, text="rattles")
    enter(ada, entry(EntryKind.TAKE, order=order), entry(EntryKind.FIX, order=order, text="new fan"))
    ((_machine, fixed_ms),) = work_orders.fixed_orders().items()

    done = work_orders.verify(Recovered(MachineId(machine_id), fixed_ms + 1, fixed_ms + 1_800_001, 0.98))

    row = work_order_rows.order(order)
    assert done == [order]
    assert (row.state, row.fault, row.technician, row.note) == (WorkState.VERIFIED, Fault.FAN, "Ada", "rattles")
    assert row.taken_at
    assert row.fixed_at
    assert row.verified_at == row.fixed_at.replace(microsecond=fixed_ms % 1000 * 1000) + timedelta(
        milliseconds=1_800_001
    )
    actions = [each.action for each in ledger.entries(subject=f"machine:{machine_id}")]
    verbs = ["verify", "fix", "take", "report"]
    assert actions[:4] == [f"fleet.work_order.{verb}" for verb in verbs]
    assert OutboxMessage.objects.filter(subject="event.fleet.work_order.v1").count() == 4
    assert not work_orders.fixed_orders()


def test_what_is_handed_in_twice_is_kept_once(ada: Any, machine_id: int, ben: Any) -> None:
    receive(ben, part(ben), 5)
    report = entry(EntryKind.REPORT, machine_id=machine_id, fault=Fault.FAN)
    used = entry(EntryKind.PART, order_key=report.key, part="FAN-120", pieces=2)
    first = enter(ada, report, used)

    again = enter(ada, report, used)

    assert [each.repeated for each in again] == [True, True]
    assert [each.order for each in again] == [each.order for each in first]
    assert WorkOrder.objects.count() == 1
    assert WorkEntry.objects.count() == 2
    assert work_order_rows.parts()[0].stock == 3


def test_two_reports_of_one_fault_are_one_order(ada: Any, ben: Any, machine_id: int) -> None:
    order = reported(ada, machine_id)
    report = entry(EntryKind.REPORT, machine_id=machine_id, fault=Fault.FAN, text="I hear it too")

    joined, note = enter(ben, report, entry(EntryKind.NOTE, order_key=report.key, text="left side"))

    assert (joined.order, joined.outcome) == (order, Outcome.JOINED)
    assert note.order == order
    assert [row.text for row in work_order_rows.entries(order)] == ["", "I hear it too", "left side"]
    assert reported(ben, machine_id, Fault.HEAT) != order


def test_a_late_entry_that_clashes_is_shown_until_somebody_settles_it(ada: Any, ben: Any, machine_id: int) -> None:
    order = reported(ada, machine_id)
    enter(ben, entry(EntryKind.TAKE, order=order))
    late = entry(EntryKind.FIX, order=order, at=utc_now() - timedelta(hours=1), text="plugged in again")

    (receipt,) = enter(ada, late)

    assert (receipt.outcome, receipt.clash, receipt.refused) == (Outcome.CONFLICT, Clash.TAKEN_BY_OTHER, "")
    row = work_order_rows.order(order)
    assert (row.state, row.technician_id, row.conflicts) == (WorkState.TAKEN, ben.pk, 1)
    assert ledger.entries(subject=f"machine:{machine_id}")[0].action == "fleet.work_order.conflict"
    enter(ben, entry(EntryKind.SETTLE, order=order, about=late.key, text="talked about it"))
    assert work_order_rows.order(order).conflicts == 0
    (kept,) = [each for each in work_order_rows.entries(order) if each.key == late.key]
    assert (kept.text, kept.settled_by) == ("plugged in again", "Ada")


def test_times_are_those_of_the_deed_whatever_the_phone_s_clock_says(ada: Any, machine_id: int) -> None:
    now = utc_now()
    wrong = timedelta(days=3)
    made = entry(EntryKind.REPORT, machine_id=machine_id, fault=Fault.FAN, at=now - timedelta(hours=2) + wrong)

    work_orders.enter(ada, [made], sent_at=now + wrong, clock=lambda: now)

    assert WorkOrder.objects.get().reported_at == now - timedelta(hours=2)


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"order": 999_999}, "No such work order"),
        ({"order_key": uuid4()}, "No such work order"),
        ({"kind": EntryKind.NOTE}, "note"),
        ({"kind": EntryKind.CANCEL, "text": "double"}, "role"),
        ({"kind": EntryKind.VERIFY}, "readings"),
        ({"kind": EntryKind.PART, "part": "NONE", "pieces": 1}, "NONE"),
        ({"kind": EntryKind.PART, "part": "FAN-120", "pieces": 0}, "pieces"),
        ({"kind": EntryKind.SETTLE, "about": uuid4()}, "conflict"),
        ({"kind": EntryKind.REPORT, "machine_id": 999_999}, "machine"),
    ],
)
def test_what_cannot_be_used_is_refused_with_a_reason_and_keeps_nothing_else_back(
    ada: Any, machine_id: int, changed: dict[str, Any], word: str
) -> None:
    order = reported(ada, machine_id)
    bad = entry(**({"kind": EntryKind.TAKE, "order": None if "order_key" in changed else order} | changed))

    refused, taken = enter(ada, bad, entry(EntryKind.TAKE, order=order))

    assert word in refused.refused
    assert taken.state == WorkState.TAKEN
    assert not WorkEntry.objects.filter(key=bad.key).exists()


def test_somebody_else_s_key_gives_nothing_away(ada: Any, ben: Any, machine_id: int) -> None:
    mine = entry(EntryKind.REPORT, machine_id=machine_id, fault=Fault.FAN)
    enter(ada, mine)
    (receipt,) = enter(ben, mine)
    assert receipt.refused
    assert receipt.order is None


@pytest.mark.parametrize("role", [Role.TRAINEE, Role.AUDITOR, Role.SECURITY_OFFICER, Role.RESEARCHER])
def test_who_may_not_work_enters_nothing(people: Any, machine_id: int, role: Role) -> None:
    with pytest.raises(NotPermittedError, match=f"role {role}"):
        enter(people(role), entry(EntryKind.REPORT, machine_id=machine_id, fault=Fault.FAN))


def test_tenants_see_the_orders_of_others_no_more_than_their_machines(
    ada: Any, people: Any, tenant: Any, machine_id: int
) -> None:
    reported(ada, machine_id)
    north = people(Role.TENANT, tenant=tenant("north"))
    with acting(scope_of(north)):
        assert not WorkOrder.objects.exists()
        assert not WorkEntry.objects.exists()


def test_entries_and_moves_are_never_changed(ada: Any, ben: Any, machine_id: int) -> None:
    reported(ada, machine_id)
    receive(ben, part(ben), 5)
    for rows in (WorkEntry.objects.all(), StockMove.objects.all()):
        for attempt in (
            lambda rows=rows: rows.update(actor="x") if rows.model is WorkEntry else rows.update(pieces=9),
            rows.delete,
        ):
            with pytest.raises((InternalError, ProgrammingError), match="added, never changed"), transaction.atomic():
                attempt()


def test_stock_is_the_sum_of_its_moves_and_tells_once_when_it_runs_low(ada: Any, ben: Any, machine_id: int) -> None:
    fan, order = part(ben), reported(ada, machine_id)
    key = uuid4()
    assert receive(ben, fan, 5, key=key) == 5
    assert receive(ben, fan, 5, key=key) == 5
    enter(ada, entry(EntryKind.PART, order=order, part="FAN-120", pieces=3))
    enter(ada, entry(EntryKind.PART, order=order, part="FAN-120", pieces=1))
    (row,) = work_order_rows.parts()
    assert (row.stock, row.used, row.is_low) == (1, 4, True)
    assert OutboxMessage.objects.filter(subject="event.fleet.stock_low.v1").count() == 1
    enter(ada, entry(EntryKind.PART, order=order, part="FAN-120", pieces=-1))
    assert receive(ben, fan, 10, MoveKind.COUNT) == 10
    assert [each.pieces for each in work_order_rows.moves(fan)] == [8, 1, -1, -3, 5]
    assert ledger.entries(subject=f"part:{fan}")[0].after == {"pieces": 8, "stock": 10, "order": None}


def test_stock_is_for_those_who_manage_it(ada: Any, ben: Any) -> None:
    fan = part(ben)
    with pytest.raises(NotPermittedError):
        receive(ada, fan, 1)
    with pytest.raises(UnknownPartError):
        receive(ben, fan + 1, 1)
    with pytest.raises(WorkRefusedError, match="in use"):
        part(ben)
    for kind, pieces in [(MoveKind.RECEIVE, 0), (MoveKind.SCRAP, -1), (MoveKind.COUNT, -1), (MoveKind.USE, 1)]:
        with pytest.raises(WorkRefusedError):
            receive(ben, fan, pieces, kind)
    assert not StockMove.objects.exists()


def test_healing_reports_once_and_knows_whether_people_have_the_machine(ada: Any, machine_id: int) -> None:
    key = uuid4()
    assert not work_orders.has_unfixed(machine_id)
    order = work_orders.escalate(machine_id, Fault.NOT_MINING, "three reboots did not help", key=key)
    assert work_orders.escalate(machine_id, Fault.NOT_MINING, "again", key=key) == order
    assert work_orders.escalate(machine_id, Fault.NOT_MINING, "again", key=uuid4()) == order
    assert work_orders.has_unfixed(machine_id)
    assert work_order_rows.order(order).reporter == ""


def test_a_repair_after_the_time_of_proof_began_is_not_verified_by_it(ada: Any, machine_id: int) -> None:
    order = reported(ada, machine_id)
    enter(ada, entry(EntryKind.FIX, order=order))
    ((_machine, fixed_ms),) = work_orders.fixed_orders().items()
    assert work_orders.verify(Recovered(MachineId(machine_id), fixed_ms - 1000, fixed_ms + 1, 1.0)) == []
    assert work_order_rows.order(order).state is WorkState.FIXED


def test_statistics_count_reports_and_repairs_of_the_period(ada: Any, machine_id: int) -> None:
    WorkOrder.objects.model.machine.field.related_model.objects.update(added_at=utc_now() - timedelta(hours=100))
    now = utc_now()
    for index, hours in enumerate((2, 4)):
        start = now - timedelta(hours=50 - 20 * index)
        WorkOrder.objects.create(
            machine_id=machine_id,
            fault=Fault.FAN,
            state=WorkState.FIXED,
            reported_at=start,
            taken_at=start + timedelta(hours=1),
            fixed_at=start + timedelta(hours=hours),
        )
    found = work_order_rows.repairs(30)
    (model,) = found.models
    assert (model.model, model.machines, model.mtbf.seen) == ("Antminer S21", 1, 2)
    assert model.observed_h == pytest.approx(94, abs=0.01)
    assert model.mtbf.value_h == pytest.approx(47, abs=0.01)
    assert model.repair.value_h == pytest.approx(3)
    assert model.hands_on.value_h == pytest.approx(2)
    assert found.faults == [(Fault.FAN, 2)]


@pytest.mark.django_db(transaction=True)
def test_the_same_report_from_two_windows_at_once_is_one_order(ada: Any, machine_id: int) -> None:
    made = [entry(EntryKind.REPORT, machine_id=machine_id, fault=Fault.FAN) for _ in range(3)]

    def hand_in(_number: int) -> list[Receipt]:
        with acting(SITE):
            try:
                return enter(ada, *made)
            finally:
                connections.close_all()

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(hand_in, range(4)))

    assert len({receipt.order for answer in answers for receipt in answer}) == 1
    assert WorkOrder.objects.count() == 1
    assert WorkEntry.objects.count() == 3
