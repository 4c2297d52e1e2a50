"""Procedures: what one may say, and which step may be signed by whom. Pure.

SOP: how usual work is done. MOP: a change of the plant, step by step, with a way back. EOP: what is done in an
emergency. Isolation of energy (lock-out, tag-out) follows OSHA 29 CFR 1910.147: whoever works puts on a lock of their
own, and nobody else takes it off, but for an employer who has made sure that its owner is away (paragraph (e)(3)).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import msgspec

STEPS_MAX = 200
TEXT_MAX = 1000
TITLE_MAX = 160


class ProcedureKind(StrEnum):
    """What a procedure is for."""

    SOP = "sop"
    MOP = "mop"
    EOP = "eop"


class StepKind(StrEnum):
    """What a step asks for."""

    ACT = "act"
    """Something is done."""
    CHECK = "check"
    """A figure is read, and lies between two limits."""
    HOLD = "hold"
    """Nobody goes on until a second person has looked, and says so."""
    PERMIT = "permit"
    """A permit to work is there; its number is entered."""
    LOCK = "lock"
    """An own lock is put on an element; its number is entered."""
    UNLOCK = "unlock"
    """That lock is taken off by whoever put it on."""


class Outcome(StrEnum):
    """How a step was signed."""

    DONE = "done"
    NOT_APPLICABLE = "not_applicable"
    FAILED = "failed"


class RunState(StrEnum):
    """How a run stands."""

    RUNNING = "running"
    HELD = "held"
    """A step failed; it is done once more, or the run is backed out."""
    BACKING_OUT = "backing_out"
    DONE = "done"
    BACKED_OUT = "backed_out"

    @property
    def is_over(self) -> bool:
        """Whether nothing more may be signed."""
        return self in {RunState.DONE, RunState.BACKED_OUT}


class ProcedureStep(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One step. ``element``: the tag of what it is done to. ``low`` and ``high``: limits of a CHECK, in ``unit``."""

    kind: StepKind = StepKind.ACT
    title: str
    text: str = ""
    warning: str = ""
    element: str = ""
    low: float | None = None
    high: float | None = None
    unit: str = ""
    minutes: float | None = None


