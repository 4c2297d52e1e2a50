"""Devices that are not ours, on loopback, each started for one test module and stopped by it.

net-snmp's ``snmpd`` and Network UPS Tools' ``upsd`` come from Debian (``.ci/run`` installs them); pymodbus's server and
a device of bacpypes3 from the Python packages. A missing program fails the test and says what to install.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

START_S = 15.0
AUTH, PRIVACY = "a long auth phrase", "a long privacy phrase"
COMMUNITY = "plant"


def program(name: str, package: str) -> str:
    """Where a program is. Fails where it is not, as tests must not pass by not running."""
    found = shutil.which(name, path=f"/lib/nut:/usr/lib/nut:{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    assert found is not None, f"{name} is missing; install it (Debian: apt install {package}) and run this again"
    return found


@contextlib.contextmanager
def running(command: list[str], log: Path, env: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """A process of somebody else's software; its words are in ``log``."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=out, stderr=out, env={**os.environ, **(env or {})}
        )
        try:
            yield process
        finally:
            process.terminate()  # one that has ended by itself is only waited for
            try:
                process.wait(5.0)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            assert process.stdin is not None
            process.stdin.close()


def until(ready: "object", process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until ``ready()`` is true; fails with the process's own words."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        assert process.poll() is None, f"{process.args} ended:\n{log.read_text(errors='replace')[-2000:]}"
        if ready():  # type: ignore[operator]
            return
        time.sleep(0.05)
    raise AssertionError(f"{process.args} is not ready:\n{log.read_text(errors='replace')[-2000:]}")


def _said(port: int, question: bytes) -> bytes:
    """The beginning of an answer; nothing while nobody gives one."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.5) as probe:
        probe.sendall(question)
        time.sleep(0.05)
        return probe.recv(4096)
    return b""


def free_udp_port() -> int:
    """A UDP port of 127.0.0.1 that nobody has."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


@contextlib.contextmanager
def snmpd(folder: Path, objects: Mapping[str, tuple[str, object]]) -> Iterator[int]:
    """net-snmp's agent with these objects besides its own, by v2c and v3; its UDP port."""
    port, log = free_udp_port(), folder / "snmpd.log"
    lines = [
        f"agentAddress udp:127.0.0.1:{port}",
        f"rocommunity {COMMUNITY} 127.0.0.1",
        f'createUser reader SHA "{AUTH}" AES "{PRIVACY}"',
        f'createUser reader256 SHA-256 "{AUTH}" AES "{PRIVACY}"',
        f'createUser signer SHA "{AUTH}"',
        "rouser reader priv",
        "rouser reader256 priv",
        "rouser signer auth",
        *(f"override .{oid} {kind} {value}" for oid, (kind, value) in objects.items()),
    ]
    (folder / "snmpd.conf").write_text("\n".join(lines) + "\n")
    command = [program("snmpd", "snmpd"), "-f", "-Lo", "-C", "-c", str(folder / "snmpd.conf"), "-I", "-smux"]
    with running(command, log, {"SNMP_PERSISTENT_DIR": str(folder), "MIBS": ""}) as process:
        until(lambda: "NET-SNMP version" in log.read_text(errors="replace"), process, log)
        yield port


@contextlib.contextmanager
def upsd(folder: Path, port: int, variables: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Network UPS Tools' server with its dummy driver, whose process it gives.

    Debian's ``upsd`` on the path asks the machine's own configuration first, so the program behind it is started.
    """
    state = folder / "state"
    state.mkdir(mode=0o700)
    values = folder / "ups-a.dev"
    values.write_text("".join(f"{name}: {value}\n" for name, value in variables.items()) + "TIMER 1\n")
    (folder / "ups.conf").write_text(f"[ups-a]\n  driver = dummy-ups\n  mode = dummy-loop\n  port = {values}\n")
    (folder / "upsd.conf").write_text(f"LISTEN 127.0.0.1 {port}\nMAXAGE 5\n")
    (folder / "upsd.users").write_text("[reader]\n  password = read\n")
    for name in ("ups.conf", "upsd.conf", "upsd.users"):
        (folder / name).chmod(0o600)
    env = {"NUT_CONFPATH": str(folder), "NUT_STATEPATH": str(state), "NUT_ALTPIDPATH": str(state)}
    user = ["-u", "root"] if os.getuid() == 0 else []
    driver, server = program("dummy-ups", "nut-server"), program("upsd", "nut-server")
    with contextlib.ExitStack() as stack:
        log = folder / "driver.log"
        one = stack.enter_context(running([driver, "-a", "ups-a", "-DD", *user], log, env))
        until(lambda: any(state.glob("dummy-ups-ups-a*")), one, log)
        log = folder / "upsd.log"
        two = stack.enter_context(running([server, "-D", *user], log, env))
        until(lambda: b"battery.charge" in _said(port, b"LIST VAR ups-a\n"), two, log)
        yield one


@contextlib.contextmanager
def bacnet_device(folder: Path) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """A cooling unit of bacpypes3 in a process of its own: its UDP port, and the process, which takes commands."""
    port, log = free_udp_port(), folder / "bacnet.log"
    command = [sys.executable, "-m", "tests.facility.bacnet_device", str(port)]
    with running(command, log, {"PYTHONPATH": os.pathsep.join(sys.path)}) as process:
        until(lambda: "ready" in log.read_text(errors="replace"), process, log)
        yield port, process
