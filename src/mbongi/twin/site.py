"""The virtual site: every machine with its listeners, in one event loop."""

import asyncio
import resource
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import Any

from mbongi.base.config import Twin
from mbongi.base.log import get_log
from mbongi.fleet.values import Family
from mbongi.twin.antminer import Antminer
from mbongi.twin.avalon import Avalon
from mbongi.twin.bitaxe import Bitaxe
from mbongi.twin.braiins import Braiins
from mbongi.twin.control import Control
from mbongi.twin.errors import TwinError, UnknownAddressError
from mbongi.twin.firmware import Firmware
from mbongi.twin.framed import FramedConnection
from mbongi.twin.layout import Position, positions
from mbongi.twin.listeners import Connection, HttpConnection, RpcConnection, open_socket
from mbongi.twin.luxos import LuxOs
from mbongi.twin.machine import VirtualMachine
from mbongi.twin.meter import SiteMeter
from mbongi.twin.mining import Mining
from mbongi.twin.models import model_of
from mbongi.twin.plant.running import Plant
from mbongi.twin.settings import Aftermath, SimClock
from mbongi.twin.values import Fault, Phase, PoolEntry, SitePool
from mbongi.twin.vnish import VNish
from mbongi.twin.whatsminer import Whatsminer
from mbongi.twin.whatsminer_v3 import WhatsminerV3

log = get_log(__name__)

FILES_SPARE = 512
"""File descriptors kept for open connections and everything else, beyond one for each listener."""
ASKERS_MAX = 32
"""Of a machine, how many that asked it one after the other are remembered."""
FIRMWARES: Mapping[Family, Callable[[VirtualMachine], Firmware]] = {
    Family.ANTMINER: Antminer,
    Family.WHATSMINER: Whatsminer,
    Family.BITAXE: Bitaxe,
    Family.BRAIINS: Braiins,
    Family.LUXOS: LuxOs,
    Family.VNISH: VNish,
    Family.WHATSMINER_V3: WhatsminerV3,
    Family.AVALON: Avalon,
}
SERVICES: Mapping[str, Callable[..., Connection]] = {
    "rpc": RpcConnection,
    "http": HttpConnection,
    "framed": FramedConnection,
}
"""What listens on each of the configuration's ports (``twin.rpc_port`` …), where a firmware has an answer for it."""


@dataclass(slots=True)
class Asker:
    """Somebody who asked a machine, ``questions`` in a row, from and until these moments [monotonic s]."""

    source: str
    since_s: float
    until_s: float
    questions: int = 1


