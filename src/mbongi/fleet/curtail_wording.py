"""Words for curtailment: phases, reasons, kinds of triggers, troubles of the meter."""

import re

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from mbongi.fleet.rules.curtail import NotChosen
from mbongi.fleet.rules.metering import MeterTrouble
from mbongi.fleet.rules.triggers import TriggerKind
from mbongi.fleet.values import CurtailPhase

PHASES: dict[CurtailPhase, Promise] = {
    CurtailPhase.SHED: _("coming down"),
    CurtailPhase.HOLD: _("held"),
    CurtailPhase.WAKE: _("waking"),
}
NOT_CHOSEN: dict[NotChosen, Promise] = {
    NotChosen.MAY_NOT_SLEEP: _("its group or contract keeps it awake"),
    NotChosen.PAUSED: _("its group is paused"),
    NotChosen.BUSY: _("another operation is open on it"),
    NotChosen.FLASHING: _("its firmware is being written"),
    NotChosen.NOT_MINING: _("it does not mine now"),
    NotChosen.UNREACHABLE: _("it has no address"),
    NotChosen.UNABLE: _("it cannot be told to sleep"),
    NotChosen.POWER_UNKNOWN: _("what it draws is not known"),
}
TRIGGERS: dict[TriggerKind, Promise] = {
    TriggerKind.SCHEDULE: _("Schedule"),
    TriggerKind.PRICE: _("Price"),
    TriggerKind.FREQUENCY: _("Grid frequency"),
    TriggerKind.CAPACITY: _("Power capacity"),
}
TROUBLES: dict[MeterTrouble, Promise] = {
    MeterTrouble.SILENT: _("The meter does not answer."),
    MeterTrouble.GARBLED: _("The meter answers what cannot be read."),
    MeterTrouble.FROZEN: _("The meter stands still: it answers, always the same. It is not believed."),
    MeterTrouble.LEAP: _("The meter's figure leapt, and the machines say nothing of it. It is not believed."),
}
DAYS: tuple[Promise, ...] = (_("Mon"), _("Tue"), _("Wed"), _("Thu"), _("Fri"), _("Sat"), _("Sun"))
_MESSAGES: tuple[tuple[re.Pattern[str], Promise], ...] = (
    (
        re.compile(r"no further machine may be put to sleep; (?P<kw>[\d.]+) kW are missing"),
        _("No further machine may be put to sleep; %(kw)s kW are missing."),
    ),
    (
        re.compile(r"(?P<count>\d+) machines woken, (?P<kwh>[\d.]+) kWh not used"),
        _("%(count)s machines woken, %(kwh)s kWh not used."),
    ),
    (
        re.compile(r".*; (?P<count>\d+) machines do not wake: (?P<named>.*)"),
        _("%(count)s machines do not wake: %(named)s"),
    ),
    (
        re.compile(r"another curtailment wakes its machines; this one begins after it"),
        _("Another curtailment wakes its machines; this one begins after it."),
    ),
)


def message_text(message: str) -> str:
    """How it stands or how it ended, in the present language; unknown words as they are."""
    found = [str(text) % match.groupdict() for pattern, text in _MESSAGES if (match := pattern.match(message))]
    return " ".join(found) or message
