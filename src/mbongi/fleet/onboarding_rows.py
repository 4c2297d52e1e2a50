"""Reads of onboarding: how far it has come, what waits, and what is offered to somebody who walks along a rack."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.db.models import Q

from mbongi.base.clock import utc_now
from mbongi.fleet.credentials import families_with_password
from mbongi.fleet.models import Action, Machine, Placement, Report, Walk
from mbongi.fleet.placing import UNDO_FOR, Spot
from mbongi.fleet.reports import ReportState
from mbongi.fleet.values import ActionKind, ActionStatus, Family

if TYPE_CHECKING:
    from mbongi.core.identity.models import User

OFFERS_MAX = 12
RECENT_S = 60.0
"""A machine that was placed a moment ago is not offered again, as machines say everything more than once."""
DONE_MAX = 8
SLOTS_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Progress:
    """How many machines have come how far. ``exempt`` ones have no password that could be changed."""

    found: int
    identified: int
    placed: int
    changed: int
    exempt: int
    unplaced: int
    common: int


@dataclass(frozen=True, slots=True)
class WaitingRow:
    """A machine that waits for something, or an address at which nobody is known (``machine_id`` None).

    ``claimed_…`` is what it said of itself last, where it did; ``is_flagged``: which is not what was found.
    """

    machine_id: int | None
    address: str | None
    family: str
    model: str
    mac: str
    serial: str
    position: str
    is_placed: bool
    credential: str
    heard_at: datetime | None
    claimed_address: str
    claimed_mac: str
    is_flagged: bool
    state: str


def progress() -> Progress:
    """Of all machines that are not retired, and of addresses that reported without being known."""
    machines = Machine.objects.filter(retired_at=None)
    taking = Q(family__in=families_with_password())
    count = machines.count()
    identified = machines.exclude(mac="", serial="").count()
    changed = machines.filter(taking, credential__changed_at__isnull=False).count()
    placed, exempt = machines.filter(hall__isnull=False).count(), machines.exclude(taking).count()
    strangers = Report.objects.filter(machine=None).count()
    return Progress(
        found=count + strangers,
        identified=identified,
        placed=placed,
        changed=changed,
        exempt=exempt,
        unplaced=count - placed,
        common=count - exempt - changed,
    )


def waiting(*, limit: int = 50, offset: int = 0, what: str = "position") -> tuple[list[WaitingRow], int]:
    """Part of what waits, and how much there is: for a ``position``, a ``password``, or to be known (``unknown``)."""
    if what == "unknown":
        strangers = Report.objects.filter(machine=None)
        return [_stranger(row) for row in strangers[offset : offset + limit]], strangers.count()
    rows = Machine.objects.filter(retired_at=None)
    if what == "password":
        rows = rows.filter(family__in=families_with_password()).exclude(credential__changed_at__isnull=False)
    else:
        rows = rows.filter(hall=None)
    part = list(rows.order_by("hall", "rack", "slot", "-added_at", "pk")[offset : offset + limit])
    return machine_rows(part), rows.count()


def machine_rows(machines: Sequence[Machine]) -> list[WaitingRow]:
    """Machines with what they said last, and how far their password is."""
    ids = [machine.pk for machine in machines]
    heard = {row.machine_id: row for row in Report.objects.filter(machine__in=ids).order_by("last_at")}
    changed = set(Machine.objects.filter(pk__in=ids, credential__changed_at__isnull=False).values_list("pk", flat=True))
    actions = Action.objects.filter(machine__in=ids, kind=ActionKind.SET_CREDENTIALS, dry_run=False)
    last = {row.machine_id: row.status for row in actions.order_by("pk")}
    can = set(families_with_password())
    found = []
    for machine in machines:
        report = heard.get(machine.pk)
        word = "exempt" if machine.family not in can else "changed" if machine.pk in changed else "common"
        if word == "common" and machine.pk in last:
            status = ActionStatus(last[machine.pk])
            word = "failed" if status is ActionStatus.FAILED else "running" if status.is_open else word
        found.append(_machine(machine, report, word))
    return found


def machine_row(machine_id: int) -> WaitingRow | None:
    """One machine; None where there is none."""
    machine = Machine.objects.filter(pk=machine_id, retired_at=None).first()
    return None if machine is None else machine_rows([machine])[0]


def machine_by_label(text: str) -> WaitingRow | None:
    """The machine with this serial number or MAC, however it is written; None where there is none, or several."""
    known = Q(serial__iexact=text)
    digits = re.sub(r"[\s:.-]", "", text)
    if re.fullmatch(r"[0-9A-Fa-f]{12}", digits):
        known |= Q(mac__iexact=":".join(re.findall("..", digits)))
    machines = list(Machine.objects.filter(known, retired_at=None)[:2]) if text else []
    return machine_rows(machines)[0] if len(machines) == 1 else None


def _machine(machine: Machine, report: Report | None, credential: str) -> WaitingRow:
    is_open = None in {machine.hall, machine.rack, machine.slot}
    spot = "" if is_open else str(Spot(machine.hall or 0, machine.rack or 0, machine.slot or 0))
    differs = report is not None and (report.claimed_address != report.address or report.claimed_mac != machine.mac)
    return WaitingRow(
        machine_id=machine.pk,
        address=machine.address,
        family=machine.family,
        model=machine.model,
        mac=machine.mac,
        serial=machine.serial,
        position=spot,
        is_placed=machine.placed_at is not None,
        credential=credential,
        heard_at=None if report is None else report.last_at,
        claimed_address="" if report is None else report.claimed_address,
        claimed_mac="" if report is None else report.claimed_mac,
        is_flagged=differs,
        state=str(ReportState.IDENTIFIED),
    )


def _stranger(row: Report) -> WaitingRow:
    return WaitingRow(
        machine_id=None,
        address=row.address,
        family=str(Family.OTHER),
        model="",
        mac="",
        serial="",
        position="",
        is_placed=False,
        credential="",
        heard_at=row.last_at,
        claimed_address=row.claimed_address,
        claimed_mac=row.claimed_mac,
        is_flagged=row.claimed_address != row.address,
        state=row.state,
    )


@dataclass(frozen=True, slots=True)
class PlacementRow:
    """A machine that was placed. ``can_undo`` as far as its time goes."""

    id: int
    machine_id: int
    model: str
    mac: str
    spot: Spot
    at: datetime
    author: str
    credential: str


@dataclass(frozen=True, slots=True)
class WalkSight:
    """What somebody on a rack walk sees: the slot, who is offered for it, who else waits, what was done last.

    ``occupant`` is who stands there by the record; ``filled`` are the slots of the rack that are placed.
    """

    spot: Spot
    step: int
    since: datetime
    offers: list[WaitingRow]
    strangers: list[WaitingRow]
    others: list[tuple[str, Spot]]
    done: list[PlacementRow]
    occupant: WaitingRow | None
    filled: list[int]


def walk(user: "User") -> WalkSight | None:
    """The user's walk; None where there is none."""
    row = Walk.objects.filter(user=user).first()
    if row is None:
        return None
    spot = Spot(row.hall, row.rack, row.slot)
    recent = Placement.objects.filter(at__gt=utc_now() - timedelta(seconds=RECENT_S), undone_at=None)
    heard = Report.objects.filter(last_at__gte=row.since)
    offered = heard.filter(machine__isnull=False).exclude(machine__in=recent.values("machine"))
    ids = list(offered.order_by("-last_at").values_list("machine_id", flat=True)[:OFFERS_MAX])
    by_id = {machine.pk: machine for machine in Machine.objects.filter(pk__in=ids)}
    there = Machine.objects.filter(hall=spot.hall, rack=spot.rack, retired_at=None)
    standing = there.filter(slot=spot.slot).first()
    others = Walk.objects.exclude(user=user).filter(since__gt=utc_now() - timedelta(minutes=10))
    return WalkSight(
        spot=spot,
        step=row.step,
        since=row.since,
        offers=machine_rows([by_id[pk] for pk in ids if pk in by_id]),
        strangers=[_stranger(each) for each in heard.filter(machine=None)[:OFFERS_MAX]],
        others=[(str(each.user), Spot(each.hall, each.rack, each.slot)) for each in others.select_related("user")],
        done=placements(user),
        occupant=machine_rows([standing])[0] if standing is not None else None,
        filled=sorted(
            slot for slot in there.filter(placed_at__isnull=False).values_list("slot", flat=True) if slot is not None
        ),
    )


def placements(user: "User") -> list[PlacementRow]:
    """What the user placed last and can take back."""
    rows = Placement.objects.filter(author=user, undone_at=None, at__gt=utc_now() - UNDO_FOR)
    part = list(rows.select_related("machine", "author")[:DONE_MAX])
    words = {row.machine_id: row.credential for row in machine_rows([each.machine for each in part])}
    return [
        PlacementRow(
            id=row.pk,
            machine_id=row.machine_id,
            model=row.machine.model,
            mac=row.machine.mac,
            spot=Spot(row.hall, row.rack, row.slot),
            at=row.at,
            author=str(row.author),
            credential=words[row.machine_id],
        )
        for row in part
    ]
