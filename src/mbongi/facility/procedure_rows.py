"""Reads of procedures, their versions and runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec
from django.db.models import Count, Max, Q

from mbongi.facility.errors import UnknownProcedureError
from mbongi.facility.models import Procedure, ProcedureEntry, ProcedureRun, ProcedureVersion
from mbongi.facility.rules.procedures import (
    Entry,
    Outcome,
    ProcedureDocument,
    ProcedureKind,
    ProcedureStep,
    Run,
    RunState,
    run_of,
)
from mbongi.facility.values import VersionState


@dataclass(frozen=True, slots=True)
class ProcedureRow:
    """A procedure in the list. ``active`` and ``proposed`` are ids of versions; None where there is none."""

    id: int
    code: str
    kind: ProcedureKind
    title: str
    active: int | None
    proposed: int | None
    running: int
    last_run_at: datetime | None


@dataclass(frozen=True, slots=True)
class VersionRow:
    """A version with who wrote it and who decided on it."""

    id: int
    code: str
    kind: ProcedureKind
    title: str
    number: int
    document: ProcedureDocument
    state: VersionState
    reason: str
    author_id: int
    author: str
    written_at: datetime
    decider: str
    decided_at: datetime | None
    decision: str


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run in a list."""

    id: int
    code: str
    kind: ProcedureKind
    title: str
    version_id: int
    number: int
    state: RunState
    reason: str
    starter: str
    started_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature as people read it. ``step`` is None for a lock that was taken off beside the steps."""

    step: ProcedureStep | None
    number: int
    back_out: bool
    outcome: Outcome
    signer: str
    at: datetime
    value: float | None
    reference: str
    removes: str
    note: str


@dataclass(frozen=True, slots=True)
class RunSight:
    """A run with all that is needed to go on with it. ``locks``: element → name and id of who put it on."""

    row: RunRow
    document: ProcedureDocument
    standing: Run
    backing_out: bool
    signatures: Sequence[Signature]
    locks: Mapping[str, tuple[str, int]]

    @property
    def steps(self) -> Sequence[ProcedureStep]:
        """Those that are being signed now: the way back once it is taken."""
        return self.document.back_out if self.backing_out else self.document.steps

    @property
    def next_step(self) -> ProcedureStep | None:
        """The step that is to be signed; None after the last."""
        return None if self.standing.next_step is None else self.steps[self.standing.next_step]

    @property
    def share(self) -> float:
        """How much of the present steps is done, from 0 to 1."""
        done = len(self.steps) if self.standing.next_step is None else self.standing.next_step
        return done / len(self.steps) if self.steps else 1.0


def procedures() -> list[ProcedureRow]:
    """Every procedure by code."""
    found = Procedure.objects.annotate(
        running=Count("versions__runs", filter=Q(versions__runs__ended_at=None, versions__runs__isnull=False)),
        last=Max("versions__runs__started_at"),
    )
    open_states = [VersionState.ACTIVE, VersionState.PROPOSED]
    versions = ProcedureVersion.objects.filter(state__in=open_states).values_list("procedure_id", "state", "pk")
    ids = {(procedure_id, state): pk for procedure_id, state, pk in versions}
    return [
        ProcedureRow(
            id=row.pk,
            code=row.code,
            kind=ProcedureKind(row.kind),
            title=row.title,
            active=ids.get((row.pk, VersionState.ACTIVE)),
            proposed=ids.get((row.pk, VersionState.PROPOSED)),
            running=row.running,
            last_run_at=row.last,
        )
        for row in found.order_by("code")
    ]


def version(version_id: int) -> VersionRow:
    """One version. Raises UnknownProcedureError."""
    row = ProcedureVersion.objects.select_related("procedure", "author", "decider").filter(pk=version_id).first()
    if row is None:
        raise UnknownProcedureError(f"procedure version {version_id}: not known")
    return _version(row)


def versions(code: str) -> list[VersionRow]:
    """The versions of a procedure, newest first. Raises UnknownProcedureError."""
    rows = ProcedureVersion.objects.select_related("procedure", "author", "decider").filter(procedure__code=code)
    found = [_version(row) for row in rows.order_by("-number")]
    if not found:
        raise UnknownProcedureError(f"procedure {code!r}: not known")
    return found


def runs(*, code: str | None = None, live: bool | None = None, limit: int = 50) -> list[RunRow]:
    """Runs, newest first; of one procedure; only those that are not over, or only those that are."""
    found = ProcedureRun.objects.select_related("version__procedure", "starter").order_by("-started_at")
    if code is not None:
        found = found.filter(version__procedure__code=code)
    if live is not None:
        found = found.filter(ended_at__isnull=live)
    return [_run(row) for row in found[:limit]]


def run(run_id: int) -> RunSight:
    """One run. Raises UnknownProcedureError."""
    row = ProcedureRun.objects.select_related("version__procedure", "starter").filter(pk=run_id).first()
    if row is None:
        raise UnknownProcedureError(f"procedure run {run_id}: not known")
    document = document_of(row.version)
    entries = list(ProcedureEntry.objects.filter(run=row).select_related("signer").order_by("pk"))
    standing = run_of(document, [_entry(each) for each in entries], backing_out=row.backing_out)
    names = {each.signer_id: str(each.signer) for each in entries}
    return RunSight(
        row=_run(row),
        document=document,
        standing=standing,
        backing_out=row.backing_out,
        signatures=[_signature(document, each) for each in entries],
        locks={element: (names[owner], owner) for element, owner in standing.locks.items()},
    )


def entries_of(run_id: int) -> list[Entry]:
    """The signatures of a run, in their order, for the rules."""
    return [_entry(row) for row in ProcedureEntry.objects.filter(run=run_id).order_by("pk")]


def document_of(row: ProcedureVersion) -> ProcedureDocument:
    """What a version says."""
    return msgspec.convert(row.document, ProcedureDocument)


def _entry(row: ProcedureEntry) -> Entry:
    return Entry(
        step=row.step,
        outcome=Outcome(row.outcome),
        signer_id=row.signer_id,
        back_out=row.back_out,
        value=row.value,
        reference=row.reference,
        removes=row.removes,
    )


def _signature(document: ProcedureDocument, row: ProcedureEntry) -> Signature:
    steps = document.back_out if row.back_out else document.steps
    return Signature(
        step=None if row.removes else steps[row.step],
        number=row.step + 1,
        back_out=row.back_out,
        outcome=Outcome(row.outcome),
        signer=str(row.signer),
        at=row.at,
        value=row.value,
        reference=row.reference,
        removes=row.removes,
        note=row.note,
    )


def _version(row: ProcedureVersion) -> VersionRow:
    return VersionRow(
        id=row.pk,
        code=row.procedure.code,
        kind=ProcedureKind(row.procedure.kind),
        title=row.procedure.title,
        number=row.number,
        document=document_of(row),
        state=VersionState(row.state),
        reason=row.reason,
        author_id=row.author_id,
        author=str(row.author),
        written_at=row.written_at,
        decider="" if row.decider is None else str(row.decider),
        decided_at=row.decided_at,
        decision=row.decision,
    )


def _run(row: ProcedureRun) -> RunRow:
    return RunRow(
        id=row.pk,
        code=row.version.procedure.code,
        kind=ProcedureKind(row.version.procedure.kind),
        title=row.version.procedure.title,
        version_id=row.version_id,
        number=row.version.number,
        state=RunState(row.state),
        reason=row.reason,
        starter=str(row.starter),
        started_at=row.started_at,
        ended_at=row.ended_at,
    )