class ProcedureDocument(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A version of a procedure. ``back_out``: the way back, from wherever it was left."""

    purpose: str
    risk: str = ""
    protection: Sequence[str] = ()
    """Protective equipment."""
    before: Sequence[str] = ()
    """What must be so before it begins."""
    steps: Sequence[ProcedureStep]
    back_out: Sequence[ProcedureStep] = ()


class Fault(StrEnum):
    """Why a document cannot be used."""

    NO_PURPOSE = "no_purpose"
    NO_STEPS = "no_steps"
    TOO_MANY = "too_many"
    NO_TITLE = "no_title"
    TOO_LONG = "too_long"
    FIRST_IS_HOLD = "first_is_hold"
    NO_LIMITS = "no_limits"
    LIMITS_CROSSED = "limits_crossed"
    NO_ELEMENT = "no_element"
    LOCKED_TWICE = "locked_twice"
    NEVER_LOCKED = "never_locked"
    NEVER_UNLOCKED = "never_unlocked"
    NO_WAY_BACK = "no_way_back"


class Finding(msgspec.Struct, frozen=True):
    """A fault, and the step that it is in, from 1; 0: the document as a whole. ``back_out``: of the way back."""

    fault: Fault
    step: int = 0
    back_out: bool = False


def faults_of(document: ProcedureDocument, kind: ProcedureKind) -> list[Finding]:
    """What keeps a document from being used; empty where nothing does.

    A MOP needs a way back. Every lock is taken off again by the last step, on the way back by its own end: whatever is
    locked when it begins is taken off by hand.
    """
    found: list[Finding] = []
    if not document.purpose.strip():
        found.append(Finding(Fault.NO_PURPOSE))
    if not document.steps:
        found.append(Finding(Fault.NO_STEPS))
    if kind is ProcedureKind.MOP and not document.back_out:
        found.append(Finding(Fault.NO_WAY_BACK))
    if len(document.steps) + len(document.back_out) > STEPS_MAX:
        found.append(Finding(Fault.TOO_MANY))
    for is_back_out, steps in ((False, document.steps), (True, document.back_out)):
        found += [
            Finding(fault, number, is_back_out)
            for number, step in enumerate(steps, 1)
            for fault in _step_faults(step, is_first=number == 1 and not is_back_out)
        ]
    return found + _lock_faults(document.steps)


def _step_faults(step: ProcedureStep, *, is_first: bool) -> list[Fault]:
    limits = [limit for limit in (step.low, step.high) if limit is not None]
    texts = (step.text, step.warning, step.element, step.unit)
    cases = (
        (not step.title.strip(), Fault.NO_TITLE),
        (len(step.title) > TITLE_MAX or any(len(text) > TEXT_MAX for text in texts), Fault.TOO_LONG),
        (is_first and step.kind is StepKind.HOLD, Fault.FIRST_IS_HOLD),
        (step.kind is StepKind.CHECK and not limits, Fault.NO_LIMITS),
        (any(not math.isfinite(limit) for limit in limits) or sorted(limits) != limits, Fault.LIMITS_CROSSED),
        (step.kind in {StepKind.LOCK, StepKind.UNLOCK} and not step.element.strip(), Fault.NO_ELEMENT),
    )
    return [fault for applies, fault in cases if applies]


def _lock_faults(steps: Sequence[ProcedureStep]) -> list[Finding]:
    locked: dict[str, int] = {}
    found: list[Finding] = []
    for number, step in enumerate(steps, 1):
        if step.kind is StepKind.LOCK:
            if step.element in locked:
                found.append(Finding(Fault.LOCKED_TWICE, number))
            locked[step.element] = number
        elif step.kind is StepKind.UNLOCK and locked.pop(step.element, None) is None:
            found.append(Finding(Fault.NEVER_LOCKED, number))
    return found + [Finding(Fault.NEVER_UNLOCKED, number) for number in locked.values()]


# A run.


@dataclass(frozen=True, slots=True)
class Entry:
    """A signature. ``step`` counts from 0; ``value`` of a CHECK, ``reference`` a permit's or a lock's number.

    ``removes``: of no step; the lock on this element was taken off beside the steps.
    """

    step: int
    outcome: Outcome
    signer_id: int
    back_out: bool = False
    value: float | None = None
    reference: str = ""
    removes: str = ""


class NotSigned(StrEnum):
    """Why a signature is not taken."""

    OVER = "over"
    NOT_NEXT = "not_next"
    SAME_PERSON = "same_person"
    NO_VALUE = "no_value"
    OUT_OF_LIMITS = "out_of_limits"
    NO_REFERENCE = "no_reference"
    NOT_THEIRS = "not_theirs"
    """Somebody else's lock."""
    CANNOT_BE_LEFT_OUT = "cannot_be_left_out"
    NO_NOTE = "no_note"


@dataclass(frozen=True, slots=True)
class Run:
    """A run as its signatures tell it: ``next_step`` is the one to be signed, None after the last.

    ``locks``: element → who put the lock on it, of those that are on. ``last_signer``: of the last step,
    whoever only refused a HOLD left out.
    """

    state: RunState
    next_step: int | None
    locks: Mapping[str, int]
    last_signer: int | None


def run_of(document: ProcedureDocument, entries: Sequence[Entry], *, backing_out: bool) -> Run:
    """How a run stands after its signatures, in the order in which they were given."""
    locks = _locks(document, entries)
    signed = [entry for entry in entries if entry.back_out is backing_out and not entry.removes]
    passed = sum(entry.outcome is not Outcome.FAILED for entry in signed)
    last = next((entry.signer_id for entry in reversed(entries) if _is_work(document, entry)), None)
    if passed < len(_steps(document, back_out=backing_out)):
        is_held = bool(signed) and signed[-1].outcome is Outcome.FAILED and not backing_out
        state = RunState.BACKING_OUT if backing_out else RunState.HELD if is_held else RunState.RUNNING
        return Run(state, passed, locks, last)
    if locks:
        return Run(RunState.BACKING_OUT if backing_out else RunState.RUNNING, None, locks, last)
    return Run(RunState.BACKED_OUT if backing_out else RunState.DONE, None, {}, last)


def _is_work(document: ProcedureDocument, entry: Entry) -> bool:
    """Whether it says that something was done: not a HOLD that was refused, nor a lock taken off beside the steps."""
    if entry.removes:
        return False
    step = _steps(document, back_out=entry.back_out)[entry.step]
    return step.kind is not StepKind.HOLD or entry.outcome is not Outcome.FAILED


def _locks(document: ProcedureDocument, entries: Sequence[Entry]) -> dict[str, int]:
    locks: dict[str, int] = {}
    for entry in entries:
        if entry.removes:
            locks.pop(entry.removes, None)
        elif entry.outcome is Outcome.DONE:
            step = _steps(document, back_out=entry.back_out)[entry.step]
            if step.kind is StepKind.LOCK:
                locks[step.element] = entry.signer_id
            elif step.kind is StepKind.UNLOCK:
                locks.pop(step.element, None)
    return locks


def _steps(document: ProcedureDocument, *, back_out: bool) -> Sequence[ProcedureStep]:
    return document.back_out if back_out else document.steps


def refusal(document: ProcedureDocument, run: Run, entry: Entry, *, note: str) -> NotSigned | None:
    """Why this signature is not taken; None where it is.

    A HOLD is signed by another person than the step before it. A CHECK outside its limits is FAILED and nothing else.
    """
    if run.state.is_over:
        return NotSigned.OVER
    if entry.step != run.next_step or entry.back_out is not (run.state is RunState.BACKING_OUT):
        return NotSigned.NOT_NEXT
    step = _steps(document, back_out=entry.back_out)[entry.step]
    if entry.outcome is Outcome.FAILED:
        return None if note.strip() else NotSigned.NO_NOTE
    if entry.outcome is Outcome.NOT_APPLICABLE:
        if step.kind not in {StepKind.ACT, StepKind.CHECK}:
            return NotSigned.CANNOT_BE_LEFT_OUT
        return None if note.strip() else NotSigned.NO_NOTE
    return _not_done(step, run, entry)


def _not_done(step: ProcedureStep, run: Run, entry: Entry) -> NotSigned | None:
    # A lock that is on from before the way back stays its owner's, until they take it off.
    is_theirs = run.locks.get(step.element, entry.signer_id) == entry.signer_id
    if step.kind in {StepKind.LOCK, StepKind.UNLOCK} and not is_theirs:
        return NotSigned.NOT_THEIRS
    match step.kind:
        case StepKind.HOLD:
            return NotSigned.SAME_PERSON if entry.signer_id == run.last_signer else None
        case StepKind.CHECK:
            if entry.value is None or not math.isfinite(entry.value):
                return NotSigned.NO_VALUE
            return None if is_within(step, entry.value) else NotSigned.OUT_OF_LIMITS
        case StepKind.PERMIT | StepKind.LOCK:
            return None if entry.reference.strip() else NotSigned.NO_REFERENCE
        case StepKind.UNLOCK | StepKind.ACT:
            # A lock that was taken off beside the steps is off: whoever goes on confirms that.
            return None


def is_within(step: ProcedureStep, value: float) -> bool:
    """Whether a figure lies within a step's limits, which belong to it."""
    return (step.low is None or value >= step.low) and (step.high is None or value <= step.high)
