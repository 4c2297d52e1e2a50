"""Values of the fleet domain. Pure: no Django, no sockets."""

from collections.abc import Mapping
from enum import IntEnum, StrEnum
from types import MappingProxyType
from typing import NamedTuple

from mbongi.base.ids import MachineId

STATUS_SUBJECT = "fleet.status"
"""The bus request that a running fleet process answers."""


class MachineState(IntEnum):
    """What is known of a machine right now. Stored by number, so numbers never change meaning."""

    UNKNOWN = 0
    """No answer, or none that could be read. Never taken for mining, never for off."""
    OFF = 1
    """The address refused the connection: something is there, the miner's service is not."""
    MINING = 2
    SLEEPING = 3
    """Told to rest, by us or by hand; answers, hashes nothing, and that is as it should be."""
    STARTING = 4
    """Answers, has been up for less than its model's warm-up time, hashes nothing yet."""
    FAULT = 5
    """Answers, should be mining, and is not."""

    @property
    def word(self) -> str:
        """The lower-case name that the API, CSV files and metrics use."""
        return self.name.lower()

    @property
    def is_mining(self) -> bool | None:
        """Yes, no, or None where nobody knows."""
        return None if self is MachineState.UNKNOWN else self is MachineState.MINING


class Family(StrEnum):
    """A group of machines that share a protocol, and so an adapter."""

    ANTMINER = "antminer"
    WHATSMINER = "whatsminer"
    BITAXE = "bitaxe"
    LUXOS = "luxos"
    WHATSMINER_V3 = "whatsminer_v3"
    """Whatsminers whose firmware speaks API 3 on a port of its own."""
    OTHER = "other"


class ActionKind(StrEnum):
    """What can be asked of a machine."""

    SLEEP = "sleep"
    WAKE = "wake"
    REBOOT = "reboot"
    SET_POOLS = "set_pools"


class ActionStatus(StrEnum):
    """How far an action has come."""

    REQUESTED = "requested"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_open(self) -> bool:
        """Whether something is still to come."""
        return self in {ActionStatus.REQUESTED, ActionStatus.RUNNING}


class Severity(StrEnum):
    """How much an event matters."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class EventKind(StrEnum):
    """What an event tells. Conditions last until cleared; the others happened at one moment."""

    OFF = "off"
    UNKNOWN = "unknown"
    FAULT = "fault"
    BOARD_MISSING = "board_missing"
    FAN_FAILED = "fan_failed"
    OVER_TEMPERATURE = "over_temperature"
    HASHRATE_LOW = "hashrate_low"
    REJECTS_HIGH = "rejects_high"
    ERROR_CODE = "error_code"
    POOL_DEAD = "pool_dead"
    POOL_SIDE_LOW = "pool_side_low"
    FOUND = "found"
    MOVED = "moved"
    REPLACED = "replaced"
    RETURNED = "returned"
    RETIRED = "retired"

    @property
    def is_condition(self) -> bool:
        """Whether it opens and clears, rather than merely happening."""
        return self not in _MOMENTS


_MOMENTS = {EventKind.FOUND, EventKind.MOVED, EventKind.REPLACED, EventKind.RETURNED, EventKind.RETIRED}


class ConditionChange(NamedTuple):
    """A condition of a machine opened or cleared.

    ``part`` tells several of one kind apart (``board 2``, ``error 2320``); ``params`` are the figures for the text.
    """

    machine_id: MachineId
    kind: EventKind
    part: str
    opened: bool
    at_ms: int
    severity: Severity = Severity.WARNING
    params: Mapping[str, str | float] = MappingProxyType({})
