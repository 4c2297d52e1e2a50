"""Runs the control room."""

import argparse
import asyncio

from granian.constants import Interfaces, Loops
from granian.log import LogLevels
from granian.server import Server

from mbongi.base.config import Config
from mbongi.base.log import get_log
from mbongi.run.database import use_database
from mbongi.web.catalogues import compile_catalogues

log = get_log(__name__)

CONNECTIONS_WAITING_MAX = 1024
REQUESTS_MAX = 600
"""Requests at the same time, streams included; further ones wait in the backlog."""
KILL_S = 8


def main(config: Config, arguments: argparse.Namespace | None = None) -> int:  # noqa: ARG001
    """Serve until told to stop."""
    compile_catalogues()
    use_database()
    server = Server(
        "mbongi.web.asgi:application",
        address=config.web.host,
        port=config.web.port,
        interface=Interfaces.ASGI,
        workers=max(1, config.web.workers),
        loop=Loops.uvloop,
        backlog=CONNECTIONS_WAITING_MAX,
        backpressure=REQUESTS_MAX,
        websockets=False,
        respawn_failed_workers=True,
        workers_kill_timeout=KILL_S,
        log_level=LogLevels.warning,
    )
    log.info("web_started", address=f"{config.web.host}:{config.web.port}", workers=config.web.workers)
    server.serve()
    log.info("web_stopped")
    return 0


async def ready(config: Config) -> bool:
    """Whether the control room answers within a second."""
    host = "127.0.0.1" if config.web.host in {"0.0.0.0", "::"} else config.web.host  # noqa: S104 -- compared, not bound
    try:
        async with asyncio.timeout(1.0):
            reader, writer = await asyncio.open_connection(host, config.web.port)
            try:
                writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                await writer.drain()
                return (await reader.readline()).startswith(b"HTTP/1.1 200")
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False
