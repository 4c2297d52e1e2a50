"""Alarms within the facility process: what devices say goes to the watch, and notices go out."""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence

from mbongi.base.clock import monotonic_s
from mbongi.base.config import Config
from mbongi.base.log import get_log
from mbongi.core.threads import ThreadBridge
from mbongi.facility import selectors
from mbongi.facility.daemon.alarm_watch import AWAY, AlarmWatch
from mbongi.facility.daemon.notifying import Notifying
from mbongi.facility.rules import alarm_limits
from mbongi.facility.rules.alarm_flood import Plant
from mbongi.facility.rules.alarm_limits import Supply
from mbongi.facility.values import ElementKind, LinkKind, Observation, Quality, Quantity

log = get_log(__name__)

GRAPH_S = 10.0
"""How old the picture of what feeds what may be."""
WAITING_MAX = 500_000
"""Observations that wait for the disk, at most; more are left out and said to be: the next ones say the same again."""
RETRY_S = 1.0
SOURCES = frozenset({ElementKind.GENSET, ElementKind.PV})
"""They may rest, and are no fault then."""
_OUTPUT = frozenset({
    Quantity.FREQUENCY_HZ,
    *(Quantity.VOLTAGE_L1_V, Quantity.VOLTAGE_L2_V, Quantity.VOLTAGE_L3_V),
    *(Quantity.VOLTAGE_L12_V, Quantity.VOLTAGE_L23_V, Quantity.VOLTAGE_L31_V),
})  # fmt: skip


class Alarming:
    """``take`` observations as they come; ``run`` watches, and tells people."""

    def __init__(self, config: Config, bridge: ThreadBridge) -> None:
        self._graph, self._bridge = Graph(), bridge
        self._watch = AlarmWatch(config.site.data_dir / "alarms", bridge, self._graph)
        self._notifying = Notifying(config, bridge)
        self._waiting: list[Observation] = []
        self._news = asyncio.Event()
        self.left_out = 0

    def take(self, observations: Sequence[Observation]) -> None:
        """New observations; neither blocks nor raises."""
        if len(self._waiting) + len(observations) > WAITING_MAX:
            self.left_out += len(observations)
            return
        self._waiting += observations
        self._news.set()

    async def run(self) -> None:
        """Until cancelled."""
        try:
            await self._watch.open()
            with contextlib.suppress(*AWAY):
                await self._bridge.call(self._graph)
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
                await self._watch.observe(self._graph.readings(batch))
            except OSError as error:
                log.warning("alarms_not_kept", error=str(error), left_out=self.left_out)
                await asyncio.sleep(RETRY_S)


class Graph:
    """What feeds what with power and cooling, read from the inventory at most every GRAPH_S, and which sources run.

    A meter's readings are of what it measures: they are judged under the tag of that element, which the graph has.
    """

    def __init__(self) -> None:
        self._plant, self._read_s = Plant(), -GRAPH_S
        self._sources: frozenset[str] = frozenset()
        self._measured: Mapping[str, str] = {}
        self._running: dict[str, bool] = {}

    def __call__(self) -> Plant:
        """The plant as it is now; on the database's thread."""
        if monotonic_s() - self._read_s >= GRAPH_S:
            self._read()
            self._read_s = monotonic_s()
        idle = frozenset(tag for tag in self._sources if not self._running.get(tag, False))
        return Plant(edges=self._plant.edges, holds=self._plant.holds, idle=idle)

    def _read(self) -> None:
        kinds = {element.tag: element.kind for element in selectors.elements()}
        self._sources = frozenset(tag for tag, kind in kinds.items() if kind in SOURCES)
        # An element may be entered between these reads; the next time it is among them.
        data = selectors.links(LinkKind.DATA)
        self._measured = {link.source: link.target for link in data if kinds.get(link.source) is ElementKind.METER}
        # A battery's word is its UPS's, which holds what it feeds by itself.
        edges = [
            (link.source, link.target, Supply(link.kind.value))
            for link in selectors.graph()
            if kinds.get(link.source) is not ElementKind.BATTERY
        ]
        self._plant = Plant(edges, frozenset(tag for tag, kind in kinds.items() if kind is ElementKind.UPS))

    def readings(self, observations: Sequence[Observation]) -> list[alarm_limits.Observation]:
        """What devices said, as alarms judge it, without what sources at rest say of their output."""
        self._running |= {one.tag: one.value > 0 for one in observations if one.quantity is Quantity.RUNNING}
        return [
            reading_of(one, self._measured.get(one.tag, one.tag)) for one in observations if not self._is_at_rest(one)
        ]

    def _is_at_rest(self, one: Observation) -> bool:
        return one.quantity in _OUTPUT and one.tag in self._sources and not self._running.get(one.tag, False)


def reading_of(observation: Observation, tag: str = "") -> alarm_limits.Observation:
    """What a device said of the element with this tag, its own by default: only what is good is known."""
    return alarm_limits.Observation(
        tag or observation.tag,
        str(observation.quantity),
        observation.value,
        is_good=observation.quality is Quality.GOOD,
        at_ms=observation.at_ms,
    )
