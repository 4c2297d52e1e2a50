"""Monthly statements: reckoned from what was kept of each day, closed once, corrected by further versions.

A statement can be reckoned anew by anybody from its sheet: its sums are the sums of the sheet's lines.
"""

import hashlib
import time
import zlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import msgspec
from django.db import transaction
from django.utils.translation import gettext as _

from mbongi.base.clock import utc_now
from mbongi.base.config import Config
from mbongi.base.ids import TenantId
from mbongi.core.identity.values import Permission
from mbongi.core.ledger import services as ledger
from mbongi.core.ledger.values import NewEntry
from mbongi.core.telemetry.client import Store
from mbongi.fleet import hosting_readings as readings
from mbongi.fleet.asked_sleeps import asked_sleeps, switch_marks
from mbongi.fleet.contracts import checked_reason, refused, require
from mbongi.fleet.errors import FleetError, UnknownContractError
from mbongi.fleet.hosting_readings import AT_ONCE, Window, windows
from mbongi.fleet.hosting_rows import (
    ClosingRow,
    ExcuseRow,
    closing,
    contract,
    day_marks,
    day_records,
    excuses,
    governing,
    memberships,
)
from mbongi.fleet.machine_models import machine_model
from mbongi.fleet.models import Closing, Contract, Machine, Statement
from mbongi.fleet.positions import rack_label
from mbongi.fleet.rules.hosting import DayRecord, Excuse, Line, Seen, machine_month
from mbongi.fleet.rules.hosting_bill import bill, differences, promised, sums, total_of
from mbongi.fleet.rules.hosting_days import Span, contract_span, month_span, overlap
from mbongi.fleet.rules.hosting_terms import Terms
from mbongi.fleet.statement_document import (
    ENERGY_SOURCE,
    Document,
    StatedDifference,
    StatedExcuse,
    StatedMachine,
)
from mbongi.fleet.statement_sheet import sheet
from mbongi.fleet.values import ProfileState

if TYPE_CHECKING:
    from mbongi.core.identity.models import User

CONTRACTS_MAX = 5000
READ_FOR_S = 5.0
"""How long one step of a closing reads days: so often its bar moves."""
PROCESS = "process:fleet"
_FACTS = ("pk", "model", "serial", "hall", "rack", "slot", "address")
_NOT_COMPARED = {"version", "closed_at", "reason", "differences"}


@dataclass(frozen=True, slots=True)
class Site:
    """What statements need to know of the site: its name, its time zone, and how long telemetry keeps its rows."""

    name: str
    zone: str
    raw_days: int

    @classmethod
    def of(cls, config: Config) -> "Site":
        """What the configuration says of it."""
        return cls(config.site.name, config.site.timezone, config.telemetry.keep_raw_days)


@dataclass(frozen=True, slots=True)
class Month:
    """A contract's month as it is reckoned now."""

    document: Document
    lines: list[Line]
    sheet: bytes


@dataclass(frozen=True, slots=True)
class _Machine:
    name: str
    model: str
    serial: str
    hall: int | None

    @property
    def nominal_milli(self) -> int | None:
        rate = machine_model(self.model).hashrate_ths
        return None if rate != rate else round(rate * 1000)  # noqa: PLR0124 -- NaN where no source states it


def reckon(
    contract_id: int,
    month: str,
    site: Site,
    *,
    now: datetime | None = None,
    only: Collection[int] | None = None,
    with_sheet: bool = True,
) -> Month:
    """A contract's month, up to ``now`` where it is not over. Needs the scope of the whole site.

    ``only``: as if it had no other machines than these, for a look at some of them. Without its sheet, which takes a
    third of the time, it states no hash.

    Raises UnknownContractError; HostingRefusedError where no approved version governs the month.
    """
    now = now or utc_now()
    row, found = contract(contract_id), governing(contract_id, month)
    if found is None:
        raise refused(
            f"contract {contract_id}: {month}: no approved version governs it",
            _("No approved version of the contract governs this month."),
        )
    number, terms = found
    span = month_span(month, site.zone)
    wanted = windows(contract_id, month, site.zone, int(now.timestamp()), only=only)
    machines = _machines({window.machine_id for window in wanted})
    by_machine, unread_days = _records(contract_id, month, wanted, only)
    excused = _excuses(row.tenant_id, contract_id, machines, span)
    lines = _lines(by_machine, excused, terms, machines)
    facts = {pk: (each.name, each.model, each.serial) for pk, each in machines.items()}
    content = sheet(lines, facts) if with_sheet else b""
    part = overlap(contract_span(terms.starts, terms.ends, site.zone), span) or (span[0], span[0])
    stated = _stated_machines(lines, machines)
    total = total_of(one.sums for one in stated)
    document = Document(
        contract_id=contract_id,
        contract=row.name,
        tenant=row.tenant,
        site=site.name,
        month=month,
        version=0,
        zone=site.zone,
        since=_moment(part[0]),
        until=_moment(part[1]),
        month_s=span[1] - span[0],
        terms_version=number,
        terms=terms,
        sums=total,
        promised_milli=promised(total, terms, month=span, under_contract_s=part[1] - part[0]),
        bill=bill(total, terms, span),
        machines=stated,
        excuses=_stated_excuses(excused, part),
        energy_source=ENERGY_SOURCE,
        unread_days=unread_days,
        lines=len(lines),
        sheet_sha256=hashlib.sha256(content).hexdigest() if with_sheet else "",
        closed_at=now,
    )
    return Month(document, lines, content)


