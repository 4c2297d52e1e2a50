"""The row of telemetry, the model table and the rules on figures."""

import csv
import math
from pathlib import Path

import msgspec
import pytest

import mbongi.fleet
from mbongi.fleet.machine_models import machine_model
from mbongi.fleet.reading import MachineReading
from mbongi.fleet.rules.figures import complete, host_and_port, verdict
from mbongi.fleet.values import MachineState

TABLE = Path(mbongi.fleet.__file__).parent / "machine_reading.csv"
NAN = math.nan


def test_a_reading_has_the_columns_of_the_table_in_its_order() -> None:
    with TABLE.open(encoding="utf-8") as lines:
        columns = [row["name"] for row in csv.DictReader(lines)]
    assert [field.name for field in msgspec.structs.fields(MachineReading)] == columns


def test_a_variant_has_its_models_figures_and_another_model_has_not() -> None:
    assert machine_model("Whatsminer M50S VH30").hashrate_ths == 126.0
    assert machine_model("Antminer S19 Pro").power_w == 3250.0
    assert math.isnan(machine_model("Antminer S19 Hydro").power_w)
    assert math.isnan(machine_model("").hashrate_ths)


def test_power_that_is_not_stated_is_estimated_from_the_nameplate_and_marked() -> None:
    reading = MachineReading(ts=0, machine_id=1, model="Antminer S21", hashrate_ths=100.0)
    complete(reading)
    # 3500 W at 200 TH/s by the nameplate: half the work at the same energy per work is half the power.
    assert (reading.power_w, reading.power_estimated, reading.efficiency_jth) == (1750.0, 1, 17.5)


@pytest.mark.parametrize("rate", [0.0, NAN])
def test_a_machine_at_rest_gets_no_guessed_power(rate: float) -> None:
    reading = MachineReading(ts=0, machine_id=1, model="Antminer S21", hashrate_ths=rate)
    complete(reading)
    assert math.isnan(reading.power_w)
    assert reading.power_estimated == 0
    assert math.isnan(reading.efficiency_jth)


def test_a_stated_power_stays_and_rejects_are_a_share_of_all() -> None:
    reading = MachineReading(
        ts=0, machine_id=1, model="Antminer S21", hashrate_ths=200.0, power_w=3400.0, accepted=90.0, rejected=10.0
    )
    complete(reading)
    assert (reading.power_w, reading.power_estimated) == (3400.0, 0)
    assert reading.reject_ratio == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("rate", "uptime", "resting", "expected"),
    [
        (200.0, 10.0, False, MachineState.MINING),
        (200.0, 10.0, True, MachineState.MINING),
        (0.0, 10.0, False, MachineState.STARTING),
        (0.0, 1000.0, False, MachineState.FAULT),
        (1.9, 1000.0, False, MachineState.FAULT),
        (0.0, NAN, False, MachineState.FAULT),
        (0.0, 1000.0, True, MachineState.SLEEPING),
        (NAN, 1000.0, True, MachineState.SLEEPING),
        (NAN, 1000.0, False, MachineState.UNKNOWN),
    ],
)
def test_the_state_of_a_machine_that_answers(
    rate: float, uptime: float, *, resting: bool, expected: MachineState
) -> None:
    found = verdict(hashrate_ths=rate, nominal_ths=200.0, uptime_s=uptime, warm_up_s=600.0, resting=resting)
    assert found.state is expected


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("stratum+tcp://pool.example:3333", "pool.example:3333"),
        ("stratum+tcp://user:secret@pool.example:3333/path", "pool.example:3333"),
        ("pool.example:700", "pool.example:700"),
        ("", ""),
    ],
)
def test_a_pool_is_shown_without_scheme_and_password(url: str, expected: str) -> None:
    assert host_and_port(url) == expected
