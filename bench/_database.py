"""An embedded PostgreSQL of its own with its usual durability, migrated, for the benchmarks that write rows."""

import contextlib
import os
import signal
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from mbongi.base.config import Config, load_config
from mbongi.run import migrate
from mbongi.run.postgres import answers, cluster_of


@contextlib.contextmanager
def embedded_database() -> Iterator[Config]:
    """The configuration of a site whose database runs until the block ends; then all of it is gone."""
    with tempfile.TemporaryDirectory(prefix="mbongi-bench-") as folder:
        Path(folder).chmod(0o711)
        config = _configure(folder)
        cluster = cluster_of(config)
        cluster.prepare()
        child = cluster.start()
        try:
            while not answers(config.postgres_url):
                time.sleep(0.05)
            migrate.main(config)
            yield config
        finally:
            child.send_signal(signal.SIGINT)
            child.wait(30)


def _configure(folder: str) -> Config:
    for name in [name for name in os.environ if name.startswith("MBONGI_")]:
        del os.environ[name]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    os.environ |= {"MBONGI_SITE_DATA_DIR": folder, "MBONGI_POSTGRES_PORT": str(port)}
    return load_config()
