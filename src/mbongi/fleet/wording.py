"""Events, actions and states in the reader's language."""

import re
from collections.abc import Mapping
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from mbongi.fleet.values import (
    ActionKind,
    ActionStatus,
    DesiredField,
    EventKind,
    MachineState,
    OperationKind,
    OperationState,
    ProfileState,
    Severity,
    SignIn,
)

STATES: dict[MachineState, Promise] = {
    MachineState.UNKNOWN: _("Unknown"),
    MachineState.OFF: _("Off"),
    MachineState.MINING: _("Mining"),
    MachineState.SLEEPING: _("Sleeping"),
    MachineState.STARTING: _("Starting"),
    MachineState.FAULT: _("Fault"),
}
KINDS: dict[EventKind, Promise] = {
    EventKind.OFF: _("Switched off"),
    EventKind.UNKNOWN: _("No answer"),
    EventKind.FAULT: _("Not mining"),
    EventKind.BOARD_MISSING: _("Board missing"),
    EventKind.FAN_FAILED: _("Fan failed"),
    EventKind.OVER_TEMPERATURE: _("Too hot"),
    EventKind.HASHRATE_LOW: _("Hashrate low"),
    EventKind.REJECTS_HIGH: _("Many rejected shares"),
    EventKind.ERROR_CODE: _("Error code"),
    EventKind.POOL_DEAD: _("Pool dead"),
    EventKind.POOL_SIDE_LOW: _("Pool sees less"),
    EventKind.RULE: _("Figure of a healing rule"),
    EventKind.POOL_DRIFT: _("Foreign pool"),
    EventKind.WORKER_DRIFT: _("Foreign worker name"),
    EventKind.POWER_DRIFT: _("Power differs"),
    EventKind.FAN_DRIFT: _("Fans differ"),
    EventKind.FIRMWARE_DRIFT: _("Firmware differs"),
    EventKind.NAME_DRIFT: _("Network name differs"),
    EventKind.CREDENTIALS_DRIFT: _("Password"),
    EventKind.NOT_WOKEN: _("Does not wake"),
    EventKind.REVERTS: _("Drifts again and again"),
    EventKind.FOUND: _("Found"),
    EventKind.MOVED: _("Moved"),
    EventKind.REPLACED: _("Replaced"),
    EventKind.RETURNED: _("Returned"),
    EventKind.RETIRED: _("Retired"),
}
SEVERITIES: dict[Severity, Promise] = {
    Severity.INFO: _("Information"),
    Severity.WARNING: _("Warning"),
    Severity.CRITICAL: _("Critical"),
}
ACTIONS: dict[ActionKind, Promise] = {
    ActionKind.SLEEP: _("Sleep"),
    ActionKind.WAKE: _("Wake"),
    ActionKind.REBOOT: _("Reboot"),
    ActionKind.SET_POOLS: _("Set pools"),
    ActionKind.SET_POWER: _("Set power"),
    ActionKind.SET_FAN: _("Set fans"),
    ActionKind.SET_HOSTNAME: _("Set network name"),
    ActionKind.UPGRADE: _("Flash firmware"),
    ActionKind.SET_CREDENTIALS: _("Change password"),
}
STATUSES: dict[ActionStatus, Promise] = {
    ActionStatus.PLANNED: _("Planned"),
    ActionStatus.REQUESTED: _("Requested"),
    ActionStatus.RUNNING: _("Running"),
    ActionStatus.DONE: _("Done"),
    ActionStatus.FAILED: _("Failed"),
    ActionStatus.CANCELLED: _("Cancelled"),
}
OPERATIONS: dict[OperationKind, Promise] = {
    OperationKind.RECONCILE: _("Reconciliation"),
    OperationKind.CURTAIL: _("Curtailment"),
    OperationKind.WAKE: _("Waking"),
    OperationKind.CAMPAIGN: _("Firmware campaign"),
    OperationKind.HEAL: _("Healing"),
    OperationKind.CREDENTIALS: _("Change of passwords"),
    OperationKind.HAND: _("By hand"),
}
OPERATION_STATES: dict[OperationState, Promise] = {
    OperationState.AWAITING: _("Awaiting approval"),
    OperationState.PLANNED: _("Planned"),
    OperationState.RUNNING: _("Running"),
    OperationState.PAUSED: _("Paused"),
    OperationState.HALTED: _("Halted"),
    OperationState.DONE: _("Done"),
    OperationState.ROLLED_BACK: _("Rolled back"),
    OperationState.CANCELLED: _("Cancelled"),
}
PROFILE_STATES: dict[ProfileState, Promise] = {
    ProfileState.DRAFT: _("Draft"),
    ProfileState.PROPOSED: _("Proposed"),
    ProfileState.ACTIVE: _("Active"),
    ProfileState.SUPERSEDED: _("Superseded"),
    ProfileState.REFUSED: _("Refused"),
}
DESIRED: dict[DesiredField, Promise] = {
    DesiredField.POOLS: _("Pools"),
    DesiredField.WORKER: _("Worker name"),
    DesiredField.POWER: _("Power"),
    DesiredField.FAN: _("Fans"),
    DesiredField.FIRMWARE: _("Firmware"),
    DesiredField.HOSTNAME: _("Network name"),
    DesiredField.OWNER: _("Owner"),
}
WHY_NOT: dict[str, Promise] = {
    "unknown": _("The machine does not state it; it is read before it is written."),
    "unable": _("Machines of this family cannot be told."),
    "asleep": _("The machine sleeps, and no profile put it to sleep; it is not woken."),
    "firmware": _("Firmware is changed by a campaign."),
    "owner": _("Assigned at the start, by somebody who may manage tenants."),
    "silent": _("It gives no answer, or is off."),
    "already": _("It is so already."),
    "busy": _("Something else is being done to it."),
    "template": _("The name needs a position, serial number or MAC that is not known."),
}
"""Why a difference is left as it is."""
DRIFT_NEXT: dict[str, Promise] = {
    "now": _("is brought back now"),
    "later": _("is brought back"),
    "given_up": _("drifts again and again; a person must look"),
    "paused": _("left alone: the group is paused"),
    "repair": _("left alone: it is being repaired"),
    "hand": _("the profile does not re-assert itself; reconcile its group"),
    "person": _("a person must look"),
}
"""What becomes of a machine that drifts."""
_SENTENCES: dict[EventKind, Promise | str] = {
    EventKind.OFF: _("The address refuses the connection: the machine is off or its service is down."),
    EventKind.UNKNOWN: _("No answer that can be read: %(reason)s."),
    EventKind.FAULT: _("The machine answers and does not mine: %(reason)s."),
    EventKind.BOARD_MISSING: _("%(boards).0f of %(expected).0f boards hash."),
    EventKind.FAN_FAILED: _("%(part)s turns at %(rpm).0f rpm."),
    EventKind.OVER_TEMPERATURE: _("Hottest chip at %(temp_c).0f °C; limit %(limit_c).0f °C."),
    EventKind.HASHRATE_LOW: _("%(hashrate_ths).1f TH/s; nominal %(nominal_ths).1f TH/s."),
    EventKind.REJECTS_HIGH: _("%(percent).1f %% of the shares since the last look were rejected."),
    EventKind.ERROR_CODE: _("Code %(part)s: %(text)s"),
    EventKind.POOL_DEAD: _("No pool takes the machine's shares."),
    EventKind.POOL_SIDE_LOW: _(
        "The pool sees %(pool_ths).1f TH/s (at most %(high_ths).1f); the machine states %(own_ths).1f TH/s."
    ),
    EventKind.RULE: _("%(column)s at %(value)g, beyond the limit of %(part)s."),
    EventKind.POOL_DRIFT: _("The machine works for %(found)s; its profile wants %(wanted)s."),
    EventKind.WORKER_DRIFT: _("The machine works as %(found)s; its profile wants %(wanted)s."),
    EventKind.POWER_DRIFT: _("Power is set to %(found)s; the profile wants %(wanted)s."),
    EventKind.FAN_DRIFT: _("Fans are set to %(found)s; the profile wants %(wanted)s."),
    EventKind.FIRMWARE_DRIFT: _("The firmware is %(found)s; the profile wants %(wanted)s."),
    EventKind.NAME_DRIFT: _("The network name is %(found)s; the profile wants %(wanted)s."),
    EventKind.CREDENTIALS_DRIFT: "%(sign_in)s",
    EventKind.NOT_WOKEN: _("It was told to wake and does not mine; action %(action)d failed."),
    EventKind.REVERTS: _(
        "Brought back to its profile %(tries).0f times, and different again each time. It is left alone until"
        " somebody looks."
    ),
    EventKind.FOUND: _("First seen at %(address)s."),
    EventKind.MOVED: _("Moved from %(before)s to %(after)s."),
    EventKind.REPLACED: _("Another machine answers at %(address)s."),
    EventKind.RETURNED: _("Seen again at %(address)s."),
    EventKind.RETIRED: _("Retired."),
}

