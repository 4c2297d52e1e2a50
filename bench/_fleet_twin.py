"""The virtual site of the fleet benchmarks, in a process of its own that is not counted."""

import contextlib
import json
import os
import random
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mbongi.base.config import Twin
from mbongi.fleet.values import Family
from mbongi.twin.layout import Position, positions

ROOT = Path(__file__).parents[1]
START_S = 120.0
PORTS = range(20_000, 32_000)


def environment() -> dict[str, str]:
    """What a child process needs to import the project."""
    return os.environ | {"PYTHONPATH": os.pathsep.join((str(ROOT / "src"), str(ROOT)))}


FAMILIES = ("antminer", "whatsminer", "bitaxe", "whatsminer_v3", "avalon", "luxos", "vnish", "braiins")
SLICES = 4


def slices(machines: int, families: Sequence[str] = FAMILIES) -> list[Twin]:
    """A large virtual site in several processes, each with a network of its own; all have the same device ports."""
    rpc_port, http_port, framed_port = free_port(), free_port(), free_port()
    return [
        Twin(
            machines=machines // SLICES,
            network=f"127.{40 + number}.0.0/16",
            per_rack=50,
            rpc_port=rpc_port,
            http_port=http_port,
            framed_port=framed_port,
            families=tuple(families),
            control_port=free_port(),
            meter_port=free_port(),
            plant_port=0,
        )
        for number in range(SLICES)
    ]


def control(config: Twin, path: str, document: object = None) -> Any:
    """What a virtual site's control interface answers to a GET, or to a POST of ``document``."""
    body = None if document is None else json.dumps(document).encode()
    with urllib.request.urlopen(f"http://127.0.0.1:{config.control_port}{path}", body, timeout=60) as answer:
        return json.load(answer)


@contextlib.contextmanager
def virtual_site(config: Twin) -> Iterator[dict[Family, list[Position]]]:
    """Run the machines while the block runs; gives their places by family."""
    places = positions(config)
    command = [sys.executable, "-m", "mbongi.cli", "twin"]
    for name in (
        "machines",
        "network",
        "per_rack",
        "rpc_port",
        "http_port",
        "framed_port",
        "control_port",
        "meter_port",
        "plant_port",
    ):
        command += [f"--{name.replace('_', '-')}", str(getattr(config, name))]
    if config.families:
        command += ["--families", ",".join(config.families)]
    child = subprocess.Popen(
        command, cwd=ROOT, env=environment() | {"MBONGI_POOL_ENABLED": "false"}, stderr=subprocess.PIPE, text=True
    )
    try:
        _wait(child, config, places[-1])
        yield {family: [place for place in places if place.family is family] for family in Family}
    finally:
        child.terminate()
        try:
            child.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            child.kill()
            child.communicate()


def _wait(child: "subprocess.Popen[str]", config: Twin, last: Position) -> None:
    """Until the last machine takes connections."""
    ports = (config.rpc_port, config.http_port, config.framed_port)
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        if child.poll() is not None:
            raise SystemExit(f"the virtual site did not start: {child.stderr.read() if child.stderr else ''}")
        for port in ports:
            with contextlib.suppress(OSError), socket.create_connection((last.address, port), timeout=1):
                return
        time.sleep(0.2)
    raise SystemExit(f"the virtual site did not start within {START_S:g} s")


def free_port() -> int:
    """A port on 127.0.0.1 that is free at this moment, below those that the system gives away by itself."""
    while True:
        port = random.choice(PORTS)
        with socket.socket() as listener:
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