def _lines(
    by_machine: Mapping[int, list[DayRecord]], excused: "Excused", terms: Terms, machines: Mapping[int, _Machine]
) -> list[Line]:
    return [
        line
        for machine_id, records in sorted(by_machine.items())
        for line in machine_month(
            machine_id, records, [one for one, _row in excused[machine_id]], terms, machines[machine_id].nominal_milli
        )
    ]


def mark(contract_id: int, month: str, site: Site, *, now: datetime) -> tuple[Any, ...]:
    """What a month is reckoned of, in short: while this stays the same, so does every figure of it.

    Of ten thousand machines it takes a fiftieth of the reckoning. Needs the scope of the whole site.
    """
    row, found = contract(contract_id), governing(contract_id, month)
    if found is None:
        return ()
    span = month_span(month, site.zone)
    until = min(span[1], int(now.timestamp()))
    members = memberships(contract_id, found[1], (span[0], until), site.zone)
    ids = {machine_id for machine_id, _span in members}
    excused = excuses(month=span, states=[ProfileState.ACTIVE])
    facts = Machine.objects.filter(pk__in=ids).order_by("pk").values_list(*_FACTS)
    return (
        (row.name, row.tenant, found[0], site, until),
        hash(tuple(members)),
        hash(tuple(facts)),
        hash(
            tuple(
                (one.id, one.klass, one.since, one.until, tuple(one.machine_ids), one.contract_id, one.hall, one.note)
                for one in excused
            )
        ),
        tuple(sorted(day_marks(contract_id, month).items())),
        tuple(sorted(switch_marks(ids, span[1]).items())),
    )


def _moment(second: int) -> datetime:
    return datetime.fromtimestamp(second, UTC)


def _machines(machine_ids: set[int]) -> dict[int, _Machine]:
    found = {}
    for row in Machine.objects.filter(pk__in=machine_ids):
        rack = rack_label(row.hall, row.rack)
        name = f"{rack}/{row.slot:02d}" if rack and row.slot is not None else row.address or f"#{row.pk}"
        found[row.pk] = _Machine(name, row.model, row.serial, row.hall)
    return found


def _records(
    contract_id: int, month: str, wanted: Sequence[Window], only: Collection[int] | None
) -> tuple[dict[int, list[DayRecord]], int]:
    """What was kept of each window, with the rest of it as not seen; and how many windows nothing was kept of."""
    kept: dict[tuple[int, date], list[DayRecord]] = {}
    for machine_id, records in day_records(contract_id, month, only).items():
        for record in records:
            kept.setdefault((machine_id, record.day), []).append(record)
    by_machine: dict[int, list[DayRecord]] = {}
    unread = 0
    for window in wanted:
        own = [
            record
            for record in kept.get((window.machine_id, window.day.day), [])
            if window.span[0] <= record.span[0] and record.span[1] <= window.span[1]
        ]
        unread += not own
        by_machine.setdefault(window.machine_id, []).extend(_filled(window, own))
    return by_machine, unread


def _filled(window: Window, own: list[DayRecord]) -> list[DayRecord]:
    record = own[0] if own else DayRecord(window.day.day, (window.span[0], window.span[0]), Seen("", 0, 0, 0))
    if record.span == window.span and own:
        return own[:1]
    before, after = record.span[0] - window.span[0], window.span[1] - record.span[1]
    runs = [*([f"x{before}"] if before else []), record.seen.runs, *([f"x{after}"] if after else [])]
    what = replace(record.seen, runs=" ".join(filter(None, runs)))
    return [DayRecord(window.day.day, window.span, what)]


Excused = dict[int, list[tuple[Excuse, ExcuseRow | None]]]


def _excuses(tenant_id: int, contract_id: int, machines: dict[int, _Machine], span: Span) -> Excused:
    """By machine: what excuses it, with the entry where somebody made one."""
    found: Excused = {machine_id: [] for machine_id in machines}
    for row in excuses(month=span, states=[ProfileState.ACTIVE]):
        one = Excuse(row.klass, (int(row.since.timestamp()), int(row.until.timestamp())), f"excuse:{row.id}")
        for machine_id, machine in machines.items():
            if _reaches(row, contract_id, machine_id, machine.hall):
                found[machine_id].append((one, row))
    for machine_id, own in asked_sleeps(sorted(machines), span, tenant_id).items():
        found[machine_id] += [(each, None) for each in own]
    return found


