"""How a work order goes from its report to its proof, and what becomes of entries that come late. Pure.

People without a link enter what they did and hand it in later, so entries come in any order and twice. Every entry is
kept: one that no longer fits what has become of the order is a conflict, which people see and settle.
"""

from datetime import datetime
from enum import StrEnum
from typing import NamedTuple


class Fault(StrEnum):
    """What is wrong with a machine, as people on the floor say it."""

    HASHBOARD = "hashboard"
    FAN = "fan"
    POWER_SUPPLY = "power_supply"
    CONTROL_BOARD = "control_board"
    NETWORK = "network"
    CABLE = "cable"
    HEAT = "heat"
    FIRMWARE = "firmware"
    NOT_MINING = "not_mining"
    OTHER = "other"


class WorkState(StrEnum):
    """How far a work order has come."""

    OPEN = "open"
    TAKEN = "taken"
    FIXED = "fixed"
    """The technician says so; the machine has not shown it yet."""
    VERIFIED = "verified"
    """The machine has mined near its nominal rate for long enough since."""
    CANCELLED = "cancelled"

    @property
    def is_unfixed(self) -> bool:
        """Whether somebody has still to do something about it."""
        return self in {WorkState.OPEN, WorkState.TAKEN}

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come of it."""
        return self in {WorkState.VERIFIED, WorkState.CANCELLED}


class EntryKind(StrEnum):
    """What can be entered on a work order."""

    REPORT = "report"
    TAKE = "take"
    RELEASE = "release"
    NOTE = "note"
    PART = "part"
    """A part was built in (or, with a negative number, put back)."""
    FIX = "fix"
    REOPEN = "reopen"
    CANCEL = "cancel"
    VERIFY = "verify"
    SETTLE = "settle"
    """Somebody has seen a conflict and dealt with it."""


class Outcome(StrEnum):
    """What became of an entry."""

    APPLIED = "applied"
    JOINED = "joined"
    """A report of what is reported already: it went to the open order."""
    CONFLICT = "conflict"


class Clash(StrEnum):
    """Why an entry no longer fits its order."""

    TAKEN_BY_OTHER = "taken_by_other"
    ALREADY_FIXED = "already_fixed"
    OVER = "over"
    NOT_TAKEN = "not_taken"
    NOT_FIXED = "not_fixed"


class Standing(NamedTuple):
    """An order as an entry meets it; ``technician`` is the number of whoever took it."""

    state: WorkState
    technician: int | None = None


class Step(NamedTuple):
    """What an entry makes of an order; ``clash`` says why it makes nothing of it."""

    standing: Standing
    clash: Clash | None = None

    @property
    def outcome(self) -> Outcome:
        """Whether it was applied."""
        return Outcome.APPLIED if self.clash is None else Outcome.CONFLICT


def step(now: Standing, kind: EntryKind, author: int | None) -> Step:
    """What an entry by ``author`` (None: the site's own processes) does to an order that stands at ``now``.

    Notes, parts and settlements always fit: they state what was seen or done, and change no state.
    A REPORT is no step: it makes the order.
    """
    steps = {
        EntryKind.TAKE: _take,
        EntryKind.RELEASE: _release,
        EntryKind.FIX: _fix,
        EntryKind.REOPEN: _reopen,
        EntryKind.VERIFY: _verify,
        EntryKind.CANCEL: _cancel,
    }
    return steps[kind](now, author) if kind in steps else Step(now)


def _take(now: Standing, author: int | None) -> Step:
    if now.state is WorkState.OPEN:
        return Step(Standing(WorkState.TAKEN, author))
    if now.state is WorkState.TAKEN:
        return Step(now, None if now.technician == author else Clash.TAKEN_BY_OTHER)
    return Step(now, _unfit(now))


def _release(now: Standing, author: int | None) -> Step:
    if now.state is not WorkState.TAKEN:
        return Step(now, _unfit(now, Clash.NOT_TAKEN))
    return Step(Standing(WorkState.OPEN)) if now.technician == author else Step(now, Clash.TAKEN_BY_OTHER)


def _fix(now: Standing, author: int | None) -> Step:
    """An order that nobody took may be fixed: whoever fixes it took it by that."""
    if now.state is WorkState.OPEN or (now.state is WorkState.TAKEN and now.technician == author):
        return Step(Standing(WorkState.FIXED, author))
    return Step(now, Clash.TAKEN_BY_OTHER if now.state is WorkState.TAKEN else _unfit(now))


def _reopen(now: Standing, _author: int | None) -> Step:
    return Step(Standing(WorkState.OPEN)) if now.state is WorkState.FIXED else Step(now, _unfit(now, Clash.NOT_FIXED))


def _verify(now: Standing, _author: int | None) -> Step:
    fits = now.state is WorkState.FIXED
    return Step(Standing(WorkState.VERIFIED, now.technician)) if fits else Step(now, Clash.NOT_FIXED)


def _cancel(now: Standing, _author: int | None) -> Step:
    return Step(Standing(WorkState.CANCELLED, now.technician)) if now.state.is_unfixed else Step(now, _unfit(now))


def _unfit(now: Standing, otherwise: Clash = Clash.ALREADY_FIXED) -> Clash:
    if now.state.is_over:
        return Clash.OVER
    return Clash.ALREADY_FIXED if now.state is WorkState.FIXED else otherwise


def moment(stated: datetime, sent: datetime, received: datetime) -> datetime:
    """When something was done, by the site's clock: ``stated`` and ``sent`` are by the phone's, which may be wrong.

    A phone's clock is taken to be as wrong when it sends as it was when the entry was made. Never in the future.
    """
    return min(received, stated + (received - sent)) if stated <= sent else received
