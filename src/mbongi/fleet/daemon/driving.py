"""What decides about operations whose steps are not all known when they are planned."""

import functools
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from mbongi.base.config import Config
from mbongi.core.telemetry.client import Store
from mbongi.fleet import campaign_work, healing_work
from mbongi.fleet.campaign_gate import Measured, Question, measure
from mbongi.fleet.daemon.operating import Driver
from mbongi.fleet.values import OperationKind

ANSWER_S = 60.0
"""How long the store may take over one question of a gate."""
STALE_S = 2 * ANSWER_S
"""An answer that nobody fetched for so long, as while its campaign was paused, is asked for anew."""


class Gauge:
    """Has the telemetry asked on a thread of its own, one question at a time, and keeps the answers until fetched."""

    def __init__(self, store: Callable[[], Store]) -> None:
        self._store = store
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="gate")
        self._asked: dict[tuple[int, int], tuple[float, Future[Measured]]] = {}

    def __call__(self, asked: Question) -> Measured | None:
        """The answer to what was asked of this stage; None while it is not there. Never waits."""
        at_s, future = self._asked.get(asked.mark, (0.0, None))
        if future is None or asked.until_s - at_s > STALE_S:
            self._asked[asked.mark] = asked.until_s, self._thread.submit(self._measure, asked)
            return None
        if not future.done():
            return None
        del self._asked[asked.mark]
        return future.result()

    def _measure(self, asked: Question) -> Measured:
        return measure(asked, self._store())


def drivers(config: Config) -> dict[OperationKind, Driver]:
    """By the operation's kind; the telemetry store is opened with the first look that needs it."""
    gauge = Gauge(functools.cache(lambda: Store.open(config, answer_s=ANSWER_S)))
    campaign = functools.partial(campaign_work.drive, ask=gauge)
    return {OperationKind.HEAL: healing_work.recheck, OperationKind.CAMPAIGN: campaign}
