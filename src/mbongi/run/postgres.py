"""Runs the embedded PostgreSQL in the foreground, as a supervised process."""

import argparse
import signal
from types import FrameType

import psycopg

from mbongi.base.config import Config
from mbongi.base.errors import ConfigError
from mbongi.base.keys import stored_key
from mbongi.base.log import get_log
from mbongi.run.cluster import Cluster, PostgresError, embedded_binaries

log = get_log(__name__)

STOP_S_MAX = 9.0
"""A fast shutdown that takes longer is cut short; the next start recovers from the write-ahead log."""


def cluster_of(config: Config) -> Cluster:
    """The embedded server of the configuration."""
    data_dir = config.site.data_dir.resolve()
    return Cluster(
        directory=data_dir / "postgres",
        port=config.postgres.port,
        key=stored_key(data_dir / "secrets" / "postgres.key"),
        binaries=embedded_binaries(),
    )


def main(config: Config, arguments: argparse.Namespace | None = None) -> int:  # noqa: ARG001
    """Run until told to stop; returns the server's exit status."""
    if config.postgres.url:
        raise ConfigError("postgres.url names a server, so the embedded one is not run; unset it to run this one")
    cluster = cluster_of(config)
    cluster.prepare()
    child = cluster.start()
    stopping: list[int] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        if not stopping:
            stopping.append(number)
            child.send_signal(signal.SIGINT)
            signal.setitimer(signal.ITIMER_REAL, STOP_S_MAX)

    signal.signal(signal.SIGALRM, lambda _number, _frame: child.send_signal(signal.SIGQUIT))
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    log.info("postgres_started", pid=child.pid, port=cluster.port)
    status = child.wait()
    if stopping:
        log.info("postgres_stopped")
        return 0
    raise PostgresError(f"PostgreSQL on {cluster.directory} ended with status {status}; its last lines stand above")


def ready(config: Config) -> bool:
    """Whether the server answers a statement within a second."""
    return answers(config.postgres_url)


def answers(url: str) -> bool:
    """Whether the server of ``url`` answers a statement."""
    try:
        # libpq's own limit has a grain of two seconds; the statement's limit is exact.
        with psycopg.connect(url, connect_timeout=2, options="-c statement_timeout=900") as connection:
            connection.execute("SELECT 1")
    except psycopg.Error:
        return False
    return True
