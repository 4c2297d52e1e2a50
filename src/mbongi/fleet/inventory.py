"""Inventories from elsewhere: kept as they came, compared with what is known, and entered on somebody's word."""

import math
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec
from django.db import transaction
from django.utils.translation import gettext as _

from mbongi.base.clock import utc_now
from mbongi.core.identity.values import Permission
from mbongi.core.ledger import services as ledger
from mbongi.core.ledger.values import NewEntry
from mbongi.fleet import placing
from mbongi.fleet.errors import ActionRefusedError, NotPermittedError
from mbongi.fleet.models import Listing, Machine
from mbongi.fleet.placing import NUMBER_MAX, Spot
from mbongi.fleet.rules import netbox
from mbongi.fleet.rules.netbox import Device

if TYPE_CHECKING:
    from mbongi.core.identity.models import User

KEPT_MAX = 20
"""Inventories that are kept; the oldest goes."""
PART = 200
"""Machines placed in one transaction, at most: until it ends their rows, and at its end the ledger, are held."""


_COMPARED = ("mac", "serial", "address", "model", "hall", "rack", "slot", "placed_at")


class ListingRefusedError(ActionRefusedError):
    """An inventory that cannot be read or entered."""


@dataclass(frozen=True, slots=True)
class Line:
    """What an inventory says of one device, and what that would change here.

    ``verdict``: ``same``, ``place`` (its position is another, or open here), ``unknown`` (no machine of ours is it),
    ``open`` (the inventory gives no position), ``twice`` (two devices would be one machine, or stand in one slot).
    """

    device: Device
    verdict: str
    machine_id: int | None = None
    model: str = ""
    before: Spot | None = None
    after: Spot | None = None
    by: str = ""


@dataclass(frozen=True, slots=True)
class ListingRow:
    """An inventory as it was handed in."""

    id: int
    source: str
    author: str
    at: datetime
    devices: int
    applied_at: datetime | None
    outcome: dict[str, int]


@transaction.atomic
def keep(user: "User", source: str, devices: Sequence[Device]) -> int:
    """Keep an inventory for a dry run; returns its number. Nothing else changes.

    Raises NotPermittedError, ListingRefusedError for an empty one.
    """
    _require(user, "import an inventory")
    if not devices:
        raise ListingRefusedError("import an inventory: no devices", _("There is no device in it."))
    row = Listing.objects.create(
        source=source[:200],
        tenant_id=user.tenant_id,
        author=user,
        at=utc_now(),
        document=msgspec.to_builtins(list(devices)),
    )
    old = list(Listing.objects.order_by("-pk").values_list("pk", flat=True)[KEPT_MAX:])
    Listing.objects.filter(pk__in=old).delete()
    return row.pk


def listings() -> list[ListingRow]:
    """The inventories that are kept, newest first."""
    return [_row(row) for row in Listing.objects.select_related("author")]


def listing(listing_id: int) -> ListingRow:
    """One of them. Raises ListingRefusedError."""
    return _row(_listing(listing_id))


def _row(row: Listing) -> ListingRow:
    return ListingRow(row.pk, row.source, str(row.author), row.at, len(row.document), row.applied_at, row.outcome)


def _listing(listing_id: int) -> Listing:
    row = Listing.objects.select_related("author").filter(pk=listing_id).first()
    if row is None:
        raise ListingRefusedError(f"inventory {listing_id}: not kept", _("This inventory is not kept any more."))
    return row


def compare(listing_id: int) -> list[Line]:
    """The dry run: what each device would change now. Raises ListingRefusedError."""
    devices = msgspec.convert(_listing(listing_id).document, list[Device])
    rows = list(Machine.objects.filter(retired_at=None).only(*_COMPARED))
    maps = {
        "mac": {row.mac: row for row in rows if row.mac},
        "serial": {row.serial: row for row in rows if row.serial},
        "address": {row.address: row for row in rows if row.address},
    }
    lines, machines, spots = [], set(), set()
    for device in devices:
        by, machine = next(
            ((key, found[getattr(device, key)]) for key, found in maps.items() if getattr(device, key) in found),
            ("", None),
        )
        line = _line(device, machine, by)
        is_twice = (line.machine_id in machines) or (line.verdict != "unknown" and line.after in spots)
        if is_twice and line.machine_id is not None:
            line = Line(device, "twice", line.machine_id, line.model, line.before, line.after, line.by)
        elif line.machine_id is not None:
            machines.add(line.machine_id)
            spots |= {line.after} - {None}
        lines.append(line)
    return lines


