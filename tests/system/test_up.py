"""Starting and stopping the whole site: refusals, leftovers, a full disk, clean ends."""

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from mbongi.run.site_lock import leftovers
from tests.embedded import free_ports
from tests.system.running import RunningSite, until

pytestmark = pytest.mark.system


def test_a_second_start_on_the_same_data_is_refused_in_one_line(site: RunningSite) -> None:
    result = site.command("up")

    assert result.returncode == 1
    assert "this site runs already (process " in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_busy_port_is_refused_in_one_line_that_names_its_holder(site: RunningSite) -> None:
    result = site.command("up", "--no-twin", MBONGI_SITE_DATA_DIR=str(site.folder / "other"))

    assert result.returncode == 1
    assert f"port {site.ports['WEB_PORT']} (web.port) is in use by process " in result.stderr
    assert "set MBONGI_WEB_PORT to a free port" in result.stderr
    assert result.stderr.count("\n") == 1


def test_the_status_command_says_that_all_is_well(site: RunningSite) -> None:
    result = site.command("status")

    assert result.returncode == 0, result.stdout
    assert "fleet      ready" in result.stdout


def test_everything_listens_on_loopback_only(site: RunningSite) -> None:
    held = {f"{port:04X}" for port in site.ports.values()}
    addresses = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text(encoding="ascii").splitlines()[1:]:
            address, _, port = line.split()[1].partition(":")
            if port in held and line.split()[3] == "0A":
                addresses.add(address)

    assert addresses <= {"0100007F", "00000000000000000000000001000000"}, addresses


def test_no_secret_reaches_a_log(site: RunningSite) -> None:
    secrets = [path.read_text().strip() for path in (site.data_dir / "secrets").glob("*.key")]
    token = site.first_link.rpartition("/")[2]

    assert secrets
    for path in site.logs():
        text = path.read_text(errors="replace")
        assert not [secret for secret in [*secrets, token] if secret and secret in text], path.name


def test_every_secret_is_readable_by_its_owner_alone(site: RunningSite) -> None:
    for path in (site.data_dir / "secrets").iterdir():
        assert path.stat().st_mode & 0o077 == 0, path


@pytest.fixture
def own(site: RunningSite) -> Iterator[RunningSite]:
    """The module's site, stopped or killed by the test and started again after it."""
    yield site
    site.stop()
    site.start()


def test_a_killed_supervisor_takes_all_processes_with_it_and_the_next_start_works(own: RunningSite) -> None:
    supervisor = own.status.pid
    assert len(leftovers(own.data_dir)) >= len(own.status.processes)

    os.kill(supervisor, signal.SIGKILL)
    until(lambda: not leftovers(own.data_dir), 30, own.said)
    own.stop()

    own.start()

    assert own.status.pid != supervisor


def test_ctrl_c_stops_everything_cleanly(own: RunningSite) -> None:
    assert own.stop() == 0

    assert leftovers(own.data_dir) == []
    assert {process.state for process in own.status.processes} == {"stopped"}
    for port in own.ports.values():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))


def test_a_start_that_cannot_succeed_says_why_and_leaves_nothing_running(site: RunningSite) -> None:
    """The database's files belong to somebody else: the log's last line is on the terminal."""
    folder = site.folder / "broken"
    (folder / "postgres").mkdir(parents=True)
    (folder / "postgres" / "PG_VERSION").write_text("not a version\n")
    ports = {f"MBONGI_{name}": str(port) for name, port in zip(site.ports, free_ports(len(site.ports)), strict=True)}

    result = site.command("up", "--no-twin", MBONGI_SITE_DATA_DIR=str(folder), **ports)

    assert result.returncode == 1
    assert "mbongi up: postgres: died 4 times at its start" in result.stderr
    assert leftovers(folder) == []
