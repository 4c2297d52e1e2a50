"""Some work orders and parts, for tests of pages and the API."""

from typing import Any
from uuid import UUID, uuid4

from mbongi.base.clock import utc_now
from mbongi.core.identity.scope import SITE, acting
from mbongi.fleet import stock, work_orders
from mbongi.fleet.rules.work_orders import EntryKind, Fault
from mbongi.fleet.work_orders import NewWork
from tests.web.conftest import Pilot


def entry(kind: EntryKind, **rest: Any) -> NewWork:
    """An entry made just now."""
    return NewWork(**({"key": uuid4(), "kind": kind, "at": utc_now()} | rest))


def order(user: Any, machine_id: int, fault: Fault = Fault.FAN, text: str = "rattles") -> int:
    """A reported fault."""
    with acting(SITE):
        made = entry(EntryKind.REPORT, machine_id=machine_id, fault=fault, text=text)
        number = work_orders.enter_one(user, made).order
    assert number is not None
    return number


def enter(user: Any, kind: EntryKind, order_id: int, **rest: Any) -> UUID:
    """Something entered on an order; returns its key."""
    made = entry(kind, order=order_id, **rest)
    with acting(SITE):
        work_orders.enter_one(user, made)
    return made.key


def part(user: Any, pieces: int = 5, number: str = "FAN-120") -> int:
    """A part with some pieces."""
    with acting(SITE):
        made = stock.write_part(user, number=number, name="Fan 120 mm", fits="Antminer S21", reorder_point=2)
        stock.move(user, made, stock.MoveKind.RECEIVE, pieces, key=uuid4(), reason="delivery 7")
    return made


def number_for(path: str, user: Any, pilot: Pilot, otherwise: int) -> int:
    """The number that a route of work orders or parts is asked for with."""
    if path == "/work-orders/{id}":
        return order(user, pilot.machines[0].pk)
    return part(user) if path.startswith("/parts/{id}") else otherwise
