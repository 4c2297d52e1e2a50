"""Values of the pool domain. Pure: no Django, no sockets."""

from enum import IntEnum, StrEnum


class Reject(StrEnum):
    """Why a share was not accepted. A rejected share is counted and never paid."""

    STALE = "stale"
    """It is work on a chain tip that is no longer the tip."""
    UNKNOWN_JOB = "unknown_job"
    """We never gave that job to this connection, or gave it so long ago that it is forgotten."""
    DUPLICATE = "duplicate"
    LOW_DIFFICULTY = "low_difficulty"
    UNAUTHORIZED = "unauthorized"
    NOT_SUBSCRIBED = "not_subscribed"
    TIME_OUT_OF_RANGE = "time_out_of_range"
    VERSION_OUT_OF_RANGE = "version_out_of_range"
    MALFORMED = "malformed"
    UNAVAILABLE = "unavailable"
    """The pool cannot keep shares at present; accepting one that may be lost would be a lie."""


class Protocol(IntEnum):
    """How a share reached us. Stored by number, so numbers never change meaning."""

    STRATUM_V1 = 1
    STRATUM_V2 = 2


VERSION_ROLLING_MASK = 0x1FFF_E000
"""The sixteen bits of a block's version that miners may change. Source: BIP 320."""
VERSION_GENERAL_MASK = 0x1FFF_FFE0
"""The twenty-four that Stratum V2 leaves to miners. Source: BIP 323."""
BLOCK_FUTURE_S_MAX = 7200
"""How far a block's time may lie ahead of the nodes' clocks. Source: Bitcoin Core, MAX_FUTURE_BLOCK_TIME."""
TIME_MARGIN_S = 300
"""What we keep back of that, for clocks that differ from ours."""