SIGN_INS: dict[SignIn, Promise] = {
    SignIn.UNKNOWN: _("It is not known whether the machine takes our password."),
    SignIn.OURS: _("The machine takes our password."),
    SignIn.REFUSED: _("The machine no longer takes our password."),
    SignIn.FACTORY: _("The machine still takes the password that it was delivered with."),
}
_REASONS: tuple[tuple[re.Pattern[str], Promise], ...] = (
    (re.compile("answers and does not hash"), _("answers and does not hash")),
    (re.compile("states no hashrate"), _("states no hashrate")),
    (re.compile("warming up"), _("warming up")),
    (re.compile("miner program not yet running"), _("miner program not yet running")),
    (re.compile(r"no answer within (?P<s>[0-9.]+) s"), _("no answer within %(s)s s")),
    (re.compile(r"[^ ]+: port (?P<port>\d+): connection refused"), _("port %(port)s refuses the connection")),
    (re.compile(r"[^ ]+: port (?P<port>\d+): no answer to the connection"), _("port %(port)s does not answer")),
)


def reason_text(reason: str) -> str:
    """Why a machine is in its state; what quotes the machine or the network itself stays in their words."""
    for pattern, text in _REASONS:
        if found := pattern.fullmatch(reason):
            return str(text) % found.groupdict()
    return reason


def event_text(kind: EventKind, part: str, params: Mapping[str, Any]) -> str:
    """What happened, in one sentence with its figures; the kind's short name where a figure is missing."""
    try:
        figures = {"part": part, **params}
        if "reason" in figures:
            figures["reason"] = reason_text(str(figures["reason"]))
        if "sign_in" in figures:
            figures["sign_in"] = str(SIGN_INS[SignIn(figures["sign_in"])])
        return str(_SENTENCES[kind]) % figures
    except (KeyError, TypeError, ValueError):
        return str(KINDS[kind])
