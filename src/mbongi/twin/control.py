"""The control interface of the virtual site: JSON over HTTP on 127.0.0.1, for drills and tests.

    GET  /health                               {"machines": 60, "practice": {"hash_scale", "hashes", "pooled"}}
    GET  /machines                             [{"address", "family", "model", "rack", "slot", "phase", "fault", ...}]
    GET  /machines/ADDRESS                     one of them
    GET  /askers                               {ADDRESS: [{"source", "since_s", "until_s", "questions"}, ...], ...}
    POST /machines/ADDRESS/fault               {"fault": "hung"}; any word of GET /faults, "none" mends
    POST /machines/ADDRESS/api-write           {"allowed": true}; Whatsminers only
    GET  /faults                               the words

Errors are {"error": "..."} with status 400, 403, 404 or 405. Web pages cannot reach it: a foreign Host or any Origin
is refused.
"""

import asyncio
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from mbongi.twin.errors import TwinError, UnknownAddressError, UnknownFaultError
from mbongi.twin.firmware import HttpReply, HttpRequest, encode, json_object
from mbongi.twin.listeners import Connection, HttpConnection, open_socket
from mbongi.twin.machine import VirtualMachine
from mbongi.twin.values import Fault

if TYPE_CHECKING:
    from mbongi.twin.site import VirtualSite

HOST = "127.0.0.1"


def fault_named(word: object) -> Fault:
    """The fault of that name. Raises UnknownFaultError naming those that there are."""
    try:
        return Fault(str(word))
    except ValueError as error:
        raise UnknownFaultError(f"fault {word!r}: no such fault; expected one of {', '.join(Fault)}") from error


class Control:
    """The control listener."""

    slow_s = 0.0
    fault = Fault.NONE

    def __init__(self, site: "VirtualSite", *, port: int) -> None:
        self.site, self.port = site, port
        self.connections: set[Connection] = set()
        self.server: asyncio.AbstractServer | None = None

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
        parts = request.path.split("?", 1)[0].strip("/").split("/")
        if request.method == "GET":
            return self._read(parts)
        if request.method != "POST":
            return _error(405, f"{request.method} is not understood; expected GET or POST")
        if len(parts) != 3 or parts[0] != "machines":
            return _error(404, f"POST {request.path}: no such page; expected /machines/ADDRESS/fault")
        document = json_object(request.body)
        if document is None:
            return _error(400, 'the body is no JSON object; expected such as {"fault": "hung"}')
        return self._write(parts[1], parts[2], document)

    def _read(self, parts: list[str]) -> HttpReply:
        site = self.site
        match parts:
            case ["health"]:
                return _json({"machines": len(site.places), "practice": self._practice()})
            case ["faults"]:
                return _json([str(fault) for fault in Fault])
            case ["askers"]:
                return _json(
                    {address: [asdict(asker) for asker in place.askers] for address, place in site.places.items()}
                )
            case ["machines"]:
                return _json([self._described(place.machine) for place in site.places.values()])
            case ["machines", address]:
                return _json(self._described(site.machine(address)))
        return _error(404, f"/{'/'.join(parts)}: no such page; expected /health, /faults or /machines")

    def _write(self, address: str, what: str, document: dict[str, Any]) -> HttpReply:
        machine = self.site.machine(address)
        if what == "fault":
            self.site.set_fault(address, fault_named(document.get("fault")))
        elif what == "api-write":
            allowed = document.get("allowed")
            if not isinstance(allowed, bool):
                return _error(400, f"allowed: found {allowed!r}; expected true or false")
            self.site.set_api_write(address, allowed)
        else:
            return _error(404, f"{what}: no such page; expected fault or api-write")
        return _json(self._described(machine))

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
            "hashrate_ths": round(machine.rate_ths, 3),
            "power_w": round(machine.power_w, 1),
            "hottest_c": round(machine.hottest_c, 1),
            "user": machine.pools[0].user,
            "pool": "" if miner is None else miner.pool,
            "accepted": machine.accepted,
            "rejected": machine.rejected,
            "stale": machine.stale,
            "practice_hs": 0.0 if miner is None else round(miner.hashrate_hs, 3),
        }


def _json(document: object) -> HttpReply:
    return HttpReply(200, encode(document))


def _error(status: int, text: str) -> HttpReply:
    return HttpReply(status, encode({"error": text}))
