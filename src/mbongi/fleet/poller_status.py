"""What a fleet process tells on the bus of itself as a poller, every few seconds; it is kept nowhere. Pure."""

from typing import Final

import msgspec

POLLERS_SUBJECT: Final = "fleet.poller"
"""A process tells its state on ``fleet.poller.<number>``."""
TOLD_S: Final = 2.0


class PollerStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A poller at this moment: which of the 64 slots it has leased and since when, and what it did since it started.

    ``is_whole``: it is the only one and leases nothing. ``rounds`` of racks were begun when they were due;
    ``rounds_late`` were left out, because the one before was not over.
    """

    number: int
    started_ms: int
    slots: tuple[int, ...]
    slots_since_ms: int
    is_whole: bool
    leads: bool
    machines: int
    polls: int
    failures: int
    rounds: int
    rounds_late: int
    database_away: bool = False
