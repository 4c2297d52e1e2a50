"""Procedures: the list, a version to be agreed on, and a run that is signed step by step on the phone."""

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from mbongi.core.identity.values import Permission
from mbongi.facility import procedure_rows as rows
from mbongi.facility import procedure_wording as wording
from mbongi.facility import procedures
from mbongi.facility.errors import NotPermittedError, ProcedureRefusedError, UnknownProcedureError
from mbongi.facility.procedure_rows import RunSight
from mbongi.facility.rules.procedures import Outcome, ProcedureKind, StepKind
from mbongi.facility.values import VersionState
from mbongi.web import procedure_forms as forms
from mbongi.web.guard import needs

HERE = {"here": "procedures"}


def _try(request: HttpRequest, act: Callable[[], str], *, otherwise: str, told: str = "") -> HttpResponse:
    """Do it and go where ``act`` says; refused, go to ``otherwise`` with the reason."""
    try:
        place = act()
    except ProcedureRefusedError as error:
        messages.error(request, error.text)
        return redirect(otherwise)
    except NotPermittedError as error:
        raise PermissionDenied from error
    except UnknownProcedureError as error:
        raise Http404 from error
    if told:
        messages.success(request, told)
    return redirect(place)


@require_safe
@needs(Permission.FACILITY_VIEW)
def procedure_list(request: HttpRequest) -> HttpResponse:
    """What is under way, and every procedure."""
    user: Any = request.user
    live = [rows.run(one.id) for one in rows.runs(live=True)]
    content = {
        "rows": rows.procedures(),
        "live": live,
        "late": rows.runs(live=False, limit=8),
        "may_edit": user.may(Permission.PROCEDURE_EDIT),
    }
    return render(request, "pages/procedures.html", HERE | content)


@require_safe
@needs(Permission.FACILITY_VIEW)
def version(request: HttpRequest, version_id: int) -> HttpResponse:
    """One version: what it says, who decided, and what may be done with it."""
    try:
        found = rows.version(version_id)
    except UnknownProcedureError as error:
        raise Http404 from error
    user: Any = request.user
    is_open = found.state is VersionState.PROPOSED
    content = {
        "version": found,
        "versions": rows.versions(found.code),
        "runs": rows.runs(code=found.code, limit=8),
        "key": uuid4(),
        "may_run": found.state is VersionState.ACTIVE and user.may(Permission.PROCEDURE_RUN),
        "may_edit": user.may(Permission.PROCEDURE_EDIT),
        "may_approve": is_open and user.may(Permission.PROCEDURE_APPROVE) and found.author_id != user.pk,
        "may_refuse": is_open and (user.may(Permission.PROCEDURE_APPROVE) or found.author_id == user.pk),
        "waits": is_open and found.author_id == user.pk,
    }
    return render(request, "pages/procedure.html", HERE | content)


@require_http_methods(["GET", "HEAD", "POST"])
@needs(Permission.PROCEDURE_EDIT)
def write(request: HttpRequest) -> HttpResponse:
    """Write a procedure, or the next version of one (``from``: a version's id)."""
    if request.method != "POST":
        return _form(request, _begun(request))
    form = request.POST
    if "more" in form:
        return _form(request, forms.typed(form))
    try:
        made = procedures.write_version(
            request.user,  # type: ignore[arg-type]
            code=form.get("code", ""),
            kind=_kind(form.get("kind", "")),
            title=form.get("title", ""),
            document=forms.document_of(form),
            reason=form.get("reason", ""),
        )
    except ProcedureRefusedError as error:
        messages.error(request, error.text)
        return _form(request, forms.typed(form), status=400)
    messages.success(request, _("It is proposed. A second person approves it."))
    return redirect(f"/procedures/version/{made}/")


def _kind(word: str) -> ProcedureKind:
    try:
        return ProcedureKind(word)
    except ValueError as error:
        raise ProcedureRefusedError(f"procedure: kind {word!r}", _("Choose what it is for.")) from error


def _begun(request: HttpRequest) -> forms.FormSight:
    text = request.GET.get("from", "")
    if not text:
        return forms.FormSight()
    try:
        found = rows.version(int(text))
    except (ValueError, UnknownProcedureError) as error:
        raise Http404 from error
    return forms.filled(found.code, found.kind, found.title, found.document)


