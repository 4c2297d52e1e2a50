"""Where machines stand: said by people in a rack walk, or by an inventory; in the ledger, and taken back if need be."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.db import connection, transaction
from django.db.models import F
from django.utils.translation import gettext as _

from mbongi.base.clock import utc_now
from mbongi.base.ids import TenantId
from mbongi.core.bus import outbox
from mbongi.core.identity.values import Permission
from mbongi.core.ledger import services as ledger
from mbongi.core.ledger.values import NewEntry
from mbongi.fleet import credentials
from mbongi.fleet.errors import ActionRefusedError, NotPermittedError, UnknownMachineError
from mbongi.fleet.events import MachineChanged
from mbongi.fleet.models import Machine, Placement, Walk

if TYPE_CHECKING:
    from mbongi.core.identity.models import User

NUMBER_MAX = 32_767
UNDO_FOR = timedelta(days=1)
_LOCK = 0x6D626F_12
"""Advisory lock: two people at one slot take turns."""
_NEVER = datetime.max.replace(tzinfo=UTC)
_PLACES = """
UPDATE fleet_machine SET hall = told.hall, rack = told.rack, slot = told.slot, placed_at = told.placed_at
FROM unnest(%s::bigint[], %s::smallint[], %s::smallint[], %s::smallint[], %s::timestamptz[])
    AS told (id, hall, rack, slot, placed_at)
WHERE fleet_machine.id = told.id
"""
_STANDING = """
SELECT fleet_machine.id FROM fleet_machine
JOIN unnest(%s::smallint[], %s::smallint[], %s::smallint[]) AS told (hall, rack, slot) USING (hall, rack, slot)
"""
_WAYS = {"walk": "rack walk", "hand": "by hand", "import": "import of an inventory"}


class PlacingRefusedError(ActionRefusedError):
    """A position that cannot be, or that nobody can undo any more."""


class PlacingQuestionError(PlacingRefusedError):
    """It can be done, once somebody says yes: the machine stands elsewhere by the record, or the slot is taken.

    ``question`` is ``moved`` or ``replace``; ``machine_id`` is whom it is about.
    """

    def __init__(self, message: str, text: str, question: str, machine_id: int) -> None:
        super().__init__(message, text)
        self.question, self.machine_id = question, machine_id


@dataclass(frozen=True, slots=True)
class Spot:
    """A position: three numbers of 0 to NUMBER_MAX."""

    hall: int
    rack: int
    slot: int

    def __str__(self) -> str:
        return f"{self.hall:02d}/{self.rack:02d}/{self.slot:02d}"


def checked_spot(hall: int, rack: int, slot: int) -> Spot:
    """A position. Raises PlacingRefusedError for numbers that no position has."""
    if not all(0 <= number <= NUMBER_MAX for number in (hall, rack, slot)):
        text = _("Hall, rack and slot are numbers from 0 to %(limit)d.") % {"limit": NUMBER_MAX}
        raise PlacingRefusedError(f"position {hall}/{rack}/{slot}: expected numbers of 0..{NUMBER_MAX}", text)
    return Spot(hall, rack, slot)


# Walks.


@transaction.atomic
def walk_to(user: "User", spot: Spot, *, step: int = 1) -> None:
    """The user stands before a slot: the next report is offered for it. ``step`` leads to the slot after it: 1 or -1.

    Raises NotPermittedError, PlacingRefusedError.
    """
    _require(user, "walk")
    if step not in {1, -1}:
        raise PlacingRefusedError(f"rack walk: step {step}; expected 1 or -1")
    place = {"hall": spot.hall, "rack": spot.rack, "slot": spot.slot}
    facts = place | {"step": step, "since": utc_now(), "tenant_id": user.tenant_id}
    Walk.objects.update_or_create(user=user, defaults=facts)


def end_walk(user: "User") -> None:
    """The user walks no more."""
    Walk.objects.filter(user=user).delete()


# Placing.


@transaction.atomic
def place(
    user: "User",
    machine_id: int,
    spot: Spot,
    *,
    way: str = "walk",
    moved: bool = False,
    replace: bool = False,
    rotate: bool = False,
) -> int:
    """Say where a machine stands; returns the placement's number. It keeps the position whatever address it gets.

    ``moved``: yes, although it was placed elsewhere; ``replace``: yes, although another one was placed there, which has
    no position then. ``rotate``: have its common password changed at once. In a walk the user stands before the next
    slot afterwards. Raises NotPermittedError, UnknownMachineError, PlacingQuestionError, PlacingRefusedError.
    """
    _require(user, f"place machine {machine_id}")
    _take_turns()
    machine = Machine.objects.select_for_update().filter(pk=machine_id, retired_at=None).first()
    if machine is None:
        raise UnknownMachineError(f"place machine {machine_id}: not known, or retired")
    _ask_whether_moved(machine, spot, moved=moved)
    placement_id, entries = _place(user, machine, spot, way=way, replace=replace)
    ledger.append(entries)
    if rotate:
        credentials.ask_for_new(user, machine)
    if way == "walk":
        _step_on(user, spot)
    return placement_id


@transaction.atomic
def place_all(user: "User", wanted: Sequence[tuple[int, Spot]], *, way: str) -> int:
    """Say where many machines stand, each by its number; returns how many were placed. Nobody is asked anything.

    A machine that is retired, or was placed there already, is passed over. What it writes down of them in the ledger
    comes last and at once, as all others who record something wait for that; so give it a few hundred at a time.
    Raises NotPermittedError.
    """
    _require(user, f"place {len(wanted)} machines")
    _take_turns()
    ids = {machine_id for machine_id, _spot in wanted} | _standing_at([spot for _machine_id, spot in wanted])
    # Always in the order of their ids, so that two writers cannot wait for each other.
    rows = Machine.objects.select_for_update().filter(pk__in=ids, retired_at=None).defer("detail").order_by("pk")
    machines = {row.pk: row for row in rows}
    standing: dict[tuple[int | None, ...], list[Machine]] = defaultdict(list)
    for machine in machines.values():
        standing[machine.hall, machine.rack, machine.slot].append(machine)
    placements: list[Placement] = []
    entries: list[NewEntry] = []
    for machine_id, spot in wanted:
        known = machines.get(machine_id)
        if known is None or _position(known) == _at(spot):
            continue
        others = [one for one in standing[spot.hall, spot.rack, spot.slot] if one is not known]
        other = min(others, key=lambda one: (one.placed_at is None, one.placed_at or _NEVER, one.pk), default=None)
        pair = [known] if other is None else [known, other]
        for one in pair:
            standing[one.hall, one.rack, one.slot].remove(one)
        row, told = _moved(user, known, other, spot, way)
        placements.append(row)
        entries += told
        for one in pair:
            standing[one.hall, one.rack, one.slot].append(one)
    Placement.objects.bulk_create(placements)
    _keep({one.pk: one for row in placements for one in (row.machine, row.displaced) if one is not None}.values())
    ledger.append(entries)
    return len(placements)


def _standing_at(spots: Sequence[Spot]) -> set[int]:
    with connection.cursor() as cursor:
        cursor.execute(_STANDING, [[getattr(one, name) for one in spots] for name in ("hall", "rack", "slot")])
        return {pk for (pk,) in cursor.fetchall()}


def _take_turns() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])


def _place(user: "User", machine: Machine, spot: Spot, *, way: str, replace: bool) -> tuple[int, list[NewEntry]]:
    """The placement's number, and what is to be written down of it."""
    other = _make_room(machine, spot, replace=replace)
    row, entries = _moved(user, machine, other, spot, way)
    _keep([machine] if other is None else [other, machine])
    row.save()
    return row.pk, entries


