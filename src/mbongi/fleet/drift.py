"""Work that went to foreign pools, written down as the fleet process counts it; and how open drift is ended."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from django.db import transaction

from mbongi.base.ids import MachineId, TenantId
from mbongi.core.bus import outbox
from mbongi.core.ledger import services as ledger
from mbongi.core.ledger.values import NewEntry
from mbongi.fleet.action_work import PROCESS
from mbongi.fleet.events import DiversionChanged
from mbongi.fleet.models import Diversion, Machine
from mbongi.fleet.rules.diversion import Diverted
from mbongi.fleet.storable import storable


def _time(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, UTC)


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)


def open_diversions() -> list[Diverted]:
    """The diversions that last, for a process that takes machines over."""
    return [
        Diverted(MachineId(row.machine_id), row.url, row.user, _ms(row.since), row.hashes_th, _ms(row.seen_at))
        for row in Diversion.objects.filter(until=None)
    ]


@transaction.atomic
def record_diversions(told: Sequence[Diverted]) -> int:
    """Write down what was counted so far, and in the ledger each beginning and end; returns how many of these.

    What is told is always all since the beginning, so it may be repeated; a smaller count than the recorded one changes
    nothing. Machines that are gone are passed over; those that are retired or have no address begin nothing that lasts.
    """
    ids = {each.machine_id for each in told}
    machines = {row.pk: row for row in Machine.objects.select_for_update().filter(pk__in=ids).order_by("pk")}
    known = {
        (row.machine_id, _ms(row.since)): row for row in Diversion.objects.filter(machine__in=machines, until=None)
    }
    past = Diversion.objects.filter(machine__in=machines, since__in=[_time(each.since_ms) for each in told])
    known |= {(row.machine_id, _ms(row.since)): row for row in past}
    news: list[tuple[Diversion, bool]] = []
    for each in sorted(told, key=lambda one: one.since_ms):
        machine = machines.get(each.machine_id)
        if machine is None:
            continue
        is_asked = machine.retired_at is None and machine.address is not None
        # Told of before it went, written down after it.
        one = (
            each if is_asked or each.until_ms is not None else replace(each, until_ms=max(each.since_ms, each.seen_ms))
        )
        row = known.get((each.machine_id, each.since_ms))
        if row is None:
            row = known[each.machine_id, each.since_ms] = _begin(machine, one, news)
        _go_on(row, one, news)
    outbox.emit(*(_message(row, opened=opened) for row, opened in news))
    ledger.append([_entry(row, opened=opened) for row, opened in news])
    return len(news)


def end_diversions(machine_ids: Collection[int], *, actor: str, reason: str) -> list[NewEntry]:
    """End what lasts of machines that nobody asks any more, when it was last counted; returns the ledger's entries.

    For a transaction that has locked these machines, and appends the entries.
    """
    rows = list(Diversion.objects.filter(machine__in=machine_ids, until=None).order_by("machine"))
    for row in rows:
        row.until = max(row.seen_at, row.since)
    Diversion.objects.bulk_update(rows, ["until"], batch_size=500)
    outbox.emit(*(_message(row, opened=False) for row in rows))
    return [_entry(row, opened=False, actor=actor, reason=reason) for row in rows]


def _begin(machine: Machine, each: Diverted, news: list[tuple[Diversion, bool]]) -> Diversion:
    for former in Diversion.objects.filter(machine=machine, until=None):
        # Another process counted it until it was killed; its machine has gone from one foreign pool to the next.
        former.until = max(_time(each.since_ms), former.since)
        former.save(update_fields=["until"])
        news.append((former, False))
    row = Diversion.objects.create(
        machine=machine,
        tenant_id=machine.tenant_id,
        url=storable(each.url),
        user=storable(each.user),
        since=_time(each.since_ms),
        seen_at=_time(each.since_ms),
    )
    news.append((row, True))
    return row


def _go_on(row: Diversion, each: Diverted, news: list[tuple[Diversion, bool]]) -> None:
    ends = each.until_ms is not None and row.until is None
    if each.hashes_th > row.hashes_th:
        row.hashes_th, row.seen_at = each.hashes_th, _time(each.seen_ms)
        row.until = None if row.until is None else max(row.until, row.seen_at)
    elif not ends:
        return
    if each.until_ms is not None and row.until is None:
        row.until = max(_time(each.until_ms), row.since)
        news.append((row, False))
    row.save(update_fields=["hashes_th", "seen_at", "until"])


def _message(row: Diversion, *, opened: bool) -> DiversionChanged:
    return DiversionChanged(
        machine_id=row.machine_id,
        url=row.url,
        user=row.user,
        opened=opened,
        hashes_th=row.hashes_th,
        tenant_id=row.tenant_id,
        at_ms=_ms(row.since if opened or row.until is None else row.until),
    )


def _entry(row: Diversion, *, opened: bool, actor: str = PROCESS, reason: str = "") -> NewEntry:
    tenant = None if row.tenant_id is None else TenantId(row.tenant_id)
    after: dict[str, Any] = {"pool": row.url, "worker": row.user, "since": row.since.isoformat()}
    if not opened and row.until is not None:
        after |= {"until": row.until.isoformat(), "hashes_th": round(row.hashes_th, 3)}
    name = f"fleet.machine.diversion.{'begin' if opened else 'end'}"
    return NewEntry(actor, name, f"machine:{row.machine_id}", reason, None, after, tenant)
