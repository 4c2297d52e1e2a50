"""Sites that really run, one per module of tests, each stopped at its end."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.running import RunningSite


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSite]:
    """A site of 24 machines, up and ready."""
    running = RunningSite(site_folder(tmp_path_factory), machines=24)
    try:
        yield running.start()
    finally:
        running.stop()


def site_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for a site."""
    # The embedded database's own system user must be able to pass through pytest's private folders.
    folder = tmp_path_factory.mktemp("site")
    for parent in (folder, folder.parent, folder.parent.parent):
        parent.chmod(parent.stat().st_mode | 0o011)
    return folder
