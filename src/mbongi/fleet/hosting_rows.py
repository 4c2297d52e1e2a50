"""Reads of contracts, excuses and statements, as the present scope may see them.

A tenant sees its contracts once they are in force, with their approved versions; who wrote and decided what, and why,
is the site's.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any

import msgspec
from django.db.models import Count, F, Max, Min, Q, Sum

from mbongi.core.identity.scope import current_scope
from mbongi.core.identity.selectors import tenants
from mbongi.fleet.errors import UnknownContractError
from mbongi.fleet.models import Closing, Contract, ContractVersion, Excuse, Hosted, HostedDay, Machine, Owned, Statement
from mbongi.fleet.rules.hosting import DayRecord, Seen
from mbongi.fleet.rules.hosting_days import Span, contract_span, merged, midnight, month_of, overlap, split
from mbongi.fleet.rules.hosting_terms import CurtailmentClass, ExcuseClass, Terms, changes
from mbongi.fleet.statement_document import Document
from mbongi.fleet.values import ProfileState

PAGE_MAX = 1000
_APPROVED = (ProfileState.ACTIVE, ProfileState.SUPERSEDED)


@dataclass(frozen=True, slots=True)
class ContractRow:
    """A contract. ``number`` is that of its newest approved version, None before the first; ``proposed`` likewise."""

    id: int
    name: str
    tenant_id: int
    tenant: str
    added_at: datetime
    number: int | None
    terms: Terms | None
    proposed: int | None


@dataclass(frozen=True, slots=True)
class VersionRow:
    """One version. ``changes``: field, before, after, against the version that was approved before it."""

    id: int
    contract_id: int
    number: int
    terms: Terms
    state: ProfileState
    reason: str
    author_id: int
    author: str
    written_at: datetime
    decider: str
    decided_at: datetime | None
    decision: str
    changes: Sequence[tuple[str, Any, Any]]


@dataclass(frozen=True, slots=True)
class ExcuseRow:
    """Downtime that is excused, or proposed to be. Its reach is the first of machines, contract, hall, site."""

    id: int
    klass: ExcuseClass
    since: datetime
    until: datetime
    machine_ids: Sequence[int]
    contract_id: int | None
    contract: str
    hall: int | None
    note: str
    evidence: str
    state: ProfileState
    author_id: int
    author: str
    entered_at: datetime
    decider: str
    decided_at: datetime | None
    decision: str


@dataclass(frozen=True, slots=True)
class ClosingRow:
    """The statements of a month being made; ``done`` by contract: (the statement's number, or why there is none)."""

    id: int
    month: str
    contracts: Sequence[int]
    done: Mapping[int, tuple[int | None, str]]
    step: str
    author: str
    asked_at: datetime
    finished_at: datetime | None

    @property
    def failed(self) -> int:
        """For how many contracts no statement could be made."""
        return sum(number is None for number, _why in self.done.values())


@dataclass(frozen=True, slots=True)
class StatementRow:
    """A closed month. ``newest`` is False where a correction followed."""

    id: int
    contract_id: int
    contract: str
    tenant: str
    month: str
    version: int
    document: Document
    sheet_sha256: str
    reason: str
    author: str
    closed_at: datetime
    newest: bool


def _stated(moment: int) -> datetime:
    return datetime.fromtimestamp(moment, UTC)


def contracts() -> list[ContractRow]:
    """Every contract by name."""
    rows = Contract.objects.select_related("tenant").prefetch_related("versions")
    return [found for row in rows if _is_shown(found := _contract_row(row))]


def _is_shown(row: ContractRow) -> bool:
    return row.terms is not None or current_scope().site_wide


def has_contracts() -> bool:
    """Whether there is any."""
    return Contract.objects.exists()


def contract(contract_id: int) -> ContractRow:
    """One contract. Raises UnknownContractError."""
    row = Contract.objects.select_related("tenant").prefetch_related("versions").filter(pk=contract_id).first()
    found = None if row is None else _contract_row(row)
    if found is None or not _is_shown(found):
        raise UnknownContractError(f"contract {contract_id}: not known")
    return found


def _contract_row(row: Contract) -> ContractRow:
    versions = sorted(row.versions.all(), key=lambda one: -one.number)
    approved = next((one for one in versions if one.state in _APPROVED), None)
    waiting = [one for one in versions if one.state == ProfileState.PROPOSED and current_scope().site_wide]
    return ContractRow(
        id=row.pk,
        name=row.name,
        tenant_id=row.tenant_id,
        tenant=row.tenant.name,
        added_at=row.added_at,
        number=None if approved is None else approved.number,
        terms=None if approved is None else terms_of(approved),
        proposed=waiting[0].number if waiting else None,
    )


def terms_of(row: ContractVersion) -> Terms:
    """What a version says."""
    return msgspec.convert(row.document, Terms)


def versions(contract_id: int) -> list[VersionRow]:
    """A contract's versions, newest first."""
    rows = list(
        ContractVersion.objects.filter(contract_id=contract_id).select_related("author", "decider").order_by("number")
    )
    found, former = [], None
    for row in rows:
        found.append(_version_row(row, former))
        if row.state in _APPROVED:
            former = row.document
    if not current_scope().site_wide:
        found = [_for_tenant(row) for row in found if row.state in _APPROVED]
    return found[::-1]


def _for_tenant(row: VersionRow) -> VersionRow:
    return replace(row, reason="", author="", decider="", decision="")


def _version_row(row: ContractVersion, former: Mapping[str, Any] | None) -> VersionRow:
    return VersionRow(
        id=row.pk,
        contract_id=row.contract_id,
        number=row.number,
        terms=terms_of(row),
        state=ProfileState(row.state),
        reason=row.reason,
        author_id=row.author_id,
        author=row.author.name,
        written_at=row.written_at,
        decider=row.decider.name if row.decider else "",
        decided_at=row.decided_at,
        decision=row.decision,
        changes=changes(former, row.document),
    )


def governing(contract_id: int, month: str) -> tuple[int, Terms] | None:
    """The version that governs a month, and its terms: the newest approved of those valid from it or before."""
    rows = ContractVersion.objects.filter(contract_id=contract_id, state__in=_APPROVED).order_by("-number")
    found = next((row for row in rows if row.document["valid_from"] <= month), None)
    return None if found is None else (found.number, terms_of(found))


def memberships(contract_id: int, terms: Terms, span: Span, zone: str) -> list[tuple[int, Span]]:
    """(machine, span) of every machine's time under the contract within ``span``, by machine and time.

    Whatever the contract says, a machine counts only while the contract's tenant owned it, as far as owners were noted.
    """
    within = overlap(contract_span(terms.starts, terms.ends, zone), span)
    if within is None:
        return []
    found = []
    for machine_id, own in _own_spans(contract_id, terms, within, zone):
        common = overlap(own, within)
        if common is not None:
            found.append((machine_id, common))
    return sorted(_while_owned(contract_id, found))


def _while_owned(contract_id: int, found: Sequence[tuple[int, Span]]) -> list[tuple[int, Span]]:
    tenant_id = Contract.objects.values_list("tenant_id", flat=True).get(pk=contract_id)
    owned: dict[int, list[Span]] = {}
    for row in Owned.objects.filter(machine_id__in={machine_id for machine_id, _span in found}):
        times = owned.setdefault(row.machine_id, [])
        if row.tenant_id == tenant_id:
            since = 0 if row.since is None else int(row.since.timestamp())
            times.append((since, 2**40 if row.until is None else int(row.until.timestamp())))
    return [
        (machine_id, part)
        for machine_id, span in found
        for part in (split([span], merged(owned[machine_id]))[0] if machine_id in owned else [span])
    ]


def _own_spans(contract_id: int, terms: Terms, span: Span, zone: str) -> list[tuple[int, Span]]:
    if not terms.by_rule:
        return [
            (
                each.machine_id,
                (
                    span[0] if each.since is None else midnight(date.fromisoformat(each.since), zone),
                    span[1] if each.until is None else midnight(date.fromisoformat(each.until), zone),
                ),
            )
            for each in terms.machines
        ]
    rows = Hosted.objects.filter(contract_id=contract_id, since__lt=_stated(span[1]))
    rows = rows.filter(Q(until=None) | Q(until__gt=_stated(span[0])))
    return [
        (row.machine_id, (int(row.since.timestamp()), span[1] if row.until is None else int(row.until.timestamp())))
        for row in rows
    ]


_DAY = ("machine_id", "day", "since", "until", "runs", "hash_milli", "energy_wh", "power_s", "pool_milli")


def day_marks(contract_id: int, month: str) -> dict[str, Any]:
    """What changes whenever anything that was seen of a contract's machines in a month is written anew."""
    first, after = month_of(month)
    rows = HostedDay.objects.filter(contract_id=contract_id, day__gte=first, day__lt=after)
    return rows.aggregate(
        days=Count("pk"),
        newest=Max("pk"),
        read_at=Max("read_at"),
        until=Max("until"),
        hashes=Sum("hash_milli"),
        energy=Sum("energy_wh"),
        power=Sum("power_s"),
        pool=Sum("pool_milli"),
    )


def day_records(contract_id: int, month: str, only: Collection[int] | None = None) -> dict[int, list[DayRecord]]:
    """What was seen of each machine of a contract in a month; of ``only`` these, where they are given."""
    first, after = month_of(month)
    rows = HostedDay.objects.filter(contract_id=contract_id, day__gte=first, day__lt=after)
    if only is not None:
        rows = rows.filter(machine_id__in=list(only))
    found: dict[int, list[DayRecord]] = {}
    # Three hundred thousand of ten thousand machines: without a model's instance for each.
    for machine_id, day, since, until, *figures in rows.values_list(*_DAY).iterator(chunk_size=20_000):
        span = int(since.timestamp()), int(until.timestamp())
        found.setdefault(machine_id, []).append(DayRecord(day, span, Seen(*figures)))
    return found


def read_at(contract_id: int, month: str) -> datetime | None:
    """When the newest day of a contract's month was read from telemetry, all its machines; None: none was yet."""
    first, after = month_of(month)
    rows = HostedDay.objects.filter(contract_id=contract_id, day__gte=first, day__lt=after)
    newest = rows.aggregate(day=Max("day"))["day"]
    found: datetime | None = rows.filter(day=newest).aggregate(at=Min("read_at"))["at"]
    return found


def curtailment_classes() -> dict[int, CurtailmentClass]:
    """What the contracts now in force say of curtailing each machine; a machine without contract is left out.

    Dates of lists are taken for days of UTC here: for hours about them the former word holds.
    """
    now = int(datetime.now(UTC).timestamp())
    found: dict[int, CurtailmentClass] = {}
    for row in contracts():
        if row.terms is not None:
            for machine_id, _span in memberships(row.id, row.terms, (now, now + 1), "UTC"):
                found[machine_id] = row.terms.curtailment
    return found


def excuses(
    *, month: Span | None = None, states: Sequence[ProfileState] = (), limit: int | None = None, offset: int = 0
) -> list[ExcuseRow]:
    """Excuses, newest first; those that touch ``month``, in one of ``states``, where these are given. None: all."""
    rows = Excuse.objects.select_related("author", "decider", "contract")
    if month is not None:
        rows = rows.filter(since__lt=_stated(month[1]), until__gt=_stated(month[0]))
    if states:
        rows = rows.filter(state__in=list(states))
    return [excuse_row(row) for row in rows[offset : None if limit is None else offset + limit]]


def excuse(excuse_id: int) -> ExcuseRow:
    """One excuse. Raises UnknownContractError."""
    row = Excuse.objects.select_related("author", "decider", "contract").filter(pk=excuse_id).first()
    if row is None:
        raise UnknownContractError(f"excuse {excuse_id}: not known")
    return excuse_row(row)


def excuse_row(row: Excuse) -> ExcuseRow:
    """The plain value of a stored excuse."""
    return ExcuseRow(
        id=row.pk,
        klass=ExcuseClass(row.klass),
        since=row.since,
        until=row.until,
        machine_ids=row.machine_ids,
        contract_id=row.contract_id,
        contract=row.contract.name if row.contract else "",
        hall=row.hall,
        note=row.note,
        evidence=row.evidence,
        state=ProfileState(row.state),
        author_id=row.author_id,
        author=row.author.name,
        entered_at=row.entered_at,
        decider=row.decider.name if row.decider else "",
        decided_at=row.decided_at,
        decision=row.decision,
    )


def closings(limit: int = 10) -> list[ClosingRow]:
    """The newest runs of closing, newest first."""
    return [_closing_row(row) for row in Closing.objects.select_related("author")[:limit]]


def closing(closing_id: int) -> ClosingRow:
    """One run of closing. Raises UnknownContractError."""
    row = Closing.objects.select_related("author").filter(pk=closing_id).first()
    if row is None:
        raise UnknownContractError(f"closing {closing_id}: not known")
    return _closing_row(row)


def _closing_row(row: Closing) -> ClosingRow:
    return ClosingRow(
        id=row.pk,
        month=row.month,
        contracts=row.contracts,
        done={int(key): (value["statement"], value["why"]) for key, value in row.done.items()},
        step=row.step,
        author=row.author.name,
        asked_at=row.asked_at,
        finished_at=row.finished_at,
    )


def statements(
    *, month: str = "", contract_id: int | None = None, newest: bool = False, limit: int = 200, offset: int = 0
) -> list[StatementRow]:
    """Statements, newest month first; ``newest`` leaves out those that were corrected."""
    rows = Statement.objects.select_related("contract__tenant", "author").defer("sheet")
    if month:
        rows = rows.filter(month=month)
    if contract_id is not None:
        rows = rows.filter(contract_id=contract_id)
    rows = rows.annotate(later=_LATER)
    if newest:
        rows = rows.filter(later=0)
    page = rows.order_by("-month", "contract__name", "-version")[offset : offset + min(limit, PAGE_MAX)]
    return [_statement_row(row) for row in page]


def latest() -> dict[int, StatementRow]:
    """Each contract's newest statement, by contract."""
    newest = Statement.objects.order_by("contract_id", "-month", "-version").distinct("contract_id")
    rows = Statement.objects.select_related("contract__tenant", "author").defer("sheet").annotate(later=_LATER)
    found = rows.filter(pk__in=list(newest.values_list("pk", flat=True)))
    return {row.contract_id: _statement_row(row) for row in found}


_LATER = Count(
    "contract__statements",
    filter=Q(contract__statements__month=F("month"), contract__statements__version__gt=F("version")),
)


def statement(statement_id: int) -> StatementRow:
    """One statement. Raises UnknownContractError."""
    rows = Statement.objects.select_related("contract__tenant", "author").defer("sheet").annotate(later=_LATER)
    row = rows.filter(pk=statement_id).first()
    if row is None:
        raise UnknownContractError(f"statement {statement_id}: not known")
    return _statement_row(row)


def _statement_row(row: Any) -> StatementRow:
    return StatementRow(
        id=row.pk,
        contract_id=row.contract_id,
        contract=row.contract.name,
        tenant=row.contract.tenant.name,
        month=row.month,
        version=row.version,
        document=msgspec.convert(row.document, Document),
        sheet_sha256=row.sheet_sha256,
        reason=row.reason,
        author=row.author.name,
        closed_at=row.closed_at,
        newest=row.later == 0,
    )


def tenant_choices() -> list[tuple[int, str]]:
    """Number and name of every tenant."""
    return [(row.pk, row.name) for row in tenants()]


def nominal_models(machine_ids: Sequence[int]) -> dict[int, str]:
    """The model of each machine."""
    return dict(Machine.objects.filter(pk__in=list(machine_ids)).values_list("pk", "model"))