def _reaches(row: ExcuseRow, contract_id: int, machine_id: int, hall: int | None) -> bool:
    if row.machine_ids:
        return machine_id in row.machine_ids
    if row.contract_id is not None:
        return row.contract_id == contract_id
    return row.hall is None or row.hall == hall


def _stated_machines(lines: Sequence[Line], machines: dict[int, _Machine]) -> list[StatedMachine]:
    own: dict[int, list[Line]] = {}
    for line in lines:
        own.setdefault(line.machine_id, []).append(line)
    return [
        StatedMachine(
            machine_id=machine_id,
            name=machines[machine_id].name,
            model=machines[machine_id].model,
            serial=machines[machine_id].serial,
            has_nominal=machines[machine_id].nominal_milli is not None,
            sums=sums(each),
        )
        for machine_id, each in own.items()
    ]


def _stated_excuses(excused: Excused, part: Span) -> list[StatedExcuse]:
    """Every excuse once, with how many machines it reaches."""
    counts: dict[tuple[Any, ...], int] = {}
    for own in excused.values():
        for one, row in own:
            key = (one.span[0], one.span[1], one.klass, one.cause, "" if row is None else row.note)
            counts[key] = counts.get(key, 0) + 1
    return [
        StatedExcuse(klass=klass, since=_moment(since), until=_moment(until), cause=cause, note=note, machines=count)
        for (since, until, klass, cause, note), count in sorted(counts.items())
        if since < part[1] and until > part[0]
    ]


# Closing.


@transaction.atomic
def ask_closing(
    user: "User",
    month: str,
    site: Site,
    *,
    contract_ids: Sequence[int] | None = None,
    reason: str = "",
    now: datetime | None = None,
) -> ClosingRow:
    """Have the statements of a month made by the fleet process; None: of all contracts that have none yet.

    A contract whose month is closed already gets a correction, which needs a ``reason``. Raises NotPermittedError,
    UnknownContractError, HostingRefusedError: a month that is not over, or is being closed.
    """
    what = f"close {month}"
    require(user, Permission.STATEMENT_CLOSE, what)
    now = now or utc_now()
    try:
        is_settled = readings.is_settled(month, site.zone, now)
    except ValueError as error:
        raise refused(f"{what}: {error}", _("Expected a month such as 2026-11.")) from error
    if not is_settled:
        text = _("A month is closed six hours after its end at the earliest.")
        raise refused(f"{what}: it is not over, or only just", text)
    if Closing.objects.select_for_update().filter(month=month, finished_at=None).exists():
        raise refused(f"{what}: it is being closed", _("This month is being closed already."))
    closed = set(Statement.objects.filter(month=month).values_list("contract_id", flat=True))
    known = set(Contract.objects.values_list("pk", flat=True))
    chosen = sorted(known - closed if contract_ids is None else set(contract_ids))
    if not chosen or len(chosen) > CONTRACTS_MAX:
        raise refused(f"{what}: {len(chosen)} contracts", _("There is nothing to close."))
    if strange := set(chosen) - known:
        raise UnknownContractError(f"contract {min(strange)}: not known")
    if closed & set(chosen):
        reason = checked_reason(reason, f"correct {month}")
    row = Closing.objects.create(month=month, contracts=chosen, reason=reason.strip(), author=user, asked_at=now)
    after = {"month": month, "contracts": chosen[:1000]}
    ledger.append([NewEntry(user.actor, "fleet.statement.ask", f"closing:{row.pk}", reason, None, after)])
    return closing(row.pk)


def open_closings() -> list[int]:
    """The runs of closing that are not over, oldest first."""
    return list(Closing.objects.filter(finished_at=None).order_by("pk").values_list("pk", flat=True))


def advance(closing_id: int, store: Store, site: Site, *, clock: Callable[[], datetime] = utc_now) -> bool:
    """Go on with a run: some of the next contract's readings, or its statement. Returns whether it is over.

    Each call takes seconds, and a process that dies in the midst leaves nothing half done. Raises StoreUnavailable
    and StoreRefused; then the same is tried again.
    """
    row = Closing.objects.select_related("author").get(pk=closing_id)
    contract_id = next((each for each in row.contracts if str(each) not in row.done), None)
    if contract_id is None:
        Closing.objects.filter(pk=closing_id, finished_at=None).update(finished_at=clock(), step="")
        return True
    now = int(clock().timestamp())
    wanted = windows(contract_id, row.month, site.zone)
    due = [
        window
        for window in readings.unread(contract_id, wanted, now, at_once=True)
        if readings.is_readable(window, now, site.raw_days)
    ]
    if due:
        step = f"{contract_id}:{len(wanted) - len(due)}/{len(wanted)}"
        Closing.objects.filter(pk=closing_id).update(step=step)
        end = time.monotonic() + READ_FOR_S
        for first in range(0, len(due), AT_ONCE):
            readings.read(contract_id, due[first : first + AT_ONCE], store, now)
            if time.monotonic() >= end:
                break
        return False
    _finish_contract(row, contract_id, site, clock())
    return False


