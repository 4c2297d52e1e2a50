"""What the routes of onboarding answer."""

from typing import Any

from django.conf import settings

from mbongi.fleet import credentials, onboarding_rows, placing
from mbongi.web import filters
from mbongi.web.api import group_structs
from mbongi.web.api import onboarding_structs as structs
from mbongi.web.api.group_views import operation_struct
from mbongi.web.api.views import Call


def onboarding(_call: Call) -> structs.Onboarding:
    """How far machines have come."""
    found = onboarding_rows.progress()
    return structs.Onboarding(**{name: getattr(found, name) for name in structs.Onboarding.__struct_fields__})


def waiting(call: Call) -> structs.WaitingList:
    """Machines that wait: for a ``position``, a ``password``, or to be known (``unknown``)."""
    part = filters.part_query(call.request.GET)
    what = call.request.GET.get("what", "position")
    rows, total = onboarding_rows.waiting(limit=part.limit, offset=part.offset, what=what)
    names = structs.WaitingMachine.__struct_fields__
    items = [structs.WaitingMachine(**{name: getattr(row, name) for name in names}) for row in rows]
    return structs.WaitingList(items=items, total=total)


def place_machine(call: Call) -> structs.Placed:
    """Say where a machine stands."""
    wish: structs.PlacementRequest = call.body
    number = placing.place(
        _user(call),
        call.number,
        placing.checked_spot(wish.hall, wish.rack, wish.slot),
        way="hand",
        moved=wish.moved,
        replace=wish.replace,
        rotate=settings.CONFIG.fleet.rotate_at_placement,
    )
    return structs.Placed(placement=number)


def undo_placement(call: Call) -> structs.Placed:
    """Take a placement back."""
    placing.undo(_user(call), call.number)
    return structs.Placed(placement=call.number)


def rotate_passwords(call: Call) -> group_structs.Operation:
    """Give machines new passwords."""
    wish: structs.RotationRequest = call.body
    row = credentials.rotate(_user(call), wish.machines, reason=wish.reason, only_common=wish.only_common)
    return operation_struct(row)


def show_password(call: Call) -> structs.MachinePassword:
    """Show a machine's password."""
    wish: structs.PasswordRequest = call.body
    shown = credentials.show(_user(call), call.number, reason=wish.reason)
    return structs.MachinePassword(password=shown.password, pending=shown.pending, note=shown.note)


def _user(call: Call) -> Any:
    return call.request.user
