"""What a pool process says of itself to whoever listens on the bus: every few seconds its state, every minute what it
sees of each worker. Neither is kept on the bus; what is kept stands in the telemetry table ``pool_worker``. Pure."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from mbongi.pool.rules.hashrate import Tally
from mbongi.pool.rules.latency import Durations

STATUS_SUBJECT: Final = "pool.status"
"""A process tells its state on ``pool.status.<shard>``."""
WORKERS_SUBJECT: Final = "pool.worker_hashrate"
"""And what it sees of its workers on ``pool.worker_hashrate.<shard>``, in parts."""
STATUS_S: Final = 2.0
WINDOWS: Final[Mapping[str, int]] = {"minute": 60, "hour": 3600, "day": 86_400}
"""Spans [s] over which a process counts."""


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """Durations of the last hours, as ``rules.latency`` counts them."""

    counts: tuple[int, ...] = ()
    max_ms: float = 0.0

    def durations(self) -> Durations:
        """The counters."""
        return Durations(self.counts, self.max_ms)


class BestShare(msgspec.Struct, frozen=True, kw_only=True):
    """The share that reached the highest difficulty since the process started."""

    difficulty: float
    worker: str
    at_ms: int


class TemplateStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The job that is out. ``best_fees_sat`` is what the newest template of the node would bring, asked or pushed."""

    height: int
    fees_sat: int
    best_fees_sat: int
    value_sat: int
    transactions: int
    weight: int
    age_s: float
    difficulty: float
    """Of the network, or what a practice chain asks of a block."""

    @property
    def weight_pct(self) -> float:
        """Weight by the most that a block may have [%]. Source: BIP 141, 4,000,000 units."""
        return 100 * self.weight / 4_000_000


class NodeStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A Bitcoin node as the pool sees it. ``reason`` says why it is not followed; ``heard_s`` is None before the first
    answer."""

    name: str
    standing: str
    reason: str = ""
    height: int = 0
    heard_s: float | None = None
    followed: bool = False


class PoolStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One pool process. Counts are since its start (``started_ms``); ``windows`` are by the names of WINDOWS.

    ``trouble`` says why miners are sent away; empty while they are served.
    """

    shard: int
    at_ms: int
    started_ms: int
    listening: bool
    trouble: str = ""
    template_stale: bool = False
    """The nodes answer and have given no newer template for minutes."""
    keeps_shares: bool = True
    v1_connections: int = 0
    v2_connections: int = 0
    workers: int = 0
    refused: int = 0
    accepted: int = 0
    work: float = 0.0
    rejected: dict[str, int] = {}
    by_firmware: dict[str, dict[str, int]] = {}
    """Of each firmware the ``accepted`` shares and the rejected ones by reason, up to the last whole minute."""
    windows: dict[str, Tally] = {}
    best: BestShare | None = None
    blocks: int = 0
    expected_blocks: float = 0.0
    told: Latency = Latency()
    """From a job's publication to its write to the last connection."""
    checked: Latency = Latency()
    """From a template's arrival to the node's word on a block made of it."""
    template: TemplateStatus | None = None
    nodes: tuple[NodeStatus, ...] = ()
    rows_dropped: int = 0


class WorkerHashrate(msgspec.Struct, frozen=True):
    """A worker's hashrate [hashes/s] over the last ``span_s``, and its 95 % interval."""

    worker: str
    span_s: float
    hashrate_hs: float
    low_hs: float
    high_hs: float


class WorkerHashrates(msgspec.Struct, frozen=True, kw_only=True):
    """What one process sees of some of its workers."""

    shard: int
    at_ms: int
    workers: tuple[WorkerHashrate, ...]


def merged(found: Iterable[PoolStatus]) -> PoolStatus | None:
    """Several processes of one pool as if they were one; None without any.

    The template and the nodes are those of the process with the newest word.
    """
    ordered = sorted(found, key=lambda each: each.at_ms)
    if not ordered:
        return None
    newest = ordered[-1]
    told = sum((each.told.durations() for each in ordered), Durations())
    checked = sum((each.checked.durations() for each in ordered), Durations())
    rejected: Counter[str] = Counter()
    by_firmware: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for each in ordered:
        rejected.update(each.rejected)
        for firmware, counts in each.by_firmware.items():
            by_firmware[firmware].update(counts)
    windows = {
        name: sum((each.windows[name] for each in ordered if name in each.windows), Tally(0.0)) for name in WINDOWS
    }
    bests = [each.best for each in ordered if each.best is not None]
    return PoolStatus(
        shard=newest.shard,
        at_ms=newest.at_ms,
        started_ms=min(each.started_ms for each in ordered),
        listening=any(each.listening for each in ordered),
        trouble=next((each.trouble for each in reversed(ordered) if each.trouble), ""),
        template_stale=any(each.template_stale for each in ordered),
        keeps_shares=all(each.keeps_shares for each in ordered),
        v1_connections=sum(each.v1_connections for each in ordered),
        v2_connections=sum(each.v2_connections for each in ordered),
        workers=sum(each.workers for each in ordered),
        refused=sum(each.refused for each in ordered),
        accepted=sum(each.accepted for each in ordered),
        work=sum(each.work for each in ordered),
        rejected=dict(rejected),
        by_firmware={firmware: dict(counts) for firmware, counts in by_firmware.items()},
        windows=windows,
        best=max(bests, key=lambda each: each.difficulty, default=None),
        blocks=sum(each.blocks for each in ordered),
        expected_blocks=sum(each.expected_blocks for each in ordered),
        told=Latency(counts=tuple(told.counts), max_ms=told.max_ms),
        checked=Latency(counts=tuple(checked.counts), max_ms=checked.max_ms),
        template=newest.template,
        nodes=newest.nodes,
        rows_dropped=sum(each.rows_dropped for each in ordered),
    )