def _finish_contract(row: Closing, contract_id: int, site: Site, now: datetime) -> None:
    """Make the statement, or note why not, in one transaction with the run's progress."""
    try:
        with transaction.atomic():
            found = _close(row, contract_id, site, now)
            outcome = {"statement": found.pk, "why": ""}
            Closing.objects.filter(pk=row.pk).update(done=row.done | {str(contract_id): outcome}, step="")
    except FleetError as error:
        # Its words for a person come with the reader's language: ``hosting_wording.why_text``.
        outcome = {"statement": None, "why": str(error)[:300]}
        Closing.objects.filter(pk=row.pk).update(done=row.done | {str(contract_id): outcome}, step="")


def _close(row: Closing, contract_id: int, site: Site, now: datetime) -> Statement:
    what = f"close {row.month} of contract {contract_id}"
    locked = Contract.objects.select_for_update().filter(pk=contract_id).first()
    if locked is None:
        raise UnknownContractError(f"contract {contract_id}: not known")
    span = month_span(row.month, site.zone)
    waiting = [each for each in excuses(month=span, states=[ProfileState.PROPOSED]) if _concerns(each, contract_id)]
    if waiting:
        text = _("Excuse %(id)d is proposed; it must be decided on first.") % {"id": waiting[-1].id}
        raise refused(f"{what}: excuse {waiting[-1].id} is proposed; decide on it first", text)
    last = Statement.objects.filter(contract=locked, month=row.month).order_by("-version").first()
    if last is not None and not row.reason:
        text = _("The month is closed; a correction needs a reason.")
        raise refused(f"{what}: it is closed (version {last.version}); a correction needs a reason", text)
    found = reckon(contract_id, row.month, site, now=now)
    document = found.document
    document.version = 1 if last is None else last.version + 1
    document.reason = row.reason if last is not None else ""
    if last is not None:
        document.differences = _differences(last.document, document)
        if not document.differences:
            text = _("Nothing differs from version %(number)d.") % {"number": last.version}
            raise refused(f"{what}: nothing differs from version {last.version}", text)
    made = Statement.objects.create(
        contract=locked,
        tenant_id=locked.tenant_id,
        month=row.month,
        version=document.version,
        document=_stored(document),
        sheet=zlib.compress(found.sheet, 9),
        sheet_sha256=document.sheet_sha256,
        reason=document.reason,
        author_id=row.author_id,
        closed_at=now,
    )
    after = {
        "contract": contract_id,
        "month": row.month,
        "version": made.version,
        "sheet_sha256": made.sheet_sha256,
        "total_minor": document.bill.total_minor,
        "currency": document.terms.currency,
    }
    verb = "close" if last is None else "correct"
    subject, tenant = f"statement:{made.pk}", TenantId(locked.tenant_id)
    ledger.append([NewEntry(row.author.actor, f"fleet.statement.{verb}", subject, made.reason, None, after, tenant)])
    return made


def _concerns(row: ExcuseRow, contract_id: int) -> bool:
    return row.contract_id is None or row.contract_id == contract_id


def _differences(before: dict[str, Any], after: Document) -> list[StatedDifference]:
    new = _stored(after)
    pair = [
        {name: _by_key(value) for name, value in each.items() if name not in _NOT_COMPARED} for each in (before, new)
    ]
    return [
        StatedDifference(name=one.name, before=one.before, after=one.after) for one in differences(pair[0], pair[1])
    ]


def _stored(document: Document) -> dict[str, Any]:
    """A document as the database gives it back."""
    found: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(document))
    return found


def _by_key(value: Any) -> Any:
    """Lists of things that have a number, or a cause, by that, so that each is compared with itself."""
    if isinstance(value, list) and value and isinstance(value[0], dict):
        names = [name for name in ("machine_id", "cause", "kind") if name in value[0]]
        return {" ".join(str(each[name]) for name in names): each for each in value} if names else value
    return value


def sheet_of(statement_id: int) -> bytes:
    """A statement's sheet, as it was closed. Raises UnknownContractError."""
    row = Statement.objects.filter(pk=statement_id).only("sheet").first()
    if row is None:
        raise UnknownContractError(f"statement {statement_id}: not known")
    return zlib.decompress(bytes(row.sheet))
