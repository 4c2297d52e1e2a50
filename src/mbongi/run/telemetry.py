"""Runs the embedded telemetry store behind its gateway, which speaks ClickHouse's HTTP interface on loopback."""

import argparse
import asyncio
import contextlib
import fcntl
import os
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import uvloop

from mbongi.base.config import Config
from mbongi.base.errors import ConfigError
from mbongi.base.log import get_log
from mbongi.core.telemetry.client import store_key
from mbongi.core.telemetry.errors import TelemetryError
from mbongi.run.stopping import stop_event

log = get_log(__name__)


def main(config: Config, arguments: argparse.Namespace | None = None) -> int:  # noqa: ARG001
    """Run until told to stop."""
    if config.telemetry.url:
        raise ConfigError("telemetry.url names a store, so the embedded one is not run; unset it to run this one")
    # The engine takes its default time zone when it is loaded; everything stored is UTC.
    os.environ["TZ"] = "UTC"
    time.tzset()
    directory = config.site.data_dir.resolve() / "telemetry"
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _only_owner(directory):
        return uvloop.run(_serve(config, directory))


async def _serve(config: Config, directory: Path) -> int:
    # Imported here, as loading the engine takes half a second and 400 MB that a configuration error need not cost.
    from mbongi.core.telemetry.engine import Engine  # noqa: PLC0415
    from mbongi.core.telemetry.gateway import BODY_BYTES_MAX, Gateway  # noqa: PLC0415
    from mbongi.core.telemetry.httpd import serve  # noqa: PLC0415

    engine = await asyncio.to_thread(Engine, directory / "store", memory_bytes_max=config.telemetry.memory_bytes_max)
    gateway = Gateway(engine, store_key(config), config.telemetry)
    port = config.telemetry.port
    try:
        server = await serve(gateway.handle, "127.0.0.1", port, body_bytes_max=BODY_BYTES_MAX)
    except OSError as error:
        raise TelemetryError(
            f"telemetry: 127.0.0.1:{port}: {error.strerror}; free the port or set telemetry.port"
        ) from error
    stopped = stop_event()
    log.info("telemetry_started", port=port)
    await stopped.wait()
    server.close()
    gateway.close()
    log.info("telemetry_stopped")
    # What was acknowledged is on disk; closing the engine would wait for its merges, which resume at the next start.
    os._exit(0)


@contextlib.contextmanager
def _only_owner(directory: Path) -> Iterator[IO[str]]:
    with (directory / "owner.lock").open("w", encoding="ascii") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise TelemetryError(f"{directory}: another telemetry process owns it; stop that one first") from error
        yield lock


def ready(config: Config) -> bool:
    """Whether the gateway, or the configured store, answers within a second."""
    try:
        with urllib.request.urlopen(f"{config.telemetry_url}/ping", timeout=1.0) as answer:  # noqa: S310
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError, ValueError):
        return False
