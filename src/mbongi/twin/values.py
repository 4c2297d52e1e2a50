"""Values of the virtual site. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mbongi.twin.images import Image


class Fault(StrEnum):
    """What can be made to go wrong with a virtual machine."""

    NONE = "none"
    OFF = "off"
    """No power: connections are refused, open ones break, the machine cools down."""
    HUNG = "hung"
    """Accepts connections and never answers; goes on hashing."""
    STUCK = "stuck"
    """Answers, and hashes nothing until its next restart, which mends it."""
    SLOW = "slow"
    """Answers each request some seconds late."""
    BOARD_DEAD = "board_dead"
    """One hash board is lost."""
    FAN_DEAD = "fan_dead"
    """One fan stands still."""
    OVERHEAT = "overheat"
    """The air path is blocked and takes in its own exhaust; the machine's own protection takes over."""
    HALF_REPLY = "half_reply"
    """The connection ends in the middle of each reply."""
    GARBAGE = "garbage"
    """Answers bytes that mean nothing."""


class Phase(StrEnum):
    """What a virtual machine is doing."""

    OFF = "off"
    BOOTING = "booting"
    """Powered, its network services not up yet: connections are refused."""
    WARMING = "warming"
    """Answers; tunes its chips up to their frequency."""
    MINING = "mining"
    SLEEPING = "sleeping"
    PROTECTED = "protected"
    """Stopped by its own protection until it has cooled down."""


@dataclass(frozen=True, slots=True)
class PoolEntry:
    """A pool as configured on a machine. The password never leaves the machine but in its own configuration."""

    url: str = ""
    user: str = ""
    password: str = ""


@dataclass(frozen=True, slots=True)
class MachineSettings:
    """All that is set on a machine; it survives reboots. ``extra`` holds what only one family knows, by name."""

    pools: tuple[PoolEntry, ...]
    power_limit_w: float
    """At the wall; the chips are clocked down to fit."""
    asleep: bool = False
    power_mode: str = "normal"
    """``low``, ``normal`` or ``high``."""
    power_percent: float = 100.0
    """The share of the power limit that is drawn, until the miner program next starts."""
    blinking: bool = False
    hostname: str = ""
    password: str = ""
    """Of the user that may write; empty where the family knows none."""
    image: "Image | None" = None
    """The firmware image that was last sent to it; what runs is in its ``slots``."""
    extra: Mapping[str, Any] = field(default_factory=dict)

    def of(self, name: str) -> Any:
        """One setting by its name, of ``extra`` too. Raises KeyError for one that the machine does not have."""
        return getattr(self, name) if name in COMMON else self.extra[name]

    def changed(self, **wanted: Any) -> "MachineSettings":
        """These settings with others in some places. Raises KeyError for one that the machine does not have."""
        odd = {name: value for name, value in wanted.items() if name not in COMMON}
        if unknown := odd.keys() - self.extra.keys():
            raise KeyError(f"machine settings: found {', '.join(sorted(unknown))}; expected settings that it has")
        common = {name: value for name, value in wanted.items() if name in COMMON}
        return replace(self, **common, extra={**self.extra, **odd})


COMMON = frozenset(each.name for each in fields(MachineSettings)) - {"extra"}


@dataclass(slots=True)
class PoolTally:
    """What a machine's miner program counts for one of its pools, since the program started."""

    accepted: int = 0
    rejected: int = 0
    stale: int = 0
    difficulty: float = 0.0
    """Of its shares now; 0 before the pool has told one."""
    difficulty_accepted: float = 0.0
    difficulty_rejected: float = 0.0
    difficulty_stale: float = 0.0
    best_share: float = 0.0
    """The difficulty that the best of its hashes reached."""
    last_share_at: float = 0.0
    """Unix seconds of the virtual site; 0 before the first."""
    last_share_difficulty: float = 0.0
    is_alive: bool = True
    """Whether the pool took the last connection; True before any was tried."""
    is_active: bool = False
    """Whether the machine works for it now."""

    @property
    def status(self) -> str:
        """As cgminer says it."""
        return "Alive" if self.is_alive else "Dead"

    def accept(self, difficulty: float, at: float) -> None:
        """Count a share that the pool took."""
        self.accepted += 1
        self.difficulty_accepted += difficulty
        self.last_share_at, self.last_share_difficulty = at, difficulty

    def reject(self, difficulty: float, *, stale: bool) -> None:
        """Count a share that the pool refused."""
        if stale:
            self.stale += 1
            self.difficulty_stale += difficulty
        else:
            self.rejected += 1
            self.difficulty_rejected += difficulty


POOL_COUNT = 3
"""Every family in the site holds three pools at most (Bitaxe: a main and a fallback)."""


@dataclass(frozen=True, slots=True)
class SitePool:
    """The site's own pool, as the virtual machines are pointed at it: ``stratum+tcp://…`` and ``stratum2+tcp://…``."""

    url: str
    v2_url: str