def _moved(
    user: "User", machine: Machine, other: Machine | None, spot: Spot, way: str
) -> tuple[Placement, list[NewEntry]]:
    """The machine stands there now and ``other``, who did, nowhere; neither is saved yet."""
    entries = []
    row = Placement(machine=machine, tenant_id=machine.tenant_id, author=user, way=way, at=utc_now())
    row.hall, row.rack, row.slot = spot.hall, spot.rack, spot.slot
    row.former = _position(machine)
    if other is not None:
        row.displaced, row.displaced_former = other, _position(other)
        _stand(other, {"hall": None, "rack": None, "slot": None, "placed": False})
        reason = f"{_WAYS[way]}: machine {machine.pk} stands there"
        entries.append(_entry(user, other, "place", reason, row.displaced_former))
    _stand(machine, _at(spot))
    entries.append(_entry(user, machine, "place", _WAYS[way], row.former))
    return row, entries


def _ask_whether_moved(machine: Machine, spot: Spot, *, moved: bool) -> None:
    stands = (machine.hall, machine.rack, machine.slot)
    if moved or machine.placed_at is None or None in stands or stands == (spot.hall, spot.rack, spot.slot):
        return
    place_text = "/".join(f"{number:02d}" for number in stands if number is not None)
    text = _("Machine %(id)d stands at %(place)s by the record. Has it moved here?")
    raise PlacingQuestionError(
        f"place machine {machine.pk} at {spot}: it was placed at {place_text}",
        text % {"id": machine.pk, "place": place_text},
        "moved",
        machine.pk,
    )


