"""What each device of the virtual plant shows: readings by name, before any protocol.

A meter's noise and a frozen device's standstill are made here, so that every protocol shows the same.
"""

from collections.abc import Callable, Mapping
from random import Random

from mbongi.twin.plant.changeover import Position
from mbongi.twin.plant.design import GENSETS
from mbongi.twin.plant.faults import FROZEN, SILENT
from mbongi.twin.plant.genset import RPM, GensetState
from mbongi.twin.plant.model import UPS_SIDES, PlantModel
from mbongi.twin.plant.ratings import POWER_FACTOR, VOLTS
from mbongi.twin.plant.ups import LOW_SHARE

Readings = dict[str, float]
NOISE_SHARE = 0.001
REACTIVE_SHARE = (1 - POWER_FACTOR**2) ** 0.5
GENSET_MODES = {"stop": 0, "auto": 1, "manual": 2}
ALARMS = ("overload", "fail_to_start", "under_speed", "fuel")
STRINGS = 32
"""Cells of a UPS's battery: 13.65 V each on charge, 10.5 V when empty."""


class Panel:
    """Every device's readings, refreshed when asked for a new moment."""

    def __init__(self, model: PlantModel) -> None:
        self.model = model
        self.random = Random(f"{model.seed}/panel")  # noqa: S311 -- noise of a simulation
        self.frozen: dict[str, Readings] = {}
        self._kept: dict[str, tuple[int, Readings]] = {}

    def is_silent(self, tag: str) -> bool:
        """Whether the device answers nothing: by its fault, or because it has no power."""
        return self.model.faults.get(tag) == SILENT or not self.has_power(tag)

    def has_power(self, tag: str) -> bool:
        """Whether a device itself is fed: PDUs from what they pass on, the rest from either UPS, gensets by battery."""
        model = self.model
        if tag.startswith("PDU-R"):
            load = model.racks[int(tag[5:]) - 1]
            return model.machines_live and model.closed(load.rack.breaker) and not load.is_failed
        if tag.startswith("PDU-"):
            return model.servers.live[tag[-1]]
        if tag.startswith("SRV-"):
            return any(model.servers.live.values())
        return tag in GENSETS or tag in model.upses or any(ups.is_live for ups in model.upses.values())

    def read(self, tag: str) -> Readings:
        """What a device shows now; a frozen one what it showed when it froze. Raises KeyError."""
        if self.model.faults.get(tag) == FROZEN:
            return self.frozen.setdefault(tag, self._fresh(tag))
        self.frozen.pop(tag, None)
        return self._fresh(tag)

    def _fresh(self, tag: str) -> Readings:
        kept = self._kept.get(tag)
        if kept is None or kept[0] != self.model.turn:
            kept = self._kept[tag] = (self.model.turn, self._taken(tag))
        return kept[1]

    def _taken(self, tag: str) -> Readings:
        kinds: dict[str, Callable[[], Readings]] = {
            "MTR": lambda: self._meter(tag),
            "GEN": lambda: self._genset(tag),
            "UPS": lambda: _ups(self.model, tag),
            "FW": lambda: self._sensed(_hall(self.model)),
            "LOOP": lambda: self._sensed(_loop(self.model)),
            "SRV": lambda: _server(self.model, int(tag[4:]) - 1),
            "PDU": lambda: _pdu(self.model, tag),
        }
        return kinds[tag.partition("-")[0]]()

    def _meter(self, tag: str) -> Readings:
        model = self.model
        phases_w, live = meter_phases_w(model, tag)
        volts = model.board_v if tag != "MTR-2" or live else 0.0
        found: Readings = {"hz": (model.board_hz + self.random.gauss(0.0, 0.003)) if volts else 0.0}
        inrush = model.machine_phases_a() if tag in {"MTR-1", "MTR-2"} and live else None
        total = 0.0
        for phase, power in enumerate(phases_w, start=1):
            power_w = power * self.random.gauss(1.0, NOISE_SHARE)
            volts_n = volts * self.random.gauss(1.0, 0.0004)
            total += power_w
            found[f"v{phase}"] = volts_n
            found[f"w{phase}"] = power_w
            amps = power_w / max(volts_n, 1.0) / POWER_FACTOR
            if inrush is not None:
                amps += sum(load.inrush_a[phase - 1] for load in model.racks)
            found[f"a{phase}"] = amps
        found["w"], found["va"] = total, total / POWER_FACTOR
        found["var"] = found["va"] * REACTIVE_SHARE
        found["wh"] = model.energy_wh[tag]
        return found

    def _genset(self, tag: str) -> Readings:
        model, genset = self.model, self.model.gensets[tag]
        is_up = genset.runs and genset.state is not GensetState.RUN_UP
        volts = VOLTS if is_up else 0.0
        grid_v = model.grid_v if not model.transformer_failed else 0.0
        return {
            "hz": genset.hz,
            "v": volts,
            "a": genset.load_w / 3 / VOLTS / POWER_FACTOR,
            "w": genset.load_w,
            "rpm": RPM * genset.hz / 50.0,
            "oil_kpa": 420.0 if genset.runs else 0.0,
            "coolant_c": genset.coolant_c,
            "fuel_pct": model.fuel.level_pct,
            "starter_v": 26.8 if genset.state is not GensetState.CRANKING else 22.1,
            "charger_v": 27.6 if genset.runs else 0.0,
            "grid_v": grid_v,
            "grid_hz": model.grid_hz if grid_v else 0.0,
            "mode": GENSET_MODES[genset.mode],
            "run_s": genset.run_s,
            "wh": genset.energy_wh,
            "starts": genset.starts,
            "alarm": ALARMS.index(genset.alarm) + 1 if genset.alarm else 0,
            "on_load": model.changeover.position is Position.GENSETS and genset.load_w > 0,
        }

    def _sensed(self, values: Mapping[str, tuple[str, float]]) -> Readings:
        """Values of sensors, some of which may stand still or be gone (NaN)."""
        model, found = self.model, Readings()
        for name, (sensor, value) in values.items():
            fault = model.faults.get(sensor, "")
            if fault == FROZEN:
                found[name] = model.held.setdefault(sensor, value)
            else:
                found[name] = float("nan") if fault == SILENT else value
        return found


