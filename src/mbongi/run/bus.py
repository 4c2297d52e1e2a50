"""Runs the embedded bus: the NATS server with JetStream, in the foreground, as a supervised process."""

import argparse
import contextlib
import json
import os
import signal
import socket
import subprocess
import sysconfig
import time
from pathlib import Path
from types import FrameType

from mbongi.base.config import Config
from mbongi.base.errors import ConfigError
from mbongi.base.keys import stored_key
from mbongi.base.log import get_log
from mbongi.core.bus.errors import BusError
from mbongi.run.start import dies_with_parent

log = get_log(__name__)

PAYLOAD_BYTES_MAX = 8_000_000
PING_S = "20s"
FSYNC_S = "10s"
"""How much of the newest may be lost with the power when ``bus.fsync_always`` is off."""
STOP_S_MAX = 9.0


def main(config: Config, arguments: argparse.Namespace | None = None) -> int:  # noqa: ARG001
    """Run until told to stop; returns the server's exit status."""
    if config.bus.url:
        raise ConfigError("bus.url names a server, so the embedded one is not run; unset it to run this one")
    settings_path = write_settings(config)
    # The hook runs between fork and exec; this process has one thread, so that is safe here.
    child = subprocess.Popen(  # noqa: S603
        [str(binary()), "--config", str(settings_path)],
        preexec_fn=dies_with_parent(),  # noqa: PLW1509
    )
    stop_at: list[float] = []

    def stop(_number: int, _frame: FrameType | None) -> None:
        if not stop_at:
            stop_at.append(time.monotonic() + STOP_S_MAX)
            child.send_signal(signal.SIGTERM)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    log.info("bus_started", pid=child.pid, port=config.bus.port)
    while True:
        try:
            status = child.wait(timeout=0.5 if stop_at else None)
            break
        except subprocess.TimeoutExpired:
            if time.monotonic() > stop_at[0]:
                child.kill()
    if stop_at:
        log.info("bus_stopped")
        return 0
    raise BusError(f"nats-server on port {config.bus.port} ended with status {status}; its last lines stand above")


def binary() -> Path:
    """The server's program, beside this Python. Raises ConfigError with the cure where it is missing."""
    path = Path(sysconfig.get_path("scripts")) / "nats-server"
    if not path.is_file():
        raise ConfigError(f"{path}: not there; run ./mbongi once to install the requirements")
    return path


def write_settings(config: Config) -> Path:
    """Write the server's settings, which carry the key and so are readable by their owner alone; return the path."""
    directory = config.site.data_dir.resolve() / "bus"
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    settings = {
        "server_name": f"mbongi-{config.site.code}",
        "listen": f"127.0.0.1:{config.bus.port}",
        "max_payload": PAYLOAD_BYTES_MAX,
        "max_pending": 128_000_000,
        "ping_interval": PING_S,
        "write_deadline": "10s",
        "authorization": {"token": stored_key(config.site.data_dir / "secrets" / "bus.key")},
        "jetstream": {
            "store_dir": str(directory),
            "max_memory_store": 16_000_000,
            "max_file_store": config.bus.bytes_max,
            "sync_interval": "always" if config.bus.fsync_always else FSYNC_S,
        },
        "logtime_utc": True,
    }
    path = directory / "server.conf"
    draft = path.with_suffix(".draft")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(settings, file, indent=1)  # NATS reads JSON as its own syntax.
    draft.replace(path)
    return path


def ready(config: Config) -> bool:
    """Whether the server greets on its port within a second."""
    with contextlib.suppress(OSError, ValueError):
        port = config.bus.port
        with socket.create_connection(("127.0.0.1", port), timeout=1.0) as connection:
            connection.settimeout(1.0)
            return connection.recv(5) == b"INFO "
    return False
