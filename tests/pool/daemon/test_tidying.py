"""What is old is removed by the age of the work: a clock that runs ahead makes nothing old."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mbongi.base.config import Config, Site
from mbongi.pool import services
from mbongi.pool.daemon import accounting as module
from mbongi.pool.daemon.accounting import Accounting
from mbongi.pool.models import WorkerMinute
from tests.pool.accounts_bed import BEGIN_MS, Logged, Logs
from tests.pool.daemon.test_paying import Bridge

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("as_site")]
NEWEST = datetime.fromtimestamp(BEGIN_MS / 1000, UTC)
DAY_MS = 86_400_000


def test_a_clock_that_runs_ahead_removes_nothing_and_newer_work_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    befores: list[Any] = []
    monkeypatch.setattr(services, "drop_old_work", lambda _division, before: befores.append(before))
    monkeypatch.setattr(module, "utc_now", lambda: NEWEST + timedelta(days=3_650))
    accounts = Accounting(Config(site=Site(data_dir=tmp_path)), Bridge(), [])  # type: ignore[arg-type]
    monkeypatch.setattr(accounts._importer, "remove_old_files", lambda older_s: befores.append(older_s) or 0)
    logs = Logs(tmp_path / "pool" / "shares")

    def mine(number: int, days_later: int) -> None:
        logs.write([Logged("ada.one", number, time_ms=BEGIN_MS + days_later * DAY_MS)])
        asyncio.run(accounts._import())

    asyncio.run(accounts._tidy())
    without_work = list(befores)
    mine(1, -1)
    mine(2, 0)
    asyncio.run(accounts._tidy())
    ahead = WorkerMinute.objects.count()
    mine(3, 7)
    asyncio.run(accounts._tidy())
    logs.close()

    assert without_work == []
    assert befores[:2] == [(NEWEST - timedelta(days=7)).timestamp(), NEWEST - timedelta(days=400)]
    assert ahead == 2
    assert WorkerMinute.objects.count() == 2, "the first of three is older than seven days by now"


def test_a_clock_that_is_behind_removes_less(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    befores: list[Any] = []
    monkeypatch.setattr(services, "drop_old_work", lambda _division, before: befores.append(before))
    monkeypatch.setattr(module, "utc_now", lambda: NEWEST - timedelta(days=50))
    accounts = Accounting(Config(site=Site(data_dir=tmp_path)), Bridge(), [])  # type: ignore[arg-type]
    logs = Logs(tmp_path / "pool" / "shares")
    logs.write([Logged("ada.one", 1)])
    logs.close()
    asyncio.run(accounts._import())
    asyncio.run(accounts._tidy())

    assert befores == [NEWEST - timedelta(days=450)]