def meter_phases_w(model: PlantModel, tag: str) -> tuple[list[float], bool]:
    """What flows through a panel meter, by phase, and whether it is live."""
    mining = [sum(load.phases_w[phase] for load in model.racks) for phase in range(3)]
    rest = {"MTR-1": model.board_w - model.mining_w, "MTR-3": model.cooling_w, "MTR-4": model.ups_input_w}
    if tag == "MTR-2":
        return mining, model.machines_live
    each = rest[tag] / 3
    return [each + (mining[phase] if tag == "MTR-1" else 0.0) for phase in range(3)], model.board_live


def _ups(model: PlantModel, tag: str) -> Readings:
    ups, number = model.upses[tag], int(tag[-1])
    mains = model.board_live and model.closed(f"Q-U{number}")
    cell_v = 13.65 if ups.battery_w < 0 else 10.5 + 2.3 * ups.charge if ups.on_battery else 13.5
    low = ups.on_battery and ups.charge < LOW_SHARE
    return {
        "input_v": model.board_v if mains else 0.0,
        "input_hz": model.board_hz if mains else 0.0,
        "input_w": ups.input_w,
        "output_v": VOLTS if ups.is_live else 0.0,
        "output_hz": 50.0 if ups.is_live else 0.0,
        "output_w": ups.load_w,
        "load_pct": 100.0 * ups.load_w / ups.rated_w,
        "rated_w": ups.rated_w,
        "charge_pct": 100.0 * ups.charge,
        "runtime_s": ups.runtime_s,
        "on_battery_s": ups.on_battery_s,
        "battery_v": STRINGS * cell_v / 2,
        "battery_a": ups.battery_w / (STRINGS * cell_v / 2),
        "battery_c": 27.0,
        "on_battery": ups.on_battery,
        "low": low,
        "depleted": ups.is_empty,
        "live": ups.is_live,
        "failed": ups.is_failed,
        "transfers": ups.transfers,
        "status": 4 if ups.is_empty else 3 if low else 2,
    }


