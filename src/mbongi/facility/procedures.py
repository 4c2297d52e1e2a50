"""Procedures written, agreed on by two people, and run step by step; every signature is in the ledger.

A version never changes; it is proposed when it is written and becomes active by a second person. A run keeps to the
version with which it began.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec
from django.db import transaction
from django.utils.translation import gettext as _

from mbongi.base.clock import utc_now
from mbongi.core.identity.values import Permission
from mbongi.core.ledger import services as ledger
from mbongi.core.ledger.values import NewEntry
from mbongi.facility import procedure_wording as wording
from mbongi.facility.errors import NotPermittedError, ProcedureRefusedError, UnknownProcedureError
from mbongi.facility.models import Procedure, ProcedureEntry, ProcedureRun, ProcedureVersion
from mbongi.facility.procedure_rows import document_of, entries_of
from mbongi.facility.rules.procedures import (
    TITLE_MAX,
    Entry,
    Outcome,
    ProcedureDocument,
    ProcedureKind,
    Run,
    RunState,
    StepKind,
    faults_of,
    refusal,
    run_of,
)
from mbongi.facility.values import VersionState

if TYPE_CHECKING:
    from mbongi.core.identity.models import User

REASON_MAX = 500
NOTE_MAX = 1000
REFERENCE_MAX = 60
CODE_MAX = 20


# Versions.


@transaction.atomic
def write_version(
    user: "User",
    *,
    code: str,
    kind: ProcedureKind,
    title: str,
    document: Mapping[str, Any] | ProcedureDocument,
    reason: str,
) -> int:
    """Write and propose a version of the procedure with this code, which is added where it is new; its id.

    A version that is proposed already is refused, as this one replaces it. Raises NotPermittedError;
    ProcedureRefusedError naming the step that cannot be used, or where the code has another kind.
    """
    what = f"write procedure {code!r}"
    _require(user, Permission.PROCEDURE_EDIT, what)
    reason = _checked_reason(reason, what)
    code, title = _line(code, CODE_MAX, what).upper(), _line(title, TITLE_MAX, what)
    read = _read(document, what)
    if faults := faults_of(read, kind):
        raise ProcedureRefusedError(f"{what}: {faults}", " ".join(map(wording.finding_text, faults)))
    row, _is_new = Procedure.objects.select_for_update().get_or_create(
        code=code, defaults={"kind": kind, "title": title, "added_at": utc_now()}
    )
    if row.kind != kind:
        raise ProcedureRefusedError(f"{what}: it is a {row.kind}", _("There is a procedure of another kind with it."))
    if row.title != title:
        row.title = title
        row.save(update_fields=["title"])
    last = 0
    for former in row.versions.order_by("number"):
        last = former.number
        if former.state == VersionState.PROPOSED:
            _decide(former, VersionState.REFUSED, user, f"replaced by version {last + 1}")
    made = ProcedureVersion.objects.create(
        procedure=row,
        number=last + 1,
        document=msgspec.to_builtins(read),
        reason=reason,
        author=user,
        written_at=utc_now(),
    )
    after = {"version": made.number, "kind": kind, "title": title, "document": made.document}
    _record(user, "procedure.write", f"procedure:{code}", reason, after)
    return made.pk


@transaction.atomic
def approve_version(user: "User", version_id: int, *, reason: str) -> None:
    """Make a proposed version the active one. Never by its author.

    Raises NotPermittedError, UnknownProcedureError, ProcedureRefusedError.
    """
    what = f"approve procedure version {version_id}"
    _require(user, Permission.PROCEDURE_APPROVE, what)
    reason = _checked_reason(reason, what)
    row = _proposed(version_id, what)
    if row.author_id == user.pk:
        raise ProcedureRefusedError(
            f"{what}: {user.actor} wrote it; somebody else must approve",
            _("You wrote this version; somebody else must approve it."),
        )
    for former in row.procedure.versions.filter(state=VersionState.ACTIVE):
        former.state = VersionState.FORMER
        former.save(update_fields=["state"])
    _decide(row, VersionState.ACTIVE, user, reason)
    _record(user, "procedure.approve", f"procedure:{row.procedure.code}", reason, {"version": row.number})


@transaction.atomic
def refuse_version(user: "User", version_id: int, *, reason: str) -> None:
    """Refuse a proposed version, or withdraw one's own; it stays in the list.

    Raises NotPermittedError, UnknownProcedureError, ProcedureRefusedError.
    """
    what = f"refuse procedure version {version_id}"
    reason = _checked_reason(reason, what)
    row = _proposed(version_id, what)
    if row.author_id != user.pk:
        _require(user, Permission.PROCEDURE_APPROVE, what)
    _decide(row, VersionState.REFUSED, user, reason)
    _record(user, "procedure.refuse", f"procedure:{row.procedure.code}", reason, {"version": row.number})


# Runs.


@transaction.atomic
def start_run(user: "User", version_id: int, *, key: UUID, reason: str) -> int:
    """Begin to carry out an active version; the run's id. The same ``key`` twice begins one run.

    Raises NotPermittedError, UnknownProcedureError, ProcedureRefusedError.
    """
    what = f"run procedure version {version_id}"
    _require(user, Permission.PROCEDURE_RUN, what)
    reason = _checked_reason(reason, what)
    version = ProcedureVersion.objects.select_for_update().filter(pk=version_id).first()
    if version is None:
        raise UnknownProcedureError(f"procedure version {version_id}: not known")
    known = ProcedureRun.objects.filter(key=key, version=version).first()
    if known is not None:
        return known.pk
    if version.state != VersionState.ACTIVE:
        raise ProcedureRefusedError(f"{what}: it is {version.state}", _("Only the active version may be run."))
    run = ProcedureRun.objects.create(version=version, key=key, reason=reason, starter=user, started_at=utc_now())
    after = {"procedure": version.procedure.code, "version": version.number}
    _record(user, "procedure_run.start", f"procedure_run:{run.pk}", reason, after)
    return run.pk


@transaction.atomic
def sign(
    user: "User",
    run_id: int,
    *,
    key: UUID,
    step: int,
    outcome: Outcome,
    value: float | None = None,
    reference: str = "",
    note: str = "",
) -> RunState:
    """Sign the next step, counted from 0; the state of the run afterwards. The same ``key`` twice signs once.

    Raises NotPermittedError, UnknownProcedureError; ProcedureRefusedError where it is not the next step, or not this
    person's, or lacks the figure or number that it asks for.
    """
    what = f"sign step {step + 1} of run {run_id}"
    _require(user, Permission.PROCEDURE_RUN, what)
    run, document = _locked_run(run_id)
    if ProcedureEntry.objects.filter(key=key, run=run).exists():
        return RunState(run.state)
    entry = Entry(
        step=step,
        outcome=outcome,
        signer_id=user.pk,
        back_out=run.backing_out,
        value=value,
        reference=" ".join(reference.replace("\0", "").split())[:REFERENCE_MAX],
    )
    note = note.replace("\0", "").strip()[:NOTE_MAX]
    why = refusal(document, _standing(run, document), entry, note=note)
    if why is not None:
        raise ProcedureRefusedError(f"{what}: {why}", wording.not_signed_text(why))
    return _enter(user, run, document, entry, key=key, note=note)


@transaction.atomic
def back_out(user: "User", run_id: int, *, reason: str) -> RunState:
    """Leave the steps and take the way back from here. One without a way back ends, once no lock is on.

    Raises NotPermittedError, UnknownProcedureError, ProcedureRefusedError for one that is over or on its way back.
    """
    what = f"back out of run {run_id}"
    _require(user, Permission.PROCEDURE_RUN, what)
    reason = _checked_reason(reason, what)
    run, document = _locked_run(run_id)
    if run.backing_out or RunState(run.state).is_over:
        raise ProcedureRefusedError(f"{what}: it is {run.state}", _("It is over, or on its way back already."))
    run.backing_out = True
    state = _keep_state(run, document)
    _record(user, "procedure_run.back_out", f"procedure_run:{run.pk}", reason, {"state": state})
    return state


@transaction.atomic
def remove_lock(user: "User", run_id: int, element: str, *, key: UUID, reason: str) -> RunState:
    """Take one's own lock off beside the steps, as on the way back.

    Somebody else's: only who may approve procedures, having made sure that its owner is away and safe; the reason says
    how. Raises NotPermittedError, UnknownProcedureError, ProcedureRefusedError.
    """
    what = f"take the lock off {element!r} in run {run_id}"
    _require(user, Permission.PROCEDURE_RUN, what)
    reason = _checked_reason(reason, what)
    run, document = _locked_run(run_id)
    if ProcedureEntry.objects.filter(key=key, run=run).exists():
        return RunState(run.state)
    standing = _standing(run, document)
    owner = standing.locks.get(element)
    if owner is None:
        raise ProcedureRefusedError(f"{what}: no lock is on it", _("There is no lock on it."))
    if owner != user.pk and not user.may(Permission.PROCEDURE_APPROVE):
        raise ProcedureRefusedError(
            f"{what}: it is the lock of user {owner}", _("This lock is somebody else's; only they take it off.")
        )
    entry = Entry(0, Outcome.DONE, user.pk, run.backing_out, reference=f"user:{owner}", removes=element)
    return _enter(user, run, document, entry, key=key, note=reason)


def _enter(
    user: "User", run: ProcedureRun, document: ProcedureDocument, entry: Entry, *, key: UUID, note: str
) -> RunState:
    ProcedureEntry.objects.create(
        run=run,
        key=key,
        step=entry.step,
        back_out=entry.back_out,
        outcome=entry.outcome,
        signer=user,
        at=utc_now(),
        value=entry.value,
        reference=entry.reference,
        removes=entry.removes,
        note=note,
    )
    state = _keep_state(run, document)
    after: dict[str, Any] = {"state": state, "back_out": entry.back_out}
    if entry.removes:
        after |= {"element": entry.removes, "owner": entry.reference}
        _record(user, "procedure_run.unlock", f"procedure_run:{run.pk}", note, after)
        return state
    step = (document.back_out if entry.back_out else document.steps)[entry.step]
    after |= {"step": entry.step + 1, "title": step.title, "kind": step.kind, "outcome": entry.outcome}
    after |= {"value": entry.value, "reference": entry.reference}
    if step.kind in {StepKind.LOCK, StepKind.UNLOCK}:
        after["element"] = step.element
    _record(user, "procedure_run.sign", f"procedure_run:{run.pk}", note, after)
    return state


def _keep_state(run: ProcedureRun, document: ProcedureDocument) -> RunState:
    state = _standing(run, document).state
    run.state, run.ended_at = state, utc_now() if state.is_over else None
    run.save(update_fields=["state", "backing_out", "ended_at"])
    return state


def _standing(run: ProcedureRun, document: ProcedureDocument) -> Run:
    return run_of(document, entries_of(run.pk), backing_out=run.backing_out)


def _locked_run(run_id: int) -> tuple[ProcedureRun, ProcedureDocument]:
    run = ProcedureRun.objects.select_for_update().filter(pk=run_id).first()
    if run is None:
        raise UnknownProcedureError(f"procedure run {run_id}: not known")
    return run, document_of(run.version)


def _proposed(version_id: int, what: str) -> ProcedureVersion:
    # The procedure first, as whoever writes a version does: no version is replaced while it is decided on.
    Procedure.objects.select_for_update().filter(versions=version_id).first()
    row = ProcedureVersion.objects.select_for_update().filter(pk=version_id).first()
    if row is None:
        raise UnknownProcedureError(f"procedure version {version_id}: not known")
    if row.state != VersionState.PROPOSED:
        raise ProcedureRefusedError(f"{what}: it is {row.state}", _("This version has been decided on."))
    return row


def _decide(row: ProcedureVersion, state: VersionState, user: "User", decision: str) -> None:
    row.state, row.decider, row.decided_at, row.decision = state, user, utc_now(), decision[:REASON_MAX]
    row.save(update_fields=["state", "decider", "decided_at", "decision"])


def _read(document: Mapping[str, Any] | ProcedureDocument, what: str) -> ProcedureDocument:
    try:
        return msgspec.convert(msgspec.to_builtins(document), ProcedureDocument)
    except msgspec.ValidationError as error:
        raise ProcedureRefusedError(f"{what}: {error}", _("This cannot be read: %(why)s") % {"why": error}) from error


def _line(text: str, limit: int, what: str) -> str:
    line = " ".join(text.replace("\0", "").split())
    if not 1 <= len(line) <= limit:
        raise ProcedureRefusedError(
            f"{what}: a text of {len(line)} characters; expected 1 to {limit}", _("State a code and a title.")
        )
    return line


def _checked_reason(reason: str, what: str) -> str:
    reason = reason.replace("\0", "").strip()
    if not 1 <= len(reason) <= REASON_MAX:
        raise ProcedureRefusedError(f"{what}: a reason of {len(reason)} characters", _("State a reason."))
    return reason


def _require(user: "User", permission: Permission, what: str) -> None:
    if not user.may(permission):
        raise NotPermittedError(f"{user.actor}: {what}: the role {user.role} does not permit it")


def _record(user: "User", action: str, subject: str, reason: str, after: Mapping[str, Any]) -> None:
    ledger.append([NewEntry(user.actor, f"facility.{action}", subject, reason, None, dict(after))])
