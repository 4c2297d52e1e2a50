"""What the gate reads of machines, from a real store: means of blocks, sleep left out, restarts also within a block."""

import math
from collections.abc import Iterator

import pytest

from mbongi.core.telemetry.client import Store
from mbongi.fleet.campaign_gate import Flashed, Question, measure
from mbongi.fleet.campaign_telemetry import Span, blocks, side
from mbongi.fleet.rules.gate import Criteria
from mbongi.fleet.values import MachineState
from tests.core.data_plane import DataPlane

pytestmark = pytest.mark.system
NOON = 1_794_830_400
BLOCK_S = 60


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with DataPlane(tmp_path_factory.mktemp("plane")) as plane:
        yield plane.store()


def enter(store: Store, machine_id: int, rows: list[tuple[int, float, float]], state: MachineState) -> None:
    """Readings as (second since noon, hashrate, uptime)."""
    told = ", ".join(
        f"(fromUnixTimestamp64Milli(toInt64({(NOON + at) * 1000})), {machine_id}, {rate}, {uptime}, {state.value})"
        for at, rate, uptime in rows
    )
    store.execute(f"INSERT INTO machine_reading (ts, machine_id, hashrate_ths, uptime_s, state) VALUES {told}")


def test_restarts_count_within_a_block_and_from_one_to_the_next(store: Store) -> None:
    # Two restarts in the first minute, one between the first and the second, none that an unknown uptime only hides.
    uptimes = [(0, 500.0), (10, 510.0), (20, 5.0), (30, 15.0), (40, 2.0), (50, 12.0), (60, 3.0), (70, 13.0), (90, 33.0)]
    rows = [(at, 200.0, uptime) for at, uptime in uptimes] + [(80, math.nan, math.nan)]
    enter(store, 1, [row for row in rows if not math.isnan(row[2])], MachineState.MINING)
    store.execute(
        "INSERT INTO machine_reading (ts, machine_id, hashrate_ths, uptime_s, state) VALUES"
        f" (fromUnixTimestamp64Milli(toInt64({(NOON + 80) * 1000})), 1, nan, nan, {MachineState.OFF.value})"
    )
    found = blocks(store, [1], Span(NOON, NOON + 120), BLOCK_S)[1]
    assert [block.restarts for block in found] == [2, 0]
    whole = side(found, BLOCK_S, Span(NOON, NOON + 120))
    assert whole.reboots == 3
    assert list(whole.hashrate_ths) == [200.0, 200.0]


def test_what_a_machine_does_while_it_sleeps_is_not_counted(store: Store) -> None:
    enter(store, 2, [(at, 100.0, 1000.0 + at) for at in range(0, 60, 10)], MachineState.MINING)
    enter(store, 2, [(at, 0.0, 1000.0 + at) for at in range(60, 120, 10)], MachineState.SLEEPING)
    first, second = blocks(store, [2], Span(NOON, NOON + 120), BLOCK_S)[2]
    assert (first.hashrate_ths, math.isnan(second.hashrate_ths)) == (100.0, True)


def test_each_machine_is_measured_over_its_own_times_however_many_there_are(store: Store) -> None:
    count = 60  # More than are asked about at a time.
    for number in range(count):
        # Flashed one minute later than the one before: 100 TH/s until then, 90 from two minutes later on.
        flash = 600 + 60 * number
        rows = [(at, 100.0 if at < flash else 90.0, 1e6 + at) for at in range(0, 5400, 30)]
        enter(store, 100 + number, rows, MachineState.MINING)
    flashed = [Flashed(100 + n, NOON + 600.0 + 60 * n, NOON + 720.0 + 60 * n) for n in range(count)]
    criteria = Criteria(block_s=BLOCK_S, baseline_s=300.0, warm_s=0.0)
    asked = Question((1, 0), criteria, flashed, [], NOON + 5400.0)
    tracks = {track.machine_id: track for track in measure(asked, store).flashed}
    assert len(tracks) == count
    for n in (0, 31, 59):
        track = tracks[100 + n]
        assert list(track.before.hashrate_ths) == [100.0] * 5
        assert list(track.after.hashrate_ths) == [90.0] * (5400 // 60 - 12 - n)
