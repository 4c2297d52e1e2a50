"""What procedures say of themselves, in the reader's language."""

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from mbongi.facility.rules.procedures import (
    Fault,
    Finding,
    NotSigned,
    Outcome,
    ProcedureKind,
    RunState,
    StepKind,
)
from mbongi.facility.values import VersionState

KINDS: dict[ProcedureKind, Promise] = {
    ProcedureKind.SOP: gettext_lazy("Usual work (SOP)"),
    ProcedureKind.MOP: gettext_lazy("Change of the plant (MOP)"),
    ProcedureKind.EOP: gettext_lazy("Emergency (EOP)"),
}
STEPS: dict[StepKind, Promise] = {
    StepKind.ACT: gettext_lazy("do"),
    StepKind.CHECK: gettext_lazy("check"),
    StepKind.HOLD: gettext_lazy("hold point"),
    StepKind.PERMIT: gettext_lazy("permit"),
    StepKind.LOCK: gettext_lazy("lock out"),
    StepKind.UNLOCK: gettext_lazy("take the lock off"),
}
OUTCOMES: dict[Outcome, Promise] = {
    Outcome.DONE: gettext_lazy("done"),
    Outcome.NOT_APPLICABLE: gettext_lazy("does not apply"),
    Outcome.FAILED: gettext_lazy("failed"),
}
RUNS: dict[RunState, Promise] = {
    RunState.RUNNING: gettext_lazy("under way"),
    RunState.HELD: gettext_lazy("held"),
    RunState.BACKING_OUT: gettext_lazy("on its way back"),
    RunState.DONE: gettext_lazy("carried out"),
    RunState.BACKED_OUT: gettext_lazy("backed out"),
}
VERSIONS: dict[VersionState, Promise] = {
    VersionState.PROPOSED: gettext_lazy("proposed"),
    VersionState.ACTIVE: gettext_lazy("active"),
    VersionState.FORMER: gettext_lazy("former"),
    VersionState.REFUSED: gettext_lazy("refused"),
}
_FAULTS: dict[Fault, Promise] = {
    Fault.NO_PURPOSE: gettext_lazy("State what the procedure is for."),
    Fault.NO_STEPS: gettext_lazy("It has no step."),
    Fault.TOO_MANY: gettext_lazy("It has too many steps."),
    Fault.NO_TITLE: gettext_lazy("it has no title."),
    Fault.TOO_LONG: gettext_lazy("a text is too long."),
    Fault.FIRST_IS_HOLD: gettext_lazy("a hold point needs a step before it."),
    Fault.NO_LIMITS: gettext_lazy("a check needs a lower or an upper limit."),
    Fault.LIMITS_CROSSED: gettext_lazy("the limits are no range."),
    Fault.NO_ELEMENT: gettext_lazy("state the tag of what is locked."),
    Fault.LOCKED_TWICE: gettext_lazy("a lock is on it already."),
    Fault.NEVER_LOCKED: gettext_lazy("no lock was put on it before."),
    Fault.NEVER_UNLOCKED: gettext_lazy("this lock is never taken off again."),
    Fault.NO_WAY_BACK: gettext_lazy("A change of the plant needs a way back."),
}
_NOT_SIGNED: dict[NotSigned, Promise] = {
    NotSigned.OVER: gettext_lazy("This run is over."),
    NotSigned.NOT_NEXT: gettext_lazy("Another step is next: somebody has signed meanwhile. Look again."),
    NotSigned.SAME_PERSON: gettext_lazy("A hold point is released by another person than the one before it."),
    NotSigned.NO_VALUE: gettext_lazy("State the figure that you read."),
    NotSigned.OUT_OF_LIMITS: gettext_lazy("The figure is outside the limits: the step has failed, or look again."),
    NotSigned.NO_REFERENCE: gettext_lazy("State the number of the permit or of the lock."),
    NotSigned.NOT_THEIRS: gettext_lazy("This lock is somebody else's; only they take it off."),
    NotSigned.CANNOT_BE_LEFT_OUT: gettext_lazy("This step cannot be left out."),
    NotSigned.NO_NOTE: gettext_lazy("Say in a note what happened."),
}


def finding_text(finding: Finding) -> str:
    """A fault of a document, with the step that it is in."""
    text = str(_FAULTS[finding.fault])
    if not finding.step:
        return text
    place = _("Way back, step %(number)d:") if finding.back_out else _("Step %(number)d:")
    return f"{place % {'number': finding.step}} {text}"


def not_signed_text(why: NotSigned) -> str:
    """Why a signature was not taken."""
    return str(_NOT_SIGNED[why])
