"""``/metrics`` for Prometheus, with a bounded number of series."""

from collections.abc import Iterable

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from mbongi.base.clock import utc_now
from mbongi.core.identity.scope import SITE, acting, scope_of
from mbongi.core.identity.values import Permission, Scope
from mbongi.fleet import selectors
from mbongi.fleet.selectors import MachineFilter
from mbongi.fleet.values import MachineState
from mbongi.web import sight
from mbongi.web.live.board import BOARD
from mbongi.web.live.hub import HUB
from mbongi.web.metrics_pool import pool_metrics
from mbongi.web.problems import problem, title_of

MACHINES_MAX = 5_000
"""Beyond this many machines only the site's own series are given: mbongi_machines_left_out then says how many."""
PAGE = 1_000
FIGURES = (
    ("hashrate_ths", "hashrate_terahashes_per_second", "Newest hashrate of the machine"),
    ("power_w", "power_watts", "Wall power of the machine"),
    ("chip_temp_max_c", "chip_temperature_max_celsius", "Hottest chip of the machine"),
    ("fan_rpm", "fan_speed_max_rpm", "Fastest fan of the machine"),
    ("reject_ratio", "shares_rejected_ratio", "Rejected shares of all shares"),
)
_LABELS = ("machine", "position", "model")


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """For a token or person with the permission; without one for this machine itself where no proxy stands in front."""
    scope = _scope(request)
    if scope is None:
        status = 403 if request.user.is_authenticated else 401
        return problem(status, title_of(status))
    registry = CollectorRegistry(auto_describe=False)
    with acting(scope):
        pool = list(pool_metrics()) if scope.site_wide else []
        registry.register(_Fixed([*_site(scope), *_machines(), *pool]))
        content = generate_latest(registry)
    return HttpResponse(content, content_type=CONTENT_TYPE_LATEST)


def _scope(request: HttpRequest) -> Scope | None:
    if request.user.is_authenticated:
        return scope_of(request.user) if request.user.may(Permission.METRICS_VIEW) else None
    # Behind a proxy on this machine everybody would look local, so a public address ends the exception.
    is_local = request.META.get("REMOTE_ADDR", "") in {"127.0.0.1", "::1"}
    forwarded = any(name in request.headers for name in ("X-Forwarded-For", "Forwarded"))
    return SITE if is_local and not forwarded and not settings.CONFIG.web.public_url else None


class _Fixed:
    def __init__(self, found: list[Metric]) -> None:
        self._found = found

    def collect(self) -> Iterable[Metric]:
        return self._found


def _gauge(name: str, doc: str, value: float | None) -> Metric:
    gauge = GaugeMetricFamily(f"mbongi_{name}", doc)
    if value is not None:
        gauge.add_metric([], value)
    return gauge


def _site(scope: Scope) -> Iterable[Metric]:
    counts, totals = selectors.counts(), BOARD.totals(scope, utc_now().timestamp())
    yield _gauge(
        "site_hashrate_terahashes_per_second", "Hashrate of machines with a fresh reading", totals.hashrate_ths
    )
    yield _gauge("site_power_watts", "Power of machines with a fresh reading", totals.power_w)
    yield _gauge("site_efficiency_joules_per_terahash", "Power divided by hashrate", totals.efficiency_jth)
    yield _gauge("site_machines_fresh", "Machines with a fresh reading", totals.fresh)
    newest = None if totals.newest_at is None else totals.newest_at.timestamp()
    yield _gauge("newest_reading_timestamp_seconds", "When the newest reading was taken", newest)
    yield _gauge("live_streams", "Browsers that follow the stream of this process", HUB.clients)
    states = GaugeMetricFamily("mbongi_machines", "Machines by state", labels=["state"])
    for word, count in sight.state_counts(counts.total, totals.states).items():
        states.add_metric([word], count)
    yield states
    alarms = GaugeMetricFamily("mbongi_alarms_open", "Conditions that last, by severity", labels=["severity"])
    for severity, count in selectors.open_alarm_counts().items():
        alarms.add_metric([severity.value], count)
    yield alarms


def _machines() -> Iterable[Metric]:
    families = {
        name: GaugeMetricFamily(f"mbongi_machine_{metric}", doc, labels=_LABELS) for name, metric, doc in FIGURES
    }
    state = GaugeMetricFamily("mbongi_machine_state", _state_doc(), labels=_LABELS)
    total, offset = 1, 0
    while offset < min(total, MACHINES_MAX):
        page = sight.machines(MachineFilter(), sort="id", limit=min(PAGE, MACHINES_MAX - offset), offset=offset)
        total, offset = page.total, offset + PAGE
        for one in page.rows:
            labels = [str(one.id), one.name, one.row.model]
            state.add_metric(labels, int(one.state))
            for name, family in families.items():
                value = None if one.is_stale else one.figure(name)
                if value is not None:
                    family.add_metric(labels, value)
    yield state
    yield from families.values()
    yield _gauge("machines_left_out", "Machines without series of their own", max(0, total - MACHINES_MAX))


def _state_doc() -> str:
    return "State of the machine: " + ", ".join(f"{int(state)} {state.word}" for state in MachineState)
