"""Values of the fleet domain. Pure: no Django, no sockets."""

from collections.abc import Mapping
from enum import IntEnum, StrEnum
from types import MappingProxyType
from typing import NamedTuple

import msgspec

from mbongi.base.ids import MachineId

STATUS_SUBJECT = "fleet.status"
"""Each fleet process answers for itself under this and its number, 0 where there is one."""
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
    BRAIINS = "braiins"
    LUXOS = "luxos"
    VNISH = "vnish"
    WHATSMINER_V3 = "whatsminer_v3"
    """Whatsminers whose firmware speaks API 3 on a port of its own."""
    AVALON = "avalon"
    OTHER = "other"


class ActionKind(StrEnum):
    """What can be asked of a machine."""

    SLEEP = "sleep"
    WAKE = "wake"
    REBOOT = "reboot"
    SET_POOLS = "set_pools"
    SET_POWER = "set_power"
    SET_FAN = "set_fan"
    SET_HOSTNAME = "set_hostname"
    UPGRADE = "upgrade"
    """Flash a firmware image; campaigns alone do."""
    SET_CREDENTIALS = "set_credentials"

    @property
    def stops_hashing(self) -> bool:
        """Whether a machine hashes nothing for a while once it is told, and must be seen to mine again."""
        return self not in {
            ActionKind.SLEEP,
            ActionKind.SET_FAN,
            ActionKind.SET_HOSTNAME,
            ActionKind.SET_CREDENTIALS,
        }


HAND_KINDS = (ActionKind.SLEEP, ActionKind.WAKE, ActionKind.REBOOT, ActionKind.SET_POOLS)
"""What people ask of one machine on its page; the others come of profiles and operations."""


class ActionStatus(StrEnum):
    """How far an action has come."""

    PLANNED = "planned"
    """A step of an operation that has not been released yet."""
    REQUESTED = "requested"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_open(self) -> bool:
        """Whether it is under way: nothing else may be done to the machine meanwhile."""
        return self in {ActionStatus.REQUESTED, ActionStatus.RUNNING}


class OperationKind(StrEnum):
    """What a change of many machines is for."""

    RECONCILE = "reconcile"
    CURTAIL = "curtail"
    WAKE = "wake"
    CAMPAIGN = "campaign"
    HEAL = "heal"
    CREDENTIALS = "credentials"
    HAND = "hand"


class OperationState(StrEnum):
    """How far an operation has come."""

    AWAITING = "awaiting"
    """A second person must approve it."""
    PLANNED = "planned"
    RUNNING = "running"
    PAUSED = "paused"
    """By a person; steps under way are seen through, none is begun."""
    HALTED = "halted"
    """By itself, as ``message`` says; it goes on once a person resumes it."""
    DONE = "done"
    ROLLED_BACK = "rolled_back"
    CANCELLED = "cancelled"

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come of it."""
        return self in {OperationState.DONE, OperationState.ROLLED_BACK, OperationState.CANCELLED}


class CurtailPhase(StrEnum):
    """What a curtailment is doing."""

    SHED = "shed"
    """The load comes down to its target."""
    HOLD = "hold"
    WAKE = "wake"


class CurtailWish(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a curtailment is to bring: exactly one of the site's power [MW] and by how much it falls [%].

    Within ``within_s``, by ``ramp_kw_s`` at most, for ``lasts_s``; None: no deadline, the site's ramp, until somebody
    ends it. ``even_late``: it is done although the ramp does not meet the deadline.
    """

    target_mw: float | None = None
    reduce_pct: float | None = None
    within_s: float | None = None
    ramp_kw_s: float | None = None
    lasts_s: float | None = None
    even_late: bool = False


class ProfileState(StrEnum):
    """What became of a version of a profile."""

    DRAFT = "draft"
    PROPOSED = "proposed"
    """A second person must approve it."""
    ACTIVE = "active"
    SUPERSEDED = "superseded"
    REFUSED = "refused"

    @property
    def is_open(self) -> bool:
        """Whether it is still to be decided on."""
        return self in {ProfileState.DRAFT, ProfileState.PROPOSED}


