"""The same tests of tenants, ledger and outbox on PostgreSQL 15, the oldest server that a site may bring."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mbongi.base.keys import stored_key
from tests import embedded

pytestmark = pytest.mark.system

HERE = Path(__file__).parent
TESTS = ("identity", "ledger/test_append.py", "ledger/test_verify.py", "outbox")


@pytest.fixture
def url() -> Iterator[str]:
    """The server that ``MBONGI_TEST_POSTGRES15_URL`` names, or one of our own from Debian's package."""
    if named := os.environ.get("MBONGI_TEST_POSTGRES15_URL"):
        yield named
        return
    home = Path(os.environ[embedded.STATE]) / f"fifteen-{os.getpid()}"
    home.mkdir(mode=0o711)
    key = stored_key(home / "secrets" / "postgres.key")
    server = embedded.cluster(home / "postgres", *embedded.free_ports(1), key=key, bin15=True)
    child = embedded.start_and_wait(server)
    yield f"postgresql://mbongi:{key}@127.0.0.1:{server.port}/mbongi"
    child.send_signal(signal.SIGINT)
    child.wait(20)


@pytest.mark.postgres15
def test_tenants_ledger_and_outbox_pass_on_postgresql_15(url: str) -> None:
    taken = ("MBONGI_", "PYTEST_", "DJANGO_")
    own = {name: value for name, value in os.environ.items() if not name.startswith(taken)}
    session = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *(str(HERE / name) for name in TESTS)],
        env=own | {"MBONGI_TEST_POSTGRES_URL": url},
        cwd=HERE.parent.parent,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert session.returncode == 0, session.stdout[-4000:] + session.stderr[-1000:]
    assert " passed" in session.stdout
