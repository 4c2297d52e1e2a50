"""The virtual plant at work: once a second it meets its machines, and its devices answer all the while."""

import asyncio
from typing import TYPE_CHECKING, Protocol

from mbongi.base.log import get_log
from mbongi.twin.plant.design import designed
from mbongi.twin.plant.faults import set_fault
from mbongi.twin.plant.modbus_gateway import ModbusGateway
from mbongi.twin.plant.model import PlantModel
from mbongi.twin.plant.nut_server import NutServer
from mbongi.twin.plant.points import Panel
from mbongi.twin.plant.redfish_servers import RedfishServers

if TYPE_CHECKING:
    from mbongi.twin.site import Place, VirtualSite

log = get_log(__name__)
TICK_S = 1.0


class Server(Protocol):
    """Devices of one protocol."""

    async def open(self) -> None:
        """Listen. Raises TwinError where an address is taken."""

    async def close(self) -> None:
        """Stop; may be called twice."""

    def refresh(self) -> None:
        """Called once a tick."""


def _servers(panel: Panel) -> list[Server]:
    # Half a second that sites without a plant, and programs that only send a fault, need not wait.
    from mbongi.twin.plant.bacnet_devices import BacnetDevices  # noqa: PLC0415
    from mbongi.twin.plant.snmp_agents import SnmpAgents  # noqa: PLC0415

    return [ModbusGateway(panel), SnmpAgents(panel), NutServer(panel), BacnetDevices(panel), RedfishServers(panel)]


class Plant:
    """The plant of one virtual site. ``model`` is its truth."""

    def __init__(self, site: "VirtualSite") -> None:
        self.site = site
        self.model = PlantModel(designed(site.config), seed=site.config.seed, now_s=site.clock())
        self.panel = Panel(self.model)
        self.plugged: list[tuple[int, int, Place]] = [
            (number, index, site.places[plug.outlet.address])
            for number, load in enumerate(self.model.racks)
            for index, plug in enumerate(load.plugs)
        ]
        """Which machine hangs on which outlet of which rack; a machine that moves to another address keeps its own."""
        self.servers = _servers(self.panel)
        self.timer: asyncio.TimerHandle | None = None

    async def open(self) -> None:
        """Listen, and move on from now. Raises TwinError where an address is taken; then nothing is left open."""
        for _, _, place in self.plugged:
            place.machine.air_c = self._air_c
        self._take_loads()
        self.model.settle()
        try:
            for server in self.servers:
                await server.open()
        except BaseException:
            await self.close()
            raise
        self._tick()

    async def close(self) -> None:
        """Stop; may be called twice."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        for server in self.servers:
            await server.close()

    def take_grid(self) -> None:
        """What a drill set at the meter is the plant's grid."""
        if self.site.meter is not None:
            self.model.grid_v, self.model.grid_hz = self.site.meter.grid.volts, self.site.meter.grid.hz

    def move_on(self) -> None:
        """Bring plant and machines up to the present."""
        self._take_loads()
        self.model.advance(self.site.clock())
        self._feed_machines()
        self._show_grid()

    def _show_grid(self) -> None:
        if self.site.meter is not None:
            self.site.meter.grid.volts, self.site.meter.grid.hz = self.model.grid_v, self.model.grid_hz

    def look(self) -> None:
        """Let what was switched or failed take effect at once, for the machines too."""
        self.model.look()
        self.move_on()

    def fail(self, tag: str, word: str) -> None:
        """Make something go wrong with an element at once. Raises UnknownAddressError, UnknownFaultError."""
        set_fault(self.model, tag, word)
        self.look()

    def _tick(self) -> None:
        self.timer = asyncio.get_running_loop().call_later(TICK_S, self._tick)
        self.move_on()
        for server in self.servers:
            server.refresh()

    def _air_c(self, _moment: float) -> float:
        return self.model.hall.inlet_c

    def _take_loads(self) -> None:
        racks = self.model.racks
        for number, index, place in self.plugged:
            racks[number].plugs[index].load_w = place.machine.power_w

    def _feed_machines(self) -> None:
        racks = self.model.racks
        for number, index, place in self.plugged:
            is_live = racks[number].plugs[index].is_live
            if is_live is not place.machine.has_power:
                place.machine.set_power(on=is_live)
                place.after_reply()