def _line(device: Device, machine: Machine | None, by: str) -> Line:
    numbers = (device.hall, device.rack, device.slot)
    after = None
    if None not in numbers and all(0 <= number <= NUMBER_MAX for number in numbers if number is not None):
        after = Spot(*(number for number in numbers if number is not None))
    if machine is None:
        return Line(device, "unknown", after=after)
    before = None
    if machine.hall is not None and machine.rack is not None and machine.slot is not None:
        before = Spot(machine.hall, machine.rack, machine.slot)
    is_same = before == after and machine.placed_at is not None
    verdict = "open" if after is None else "same" if is_same else "place"
    return Line(device, verdict, machine.pk, machine.model, before, after, by)


def apply(user: "User", listing_id: int, *, reason: str, for_s: float = math.inf) -> dict[str, int]:
    """Enter the positions of an inventory; returns how many lines of each verdict there were, and were placed.

    A machine that stands elsewhere by the record moves, and one whose slot is given to another has none then: the dry
    run has shown both. PART machines at a time are entered, all or none of them, with an entry of the ledger: one that
    is cut off keeps what it has entered, the dry run shows the rest, and it can be entered again.
    After ``for_s`` it ends with the part that it is at, and ``left`` counts what another call is to enter.
    Raises NotPermittedError, ListingRefusedError.
    """
    _require(user, f"enter inventory {listing_id}")
    if not reason.strip():
        raise ListingRefusedError(f"enter inventory {listing_id}: found no reason; state why", _("State a reason."))
    kept, lines, end = _listing(listing_id), compare(listing_id), time.monotonic() + for_s
    counts: dict[str, int] = dict(Counter(line.verdict for line in lines))
    # What the calls before this one have entered stands there by now.
    entered = kept.outcome.get("place", 0) if kept.outcome.get("left") else 0
    wanted = [
        (line.machine_id, line.after)
        for line in lines
        if line.verdict == "place" and line.machine_id is not None and line.after is not None
    ]
    if wanted or entered:
        counts["place"] = entered
    if entered:
        counts["same"] = max(0, counts.get("same", 0) - entered)
    for start in range(0, max(len(wanted), 1), PART):
        with transaction.atomic():
            part = wanted[start : start + PART]
            if part:
                counts["place"] += placing.place_all(user, part, way="import")
            left = max(0, len(wanted) - start - PART)
            is_last = not left or time.monotonic() >= end
            if is_last:
                counts |= {"left": left} if left else {}
                over = {} if left else {"applied_at": utc_now(), "applied_by": user}
                Listing.objects.filter(pk=listing_id).update(outcome=counts, **over)
            after = {"source": kept.source, "devices": len(lines)} | counts
            subject = f"inventory:{listing_id}"
            ledger.append([NewEntry(user.actor, "fleet.inventory.import", subject, reason.strip(), None, after)])
        if is_last:
            break
    return counts


def export(kind: str, site: str) -> list[dict[str, object]]:
    """Our machines as NetBox's import takes them: one of ``rules.netbox.KINDS``."""
    rows = Machine.objects.filter(retired_at=None).order_by("hall", "rack", "slot", "pk")
    machines = [
        netbox.Machine(
            id=row.pk,
            model=row.model,
            serial=row.serial,
            mac=row.mac,
            address=row.address or "",
            hostname=row.hostname,
            hall=row.hall,
            rack=row.rack,
            slot=row.slot,
        )
        for row in rows
    ]
    return netbox.export(kind, machines, site)


def _require(user: "User", what: str) -> None:
    if not user.may(Permission.MACHINE_MANAGE):
        raise NotPermittedError(f"{user.actor}: {what}: the role {user.role} does not permit it")
