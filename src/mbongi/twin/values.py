"""Values of the virtual site. Pure."""

from dataclasses import dataclass
from enum import StrEnum


class Fault(StrEnum):
    """What can be made to go wrong with a virtual machine."""

    NONE = "none"
    OFF = "off"
    """No power: connections are refused, open ones break, the machine cools down."""
    HUNG = "hung"
    """Accepts connections and never answers; goes on hashing."""
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


POOL_COUNT = 3
"""Every family in the site holds three pools at most (Bitaxe: a main and a fallback)."""
