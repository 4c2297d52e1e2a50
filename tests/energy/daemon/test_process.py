"""The energy process: what it hears, what it tells, and that the watch needs neither database nor plan."""

import asyncio
import time
from datetime import UTC, datetime
from types import SimpleNamespace

import msgspec
import pytest
from django.db import OperationalError

from mbongi.base.config import Config
from mbongi.energy import dispatching, heard
from mbongi.energy.daemon.process import HEAR_S, EnergyProcess
from mbongi.energy.rules.blackout import Phase
from mbongi.energy.values import Readings
from tests.energy.supplies import readings, supply

NOW_S = datetime(2026, 11, 25, 11, 0, tzinfo=UTC).timestamp()


class Away:
    """A database that is not there."""

    async def call(self, *_arguments, **_more):
        raise OperationalError("connection refused")


class Calls:
    """A database that has a supply in force, and keeps which services were called."""

    def __init__(self):
        self.called = []

    async def call(self, service, *_arguments, **_more):
        self.called.append(service)
        return SimpleNamespace(id=1, supply=supply())


class Hears:
    """A bus that keeps what it is told."""

    is_up = True

    def __init__(self):
        self.told = []

    async def tell(self, subject, data):
        assert subject == heard.ORDERS_SUBJECT
        self.told.append(msgspec.msgpack.decode(data, type=heard.OrdersTold))


@pytest.fixture
def process():
    made = EnergyProcess(Config(), Away(), Away(), solver=None)
    made._supply, made._bus = supply(), Hears()
    return made


async def looks(process, seconds, start_s, **changes):
    for second in range(seconds):
        process.readings.update(readings(start_s + second, **changes))
        await process.look(start_s + second)


async def test_the_sequence_runs_with_the_database_away(process):
    await looks(process, 5, NOW_S)
    assert process._bus.told[-1].mining_kw is None
    gone = {"FEED-A_voltage_l1_v": 0, "HYDRO_voltage_l1_v": 0}
    await looks(process, 10, NOW_S + 5, **gone)
    await process._keep(process._bridge, process.steer)

    told = process._bus.told[-1]
    assert (told.phase, told.source, told.runs) == ("hold", "ups", ["GEN"])
    assert (told.carried, told.mining_kw) == (["CORE"], 0)
    assert process._is_away

    await looks(process, 30, NOW_S + 15, GEN_running=1, **gone)
    assert process._bus.told[-1].phase == "island"


async def test_without_any_measured_feed_no_sequence_runs(process):
    process.readings = {}
    await process.look(NOW_S)
    assert process._bus.told == []
    assert process._phase is Phase.GRID


async def test_orders_end_where_a_new_supply_has_no_feed_that_is_measured(process):
    await looks(process, 10, NOW_S, **{"FEED-A_voltage_l1_v": 0, "HYDRO_voltage_l1_v": 0})
    assert process._orders.mining_kw == 0
    process._supply = supply(feeds=[])
    await process.look(NOW_S + 10)
    assert process._orders is None, "mining would be held at nothing for ever"
    assert process._phase is Phase.GRID


async def test_a_process_that_has_just_begun_lifts_no_limit_before_it_has_heard_of_a_feed(process):
    database = Calls()
    await process.steer(database)
    assert dispatching.steer not in database.called
    await looks(process, 1, NOW_S)
    assert process._changed.is_set(), "it is handed out as soon as something is known"
    await process.steer(database)
    assert dispatching.steer in database.called


async def test_a_site_whose_feeds_nobody_measures_is_steered_after_a_while(process):
    database = Calls()
    process._began_s = time.monotonic() - HEAR_S
    await process.steer(database)
    assert dispatching.steer in database.called


async def test_a_plant_that_falls_silent_counts_as_lost_after_a_while(process):
    await looks(process, 3, NOW_S)
    for second in range(3, 30):
        await process.look(NOW_S + second)
    assert process._phase is Phase.HOLD


def test_what_is_heard_is_entered_and_what_is_not_good_is_not_believed():
    told = {
        "observations": [
            {"tag": "BAT", "quantity": "charge_pct", "value": 60.0, "quality": 0, "at_ms": 5000, "received_ms": 5001},
            {"tag": "TANK", "quantity": "level_pct", "value": 70.0, "quality": 2, "at_ms": 5000, "received_ms": 5001},
        ]
    }
    found: Readings = {}
    assert heard.take(found, msgspec.msgpack.encode(told)) == 2
    assert found["BAT", "charge_pct"].value == 60
    assert found["BAT", "charge_pct"].at_s == 5.0
    assert found["TANK", "level_pct"].value != found["TANK", "level_pct"].value
    with pytest.raises(msgspec.DecodeError):
        heard.take(found, b"nonsense")


async def test_a_task_that_fails_ends_the_process_with_its_error(process, monkeypatch):
    async def fails():
        raise ZeroDivisionError

    async def waits():
        await asyncio.Event().wait()

    for name, work in (("_watch", fails), ("_hear", waits), ("_steering", waits), ("_plan", waits)):
        monkeypatch.setattr(process, name, work)
    process._bus = None
    with pytest.raises(ZeroDivisionError):
        await process.run(asyncio.Event())
