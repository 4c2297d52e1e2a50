"""What was acknowledged before PostgreSQL is killed is there afterwards. On a server of its own, with fsync."""

import contextlib
import os
import signal
import threading
import time
from pathlib import Path

import psycopg
import pytest

from mbongi.base.keys import stored_key
from mbongi.run.cluster import Cluster, PostgresError
from tests import embedded

pytestmark = pytest.mark.system


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    # Not below pytest's folder, which the server's system user must not pass.
    home = Path(os.environ[embedded.STATE]) / f"own-{os.getpid()}-{time.monotonic_ns()}"
    home.mkdir(mode=0o711)
    key = stored_key(home / "secrets" / "postgres.key")
    return embedded.cluster(home / "postgres", *embedded.free_ports(1), key=key, options=())


def url_of(server: Cluster) -> str:
    return f"postgresql://mbongi:{server.key}@127.0.0.1:{server.port}/mbongi"


def test_acknowledged_entries_survive_kill_9_and_verify(server: Cluster) -> None:
    """The appending and verifying run in processes of their own, as the daemons' do."""
    child = embedded.start_and_wait(server)
    site = embedded.Site(server)
    assert site.run("migrate").returncode == 0
    acknowledged = site.start_python(APPENDER)
    assert acknowledged.stdout is not None
    lines: list[str] = []
    reader = threading.Thread(target=lambda: lines.extend(acknowledged.stdout or []))
    reader.start()
    while len(lines) < 200:
        time.sleep(0.01)
        assert acknowledged.poll() is None
    child.send_signal(signal.SIGKILL)
    child.wait()
    acknowledged.wait(30)
    reader.join()
    acknowledged.stdout.close()
    last = int(lines[-1])
    again = embedded.start_and_wait(server)
    try:
        verdict = site.run("ledger", "verify")
        assert verdict.returncode == 0, verdict.stdout + verdict.stderr
        with psycopg.connect(url_of(server)) as connection:
            connection.execute("SELECT set_config('mbongi.site_wide', 'on', false)")
            (count, greatest) = connection.execute("SELECT count(*), max(index) FROM ledger_entry").fetchone() or ()
        assert greatest >= last
        assert count == greatest + 1
    finally:
        again.send_signal(signal.SIGINT)
        again.wait(20)


APPENDER = """
import sys
from mbongi.run.database import use_database
use_database()
from django.db import transaction
from mbongi.core.ledger import services
from mbongi.core.ledger.values import NewEntry
while True:
    with transaction.atomic():
        indices = services.append([NewEntry("process:test", "a.b.c", "x:1")] * 3)
    print(indices[-1], flush=True)
"""


class TestStarting:
    def test_a_port_in_use_is_one_clear_line(self, server: Cluster) -> None:
        child = embedded.start_and_wait(server)
        other = embedded.cluster(server.directory.with_name("other"), server.port, key=server.key, options=())
        try:
            with pytest.raises(PostgresError, match=rf"port {server.port} .* is taken"):
                other.prepare()
        finally:
            child.send_signal(signal.SIGINT)
            child.wait(20)

    def test_another_major_version_is_one_clear_line(self, server: Cluster) -> None:
        server.prepare()
        (server.directory / "PG_VERSION").write_text("16\n")
        with pytest.raises(PostgresError, match="made by PostgreSQL 16, this release runs 18; dump it"):
            server.prepare()

    def test_files_that_are_no_database_are_left_alone(self, server: Cluster) -> None:
        server.directory.mkdir()
        (server.directory / "letter.txt").write_text("dear")
        with pytest.raises(PostgresError, match="holds files, but no database"):
            server.prepare()
        assert (server.directory / "letter.txt").exists()

    def test_a_lock_file_of_a_process_that_is_something_else_is_removed(self, server: Cluster) -> None:
        server.prepare()
        (server.directory / "postmaster.pid").write_text(f"{os.getpid()}\n{server.directory}\n")
        server.prepare()
        assert not (server.directory / "postmaster.pid").exists()

    def test_a_new_key_is_given_to_the_role(self, server: Cluster) -> None:
        server.prepare()
        renewed = embedded.cluster(server.directory, server.port, key="another-key", options=())
        child = embedded.start_and_wait(renewed)
        with contextlib.suppress(psycopg.OperationalError):
            psycopg.connect(url_of(server)).close()
            pytest.fail("the former key still opens the database")
        child.send_signal(signal.SIGINT)
        child.wait(20)

    def test_the_superuser_cannot_sign_in(self, server: Cluster) -> None:
        child = embedded.start_and_wait(server)
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(url_of(server).replace("mbongi:", "postgres:", 1))
        child.send_signal(signal.SIGINT)
        child.wait(20)

    def test_a_folder_of_another_owner_is_one_clear_line(self, server: Cluster, monkeypatch) -> None:
        server.prepare()
        monkeypatch.setattr(os, "geteuid", lambda: 4_242)
        with pytest.raises(PostgresError, match=r"belongs to user \d+, expected 4242; run: chown -R 4242"):
            server.prepare()

    def test_a_full_disk_is_one_clear_line(self, server: Cluster, monkeypatch) -> None:
        monkeypatch.setattr("mbongi.run.cluster.DISK_FREE_BYTES_MIN", 1 << 60)
        with pytest.raises(PostgresError, match=r"MiB free, PostgreSQL needs .*; free some space"):
            server.prepare()
