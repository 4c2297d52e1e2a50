"""What the operator puts aside for FPPS, taken back when miners have been paid from it: the periods go on."""

import asyncio
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from mbongi.base.config import Config, Pool, Site
from mbongi.pool import services
from mbongi.pool.daemon.accounting import Accounting
from mbongi.pool.models import Account
from mbongi.pool.services import Occasion
from tests.pool.daemon.test_paying import Bridge

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("as_site")]


def accounting(folder: Path, reserve_sat: int) -> Accounting:
    config = Config(site=Site(data_dir=folder), pool=Pool(scheme="fpps", reserve_sat=reserve_sat))
    return Accounting(config, Bridge(), [])  # type: ignore[arg-type]


def reserve_sat() -> int:
    return Account.objects.get(name=".reserve").balance_sat


def test_a_reserve_that_miners_were_paid_from_is_not_taken_back_and_periods_go_on(tmp_path: Path) -> None:
    asyncio.run(accounting(tmp_path, 1_000)._pay_periods())
    services.credit("period:x", {"ada": 700, ".reserve": -700}, Occasion("test"))
    lowered = accounting(tmp_path, 500)

    with capture_logs() as logged:
        for _ in range(2):
            asyncio.run(lowered._pay_periods())
    kept_sat = reserve_sat()
    services.credit("block:x", {".reserve": 400}, Occasion("test"))
    asyncio.run(lowered._pay_periods())

    [said] = [each for each in logged if each["event"] == "reserve_not_lowered"]
    assert said["wanted_sat"] == 500
    assert kept_sat == 300
    assert reserve_sat() == 200, "as soon as the reserve holds it, it is taken back"
