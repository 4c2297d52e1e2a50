"""The whole plant: energy kept at every moment, the grid cut, faults."""

import pytest

from mbongi.base.config import Twin
from mbongi.twin.errors import TwinConfigError, TwinError, UnknownAddressError, UnknownFaultError
from mbongi.twin.plant.changeover import Position
from mbongi.twin.plant.design import designed
from mbongi.twin.plant.faults import FAULTS, set_fault, switch, words_for
from mbongi.twin.plant.model import PlantModel
from mbongi.twin.plant.points import Panel, meter_phases_w, set_outlet
from mbongi.twin.plant.values import Kind, LinkKind
from tests.twin.plants import NOON, plant, set_loads, walk


def balance_w(model: PlantModel) -> float:
    """What all sources give, less what all loads take: 0 where energy is kept."""
    given = model.feed_w + model.panels_w + sum(genset.load_w for genset in model.gensets.values())
    return given - model.mining_w - model.ups_input_w - model.cooling_w - model.house_w - model.loss_w


def test_a_steady_state_is_that_worked_by_hand() -> None:
    # 24 machines of 3,000 W; 4 servers of 160 + 0.6 x 340 W and two switches of 80 W on two UPS of 3 kW:
    # 808 W each, losses 36 + 17.78 + 3.92 W. Lights 300 W and 0.2 % of the nameplates. No sun.
    model = plant()
    ups_w = 2 * (808 + 36 + 17.776 + 3.917)
    through_w = 72_000 + ups_w + model.house_w + model.cooling_w

    assert model.mining_w == 72_000
    assert model.ups_input_w == pytest.approx(ups_w, abs=0.1)
    assert model.house_w == pytest.approx(300 + 0.002 * sum(rack.nameplate_w for rack in model.design.racks))
    # 160 kVA: 189 W and 1,750 W by the square of the load, at a power factor of 0.97.
    loss_w = 189 + 1_750 * (through_w / 0.97 / 160_000) ** 2
    assert model.feed_w == pytest.approx(through_w + loss_w, rel=1e-6)
    # Fans: 72 kW over 12 K by the cube of 72,000 / (1,160 x 12 x 6.4255); one pump of 550 W, one of 370 W.
    fans_w = 320 * 6.4255 * (72_000 / (1_160 * 12 * 6.4255)) ** 3
    assert model.cooling_w == pytest.approx(fans_w + 550 + 370 + model.loop.fan_w, rel=0.01)


def test_energy_is_kept_at_every_moment_of_a_day_with_a_cut() -> None:
    model = plant(now_s=NOON)
    assert model.panels_w > 0
    for second in range(400):
        if second == 20:
            set_fault(model, "FEED-1", "outage")
        if second == 120:
            set_fault(model, "FEED-1", "none")
        model.advance(model.now_s + 1.0)
        # While the switch stands open nobody feeds the board, and nothing on it draws.
        assert balance_w(model) == pytest.approx(0.0, abs=1e-6), second


def test_a_ups_gives_no_more_than_it_takes() -> None:
    model = plant()
    stored = [ups.charge * ups.battery_wh for ups in model.upses.values()]
    set_fault(model, "FEED-1", "outage")
    walk(model, 10)

    for ups, before_wh in zip(model.upses.values(), stored, strict=True):
        # 10 s of 808 W and half the losses; what Peukert's law does not charge for stays below that.
        out_wh = 10 * (808 + 57.7 / 2) / 3600
        assert 0 < before_wh - ups.charge * ups.battery_wh <= out_wh


def test_a_meter_counts_what_flowed() -> None:
    model = plant()
    before_wh = model.energy_wh["MTR-F"]
    walk(model, 3_600)

    assert model.energy_wh["MTR-F"] - before_wh == pytest.approx(model.feed_w, rel=0.01)  # one hour


def test_phases_add_up_to_the_whole() -> None:
    model = plant(machines=10)  # phases of 4, 3 and 3 machines

    phases_w, live = meter_phases_w(model, "MTR-2")
    assert live
    assert phases_w == [12_000, 9_000, 9_000]
    assert sum(meter_phases_w(model, "MTR-1")[0]) == pytest.approx(model.board_w)