def _hall(model: PlantModel) -> dict[str, tuple[str, float]]:
    hall = model.hall
    return {
        "outside_c": ("TS-1", model.outside_c),
        "supply_c": ("TS-2", hall.supply_c),
        "exhaust_c": ("TS-3", hall.exhaust_c),
        "humidity_pct": ("HS-1", model.humidity),
        "inlet_c": ("", hall.inlet_c),
        "duty_pct": ("", 100.0 * hall.duty if hall.is_live else 0.0),
        "flow_m3_s": ("", hall.flow_m3_s),
        "wetness_pct": ("", 100.0 * hall.wetness),
        "water_pct": ("", model.water.level_pct),
        "water_l_s": ("", hall.water_l_s),
        "rise_set_k": ("", hall.rise_set_k),
        "wall1": ("", hall.walls[0] and hall.is_live),
        "wall2": ("", hall.walls[1] and hall.is_live),
        "pump": ("", hall.pump_w > 0),
        "pad_allowed": ("", hall.pad_allowed),
    }


def _loop(model: PlantModel) -> dict[str, tuple[str, float]]:
    loop = model.loop
    return {
        "water_c": ("TS-4", loop.water_c),
        "return_c": ("TS-5", loop.return_c),
        "flow_pct": ("", 100.0 * loop.flow),
        "duty_pct": ("", 100.0 * loop.duty if loop.fan_w > 0 else 0.0),
        "set_c": ("", loop.set_c),
        "pump": ("", loop.pump_w > 0),
        "cooler": ("", loop.fan_w > 0),
    }


def _server(model: PlantModel, number: int) -> Readings:
    server = model.servers.servers[number]
    return {
        "w": server.power_w,
        "wh": server.energy_wh,
        "cap_w": float("nan") if server.cap_w is None else server.cap_w,
        "chip_c": model.loop.chip_c,
        "inlet_c": model.hall.inlet_c,
        "water_c": model.loop.water_c,
        "feed_a_w": model.servers.outlets_w["A"][number],
        "feed_b_w": model.servers.outlets_w["B"][number],
        "feed_a": model.servers.live["A"],
        "feed_b": model.servers.live["B"],
        "on": server.power_w > 0,
    }


def _pdu(model: PlantModel, tag: str) -> Readings:
    """``outletN``, ``outletN_w``, ``outletN_wh`` for each; phases where the PDU has three."""
    side = tag[4:]
    found: Readings = {}
    if side in UPS_SIDES:
        servers = model.servers
        watts = servers.outlets_w[side]
        for number, (is_on, power_w) in enumerate(zip(servers.outlets[side], watts, strict=True), start=1):
            found |= {f"outlet{number}": is_on, f"outlet{number}_w": power_w}
        found |= {"w": sum(watts), "w1": sum(watts), "v": VOLTS if servers.live[side] else 0.0}
        return found | {"wh": servers.energy_wh[side], "phases": 1, "outlets": len(watts)}
    load = model.racks[int(side[1:]) - 1]
    for plug in load.plugs:
        number = plug.outlet.number
        found |= {
            f"outlet{number}": plug.is_on,
            f"outlet{number}_w": plug.power_w,
            f"outlet{number}_wh": plug.energy_wh,
        }
    found |= {f"w{phase}": power_w for phase, power_w in enumerate(load.phases_w, start=1)}
    volts = model.board_v if load.is_live else 0.0
    return found | {"w": load.power_w, "wh": load.energy_wh, "phases": 3, "outlets": len(load.plugs), "v": volts}


def set_outlet(model: PlantModel, tag: str, number: int, *, on: bool) -> None:
    """Switch a PDU's outlet. Raises KeyError."""
    side = tag[4:]
    if side in UPS_SIDES:
        if not 1 <= number <= len(model.servers.outlets[side]):
            raise KeyError(number)
        model.servers.outlets[side][number - 1] = on
        return
    plug = next((plug for plug in model.racks[int(side[1:]) - 1].plugs if plug.outlet.number == number), None)
    if plug is None:
        raise KeyError(number)
    plug.is_on = on
