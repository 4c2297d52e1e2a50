"""What is wrong with the site itself is said on every page of its own people."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.test import Client

from mbongi.base.clock import utc_now
from mbongi.base.status import ProcessStatus, SiteStatus, Watch, write_status
from mbongi.core.identity.values import Role
from tests.web.conftest import Pilot


@pytest.fixture
def supervisor() -> Any:
    """Writes what a supervisor would; its file is removed afterwards."""
    data_dir: Path = settings.CONFIG.site.data_dir

    def say(*, state: Any) -> None:
        at = utc_now()
        process = ProcessStatus(name="ingest", state=state, since=at)
        watches = {"disk": Watch(good=True, since=at), "clock": Watch(good=True, since=at)}
        write_status(data_dir, SiteStatus(at=at, pid=1, started_at=at, processes=(process,), **watches))

    yield say
    (data_dir / "status.json").unlink()


def test_troubles_of_the_site_are_for_its_own_people(
    supervisor: Any, pilot: Pilot, sign_in: Callable[..., Client]
) -> None:
    supervisor(state="restarting")
    assert "ingest" in sign_in(Role.TECHNICIAN).get("/").content.decode()
    assert "ingest" not in sign_in(Role.TENANT, owner=pilot.north).get("/").content.decode()