def _form(request: HttpRequest, sight: forms.FormSight, *, status: int = 200) -> HttpResponse:
    content = {"form": sight, "kinds": wording.KINDS.items(), "step_kinds": wording.STEPS.items()}
    return render(request, "pages/procedure_write.html", HERE | content, status=status)


@require_POST
@needs(Permission.FACILITY_VIEW)
def decide(request: HttpRequest, version_id: int, verb: str) -> HttpResponse:
    """Approve or refuse a version, or begin a run of it."""
    place, user, form = f"/procedures/version/{version_id}/", request.user, request.POST
    reason = form.get("reason", "")

    def do() -> str:
        match verb:
            case "approve":
                procedures.approve_version(user, version_id, reason=reason)  # type: ignore[arg-type]
            case "refuse":
                procedures.refuse_version(user, version_id, reason=reason)  # type: ignore[arg-type]
            case _:
                run_id = procedures.start_run(user, version_id, key=_key(form.get("key", "")), reason=reason)  # type: ignore[arg-type]
                return f"/procedures/run/{run_id}/"
        return place

    return _try(request, do, otherwise=place, told="" if verb == "start" else _("Entered."))


@require_safe
@needs(Permission.FACILITY_VIEW)
def run(request: HttpRequest, run_id: int) -> HttpResponse:
    """One run: the step that is next, large, and all that was signed."""
    found, user = _run_or_404(run_id), request.user
    may_sign = not found.row.state.is_over and user.may(Permission.PROCEDURE_RUN)  # type: ignore[union-attr]
    may_force = user.may(Permission.PROCEDURE_APPROVE)  # type: ignore[union-attr]
    kind = None if found.next_step is None else found.next_step.kind
    content = {
        "run": found,
        "steps": _way(found),
        "key": uuid4(),
        "may_sign": may_sign,
        "is_same": found.standing.last_signer == user.pk,
        "needs_number": kind in {StepKind.PERMIT, StepKind.LOCK},
        "may_leave_out": kind in {StepKind.ACT, StepKind.CHECK},
        "locks": [
            (element, name, owner == user.pk, may_sign and (owner == user.pk or may_force))
            for element, (name, owner) in found.locks.items()
        ],
    }
    return render(request, "pages/procedure_run.html", HERE | content)


def _way(found: RunSight) -> list[dict[str, Any]]:
    """Every step of the way that is being taken, with its last signature."""
    signed = {one.number: one for one in found.signatures if one.step is not None and one.back_out is found.backing_out}
    next_step = found.standing.next_step
    return [
        {"number": number, "step": step, "signed": signed.get(number), "is_next": number - 1 == next_step}
        for number, step in enumerate(found.steps, 1)
    ]


def _run_or_404(run_id: int) -> RunSight:
    try:
        return rows.run(run_id)
    except UnknownProcedureError as error:
        raise Http404 from error


@require_POST
@needs(Permission.PROCEDURE_RUN)
def act(request: HttpRequest, run_id: int, verb: str) -> HttpResponse:
    """Sign the next step, take the way back, or take a lock off."""
    place, user, form = f"/procedures/run/{run_id}/", request.user, request.POST

    def do() -> str:
        match verb:
            case "sign":
                _sign(request, run_id)
            case "back-out":
                procedures.back_out(user, run_id, reason=form.get("reason", ""))  # type: ignore[arg-type]
            case _:
                key, element = _key(form.get("key", "")), form.get("element", "")
                procedures.remove_lock(user, run_id, element, key=key, reason=form.get("reason", ""))  # type: ignore[arg-type]
        return place

    return _try(request, do, otherwise=place)


def _sign(request: HttpRequest, run_id: int) -> None:
    form = request.POST
    try:
        outcome, step = Outcome(form.get("outcome", "")), int(form.get("step", ""))
    except ValueError as error:
        raise ProcedureRefusedError(f"sign run {run_id}: {error}", _("This cannot be read.")) from error
    procedures.sign(
        request.user,  # type: ignore[arg-type]
        run_id,
        key=_key(form.get("key", "")),
        step=step,
        outcome=outcome,
        value=forms.number_of(form.get("value", "")),
        reference=form.get("reference", ""),
        note=form.get("note", ""),
    )


def _key(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise ProcedureRefusedError(f"key {text!r}", _("This cannot be read.")) from error