def _make_room(machine: Machine, spot: Spot, *, replace: bool) -> Machine | None:
    """Who was there by the record. One that only its address had put there gives way unasked."""
    others = Machine.objects.select_for_update().filter(hall=spot.hall, rack=spot.rack, slot=spot.slot, retired_at=None)
    other = others.exclude(pk=machine.pk).order_by(F("placed_at").asc(nulls_last=True), "pk").first()
    if other is not None and other.placed_at is not None and not replace:
        text = _("Machine %(id)d stands at %(place)s by the record. Is it gone from there?")
        raise PlacingQuestionError(
            f"place machine {machine.pk} at {spot}: machine {other.pk} was placed there",
            text % {"id": other.pk, "place": str(spot)},
            "replace",
            other.pk,
        )
    return other


def _step_on(user: "User", spot: Spot) -> None:
    walk = Walk.objects.filter(user=user, hall=spot.hall, rack=spot.rack).first()
    if walk is not None:
        walk.slot, walk.since = min(max(spot.slot + walk.step, 0), NUMBER_MAX), utc_now()
        walk.save(update_fields=["slot", "since"])


@transaction.atomic
def undo(user: "User", placement_id: int) -> None:
    """Take a placement back: the machine, and one that had to give way, stand where they stood by the record before.

    Only a machine's last placement, within UNDO_FOR. In a walk the user stands before that slot again.
    Raises NotPermittedError, PlacingRefusedError.
    """
    _require(user, f"undo placement {placement_id}")
    _take_turns()
    row = Placement.objects.select_for_update().filter(pk=placement_id).first()
    last = None
    if row is not None:
        last = Placement.objects.filter(machine_id=row.machine_id, undone_at=None).order_by("-at", "-pk").first()
    if row is None or last is None or last.pk != row.pk or utc_now() - row.at > UNDO_FOR:
        raise PlacingRefusedError(
            f"undo placement {placement_id}: not the last of its machine within {UNDO_FOR.days} day",
            _("This cannot be undone any more; place the machine again."),
        )
    machine = Machine.objects.select_for_update().get(pk=row.machine_id)
    before = _position(machine)
    _put(machine, row.former)
    entries = [_entry(user, machine, "place.undo", f"placement {row.pk}", before)]
    if row.displaced_id is not None and row.displaced_former is not None:
        other = Machine.objects.select_for_update().get(pk=row.displaced_id)
        if other.hall is None:
            _put(other, row.displaced_former)
            nowhere = {"hall": None, "rack": None, "slot": None}
            entries.append(_entry(user, other, "place.undo", f"placement {row.pk}", nowhere))
    ledger.append(entries)
    row.undone_at = utc_now()
    row.save(update_fields=["undone_at"])
    Walk.objects.filter(user=user, hall=row.hall, rack=row.rack).update(slot=row.slot, since=utc_now())


def _position(machine: Machine) -> dict[str, Any]:
    placed = machine.placed_at is not None
    return {"hall": machine.hall, "rack": machine.rack, "slot": machine.slot, "placed": placed}


def _at(spot: Spot) -> dict[str, Any]:
    return {"hall": spot.hall, "rack": spot.rack, "slot": spot.slot, "placed": True}


def _put(machine: Machine, position: Mapping[str, Any]) -> None:
    _stand(machine, position)
    _keep([machine])


def _stand(machine: Machine, position: Mapping[str, Any]) -> None:
    machine.hall, machine.rack, machine.slot = position["hall"], position["rack"], position["slot"]
    machine.placed_at = utc_now() if position["placed"] else None


def _keep(machines: Iterable[Machine]) -> None:
    """Write down where machines stand, and tell the bus. In one statement: an inventory has ten thousand of them."""
    some, now_ms = list(machines), int(utc_now().timestamp() * 1000)
    if not some:
        return
    with connection.cursor() as cursor:
        columns = ([getattr(one, name) for one in some] for name in ("pk", "hall", "rack", "slot", "placed_at"))
        cursor.execute(_PLACES, list(columns))
    outbox.emit(
        *(MachineChanged(machine_id=one.pk, tenant_id=one.tenant_id, retired=False, at_ms=now_ms) for one in some)
    )


def _entry(user: "User", machine: Machine, verb: str, reason: str, before: Mapping[str, Any]) -> NewEntry:
    tenant = None if machine.tenant_id is None else TenantId(machine.tenant_id)
    subject, after = f"machine:{machine.pk}", _position(machine)
    return NewEntry(user.actor, f"fleet.machine.{verb}", subject, reason, before, after, tenant)


def _require(user: "User", what: str) -> None:
    if not user.may(Permission.MACHINE_PLACE):
        raise NotPermittedError(f"{user.actor}: {what}: the role {user.role} does not permit it")
