"""Work orders and stock in the reader's language."""

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from mbongi.fleet.rules.work_orders import Clash, EntryKind, Fault, WorkState
from mbongi.fleet.stock import MoveKind

FAULTS: dict[Fault, Promise] = {
    Fault.HASHBOARD: _("Hash board"),
    Fault.FAN: _("Fan"),
    Fault.POWER_SUPPLY: _("Power supply unit"),
    Fault.CONTROL_BOARD: _("Control board"),
    Fault.NETWORK: _("Network"),
    Fault.CABLE: _("Cable or plug"),
    Fault.HEAT: _("Heat"),
    Fault.FIRMWARE: _("Firmware"),
    Fault.NOT_MINING: _("Not mining"),
    Fault.OTHER: _("Something else"),
}
STATES: dict[WorkState, Promise] = {
    WorkState.OPEN: _("Reported"),
    WorkState.TAKEN: _("Taken"),
    WorkState.FIXED: _("Fixed"),
    WorkState.VERIFIED: _("Verified"),
    WorkState.CANCELLED: _("Cancelled"),
}
ENTRIES: dict[EntryKind, Promise] = {
    EntryKind.REPORT: _("Reported"),
    EntryKind.TAKE: _("Taken"),
    EntryKind.RELEASE: _("Given back"),
    EntryKind.NOTE: _("Note"),
    EntryKind.PART: _("Part used"),
    EntryKind.FIX: _("Fixed"),
    EntryKind.REOPEN: _("Opened again"),
    EntryKind.CANCEL: _("Cancelled"),
    EntryKind.VERIFY: _("Verified by telemetry"),
    EntryKind.SETTLE: _("Conflict settled"),
}
CLASHES: dict[Clash, Promise] = {
    Clash.TAKEN_BY_OTHER: _("Somebody else has taken the order."),
    Clash.ALREADY_FIXED: _("The order was fixed already."),
    Clash.OVER: _("The order was closed already."),
    Clash.NOT_TAKEN: _("Nobody has taken the order."),
    Clash.NOT_FIXED: _("The order is not fixed."),
}
MOVES: dict[MoveKind, Promise] = {
    MoveKind.RECEIVE: _("Received"),
    MoveKind.USE: _("Used"),
    MoveKind.SCRAP: _("Scrapped"),
    MoveKind.COUNT: _("Counted"),
}
