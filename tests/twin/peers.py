"""Plain clients for the tests: sockets and JSON, nothing of the product's own codecs."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from mbongi.base.config import Twin
from mbongi.fleet.values import Family
from mbongi.twin.machine import SimClock
from mbongi.twin.site import VirtualSite
from tests.embedded import free_ports

NETWORK = "127.24.0.0/16"
WAIT_S = 10.0
PORTS = ("rpc_port", "http_port", "framed_port", "control_port", "meter_port")


def twin_ports() -> dict[str, int]:
    """The ports of a virtual site without a plant."""
    return {**dict(zip(PORTS, free_ports(len(PORTS)), strict=True)), "plant_port": 0}


@asynccontextmanager
async def running_site(
    *,
    machines: int = 3,
    per_rack: int = 1,
    families: tuple[str, ...] = (),
    control: bool = False,
    clock: SimClock | None = None,
    **options: Any,
) -> AsyncIterator[VirtualSite]:
    """A site on free ports; with three machines one of each family: Antminer, Whatsminer, Bitaxe."""
    ports = twin_ports()
    config = Twin(machines=machines, per_rack=per_rack, network=NETWORK, families=families, **ports)
    site = VirtualSite(config, clock=clock, **options)
    await site.start(control=control)
    try:
        yield site
    finally:
        await site.close()


def one(site: VirtualSite, family: Family) -> str:
    return site.addresses_of(family)[0]


async def raw(site: VirtualSite, address: str, request: bytes) -> bytes:
    """Send bytes to the RPC port, read to the end."""
    async with asyncio.timeout(WAIT_S):
        reader, writer = await asyncio.open_connection(address, site.config.rpc_port)
        try:
            writer.write(request)
            return await reader.read()
        finally:
            writer.close()


async def rpc(site: VirtualSite, address: str, command: str, **more: Any) -> dict[str, Any]:
    found = await raw(site, address, json.dumps({"command": command, **more}).encode())
    document: dict[str, Any] = json.loads(found.rstrip(b"\0"))
    return document


@asynccontextmanager
async def web(site: VirtualSite, address: str, *, password: str | None = None) -> AsyncIterator[httpx.AsyncClient]:
    """httpx brings its own digest authentication: a second implementation at the other end."""
    auth = None if password is None else httpx.DigestAuth("root", password)
    base = f"http://{address}:{site.config.http_port}"
    async with httpx.AsyncClient(base_url=base, auth=auth, timeout=WAIT_S, trust_env=False) as client:
        yield client


async def cgi(site: VirtualSite, address: str, page: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    async with web(site, address, password="root") as client:
        path = f"/cgi-bin/{page}.cgi"
        reply = await (client.get(path) if body is None else client.post(path, json=body))
    reply.raise_for_status()
    document: dict[str, Any] = reply.json()
    return document


class HandClock:
    """A clock that the test moves by hand."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def pass_s(self, seconds: float) -> None:
        self.now += seconds
