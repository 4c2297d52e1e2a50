"""Enters what a scan found into the list of machines: new, seen again, moved, or taking another one's place.

A machine is known by its MAC, then by its serial number, and only where it states neither by its address.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import msgspec
from django.db import connection, transaction
from django.db.models import Q

from mbongi.base.clock import utc_now
from mbongi.base.ids import MachineId
from mbongi.core.bus import outbox
from mbongi.core.ledger import services as ledger
from mbongi.core.ledger.values import NewEntry
from mbongi.fleet import drift
from mbongi.fleet.events import MachineFound, MachineMoved
from mbongi.fleet.models import Event, Machine
from mbongi.fleet.positions import position_of
from mbongi.fleet.reading import Found
from mbongi.fleet.rules.identity import normal_mac
from mbongi.fleet.values import EventKind, Family, MachineState, Severity

ACTOR = "process:fleet"
_REGISTER_LOCK = 0x6D626F_11
"""Advisory lock: a scan by the daemon and one by hand take turns, so that neither enters a machine twice."""


@dataclass(slots=True)
class Registration:
    """What became of the found: ids of machines. ``waiting`` counts those left for the scan's end."""

    added: list[MachineId] = field(default_factory=list)
    seen: list[MachineId] = field(default_factory=list)
    moved: list[MachineId] = field(default_factory=list)
    displaced: list[MachineId] = field(default_factory=list)
    """Machines whose address now belongs to another one; they have none until they are found again."""
    waiting: int = 0


@dataclass(slots=True)
class _Plan:
    """Which machine each found one is; None for a new one."""

    pairs: list[tuple[Found, Machine | None]]
    waiting: int


