"""Readings of figures through bus, ingester and store, against values worked out by hand."""

import asyncio
import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from mbongi.base.ids import TenantId
from mbongi.core.bus.client import Bus
from mbongi.core.telemetry.client import tenant_store
from mbongi.core.telemetry.errors import SchemaError, StoreUnavailable
from mbongi.core.telemetry.outgoing import Outgoing
from mbongi.fleet import telemetry
from mbongi.fleet.campaign_telemetry import Span, blocks
from mbongi.fleet.hosting_readings import rows_of_day
from mbongi.fleet.reading import MachineReading
from mbongi.fleet.rules.hosting import seen
from mbongi.fleet.values import MachineState
from tests.core.data_plane import DataPlane

pytestmark = pytest.mark.system

NOW = datetime.now(UTC).replace(second=0, microsecond=0)
"""The end of the minute in which nothing is measured any more."""
MINING, OFF = MachineState.MINING.value, MachineState.OFF.value
STEPS = 30
"""Ten minutes, one row every 20 s; machine 1 is the site's, 2 and 3 belong to tenant 7 and stand in another rack."""


def row(machine_id, step, **figures):
    ts = int((NOW - timedelta(seconds=20 * (STEPS - step))).timestamp() * 1000)
    tenant, rack = (0, "20/01") if machine_id == 1 else (7, "20/02")
    return MachineReading(
        ts=ts,
        machine_id=machine_id,
        tenant_id=tenant,
        rack=rack,
        model="Antminer S21",
        state=MINING,
        poll_ms=5.0,
        span_s=20.0,
        **figures,
    )


def rows(step):
    return [
        row(1, step, hashrate_ths=200.0, power_w=3500.0, chip_temp_max_c=60.0 + step, reject_ratio=0.01),
        row(2, step, hashrate_ths=100.0, power_w=3000.0, chip_temp_max_c=90.0, reject_ratio=0.05),
        silent(step),
    ]


def silent(step):
    reading = row(3, step)
    reading.state = OFF
    return reading


def lone():
    """Machine 4 answered for 20 s of a minute two hours ago."""
    reading = row(4, 0, hashrate_ths=60.0, power_w=3000.0)
    reading.ts = int((NOW - timedelta(hours=2) + timedelta(seconds=20)).timestamp() * 1000)
    return reading


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DataPlane]:
    with DataPlane(tmp_path_factory.mktemp("fleet-telemetry")) as running:
        asyncio.run(publish(running))
        running.wait_stored(3 * STEPS + 1)
        yield running


async def publish(plane):
    outgoing = Outgoing(telemetry.READING, "fleet")
    for step in range(STEPS):
        outgoing.put(rows(step))
    outgoing.put([lone()])
    bus = await Bus.open(plane.config, name="test")
    await outgoing.drain(bus, 30)
    assert not outgoing
    assert outgoing.bytes_waiting == 0
    await bus.close()


def test_a_machines_series_has_units_times_and_age(plane):
    found = telemetry.series(plane.store(), 1, hours=1, now=NOW)

    assert len(found.at) == STEPS
    assert found.units["hashrate_ths"] == "TH/s"
    assert set(found.columns["hashrate_ths"]) == {200.0}
    assert found.columns["chip_temp_max_c"][-1] == 60.0 + STEPS - 1
    assert set(found.columns["state"]) == {MINING}
    assert found.age_s == 20.0
    assert found.at.dtype == np.dtype("datetime64[ms]")


def test_a_figure_that_was_never_stated_is_nan_and_never_nothing(plane):
    found = telemetry.series(plane.store(), 3, hours=1, columns=["power_w"], now=NOW)

    assert np.isnan(found.columns["power_w"]).all()
    assert set(found.columns["state"]) == {OFF}


def test_a_day_has_at_most_some_hundred_points(plane):
    found = telemetry.series(plane.store(), 1, hours=24, columns=["hashrate_ths"], now=NOW)

    assert found.step_s == 108
    assert 5 <= len(found.at) <= 7


def test_a_month_is_read_by_hours(plane):
    found = telemetry.series(plane.store(), 1, hours=24 * 30, columns=["hashrate_ths", "fan1_rpm"], now=NOW)

    assert found.step_s == 3600
    assert set(found.columns) == {"hashrate_ths"}
    assert set(found.columns["hashrate_ths"]) == {200.0}


def test_a_machine_without_rows_has_no_age(plane):
    found = telemetry.series(plane.store(), 999, now=NOW)

    assert len(found.at) == 0
    assert (found.newest_at, found.age_s) == (None, None)


def test_an_unknown_column_is_refused_before_the_store_is_asked(plane):
    with pytest.raises(SchemaError, match="no column"):
        telemetry.series(plane.store(), 1, columns=["power_w; DROP TABLE machine_reading"])


def test_the_sites_totals_count_each_machine_once_a_minute(plane):
    found = telemetry.site_totals(plane.store(), minutes=30, now=NOW + timedelta(seconds=telemetry.SETTLE_S))

    assert set(found.columns["hashrate_ths"]) == {300.0}
    assert set(found.columns["power_w"]) == {6500.0}
    assert math.isclose(found.columns["efficiency_jth"][0], 6500 / 300)
    assert len(found.at) == 10


