"""The readings that the ingester holds, as the hub wants them; and the bus as a bell for new events."""

from collections.abc import Callable, Mapping
from typing import Any

from mbongi.base.config import Config
from mbongi.core.bus.client import Bus
from mbongi.core.bus.errors import BusError
from mbongi.core.telemetry.errors import TelemetryError
from mbongi.core.telemetry.latest_client import LatestClient
from mbongi.facility.device_board import DEVICES_SUBJECT, OBSERVED_SUBJECT
from mbongi.fleet import telemetry
from mbongi.fleet.poller_status import POLLERS_SUBJECT
from mbongi.pool.status import STATUS_SUBJECT
from mbongi.web.live.board import FIGURES
from mbongi.web.live.plant_board import PLANT
from mbongi.web.live.poller_board import POLLERS
from mbongi.web.live.pool_board import POOL

CONNECT_S = 5.0
COLUMNS = ["state", "pool", *FIGURES]
CONDITION_SUBJECT = "event.fleet.>"


class SourceLostError(BusError, ConnectionError):
    """The bus or the ingester does not answer."""


class IngestSource:
    """Mirrors the ingester's newest rows; connects on first use, and again after an outage."""

    def __init__(self, config: Config, on_event: Callable[[], None] | None = None) -> None:
        self._config = config
        self._on_event = on_event
        self._bus: Bus | None = None
        self._client: LatestClient | None = None
        self._taken: tuple[int, int] = (-1, -1)

    async def changes(self) -> Mapping[str, Any]:
        """Every machine's newest row, or no row when nothing changed. Raises SourceLostError."""
        try:
            if self._client is None:
                await self._connect()
            assert self._client is not None
            rows = await self._client.refresh()
        except (BusError, TelemetryError) as error:
            raise SourceLostError(str(error)) from error
        if (rows.run, rows.version) == self._taken:
            return {"machine_id": ()}
        self._taken = (rows.run, rows.version)
        return {name: rows.column(name) for name in rows.names}

    async def _connect(self) -> None:
        if self._bus is None:
            self._bus = await Bus.open(self._config, name="web", limit_s=CONNECT_S)
            await self._bus.hear(f"{STATUS_SUBJECT}.*", POOL.hear)
            await self._bus.hear(f"{POLLERS_SUBJECT}.*", POLLERS.hear)
            await self._bus.hear(OBSERVED_SUBJECT, PLANT.hear_observed)
            await self._bus.hear(DEVICES_SUBJECT, PLANT.hear_devices)
            if self._on_event is not None:
                await self._bus.listen(CONDITION_SUBJECT, self._on_event)
        self._client = LatestClient(self._bus, telemetry.READING, COLUMNS)

    async def close(self) -> None:
        """Give the connection back."""
        if self._bus is not None:
            await self._bus.close()
            self._bus = self._client = None
