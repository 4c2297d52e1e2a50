"""What the API says of drift and of work that went elsewhere."""

from datetime import datetime

import msgspec

from mbongi.fleet.values import EventKind, Severity


class DriftItem(msgspec.Struct, kw_only=True):
    """One thing that differs on a machine. ``wanted`` and ``found`` are empty where ``text`` alone says it."""

    kind: EventKind
    severity: Severity
    since: datetime
    wanted: str
    found: str
    text: str


class MachineDrift(msgspec.Struct, kw_only=True):
    """A machine that is not as its profile wants it.

    ``tries``: how often its profile brought it back for this; ``then``: what comes next (now, later, given_up, paused,
    repair, hand, person), at ``due_at`` where that is known.
    """

    machine_id: int
    group: str
    version: int | None
    since: datetime
    tries: int
    then: str
    due_at: datetime | None
    drifts: list[DriftItem]


class DriftList(msgspec.Struct, kw_only=True):
    """Machines that drift, the longest first; ``total`` counts all."""

    items: list[MachineDrift]
    total: int


class Diversion(msgspec.Struct, kw_only=True):
    """A machine's work for a foreign pool or name: ``hashes_th`` [TH] up to ``seen_at``; ``until`` null: it lasts."""

    id: int
    machine_id: int
    pool: str
    worker: str
    since: datetime
    until: datetime | None
    seen_at: datetime
    hashes_th: float


class DiversionList(msgspec.Struct, kw_only=True):
    """Diversions, newest first."""

    items: list[Diversion]


class PoolTotal(msgspec.Struct, kw_only=True):
    """What went to one pool. ``is_ours``: a version of a profile names it, or did."""

    pool: str
    machines: int
    lasting: int
    hashes_th: float
    first_at: datetime
    is_ours: bool


class PoolTotalList(msgspec.Struct, kw_only=True):
    """The pools that work went to, the most first."""

    items: list[PoolTotal]