class Place:
    """One machine in the site: its firmware, its listening sockets while it is up, its open connections."""

    def __init__(self, firmware: Firmware, *, ports: Mapping[str, int], slow_s: float, time_scale: float) -> None:
        self.firmware, self.machine = firmware, firmware.machine
        self.slow_s, self.time_scale = slow_s, time_scale
        self.ports: list[tuple[str, int, Callable[[], Connection]]] = []
        for word, connection in SERVICES.items():
            answer: Any = getattr(firmware, f"answer_{word}", None)
            if answer is not None:
                self.ports.append((word, ports[word], partial(connection, self, answer)))
        self.connections: set[Connection] = set()
        self.servers: list[asyncio.AbstractServer] = []
        self.askers: deque[Asker] = deque(maxlen=ASKERS_MAX)
        self.is_up = False
        self.timer: asyncio.TimerHandle | None = None

    @property
    def fault(self) -> Fault:
        """What is wrong with the machine."""
        return self.machine.fault

    @property
    def is_dark(self) -> bool:
        """Whether its network is down."""
        return not self.machine.answers

    def noise(self, length: int) -> bytes:
        """Bytes that mean nothing."""
        return self.machine.random.randbytes(length)

    def asked_by(self, source: str) -> None:
        """Remember who asked, and from when to when, until somebody else does."""
        now_s = time.monotonic()
        last = self.askers[-1] if self.askers else None
        if last is None or last.source != source:
            self.askers.append(Asker(source, now_s, now_s))
        else:
            last.until_s, last.questions = now_s, last.questions + 1

    async def open(self) -> None:
        """Listen on every port of the machine. Raises TwinError where a port is taken."""
        self.is_up = True
        loop = asyncio.get_running_loop()
        for what, port, connection in self.ports:
            listener = open_socket(self.machine.address, port, what)
            server = await loop.create_server(connection, sock=listener)
            if self.is_up:
                self.servers.append(server)
            else:
                server.close()

    def shut(self) -> None:
        """Stop listening and break every connection, as a machine without power does."""
        self.is_up = False
        servers, self.servers = self.servers, []
        for server in servers:
            server.close()
        for connection in tuple(self.connections):
            connection.abort()

    def take_aftermath(self) -> Aftermath:
        """What the request just answered leaves to be done."""
        return self.machine.take_aftermath()

    def after_reply(self) -> None:
        """Bring the listeners into line with the machine's phase, now and whenever it may change by itself."""
        self.machine.advance()
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        loop = asyncio.get_running_loop()
        if self.machine.answers and not self.is_up:
            self.opening = loop.create_task(self._reopen())
        elif not self.machine.answers and self.is_up:
            self.shut()
        next_at = min(self.machine.next_change_at, self.machine.slots.next_s(self.machine))
        if self.machine.phase is Phase.BOOTING:
            next_at = min(next_at, self.machine.phase_until)
        if next_at < inf:
            wait_s = (next_at - self.machine.clock()) / self.time_scale
            self.timer = loop.call_later(max(wait_s, 0.0) + 0.001, self.after_reply)

    async def _reopen(self) -> None:
        try:
            await self.open()
        except TwinError as error:
            self.shut()
            log.warning("virtual_machine_cannot_listen", address=self.machine.address, reason=str(error))


