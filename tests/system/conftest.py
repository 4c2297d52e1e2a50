"""Sites that really run, one per module of tests, each stopped at its end."""

from collections.abc import Iterator

import pytest

from tests.system.running import RunningSite


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSite]:
    """A site of 24 machines, up and ready."""
    # The embedded database's own system user must be able to pass through pytest's private folders.
    folder = tmp_path_factory.mktemp("site")
    for parent in (folder, folder.parent, folder.parent.parent):
        parent.chmod(parent.stat().st_mode | 0o011)
    running = RunningSite(folder, machines=24)
    try:
        yield running.start()
    finally:
        running.stop()