@transaction.atomic
def register(
    found: Sequence[Found], *, position: str = "octets", complete: bool = True, at: datetime | None = None
) -> Registration:
    """Enter machines; addresses without a known family are passed over.

    A known MAC (or serial number) at a new address is the same machine, moved, unless the scan also found it at the
    old one: then two machines carry one MAC, and both are entered. ``complete=False`` is for a part of a scan under
    way: what looks moved or replaced waits for the call at the end, when both addresses have been looked at.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_REGISTER_LOCK])
    once = {each.address: each for each in found}.values()
    machines = [_without_nul(each) for each in once if each.family is not None]
    plan = _identify(machines, complete=complete)
    result = Registration(waiting=plan.waiting)
    _Entering(result, position, at or utc_now()).enter(plan.pairs)
    return result


def former_addresses(found: Sequence[Found], looked: Sequence[str]) -> list[str]:
    """Where the machines found are known to be, and nobody has ``looked``: who answers there still is another one."""
    machines = [_without_nul(each) for each in found if each.family is not None]
    signs = {sign for each in machines for sign in _signs(each.mac, each.serial)}
    rows = Machine.objects.filter(Q(mac__in=signs) | Q(serial__in=signs), address__isnull=False)
    return sorted({row.address for row in rows.exclude(address__in=looked) if row.address})


def _without_nul(found: Found) -> Found:
    """Machines may write anything; PostgreSQL takes no NUL in a text."""
    texts = {name: getattr(found, name).replace("\0", "") for name in ("model", "serial", "firmware", "hostname")}
    return msgspec.structs.replace(found, **texts)


def _identify(found: list[Found], *, complete: bool) -> _Plan:
    addresses, macs = [each.address for each in found], {normal_mac(each.mac) for each in found} - {""}
    serials = {each.serial for each in found} - {""}
    wanted = Q(address__in=addresses) | Q(mac__in=macs) | Q(serial__in=serials)
    rows = list(Machine.objects.select_for_update().filter(wanted).order_by("pk"))
    at_address = {row.address: row for row in rows if row.address}
    taken: set[int] = set()
    pairs: list[tuple[Found, Machine | None]] = []
    open_ones: list[Found] = []
    for each in found:
        there = at_address.get(each.address)
        if there is not None and _may_be(there, each):
            taken.add(there.pk)
            pairs.append((each, there))
        else:
            open_ones.append(each)
    waiting, by_sign = 0, _by_sign(rows)
    for each in open_ones:
        alike = {row.pk: row for sign in _signs(each.mac, each.serial) for row in by_sign.get(sign, ())}
        known = next((row for pk, row in sorted(alike.items()) if pk not in taken and _is(row, each)), None)
        if not complete and (known is not None or each.address in at_address):
            waiting += 1
            continue
        if known is not None:
            taken.add(known.pk)
        pairs.append((each, known))
    return _Plan(pairs, waiting)


def _by_sign(rows: Iterable[Machine]) -> dict[str, list[Machine]]:
    """Machines by what they can be told by: a whole site that got new addresses is not compared each with each."""
    found: dict[str, list[Machine]] = {}
    for row in rows:
        for sign in _signs(row.mac, row.serial):
            found.setdefault(sign, []).append(row)
    return found


def _signs(mac: str, serial: str) -> set[str]:
    return {normal_mac(mac), serial} - {""}


def _is(row: Machine, found: Found) -> bool:
    """Whether both state the same identity."""
    mac = normal_mac(found.mac)
    if row.mac and mac:
        return row.mac == mac and not (row.serial and found.serial and row.serial != found.serial)
    return bool(row.serial) and row.serial == found.serial and row.family == found.family


def _may_be(row: Machine, found: Found) -> bool:
    """Whether the machine known at the address can be the one found there: nothing that both state differs."""
    mac = normal_mac(found.mac)
    if row.mac and mac:
        return row.mac == mac and not (row.serial and found.serial and row.serial != found.serial)
    if row.serial and found.serial:
        return row.serial == found.serial
    return row.family == found.family


class _Entering:
    """One registration under way."""

    def __init__(self, result: Registration, position: str, at: datetime) -> None:
        self._result, self._position, self._at = result, position, at
        self._events: list[Event] = []
        self._entries: list[NewEntry] = []
        self._messages: list[MachineFound | MachineMoved] = []

    def enter(self, pairs: list[tuple[Found, Machine | None]]) -> None:
        """Free every address that changes hands, then give each machine its own."""
        known = [(each, row) for each, row in pairs if row is not None]
        former = {row.pk: row.address for _each, row in known}
        self._vacate([each for each, row in pairs if row is None or row.address != each.address], known)
        for each, row in known:
            self._refresh(each, row, former[row.pk])
        self._add([each for each, row in pairs if row is None])
        Event.objects.bulk_create(self._events, batch_size=1000)
        outbox.emit(*self._messages)
        for start in range(0, len(self._entries), 5000):
            ledger.append(self._entries[start : start + 5000])

    def _vacate(self, arrivals: list[Found], known: list[tuple[Found, Machine]]) -> None:
        arriving = {each.address for each in arrivals}
        movers = {row.pk for each, row in known if row.address != each.address}
        rows = list(Machine.objects.filter(Q(address__in=arriving) | Q(pk__in=movers)).order_by("pk"))
        Machine.objects.filter(pk__in=[row.pk for row in rows]).update(address=None)
        for row in rows:
            if row.pk in movers or row.address not in arriving:
                continue
            self._result.displaced.append(MachineId(row.pk))
            self._happened(row, EventKind.REPLACED, Severity.WARNING, {"address": row.address})
            self._record(row, "fleet.machine.displace", {"address": row.address}, {"address": None})
            self._tell_moved(row, row.address or "", "")
        lost = self._result.displaced
        # A place that people gave stays: the machine has lost its address, and has not walked away.
        Machine.objects.filter(pk__in=lost, placed_at=None).update(hall=None, rack=None, slot=None)
        Machine.objects.filter(pk__in=lost).update(
            state=MachineState.UNKNOWN,
            state_since=self._at,
            state_reason="another machine answers at its address",
        )
        # Nobody asks these machines any more, so what was open about them cannot clear by itself.
        Event.objects.filter(machine_id__in=lost, cleared_at=None).update(cleared_at=self._at)
        self._entries += drift.end_diversions(lost, actor=ACTOR, reason="scan")

    def _refresh(self, each: Found, row: Machine, former: str | None) -> None:
        row.address, row.family = each.address, each.family or row.family
        row.mac, row.serial = normal_mac(each.mac) or row.mac, each.serial[:80] or row.serial
        row.model, row.firmware = each.model[:80] or row.model, each.firmware[:120] or row.firmware
        row.hostname, row.last_seen_at = each.hostname[:120] or row.hostname, self._at
        if row.retired_at is not None:
            row.retired_at = None
            self._happened(row, EventKind.RETURNED, Severity.INFO, {"address": each.address})
            self._record(row, "fleet.machine.return", {"retired": True}, {"retired": False, "address": each.address})
        if former != each.address:
            if row.placed_at is None:
                row.hall, row.rack, row.slot = position_of(each.address, self._position)
            self._result.moved.append(MachineId(row.pk))
            self._happened(row, EventKind.MOVED, Severity.INFO, {"before": former or "–", "after": each.address})
            self._record(row, "fleet.machine.move", {"address": former}, {"address": each.address})
            self._tell_moved(row, former or "", each.address)
        else:
            self._result.seen.append(MachineId(row.pk))
        row.save()

    def _add(self, arrivals: list[Found]) -> None:
        rows = [self._new(each) for each in arrivals]
        Machine.objects.bulk_create(rows, batch_size=1000)
        for row in rows:
            self._result.added.append(MachineId(row.pk))
            self._happened(row, EventKind.FOUND, Severity.INFO, {"address": row.address})
            after = {"address": row.address, "family": row.family, "model": row.model, "mac": row.mac}
            self._record(row, "fleet.machine.register", None, after)
            self._messages.append(
                MachineFound(
                    machine_id=row.pk,
                    address=row.address or "",
                    family=row.family,
                    model=row.model,
                    tenant_id=row.tenant_id,
                    at_ms=self._at_ms,
                )
            )

    def _new(self, each: Found) -> Machine:
        hall, rack, slot = position_of(each.address, self._position)
        return Machine(
            address=each.address,
            family=each.family or Family.OTHER,
            model=each.model[:80],
            mac=normal_mac(each.mac),
            serial=each.serial[:80],
            firmware=each.firmware[:120],
            hostname=each.hostname[:120],
            hall=hall,
            rack=rack,
            slot=slot,
            state=MachineState.UNKNOWN,
            state_since=self._at,
            last_seen_at=self._at,
            added_at=self._at,
        )

    @property
    def _at_ms(self) -> int:
        return int(self._at.timestamp() * 1000)

    def _happened(self, row: Machine, kind: EventKind, severity: Severity, params: dict[str, str | None]) -> None:
        self._events.append(
            Event(
                machine=row,
                tenant_id=row.tenant_id,
                kind=kind,
                severity=severity,
                at=self._at,
                cleared_at=self._at,
                params=params,
            )
        )

    def _record(self, row: Machine, action: str, before: object, after: object) -> None:
        subject = f"machine:{row.pk}"
        self._entries.append(NewEntry(ACTOR, action, subject, "scan", before, after, row.tenant_id))

    def _tell_moved(self, row: Machine, before: str, after: str) -> None:
        self._messages.append(
            MachineMoved(machine_id=row.pk, before=before, after=after, tenant_id=row.tenant_id, at_ms=self._at_ms)
        )