def test_a_grid_cut_runs_its_course_and_the_return_too() -> None:
    model = plant()
    set_fault(model, "FEED-1", "outage")
    walk(model, 1)

    assert model.mining_w == 0  # no UPS: off at once
    assert all(ups.on_battery and ups.is_live for ups in model.upses.values())
    assert model.servers.heat_w > 0
    assert model.feed_w == 0
    assert not model.hall.is_live

    set_loads(model, 0.0)
    walk(model, 30)
    assert model.changeover.position is Position.GENSETS
    assert not model.closed("Q-M")  # machines stay shed
    assert not any(ups.on_battery for ups in model.upses.values())
    assert model.hall.is_live
    assert sum(genset.load_w for genset in model.gensets.values()) == pytest.approx(model.board_w)

    set_fault(model, "FEED-1", "none")
    walk(model, 29)
    assert model.changeover.position is Position.GENSETS
    walk(model, 10)
    assert model.changeover.position is Position.GRID
    assert model.machines_live
    assert [tag for _, tag, state in model.events if state == "on battery"] == ["UPS-1", "UPS-2"] * 2


def test_machines_that_all_come_back_at_once_show_as_inrush_and_staggered_ones_less() -> None:
    def peak_a(*, staggered: bool) -> float:
        model = plant()
        set_fault(model, "FEED-1", "outage")
        walk(model, 5)
        set_fault(model, "FEED-1", "none")
        if staggered:
            for number in range(2, 13):
                set_outlet(model, "PDU-R1", number, on=False)
                set_outlet(model, "PDU-R2", number, on=False)
        peaks = [0.0]
        for number in range(2, 40):
            walk(model, 1)
            peaks.append(max(model.machine_phases_a()))
            if staggered and model.machines_live and number % 3 == 0:
                waiting = [plug.outlet for load in model.racks for plug in load.plugs if not plug.is_on]
                for outlet in waiting[:1]:
                    set_outlet(model, f"PDU-{outlet.tag.split('-')[0].replace('M', 'R')}", outlet.number, on=True)
        return max(peaks)

    together_a = peak_a(staggered=False)
    # 8 machines of a phase at five times their rated current, and their load: far above the 105 A of work.
    assert together_a > 400
    assert peak_a(staggered=True) < together_a / 2


def test_a_breaker_that_trips_takes_its_rack_and_nothing_else() -> None:
    model = plant()
    set_fault(model, "Q-R1", "tripped")
    walk(model, 1)

    assert model.mining_w == 36_000
    assert model.states()["Q-R1"] == "tripped"
    assert model.states()["PDU-R1"] == "dead"
    assert model.states()["PDU-R2"] == "live"
    set_fault(model, "Q-R1", "none")
    walk(model, 1)
    assert model.mining_w == 72_000


def test_an_overload_trips_the_racks_breaker_by_itself() -> None:
    model = plant()
    for plug in model.racks[0].plugs:
        plug.load_w = 9_000.0
    walk(model, 600)

    assert model.states()["Q-R1"] == "tripped"


def test_one_genset_is_enough() -> None:
    model = plant()
    set_fault(model, "GEN-1", "no_start")
    set_fault(model, "FEED-1", "outage")
    walk(model, 60)

    assert model.states()["GEN-1"] == "failed fail_to_start"
    assert model.gensets["GEN-2"].load_w == pytest.approx(model.board_w)


def test_without_gensets_the_batteries_run_down_and_the_servers_go_dark() -> None:
    model = plant()
    for tag in ("GEN-1", "GEN-2"):
        set_fault(model, tag, "no_start")
    for tag in ("BAT-1", "BAT-2"):
        set_fault(model, tag, "weak")
    set_fault(model, "FEED-1", "outage")
    walk(model, 600)

    assert model.servers.heat_w == 0
    assert {model.states()[tag] for tag in ("UPS-1", "UPS-2")} == {"empty"}
    set_fault(model, "FEED-1", "none")
    walk(model, 60)
    assert model.servers.heat_w > 0


def test_one_ups_that_fails_leaves_the_servers_on_the_other_side() -> None:
    model = plant()
    before_w = model.servers.heat_w
    set_fault(model, "UPS-1", "failed")
    walk(model, 1)

    assert model.servers.heat_w == before_w
    assert model.servers.sides_w() == {"A": 0.0, "B": pytest.approx(before_w + 80)}


def test_the_hall_heats_up_without_fans_and_without_water() -> None:
    model = plant(now_s=NOON)
    cool_c = model.hall.inlet_c
    set_fault(model, "PUMP-1", "failed")
    walk(model, 600)
    dry_c = model.hall.inlet_c
    for tag in ("FW-1", "FW-2"):
        set_fault(model, tag, "failed")
    walk(model, 120)

    assert dry_c > cool_c + 3
    assert model.hall.inlet_c > dry_c + 20


