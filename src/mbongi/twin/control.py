"""The control interface of the virtual site: JSON over HTTP on 127.0.0.1, for drills and tests.

    GET  /health                               {"machines": 60, "practice": {"hash_scale", "hashes", "pooled"}}
    GET  /machines                             [{"address", "family", "model", "rack", "slot", "phase", "fault", ...}]
    GET  /machines/ADDRESS                     one of them, with "settings": what is really set, secrets as digests
    GET  /machines/ADDRESS/writes              its last writes: [{"at", "what", "wanted", "taken", "answered", ...}]
    GET  /askers                               {ADDRESS: [{"source", "since_s", "until_s", "questions"}, ...], ...}
    POST /machines/ADDRESS/fault               {"fault": "hung"}; any word of GET /faults, "none" mends
    POST /machines/ADDRESS/write-fault         {"fault": "lies", "times": 1}; times null or left out: until mended
    POST /machines/ADDRESS/api-write           {"allowed": true}; Whatsminers only
    POST /faults                               {"share": {"hung": 0.01}, "write_share": {"lies": 0.1}, "times": 1,
                                               "seed": 1}: shares of all machines, none of which gets two of a kind
    POST /machines/ADDRESS/report              {}: press its button: it tells by UDP who it is
    POST /racks/N/report                       {}: the buttons of a whole rack; {"pressed": 12}
    POST /machines/ADDRESS/address             {"address": "127.20.9.7"}; the machine moves there
    POST /dhcp                                 {"rack": 3}; its machines exchange their addresses; {OLD: NEW}
    GET  /faults, GET /write-faults            the words
    GET  /meter                                {"truth_w", "shown_w", "nameplate_w", "port", "fault", "grid", ...}
    POST /meter/fault                          {"fault": "frozen"}; none, hung, off, frozen, noisy, scale_jump
    POST /grid                                 {"hz": 49.6, "volts": 228}; either may be left out
    GET  /plant                                {"power_w": {...}, "states": {TAG: "closed", ...}, "faults": {...}, ...}
    GET  /plant/document                       {"elements": [...], "links": [...], "devices": [...]}
    GET  /plant/events                         [{"at", "tag", "state"}, ...]: what changed, the newest last
    GET  /plant/faults                         {TAG: ["none", "outage", ...], ...}
    POST /plant/cut, /plant/restore            {}: the buttons of the drill: the grid goes, and comes back
    POST /plant/TAG/fault                      {"fault": "no_start"}; "none" mends
    POST /plant/TAG/switch                     {"closed": false}; a breaker, by hand
    POST /plant/TAG/outlet                     {"outlet": 3, "on": false}; of a PDU

Errors are {"error": "..."} with status 400, 403, 404 or 405. Web pages cannot reach it: a foreign Host or any Origin
is refused.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from random import Random
from typing import TYPE_CHECKING, Any, TypeVar

from mbongi.twin import moving, report
from mbongi.twin.errors import TwinError, UnknownAddressError, UnknownFaultError
from mbongi.twin.firmware import HttpReply, HttpRequest, encode, json_object
from mbongi.twin.listeners import Connection, HttpConnection, open_socket
from mbongi.twin.machine import VirtualMachine
from mbongi.twin.meter import SiteMeter
from mbongi.twin.plant import buttons
from mbongi.twin.settings import Aftermath, all_stated
from mbongi.twin.values import Fault
from mbongi.twin.write_faults import WriteFault

if TYPE_CHECKING:
    from mbongi.twin.site import VirtualSite

HOST = "127.0.0.1"


Document = dict[str, Any]
F = TypeVar("F", Fault, WriteFault)


def fault_named(word: object) -> Fault:
    """The fault of that name. Raises UnknownFaultError naming those that there are."""
    try:
        return Fault(str(word))
    except ValueError as error:
        raise UnknownFaultError(f"fault {word!r}: no such fault; expected one of {', '.join(Fault)}") from error


def write_fault_named(word: object) -> WriteFault:
    """The fault of writes of that name. Raises UnknownFaultError naming those that there are."""
    try:
        return WriteFault(str(word))
    except ValueError as error:
        raise UnknownFaultError(
            f"write fault {word!r}: no such fault; expected one of {', '.join(WriteFault)}"
        ) from error


class Control:
    """The control listener."""

    slow_s = 0.0
    is_dark = False
    fault = Fault.NONE

    def __init__(self, site: "VirtualSite", *, port: int) -> None:
        self.site, self.port = site, port
        self.connections: set[Connection] = set()
        self.server: asyncio.AbstractServer | None = None
        # In a path the second word is a name (an address, a rack's number): it goes to the handler.
        self.routes: Mapping[tuple[str, str], Callable[[str, Document], object]] = {
            ("GET", "health"): self._health,
            ("GET", "faults"): lambda _, __: list(map(str, Fault)),
            ("GET", "write-faults"): lambda _, __: list(map(str, WriteFault)),
            ("GET", "askers"): self._askers,
            ("GET", "machines"): lambda _, __: [self._described(place.machine) for place in site.places.values()],
            ("GET", "machines/*"): self._machine,
            ("GET", "machines/*/writes"): lambda address, _: [asdict(each) for each in site.machine(address).writes],
            ("POST", "machines/*/fault"): self._set_fault,
            ("POST", "machines/*/write-fault"): self._set_write_fault,
            ("POST", "machines/*/api-write"): self._set_api_write,
            ("POST", "faults"): self._share_faults,
            **report.routes(site),
            **moving.routes(site),
            **buttons.routes(site),
            ("GET", "meter"): lambda _, __: self._meter().document(),
            ("POST", "meter/*"): self._set_meter,
            ("POST", "grid"): self._set_grid,
        }

    async def open(self) -> None:
        """Listen. Raises TwinError where the port is taken."""
        listener = open_socket(HOST, self.port, "control")
        self.port = listener.getsockname()[1]
        self.server = await asyncio.get_running_loop().create_server(
            lambda: HttpConnection(self, self.answer_http), sock=listener
        )

    def shut(self) -> None:
        """Stop listening and break open connections."""
        if self.server is not None:
            self.server.close()
            self.server = None
        for connection in tuple(self.connections):
            connection.abort()

    def noise(self, length: int) -> bytes:
        """The control interface never fails on purpose."""
        return bytes(length)

    def take_aftermath(self) -> Aftermath:
        """Its answers are never kept back."""
        return Aftermath()

    def after_reply(self) -> None:
        """Nothing follows from an answer."""

    def asked_by(self, source: str) -> None:
        """Whoever drills may ask."""

    def answer_http(self, request: HttpRequest) -> HttpReply:
        """One request."""
        host = request.headers.get("host", "").rsplit(":", 1)[0]
        if host not in {HOST, "localhost"} or "origin" in request.headers:
            return _error(403, "the control interface answers local programs only, not web pages")
        try:
            return self._routed(request)
        except UnknownAddressError as error:
            return _error(404, str(error))
        except TwinError as error:
            return _error(400, str(error))

    def _routed(self, request: HttpRequest) -> HttpReply:
        first, *rest = request.path.split("?", 1)[0].strip("/").split("/")
        name = rest[0] if rest else ""
        pattern = "/".join([first, *["*"] * bool(rest), *rest[1:]])
        handler = self.routes.get((request.method, pattern))
        if handler is None:
            return self._unrouted(request)
        document = {} if request.method == "GET" else json_object(request.body)
        if document is None:
            return _error(400, 'the body is no JSON object; expected such as {"fault": "hung"}')
        return _json(handler(name, document))

    def _unrouted(self, request: HttpRequest) -> HttpReply:
        if request.method not in {"GET", "POST"}:
            return _error(405, f"{request.method} is not understood; expected GET or POST")
        pages = ", ".join(f"/{pattern}" for method, pattern in self.routes if method == request.method)
        return _error(404, f"{request.method} {request.path}: no such page; expected one of {pages}")

    # What can be read.

    def _health(self, _: str, __: Document) -> object:
        return {"machines": len(self.site.places), "practice": self._practice()}

    def _askers(self, _: str, __: Document) -> object:
        places = self.site.places.items()
        return {address: [asdict(asker) for asker in place.askers] for address, place in places}

    def _machine(self, address: str, _: Document) -> object:
        machine = self.site.machine(address)
        return {**self._described(machine), "settings": all_stated(machine.settings)}

    # What can be done.

    def _set_fault(self, address: str, document: Document) -> object:
        machine = self.site.machine(address)
        self.site.set_fault(address, fault_named(document.get("fault")))
        return self._described(machine)

    def _set_write_fault(self, address: str, document: Document) -> object:
        machine = self.site.machine(address)
        machine.set_write_fault(write_fault_named(document.get("fault")), times=_times(document))
        return self._described(machine)

    def _set_api_write(self, address: str, document: Document) -> object:
        machine, allowed = self.site.machine(address), document.get("allowed")
        if not isinstance(allowed, bool):
            raise TwinError(f"allowed: found {allowed!r}; expected true or false")
        self.site.set_api_write(address, allowed)
        return self._described(machine)

    def _meter(self) -> SiteMeter:
        if self.site.meter is None:
            raise TwinError("the meter is not open yet")
        return self.site.meter

    def _set_meter(self, what: str, document: Document) -> object:
        if what != "fault":
            raise UnknownAddressError(f"/meter/{what}: no such page; expected /meter/fault")
        self._meter().set_fault(document.get("fault"))
        return self._meter().document()

    def _set_grid(self, _: str, document: Document) -> object:
        self._meter().set_grid(document)
        return self._meter().document()

    def _share_faults(self, _: str, document: Document) -> object:
        """Faults for shares of the machines, by a seed; who got which."""
        random, times = Random(str(document.get("seed", 1))), _times(document)  # noqa: S311 -- a drill
        faults = [(fault_named(word), share) for word, share in _shares(document.get("share"))]
        write_faults = [(write_fault_named(word), share) for word, share in _shares(document.get("write_share"))]
        sick = shared_out(self.site.addresses, faults, random)
        lying = shared_out(self.site.addresses, write_faults, random)
        for fault, addresses in sick.items():
            for address in addresses:
                self.site.set_fault(address, fault)
        for write_fault, addresses in lying.items():
            for address in addresses:
                self.site.machine(address).set_write_fault(write_fault, times=times)
        return {"faults": sick, "write_faults": lying}

    def _practice(self) -> dict[str, Any] | None:
        """What is really hashed; None where shares are made up."""
        mining = self.site.mining
        if mining is None:
            return None
        miners = mining.miners.values()
        return {
            "hash_scale": mining.scale,
            "hashes": sum(miner.hashes for miner in miners),
            "pooled": sum(1 for miner in miners if miner.pool),
        }

    def _described(self, machine: VirtualMachine) -> dict[str, Any]:
        machine.advance()
        miner = self.site.mining.miners[machine.address] if self.site.mining is not None else None
        return {
            "address": machine.address,
            "family": str(machine.model.family),
            "model": machine.model.name,
            "rack": machine.rack,
            "slot": machine.slot,
            "mac": machine.mac,
            "serial": machine.serial,
            "phase": str(machine.phase),
            "fault": str(machine.fault),
            "write_fault": str(machine.write_fault),
            "writes": machine.write_count,
            "hashrate_ths": round(machine.rate_ths, 3),
            "power_w": round(machine.power_w, 1),
            "hottest_c": round(machine.hottest_c, 1),
            "user": machine.pools[0].user,
            "pool": "" if miner is None else miner.pool,
            "accepted": machine.accepted,
            "rejected": machine.rejected,
            "stale": machine.stale,
            "practice_hs": 0.0 if miner is None else round(miner.hashrate_hs, 3),
            **machine.slots.described(),
        }


def shared_out(addresses: Iterable[str], shares: Iterable[tuple[F, float]], random: Random) -> dict[F, list[str]]:
    """Addresses drawn for each fault, a share of all of them [0..1] rounded to whole machines, none for two faults."""
    drawn = list(addresses)
    count = len(drawn)
    random.shuffle(drawn)
    given: dict[F, list[str]] = {}
    for fault, share in shares:
        number = round(count * share)
        given[fault], drawn = drawn[:number], drawn[number:]
    return given


def _shares(found: object) -> list[tuple[str, float]]:
    """Raises TwinError unless it is such as {"hung": 0.01}, together at most 1."""
    shares = {} if found is None else found
    fits = isinstance(shares, dict) and all(isinstance(share, int | float) and share >= 0 for share in shares.values())
    if not isinstance(shares, dict) or not fits or sum(shares.values()) > 1:
        raise TwinError(f'share: found {found!r}; expected such as {{"hung": 0.01}}, together at most 1')
    return list(shares.items())


def _times(document: Document) -> int | None:
    """Raises TwinError unless it is a number of writes or nothing."""
    times = document.get("times")
    if times is not None and (not isinstance(times, int) or isinstance(times, bool) or times < 1):
        raise TwinError(f"times: found {times!r}; expected a whole number of writes from 1, or null")
    return times


def _json(document: object) -> HttpReply:
    return HttpReply(200, encode(document))


def _error(status: int, text: str) -> HttpReply:
    return HttpReply(status, encode({"error": text}))
