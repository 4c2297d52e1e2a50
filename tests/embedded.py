"""One PostgreSQL for a whole test session, shared by its xdist workers and started only when a test wants it."""

import contextlib
import fcntl
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from mbongi.base.keys import stored_key
from mbongi.run.cluster import Cluster, embedded_binaries
from mbongi.run.postgres import answers

STATE = "MBONGI_TEST_STATE"
"""Environment variable with the session's folder; the first pytest process makes it, its workers inherit it."""
DEBIAN_15 = Path("/usr/lib/postgresql/15/bin")
FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=200")
"""Tests need no durability but where they say so; those start a server of their own."""
START_S_MAX = 60.0
PORTS = range(20_000, 32_000)
"""Below those that the system gives away by itself, which it may give to anybody the next moment."""
_held: list[IO[bytes]] = []


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody listens on, and that no other test gets while this process runs.

    The pool's listeners share their ports on purpose, so two tests with one port would share their miners unnoticed.
    """
    folder = Path(tempfile.gettempdir()) / f"mbongi-ports-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    found: list[int] = []
    while len(found) < count:
        port = random.choice(PORTS)
        lock = (folder / str(port)).open("wb")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with socket.socket() as tried:
                tried.bind(("127.0.0.1", port))
        except OSError:
            lock.close()
            continue
        _held.append(lock)
        found.append(port)
    return found


def open_session() -> bool:
    """Make the session's folder and set the environment that the settings read; True for the process that made it."""
    if STATE in os.environ:
        return False
    state = Path(tempfile.mkdtemp(prefix="mbongi-tests-"))
    # The server's system user must be able to pass.
    state.chmod(0o711)
    for name in [name for name in os.environ if name.startswith("MBONGI_") and not name.startswith("MBONGI_TEST_")]:
        del os.environ[name]
    os.environ[STATE] = str(state)
    os.environ["MBONGI_SITE_DATA_DIR"] = str(state)
    os.environ["MBONGI_POSTGRES_PORT"] = str(free_ports(1)[0])
    if url := os.environ.get("MBONGI_TEST_POSTGRES_URL"):
        os.environ["MBONGI_POSTGRES_URL"] = url
    return True


def cluster(directory: Path, port: int, *, key: str, options: tuple[str, ...] = FAST, bin15: bool = False) -> Cluster:
    """A server for tests, PostgreSQL 18 from the wheel or Debian's 15."""
    return Cluster(directory, port, key, DEBIAN_15 if bin15 else embedded_binaries(), options)


def start_and_wait(server: Cluster) -> "subprocess.Popen[bytes]":
    """Start the server, and return once it answers."""
    server.prepare()
    child = server.start()
    url = f"postgresql://mbongi:{server.key}@127.0.0.1:{server.port}/mbongi"
    until = time.monotonic() + START_S_MAX
    while not answers(url):
        assert child.poll() is None, f"PostgreSQL on {server.directory} ended with {child.returncode}"
        assert time.monotonic() < until, f"PostgreSQL on {server.directory} does not answer"
        time.sleep(0.05)
    return child


@dataclass(frozen=True)
class Site:
    """A site on a server of its own, whose commands run as processes of their own."""

    server: Cluster

    def environment(self) -> dict[str, str]:
        """What its processes find in their environment."""
        own = {name: value for name, value in os.environ.items() if not name.startswith("MBONGI_")}
        return own | {
            "MBONGI_SITE_DATA_DIR": str(self.server.directory.parent),
            "MBONGI_POSTGRES_PORT": str(self.server.port),
            "PYTHONPATH": str(Path(__file__).parent.parent / "src"),
        }

    def run(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Run one command to its end."""
        program = "import sys; from mbongi.cli import main; sys.exit(main(sys.argv[1:]))"
        return subprocess.run(
            [sys.executable, "-c", program, *words],
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def start_python(self, program: str) -> "subprocess.Popen[str]":
        """Start a Python program with the site's configuration."""
        return subprocess.Popen(
            [sys.executable, "-c", program],
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )


def ensure_server() -> None:
    """Start the session's server unless one of its processes has; the one that made the session stops it."""
    if os.environ.get("MBONGI_POSTGRES_URL"):
        return
    state = Path(os.environ[STATE])
    with (state / "postgres.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (state / "postgres.pid").exists():
            return
        key = stored_key(state / "secrets" / "postgres.key")
        server = cluster(state / "postgres", int(os.environ["MBONGI_POSTGRES_PORT"]), key=key)
        # A worker may end before the others, so the server must not die with it: the watch below stops it.
        child = start_and_wait(_Detached(**{**vars(server), "log_path": state / "postgres.log"}))
        (state / "postgres.pid").write_text(str(child.pid))
        # Nobody here waits for it: says so to subprocess, which else warns of a forgotten child.
        child.returncode = 0


class _Detached(Cluster):
    """A server that outlives the thread and process that started it, but not the session's first process."""

    def start(self) -> "subprocess.Popen[bytes]":
        child = super().start()
        watch = '(while kill -0 "$1" && kill -0 "$2"; do sleep 1; done; kill -QUIT "$2") </dev/null >/dev/null 2>&1 &'
        owner = os.environ["MBONGI_TEST_OWNER"]
        subprocess.run(["/bin/sh", "-c", watch, "watch", owner, str(child.pid)], check=True, start_new_session=True)
        return child

    def _become_user(self) -> None:
        user = self._user()
        if user is not None:
            os.setgroups([])
            os.setgid(user.pw_gid)
            os.setuid(user.pw_uid)


def close_session() -> None:
    """Stop the server and remove the session's folder."""
    state = Path(os.environ.pop(STATE))
    pid_file = state / "postgres.pid"
    if pid_file.exists():
        pid = int(pid_file.read_text())
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGQUIT)
        for _ in range(100):
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
            if not Path(f"/proc/{pid}").exists():
                break
            time.sleep(0.05)
    shutil.rmtree(state, ignore_errors=True)
