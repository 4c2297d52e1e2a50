"""Faults of writes: what a machine takes of a write, and how it answers. Pure.

They stand beside the faults of the whole machine (``values.Fault``), for a machine may be slow and lie.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from mbongi.twin.values import MachineSettings, PoolEntry

REVERTS_S = 30.0
"""How long a setting stands on a machine that takes it back."""
LATE_S = 12.0
"""How long a setting takes on a machine that is late with it."""
POWER = frozenset({"asleep", "power_limit_w", "power_mode", "power_percent"})


class WriteFault(StrEnum):
    """What can be made to go wrong with what is written to a virtual machine."""

    NONE = "none"
    LIES = "lies"
    """Answers that it is done, and does nothing."""
    REFUSES = "refuses"
    """Answers with the family's own error."""
    HANGS_BEFORE = "hangs_before"
    """Does nothing and does not answer; the connection stays open."""
    HANGS_AFTER = "hangs_after"
    """Does all of it and does not answer."""
    HALF = "half"
    """Answers that it is done, and does a part: see ``half_of``."""
    REVERTS = "reverts"
    """Does all of it, and takes it back after REVERTS_S."""
    LATE = "late"
    """Answers that it is done, and does it after LATE_S."""
    WIPES = "wipes"
    """Does all of it, empties the second and third pool and goes back to the delivered password."""
    REBOOTS = "reboots"
    """Does all of it and reboots in the midst of the answer."""


class Answer(StrEnum):
    """How a machine answers a write."""

    DONE = "done"
    REFUSED = "refused"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Part:
    """Settings that come into force after so many of the machine's seconds; ``is_undo``: the former ones again."""

    settings: Mapping[str, Any]
    after_s: float = 0.0
    is_undo: bool = False


@dataclass(frozen=True, slots=True)
class Taken:
    """What a machine makes of a write. Without a part nothing of it is done, a restart that it asks for neither."""

    parts: tuple[Part, ...] = ()
    answer: Answer = Answer.DONE
    reboots: bool = False


def taken(
    fault: WriteFault, wanted: Mapping[str, Any], *, before: MachineSettings, delivered: MachineSettings
) -> Taken:
    """What a machine with this fault makes of the settings, by name, that a write asks for."""
    whole = (Part(wanted),)
    undo = (Part({name: before.of(name) for name in wanted}, REVERTS_S, is_undo=True),) if wanted else ()
    wiped = {"pools": _first_only(wanted.get("pools", before.pools)), "password": delivered.password}
    return {
        WriteFault.NONE: Taken(whole),
        WriteFault.LIES: Taken(),
        WriteFault.REFUSES: Taken(answer=Answer.REFUSED),
        WriteFault.HANGS_BEFORE: Taken(answer=Answer.NOTHING),
        WriteFault.HANGS_AFTER: Taken(whole, Answer.NOTHING),
        WriteFault.HALF: Taken((Part(half_of(wanted, before=before)),)),
        WriteFault.REVERTS: Taken((*whole, *undo)),
        WriteFault.LATE: Taken((Part(wanted, LATE_S),)),
        WriteFault.WIPES: Taken((Part({**wanted, **wiped}),)),
        WriteFault.REBOOTS: Taken(whole, Answer.NOTHING, reboots=True),
    }[fault]


def half_of(wanted: Mapping[str, Any], *, before: MachineSettings) -> dict[str, Any]:
    """The part of a write that is done by a machine that does half of it.

    Of pools the first, the others are emptied; where power changes with the pools, the power and no pool; of any other
    write the setting that comes first in the alphabet, among those that change.
    """
    changed = {name: value for name, value in wanted.items() if value != before.of(name)}
    if "pools" in changed:
        power = {name: value for name, value in changed.items() if name in POWER}
        return power or {"pools": _first_only(changed["pools"])}
    return {name: changed[name] for name in sorted(changed)[:1]}


def _first_only(pools: tuple[PoolEntry, ...]) -> tuple[PoolEntry, ...]:
    return tuple(pool if index == 0 else PoolEntry() for index, pool in enumerate(pools))