class VirtualSite:
    """Mixed virtual machines on loopback addresses.

    ``time_scale`` makes their seconds pass faster (60: a reboot of one minute takes one second). ``clock`` replaces
    the clock altogether. The same seed gives the same machines. With a ``pool`` the machines really mine for it;
    without one their shares are made up. Start it inside a running event loop.
    """

    def __init__(
        self,
        config: Twin,
        *,
        time_scale: float | None = None,
        slow_s: float = 3.0,
        clock: SimClock | None = None,
        pool: SitePool | None = None,
    ) -> None:
        scale = config.time_scale if time_scale is None else time_scale
        if scale <= 0:
            raise TwinError(f"twin.time_scale: found {scale}; expected above 0")
        self.config, self.time_scale, self.slow_s = config, scale, slow_s
        started_s, started_monotonic_s = time.time(), time.monotonic()
        self.clock: SimClock = clock or (lambda: started_s + (time.monotonic() - started_monotonic_s) * scale)
        self.places = {position.address: self._place(position) for position in positions(config)}
        self.control: Control | None = None
        self.meter: SiteMeter | None = None
        self.plant: Plant | None = None
        self.mining: Mining | None = None
        self._mining: asyncio.Task[None] | None = None
        self.moving: asyncio.Task[None] | None = None
        """Machines on their way to other addresses."""
        if pool is not None:
            self._point_at(pool)

    def _point_at(self, pool: SitePool) -> None:
        """Configure the machines for the site's pool: some Antminers with Stratum V2, V1 being their fallback."""
        antminers = 0
        for place in self.places.values():
            machine = place.machine
            entries = [PoolEntry(pool.url, machine.user, "x")]
            if machine.model.family is Family.ANTMINER:
                antminers += 1
                share = self.config.v2_share
                if int(antminers * share) > int((antminers - 1) * share):
                    entries.insert(0, PoolEntry(pool.v2_url, machine.user, "x"))
            machine.use_real_pools(tuple(entries))
        machines = (place.machine for place in self.places.values())
        self.mining = Mining(machines, hash_scale=self.config.hash_scale)

    def _place(self, position: Position) -> Place:
        machine = VirtualMachine(
            address=position.address,
            model=model_of(position.family),
            rack=position.rack,
            slot=position.slot,
            seed=self.config.seed,
            clock=self.clock,
        )
        return Place(
            FIRMWARES[position.family](machine),
            ports={word: getattr(self.config, f"{word}_port") for word in SERVICES},
            slow_s=self.slow_s,
            time_scale=self.time_scale,
        )

    @property
    def addresses(self) -> list[str]:
        """Every machine's address, rack by rack."""
        return list(self.places)

    def machine(self, address: str) -> VirtualMachine:
        """One machine. Raises UnknownAddressError."""
        return self._at(address).machine

    def addresses_of(self, family: Family) -> list[str]:
        """The addresses of one family."""
        return [address for address, place in self.places.items() if place.machine.model.family is family]

    async def start(self, *, control: bool = False, plant: bool = False) -> None:
        """Open every listener, and where asked the control interface with the site's meter, and the plant.

        Raises TwinError; then nothing is left open.
        """
        connections = len(self.places) if self.mining is not None else 0
        _allow_files(sum(len(place.ports) for place in self.places.values()) + connections)
        try:
            for place in self.places.values():
                if place.machine.answers:
                    await place.open()
            if control:
                self.control = Control(self, port=self.config.control_port)
                await self.control.open()
                self.meter = SiteMeter(self, port=self.config.meter_port)
                await self.meter.open()
            if plant:
                self.plant = Plant(self)
                await self.plant.open()
            if self.mining is not None:
                self._mining = asyncio.get_running_loop().create_task(self.mining.run())
                self._mining.add_done_callback(_report)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Close everything; may be called twice."""
        mining, self._mining = self._mining, None
        if mining is not None:
            mining.cancel()
            await asyncio.gather(mining, return_exceptions=True)
        if self.moving is not None:
            self.moving.cancel()
        for each in (self.control, self.meter):
            if each is not None:
                each.shut()
        if self.plant is not None:
            await self.plant.close()
        for place in self.places.values():
            if place.timer is not None:
                place.timer.cancel()
            place.shut()
        # The loop closes aborted connections in its next turns.
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    def set_fault(self, address: str, fault: Fault) -> None:
        """Make something go wrong with one machine, or mend it with ``Fault.NONE``; in force when this returns.

        Raises UnknownAddressError.
        """
        place = self._at(address)
        place.machine.set_fault(fault)
        if fault in {Fault.HUNG, Fault.OFF}:
            return place.after_reply()
        # A hung machine's clients have waited long enough: mending it breaks their connections, as a reset would.
        for connection in tuple(place.connections):
            connection.abort()
        return place.after_reply()

    def set_api_write(self, address: str, allowed: bool) -> None:
        """Turn a Whatsminer's API switch on or off, as the maker's tool does. Raises TwinError for other families."""
        firmware = self._at(address).firmware
        if not isinstance(firmware, Whatsminer | WhatsminerV3):
            raise TwinError(f"{address}: set API switch: {firmware.machine.model.name} has none; expected a Whatsminer")
        firmware.machine.apply(api_write=allowed)

    def _at(self, address: str) -> Place:
        if address not in self.places:
            raise UnknownAddressError(f"{address}: no virtual machine has this address; see GET /machines for those")
        return self.places[address]


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("virtual_site_mines_no_more", exc_info=error)


def _allow_files(listeners: int) -> None:
    """Raise this process's limit of open files as far as the listeners need and the system lets."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = listeners * 2 + FILES_SPARE
    if soft != resource.RLIM_INFINITY and soft < needed:
        goal = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (goal, hard))
        soft = goal
    if soft != resource.RLIM_INFINITY and soft < listeners + FILES_SPARE:
        raise TwinError(
            f"virtual site: {listeners} listeners need {listeners + FILES_SPARE} open files, the system allows {soft}; "
            "raise the hard limit (ulimit -Hn) or run fewer machines"
        )
