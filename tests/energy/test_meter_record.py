"""Figures from the record of meters: a store that gives what is put into it."""

from datetime import UTC, datetime

import pytest

from mbongi.energy.meter_record import figures
from mbongi.energy.values import MetersWritten, MeterWritten

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
FROM_S = int(NOW.timestamp()) - 86_400
STEPS = range(FROM_S, FROM_S + 86_400, 600)
METERS = MetersWritten(facility=(MeterWritten(tag="MAIN"),), it=(MeterWritten(tag="UPS"),))


class Record:
    """Answers for a point with its steps and means."""

    def __init__(self, points):
        self.points = points

    def columns(self, _sql, *, tag, quantity, **_more):
        values = self.points.get((tag, quantity), {})
        return {"step": list(values), "mean": list(values.values())}


def register(kw):
    """A register that counts so many kW."""
    return {at: 5_000_000 + 1000 * kw * (at - FROM_S) / 3600 for at in STEPS}


def test_pue_of_registers_and_of_powers():
    # 150 kW by a register and 100 kW by powers, over the same 143 steps of ten minutes of the day's 144.
    record = Record({("MAIN", "energy_wh"): register(150), ("UPS", "power_w"): dict.fromkeys(STEPS, 100_000.0)})
    [found] = figures(record, METERS, now=NOW)
    assert (found.name, found.missing) == ("iPUE1", ())
    assert found.value == pytest.approx(1.5)
    assert found.coverage == pytest.approx(143 / 144)


def test_a_meter_that_fell_silent_is_named():
    record = Record({("MAIN", "energy_wh"): register(150)})
    [found] = figures(record, METERS, now=NOW)
    assert (found.value, found.missing) == (None, ("UPS",))


def test_without_named_meters_there_is_no_figure():
    assert figures(Record({}), MetersWritten(), now=NOW) == []


def test_what_the_sites_meters_do_not_see_is_named_and_no_figure_is_told():
    named = MetersWritten(facility=METERS.facility, it=METERS.it, renewable=(MeterWritten(tag="PV"),))
    points = {
        ("MAIN", "energy_wh"): register(99),
        ("UPS", "energy_wh"): register(100),
        ("PV", "energy_wh"): register(5),
    }
    found = figures(Record(points), named, now=NOW, sources=["GEN", "MAIN"])
    assert [(one.value, one.unseen) for one in found] == [(None, ("GEN", "PV"))] * 2
    # 1 kW over 143 of the day's 144 steps of ten minutes.
    assert found[0].unseen_kwh == pytest.approx(143 / 6)


def test_renewable_energy_where_its_meters_are_named():
    named = MetersWritten(facility=METERS.facility, it=METERS.it, renewable=(MeterWritten(tag="PV"),), category=2)
    points = {("MAIN", "energy_wh"): register(150), ("UPS", "energy_wh"): register(100)}
    found = figures(Record(points | {("PV", "energy_wh"): register(30)}), named, now=NOW)
    assert [(one.name, one.value) for one in found] == [("iPUE2", pytest.approx(1.5)), ("iREF", pytest.approx(0.2))]
