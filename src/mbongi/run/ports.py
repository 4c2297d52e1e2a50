"""Which ports the embedded servers need, and who holds one that is busy."""

import contextlib
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mbongi.base.config import Config
from mbongi.base.errors import MbongiError


class PortBusyError(MbongiError, OSError):
    """A port that a server needs is taken; the message says by whom and how to choose another."""


@dataclass(frozen=True, slots=True)
class Need:
    """A port that must be free, and the configuration key that moves it."""

    host: str
    port: int
    key: str


def needed(config: Config, *, with_twin: bool) -> list[Need]:
    """The ports that this configuration's embedded servers will listen on."""
    needs = [Need(config.web.host, config.web.port, "web.port")]
    loopback = "127.0.0.1"
    if not config.postgres.url:
        needs.append(Need(loopback, config.postgres.port, "postgres.port"))
    if not config.bus.url:
        needs.append(Need(loopback, config.bus.port, "bus.port"))
    if not config.telemetry.url:
        needs.append(Need(loopback, config.telemetry.port, "telemetry.port"))
    if with_twin:
        needs.append(Need(loopback, config.twin.control_port, "twin.control_port"))
        needs.append(Need(loopback, config.twin.meter_port, "twin.meter_port"))
    pool = config.pool
    if pool.enabled:
        needs += [Need(pool.host, pool.port, "pool.port"), Need(pool.host, pool.v2_port, "pool.v2_port")]
        if pool.tls_certificate:
            needs.append(Need(pool.host, pool.tls_port, "pool.tls_port"))
        if pool.declarations != "off":
            needs.append(Need(pool.host, pool.jd_port, "pool.jd_port"))
        if not pool.nodes and not pool.follows:
            needs.append(Need(loopback, pool.regtest_port, "pool.regtest_port"))
    return needs


def require_free(needs: Sequence[Need]) -> None:
    """Raise PortBusyError for the first port that somebody listens on."""
    for need in needs:
        if not is_free(need.host, need.port):
            variable = "MBONGI_" + need.key.upper().replace(".", "_")
            raise PortBusyError(
                f"port {need.port} ({need.key}) is in use{_by(need.port)}; "
                f"stop that program, or set {variable} to a free port"
            )


def is_free(host: str, port: int) -> bool:
    """True when a server could listen there now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: a closed connection's rest is free
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def _by(port: int) -> str:
    pid = _listener(port)
    if pid is None:
        return ""
    with contextlib.suppress(OSError):
        return f" by process {pid} ({Path(f'/proc/{pid}/comm').read_text(encoding='utf-8').strip()})"
    return ""


def _listener(port: int) -> int | None:
    """The process that listens on a TCP port, as far as this user may see. Source: proc(5), net/tcp."""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(table).read_text(encoding="ascii").splitlines()[1:]:
                columns = line.split()
                if columns[3] == "0A" and int(columns[1].rpartition(":")[2], 16) == port:
                    inodes.add(f"socket:[{columns[9]}]")
    for descriptor in Path("/proc").glob("[0-9]*/fd/*") if inodes else ():
        with contextlib.suppress(OSError):
            if str(descriptor.readlink()) in inodes:
                return int(descriptor.parts[2])
    return None
