"""The words for images, campaigns and gates, in the reader's language."""

import re
from collections.abc import Mapping

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from mbongi.fleet.rules.gate import Mark, Outcome
from mbongi.fleet.rules.stages import MachineStep, Phase

PLAN_PROBLEMS: Mapping[str, Promise] = {
    "stages": _("A campaign has 1 to 10 stages."),
    "size": _("Each stage has a number of machines, or a percentage above that of the stage before, up to 100."),
    "soak": _("The soak time is 0 or more, and not above its limit of at most 14 days."),
    "gate": _("The gate's limits are percentages above 0, its times above 0, its confidence between 0.5 and 1."),
}
LEFT: Mapping[str, Promise] = {
    "gone": _("It has no address, or has left the fleet."),
    "same": _("It runs this version already."),
    "asleep": _("It sleeps or is curtailed."),
    "not_mining": _("It is not mining."),
    "work_order": _("A work order is open."),
    "busy": _("Another change is under way or planned."),
}
PHASES: Mapping[Phase, Promise] = {
    Phase.WAITING: _("next stage due"),
    Phase.FLASHING: _("flashing"),
    Phase.SOAKING: _("watching"),
    Phase.STOPPING: _("stopping"),
    Phase.STOPPED: _("stopped, a person decides"),
    Phase.ROLLING_BACK: _("rolling back"),
    Phase.ROLLED_BACK: _("rolled back"),
    Phase.OVER: _("over"),
}
STEPS: Mapping[MachineStep, Promise] = {
    MachineStep.WAITING: _("waits"),
    MachineStep.FLASHING: _("is flashed"),
    MachineStep.FLASHED: _("flashed"),
    MachineStep.FAILED: _("failed"),
    MachineStep.LEFT: _("left as it is"),
    MachineStep.RETURNING: _("is rolled back"),
    MachineStep.RETURNED: _("rolled back"),
    MachineStep.STUCK: _("not rolled back"),
}
MARKS: Mapping[Mark, Promise] = {
    Mark.LOST: _("Machines not back"),
    Mark.POOLS: _("Machines with other pools"),
    Mark.REBOOTS: _("Restarts of one machine"),
    Mark.HASHRATE: _("Hashrate"),
    Mark.EFFICIENCY: _("J/TH"),
    Mark.REJECTS: _("Reject ratio"),
}
OUTCOMES: Mapping[str, Promise] = {
    Outcome.PASS: _("well"),
    Outcome.FAIL: _("regression"),
    Outcome.UNDECIDED: _("too little known"),
    Outcome.UNSTATED: _("machines do not state it"),
    "override": _("let on by a person"),
}
_MESSAGES: Mapping[str, Promise] = {
    "the image is not in the store, or its key is trusted no more": _(
        "The image is not in the store, or its key is trusted no more."
    ),
    "the gate cannot say whether the machines are well; a person must look": _(
        "The gate cannot say whether the machines are well; a person must look."
    ),
}
_REGRESSION = re.compile(r"stage (?P<stage>\d+): the gate found a regression: (?P<marks>[a-z_]+(, [a-z_]+)*)")
_TAILS: tuple[tuple[re.Pattern[str], Promise], ...] = (
    (
        re.compile(
            r"(?P<head>.*); the way back was ended by a person: rolled back: (?P<back>\d+) machines,"
            r" not: (?P<stuck>\d+): (?P<names>[^;]*)",
            re.DOTALL,
        ),
        _("A person ended the way back. Machines rolled back: %(back)s; not: %(stuck)s: %(names)s."),
    ),
    (
        re.compile(r"(?P<head>.*); rolled back: (?P<back>\d+) machines, not: (?P<stuck>\d+)", re.DOTALL),
        _("Machines rolled back: %(back)s; not: %(stuck)s."),
    ),
    (
        re.compile(
            r"(?P<head>.*); (?P<count>\d+) machines cannot be rolled back: what they ran is not in the store", re.DOTALL
        ),
        _("Machines that cannot be rolled back, as what they ran is not in the store: %(count)s."),
    ),
)


def message_text(message: str) -> str:
    """Why a campaign stands or how it ended; a person's reason stays in their words."""
    for pattern, text in _TAILS:
        if found := pattern.fullmatch(message):
            return f"{message_text(found['head'])} {str(text) % found.groupdict()}"
    if found := _REGRESSION.fullmatch(message):
        marks = ", ".join(str(MARKS[Mark(word)]) if word in set(Mark) else word for word in found["marks"].split(", "))
        text = _("Stage %(stage)s: the gate found a regression: %(marks)s.")
        return str(text) % {"stage": found["stage"], "marks": marks}
    return str(_MESSAGES.get(message, message))
