"""The proxy's figures for Prometheus."""

from collections.abc import Iterable
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from mbongi.pool.daemon.proxy.server import ProxyServer
from mbongi.pool.daemon.proxy.statistics import WAIT_BOUNDS_S


def figures_of(server: ProxyServer) -> Iterable[Metric]:
    """All of them, with a bounded number of series."""
    counts, link, now_s = server.statistics, server.link, server.now_s()
    yield _gauge("miners", "Connections of miners", len(server.miners))
    yield _gauge("miners_mining", "Of these the ones that mine", sum(miner.is_ready for miner in server.miners))
    yield _gauge("hashrate_hashes_per_second", "Estimate of all miners", server.hashrate_hs())
    yield _gauge("upstream_up", "Whether there is a link to a pool", link is not None)
    yield _gauge(
        "without_upstream_seconds", "Since a link was lost", 0 if link else now_s - server.without_link_since_s
    )
    yield _gauge("channels", "Channels at the pool", len(link.channels) if link else 0)
    yield _gauge("shares_waiting", "Shares that the pool has not answered yet", server.shares_waiting)
    yield _count("links", "Links to pools that were set up", counts.links)
    yield _count("links_lost", "Links to pools that were lost", counts.links_lost)
    yield _count("connections", "Connections of miners since the start", server.gate.came)
    yield _count("connections_refused", "Of these the ones refused", server.gate.refused)
    yield _count("shares_accepted", "Shares that the pool accepted", counts.accepted)
    yield _count("difficulty_accepted", "Sum of their difficulties", counts.difficulty_accepted)
    yield _count("shares_accepted_here", "Shares too easy for the pool, of a shared channel", counts.accepted_here)
    yield _count("blocks", "Shares sent that made a block", counts.blocks)
    refused = CounterMetricFamily("mbongi_proxy_shares_refused", "Shares refused", labels=("by", "reason"))
    for by, reasons in (("proxy", counts.rejected), ("pool", counts.refused_by_pool)):
        for reason, count in sorted(reasons.items()):
            refused.add_metric((by, str(reason)), count)
    yield refused
    name = "mbongi_proxy_answer_seconds"
    answers = HistogramMetricFamily(name, "How long the pool took to accept a share")
    bounds = [*map(str, WAIT_BOUNDS_S), "+Inf"]
    answers.add_metric((), list(zip(bounds, accumulate(counts.waits), strict=True)), counts.waited_s)
    yield answers


def _gauge(name: str, meaning: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"mbongi_proxy_{name}", meaning, value=value)


def _count(name: str, meaning: str, value: float) -> CounterMetricFamily:
    return CounterMetricFamily(f"mbongi_proxy_{name}", meaning, value=value)