def test_a_frozen_device_and_a_silent_sensor_show_themselves() -> None:
    model = plant()
    panel = Panel(model)
    set_fault(model, "MTR-2", "frozen")
    before = panel.read("MTR-2")
    set_fault(model, "Q-M", "tripped")
    walk(model, 2)

    assert panel.read("MTR-2") == before
    assert panel.read("MTR-1")["w"] < 10_000
    set_fault(model, "MTR-2", "none")
    assert panel.read("MTR-2")["w"] == 0

    set_fault(model, "TS-2", "silent")
    walk(model, 1)
    assert panel.read("FW-1")["supply_c"] != panel.read("FW-1")["supply_c"]  # NaN
    set_fault(model, "PDU-A", "silent")
    assert panel.is_silent("PDU-A")


def test_a_racks_pdu_is_silent_without_power() -> None:
    model = plant()
    panel = Panel(model)
    assert not panel.is_silent("PDU-R1")
    set_fault(model, "FEED-1", "outage")
    walk(model, 1)

    assert panel.is_silent("PDU-R1")
    assert not panel.is_silent("PDU-A")
    assert not panel.is_silent("GEN-1")


def test_every_fault_can_be_set_and_mended_and_leaves_nothing_behind() -> None:
    model = plant()
    power_w = model.feed_w
    for element in model.design.elements:
        for word in words_for(model, element.tag):
            set_fault(model, element.tag, word)
            walk(model, 1)
            set_fault(model, element.tag, "none")
            walk(model, 1)
    walk(model, 1_200)

    assert model.faults == {}
    assert model.feed_w == pytest.approx(power_w, rel=0.02)


def test_unknown_elements_and_faults_are_refused_by_name() -> None:
    model = plant()

    with pytest.raises(UnknownAddressError, match="X-1"):
        set_fault(model, "X-1", "failed")
    with pytest.raises(UnknownFaultError, match="none, outage, sag"):
        set_fault(model, "FEED-1", "failed")
    with pytest.raises(UnknownAddressError):
        switch(model, "UPS-1", closed=True)
    set_fault(model, "Q-R1", "tripped")
    model.breakers["Q-R1"].heat = 1.0
    with pytest.raises(TwinError, match="still hot"):
        switch(model, "Q-R1", closed=True)


def test_a_feeder_opened_by_hand_stays_open_until_it_is_closed_by_hand() -> None:
    model = plant()
    switch(model, "Q-M", closed=False)
    walk(model, 30)
    assert model.mining_w == 0

    switch(model, "Q-M", closed=True)
    walk(model, 1)
    assert model.mining_w == 72_000


def test_the_same_seed_gives_the_same_plant() -> None:
    one, two = plant(), plant()
    for model in (one, two):
        set_fault(model, "GEN-1", "hard_start")
        set_fault(model, "FEED-1", "outage")
        walk(model, 120)

    assert list(one.events) == list(two.events)


def test_the_document_is_a_graph_without_loose_ends() -> None:
    design = designed(Twin(machines=30))
    tags = [element.tag for element in design.elements]

    assert len(tags) == len(set(tags))
    assert {link.source for link in design.links} | {link.target for link in design.links} <= set(tags)
    assert {device.tag for device in design.devices} <= set(tags)
    fed: dict[str, set[str]] = {}
    for link in design.links:
        if link.kind is LinkKind.POWER:
            fed.setdefault(link.target, set()).add(link.source)
    machines = [element.tag for element in design.elements if element.kind is Kind.MACHINE]
    assert len(machines) == 30
    assert "FEED-1" in sources(machines[-1], fed)
    assert {"BAT-1", "BAT-2", "GEN-1", "GEN-2", "FEED-1", "PV-1"} == sources("SRV-1", fed)
    labels = [link["tag"] for link in design.document()["links"]]
    assert len(labels) == len(set(labels))
    places = {place.code for place in design.places}
    assert {element.place for element in design.elements} <= places
    assert {place.parent for place in design.places} <= places | {""}
    addresses = [(device.host, device.port, device.selector) for device in design.devices]
    assert len(addresses) == len(set(addresses))


def sources(tag: str, fed: dict[str, set[str]]) -> set[str]:
    """Where a tag's power comes from."""
    above = fed.get(tag, set())
    return {tag} if not above else set().union(*(sources(each, fed) for each in above))


def test_a_large_site_is_built_large_enough() -> None:
    design = designed(Twin(machines=2_000))
    model = PlantModel(design, seed=1, now_s=NOON)
    for load in model.racks:
        for plug in load.plugs:
            plug.load_w = plug.outlet.nameplate_w
    model.settle()

    assert not any(breaker.is_tripped for breaker in model.breakers.values())
    assert model.board_w < 0.9 * model.transformer.rated_va
    assert len(FAULTS) > 10


def test_a_rack_without_an_address_for_its_pdu_is_refused() -> None:
    with pytest.raises(TwinConfigError, match="per_rack"):
        designed(Twin(machines=300, per_rack=254))