def test_a_minute_whose_rows_may_still_come_is_left_out(plane):
    found = telemetry.site_totals(plane.store(), minutes=30, now=NOW + timedelta(seconds=telemetry.SETTLE_S - 1))

    assert len(found.at) == 9


def test_a_machine_that_was_silent_for_two_thirds_of_a_minute_counts_a_third(plane):
    then = NOW - timedelta(hours=2) + timedelta(seconds=60 + telemetry.SETTLE_S)
    found = telemetry.site_totals(plane.store(), minutes=2, now=then)

    assert list(found.columns["hashrate_ths"]) == [20.0]
    assert list(found.columns["efficiency_jth"]) == [50.0]


def test_what_no_roll_up_keeps_is_refused(plane):
    with pytest.raises(SchemaError, match="no spread is kept"):
        telemetry.rack_temps(plane.store(), column="power_w")
    with pytest.raises(SchemaError, match="no mean is kept"):
        telemetry.worst(plane.store(), column="fan1_rpm")


def test_a_tenants_totals_are_its_own(plane):
    narrowed = telemetry.site_totals(plane.store(), minutes=30, tenant_id=TenantId(7), now=NOW)
    confined = telemetry.site_totals(tenant_store(plane.config, TenantId(7)), minutes=30, now=NOW)

    assert set(narrowed.columns["hashrate_ths"]) == set(confined.columns["hashrate_ths"]) == {100.0}


def test_a_tenants_store_answers_every_read_and_shows_nothing_of_others(plane):
    store = tenant_store(plane.config, TenantId(7))

    assert len(telemetry.series(store, 1, hours=1, now=NOW).at) == 0
    assert len(telemetry.series(store, 1, hours=24 * 30, now=NOW).at) == 0
    assert [figure.rack for figure in telemetry.rack_temps(store, now=NOW)] == ["20/02"]
    assert [figure.machine_id for figure in telemetry.worst(store, now=NOW)] == [2]
    assert sum(telemetry.state_counts(store, now=NOW).counts.values()) == 2


def test_the_hottest_rack_comes_first(plane):
    first, second = telemetry.rack_temps(plane.store(), now=NOW)

    assert (first.rack, first.value, first.unit) == ("20/02", 90.0, "degC")
    # The values are kept with 8 bits of significand, so to half a degree between 64 and 128.
    assert second.value == pytest.approx(float(np.percentile(np.arange(60, 90), 95)), abs=0.5)
    assert second.age_s == 0.0


def test_the_worst_by_reject_ratio_comes_first(plane):
    found = telemetry.worst(plane.store(), now=NOW)

    assert [(figure.machine_id, round(figure.value, 3)) for figure in found] == [(2, 0.05), (1, 0.01)]


def test_machines_are_counted_by_the_state_of_their_newest_row(plane):
    found = telemetry.state_counts(plane.store(), now=NOW)

    assert found.counts[MachineState.MINING] == 2
    assert found.counts[MachineState.OFF] == 1
    assert found.age_s == 20.0
    later = telemetry.state_counts(plane.store(), now=NOW + timedelta(hours=1))
    assert (sum(later.counts.values()), later.at, later.age_s) == (0, None, None)


def test_a_store_that_is_away_is_an_error_of_its_own(plane):
    store = type(plane.store())("http://127.0.0.1:1")

    with pytest.raises(StoreUnavailable):
        telemetry.site_totals(store)


def test_at_its_limit_the_queue_drops_the_oldest_and_counts_it():
    outgoing = Outgoing(telemetry.READING, "fleet", bytes_max=3000)

    for step in range(STEPS):
        outgoing.put(rows(step))

    assert outgoing.bytes_waiting <= 3000
    assert outgoing.dropped + len(outgoing) == STEPS
    assert outgoing.dropped > 0


def test_readings_that_cannot_be_encoded_are_left_out_and_hold_up_nothing():
    outgoing = Outgoing(telemetry.READING, "fleet")
    broken = row(1, 0)
    broken.machine_id = -1

    outgoing.put([broken])
    outgoing.put(rows(0))

    assert len(outgoing) == 1
    assert outgoing.subject == "telemetry.machine_reading.fleet"


def test_the_gate_of_a_campaign_reads_blocks_from_the_store(plane):
    end = int(NOW.timestamp())
    found = blocks(plane.store(), [1, 3, 99], Span(end - 600, end), 60)

    assert [each.start_s for each in found[1]] == list(range(end - 600, end, 60))
    assert {(each.hashrate_ths, each.power_w) for each in found[1]} == {(200.0, 3500.0)}
    assert all(math.isnan(figure) for each in found[3] for figure in each[1:])
    assert set(found) == {1, 3}


def test_hosting_reads_each_machines_seconds_from_the_store(plane):
    end = int(NOW.timestamp())
    span = (end - 900, end)
    found = rows_of_day(plane.store(), [1, 3, 99], span)

    mining, off = (seen(found[machine_id], span) for machine_id in (1, 3))
    # Ten minutes of rows; the newest was measured 20 s before the end.
    assert (mining.runs, off.runs) == ("x280 u600 x20", "x280 d600 x20")
    assert mining.hash_milli == round(200 * 600 / 3600 * 1000)
    assert mining.energy_wh == round(3500 * 600 / 3600)
    assert (off.hash_milli, off.power_s) == (0, 0)
    assert 99 not in found
    assert rows_of_day(plane.store(), [99], span) == {}
