"""Alarms within the facility process: what devices say goes to the watch, and notices go out."""

import asyncio
from collections.abc import Sequence

from mbongi.base.clock import monotonic_s
from mbongi.base.config import Config
from mbongi.base.log import get_log
from mbongi.core.threads import ThreadBridge
from mbongi.facility import selectors
from mbongi.facility.daemon.alarm_watch import AlarmWatch
from mbongi.facility.daemon.notifying import Notifying
from mbongi.facility.rules import alarm_limits
from mbongi.facility.rules.alarm_flood import Plant
from mbongi.facility.rules.alarm_limits import Supply
from mbongi.facility.values import ElementKind, Observation, Quality

log = get_log(__name__)

GRAPH_S = 30.0
"""How old the picture of what feeds what may be."""
WAITING_MAX = 500_000
"""Observations that wait for the disk, at most; more are left out and said to be: the next ones say the same again."""
RETRY_S = 1.0
HOLDS = frozenset({ElementKind.UPS, ElementKind.BATTERY})
AT_REST = frozenset({ElementKind.GENSET})
"""Sources that give nothing while the grid does."""


class Alarming:
    """``take`` observations as they come; ``run`` watches, and tells people."""

    def __init__(self, config: Config, bridge: ThreadBridge) -> None:
        self._watch = AlarmWatch(config.site.data_dir / "alarms", bridge, Graph())
        self._notifying = Notifying(config, bridge)
        self._waiting: list[alarm_limits.Observation] = []
        self._news = asyncio.Event()
        self.left_out = 0

    def take(self, observations: Sequence[Observation]) -> None:
        """New observations; neither blocks nor raises."""
        if len(self._waiting) + len(observations) > WAITING_MAX:
            self.left_out += len(observations)
            return
        self._waiting += map(reading_of, observations)
        self._news.set()

    async def run(self) -> None:
        """Until cancelled."""
        try:
            await self._watch.open()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._watch.run())
                group.create_task(self._notifying.run())
                group.create_task(self._pass_on())
        finally:
            self._watch.close()

    async def _pass_on(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            batch, self._waiting = self._waiting, []
            try:
                await self._watch.observe(batch)
            except OSError as error:
                log.warning("alarms_not_kept", error=str(error), left_out=self.left_out)
                await asyncio.sleep(RETRY_S)


def reading_of(observation: Observation) -> alarm_limits.Observation:
    """What a device said, as alarms judge it: only what is good is known."""
    return alarm_limits.Observation(
        observation.tag,
        str(observation.quantity),
        observation.value,
        is_good=observation.quality is Quality.GOOD,
        at_ms=observation.at_ms,
    )


class Graph:
    """What feeds what with power and cooling, read from the inventory at most every GRAPH_S."""

    def __init__(self) -> None:
        self._plant, self._read_s = Plant(), -GRAPH_S

    def __call__(self) -> Plant:
        """The plant as it is now; on the database's thread."""
        if monotonic_s() - self._read_s >= GRAPH_S:
            kinds = {element.tag: element.kind for element in selectors.elements()}
            self._plant = Plant(
                edges=[
                    (link.source, link.target, Supply(link.kind.value))
                    for link in selectors.graph()
                    if not link.normally_open
                ],
                holds={tag for tag, kind in kinds.items() if kind in HOLDS},
                idle={tag for tag, kind in kinds.items() if kind in AT_REST},
            )
            self._read_s = monotonic_s()
        return self._plant