class MoveState(StrEnum):
    """What became of a move of machines into a group that a second person must agree to."""

    AWAITING = "awaiting"
    APPROVED = "approved"
    REFUSED = "refused"
    """Also withdrawn by whoever asked, or without a machine that still waits for it."""


class PowerMode(StrEnum):
    """How hard a machine works, in the makers' common words."""

    NORMAL = "normal"
    LOW = "low"
    HIGH = "high"
    SLEEP = "sleep"


class Abilities(msgspec.Struct, frozen=True, kw_only=True):
    """What of a profile a family can be told; its scorecard says why not the rest."""

    pools_max: int = 0
    modes: frozenset[PowerMode] = frozenset()
    """The power modes besides sleep."""
    power_limit: bool = False
    fan: bool = False
    hostname: bool = False
    upgrade: bool = False
    """Whether its machines can be sent a firmware image."""
    password_length: int = 0
    """Of the passwords that it is given; 0: it has none, or takes none."""
    rests_after_s: float = 0.0
    """How long after they were told to sleep its machines stop hashing."""


class DesiredPool(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A pool, and the template of the worker's name with it. No password: pools know a worker by its user name."""

    url: str
    user: str


class DesiredPower(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A mode or a limit [W]: exactly one of the two."""

    mode: PowerMode | None = None
    target_w: int | None = None


class DesiredFan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A fixed duty [%]; None leaves the fans to the machine."""

    percent: int | None = None


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How fast an operation may go; None does not limit.

    ``batch`` machines are written at a time; the load changes by ``ramp_kw_s`` at most; ``out_of_service_max`` machines
    may hash nothing because of it; it halts at ``failures_max`` machines that failed, or that do not mine again within
    ``settle_s``.
    """

    batch: int = 50
    ramp_kw_s: float | None = None
    out_of_service_max: int | None = None
    failures_max: int = 10
    settle_s: float = 1800.0


class Desired(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the machines of a group should be: a profile's document. What is None or empty is left as it is.

    ``account`` is who is paid, for the templates; ``owner`` a tenant's number, 0 for the site itself; ``firmware`` the
    version or image that machines state, or the SHA-256 of an image in the store; ``hostname`` a template.
    ``may_sleep`` False keeps the group out of curtailment; ``reassert`` lets what drifts be written again without being
    asked.
    """

    account: str = ""
    pools: tuple[DesiredPool, ...] = ()
    power: DesiredPower | None = None
    fan: DesiredFan | None = None
    firmware: str = ""
    hostname: str = ""
    owner: int | None = None
    may_sleep: bool = True
    reassert: bool = False
    limits: Limits = Limits()


class DesiredField(StrEnum):
    """What of a machine a profile speaks of."""

    POOLS = "pools"
    WORKER = "worker"
    """The pools are right, the user names with them are not."""
    POWER = "power"
    FAN = "fan"
    FIRMWARE = "firmware"
    HOSTNAME = "hostname"
    OWNER = "owner"


class SignIn(StrEnum):
    """What became of our password at a machine."""

    UNKNOWN = ""
    """Nothing asked for it since the process started, or the family has none."""
    OURS = "ours"
    REFUSED = "refused"
    FACTORY = "factory"
    """It is accepted, and it is the one that the makers deliver their machines with."""


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
    RULE = "rule"
    """The figure of a healing rule is beyond its limit; ``part`` names the rule."""
    POOL_DRIFT = "pool_drift"
    WORKER_DRIFT = "worker_drift"
    POWER_DRIFT = "power_drift"
    FAN_DRIFT = "fan_drift"
    FIRMWARE_DRIFT = "firmware_drift"
    NAME_DRIFT = "name_drift"
    CREDENTIALS_DRIFT = "credentials_drift"
    NOT_WOKEN = "not_woken"
    """It was told to wake, and does not mine."""
    REVERTS = "reverts"
    """It was brought back to its profile several times, and drifted each time."""
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
