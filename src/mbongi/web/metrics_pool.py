"""The pool's part of the metrics: what its processes last said. Nothing is given while none of them speaks."""

from collections.abc import Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from mbongi.pool.rules.hashrate import Rate
from mbongi.pool.status import Latency, PoolStatus
from mbongi.web.live.pool_board import POOL

QUANTILES = (0.5, 0.9, 0.99, 1.0)


def pool_metrics() -> Iterable[Metric]:
    """Every family of the pool."""
    now = POOL.now()
    yield _gauge("processes", "Pool processes that speak", 0 if now.is_stale else now.processes)
    if now.status is None or now.is_stale:
        return
    status = now.status
    yield from _counters(status)
    yield from _rates(status)
    yield _gauge("workers", "Workers that are connected", status.workers)
    connections = GaugeMetricFamily("mbongi_pool_connections", "Connections by protocol", labels=["protocol"])
    connections.add_metric(["v1"], status.v1_connections)
    connections.add_metric(["v2"], status.v2_connections)
    yield connections
    yield _gauge("listening", "Whether miners can connect", int(status.listening))
    yield _gauge(
        "keeps_shares", "Whether accepted shares can be kept; without, none is accepted", int(status.keeps_shares)
    )
    yield _gauge("template_stale", "Whether the nodes answer and give no newer template", int(status.template_stale))
    yield _gauge("best_share_difficulty", "Best share since the start", status.best.difficulty if status.best else 0)
    yield from _template(status)
    yield _durations("job_told_seconds", "From a job to its write to the last connection, by quantile", status.told)
    yield _durations("template_checked_seconds", "A template's check by the node, by quantile", status.checked)
    nodes = GaugeMetricFamily("mbongi_pool_node_followed", "Whether the pool follows the node", labels=["node"])
    for node in status.nodes:
        nodes.add_metric([node.name], int(node.followed))
    yield nodes


def _gauge(name: str, doc: str, value: float) -> Metric:
    gauge = GaugeMetricFamily(f"mbongi_pool_{name}", doc)
    gauge.add_metric([], value)
    return gauge


def _counters(status: PoolStatus) -> Iterable[Metric]:
    counts = (
        ("shares_accepted", "Shares accepted since the processes started", status.accepted),
        ("work_difficulty", "Difficulties of the accepted shares, added up", status.work),
        ("blocks", "Shares that made a block", status.blocks),
        ("blocks_expected", "Blocks to be expected of the work", status.expected_blocks),
        ("connections_refused", "Connections refused", status.refused),
        ("rows_dropped", "Batches of telemetry that gave way while the bus was away", status.rows_dropped),
    )
    for name, doc, value in counts:
        counter = CounterMetricFamily(f"mbongi_pool_{name}", doc)
        counter.add_metric([], value)
        yield counter
    rejected = CounterMetricFamily("mbongi_pool_shares_rejected", "Shares rejected, by reason", labels=["reason"])
    for reason, count in status.rejected.items():
        rejected.add_metric([reason], count)
    yield rejected
    by_firmware = CounterMetricFamily(
        "mbongi_pool_firmware_shares",
        "Shares by firmware, and whether they were accepted or why not, up to the last whole minute",
        labels=["firmware", "outcome"],
    )
    for firmware, outcomes in status.by_firmware.items():
        for outcome, count in outcomes.items():
            by_firmware.add_metric([firmware, outcome], count)
    yield by_firmware


def _rates(status: PoolStatus) -> Iterable[Metric]:
    family = GaugeMetricFamily(
        "mbongi_pool_hashrate_hashes_per_second", "Hashrate, and its 95 % interval", labels=["window", "bound"]
    )
    for name, tally in status.windows.items():
        rate = Rate.of(tally)
        for bound, value in (("estimate", rate.value), ("low", rate.low), ("high", rate.high)):
            family.add_metric([name, bound], value)
    yield family


def _template(status: PoolStatus) -> Iterable[Metric]:
    template = status.template
    if template is None:
        return
    yield _gauge("template_age_seconds", "Since a node last gave a template", template.age_s)
    yield _gauge("template_fees_satoshis", "Fees in the job that is out", template.fees_sat)
    yield _gauge("template_best_fees_satoshis", "Fees in the newest template", template.best_fees_sat)
    yield _gauge("template_height", "Height of the block that is worked on", template.height)


def _durations(name: str, doc: str, latency: Latency) -> Metric:
    family = GaugeMetricFamily(f"mbongi_pool_{name}", doc, labels=["quantile"])
    durations = latency.durations()
    for part in QUANTILES:
        value = durations.quantile(part)
        if value is not None:
            family.add_metric([str(part)], value / 1000)
    return family
