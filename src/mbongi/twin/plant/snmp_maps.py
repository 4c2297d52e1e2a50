"""The objects that SNMP devices of the virtual plant have. Pure.

UPS: RFC 1628. Rack PDU: PowerNet-MIB, rPDU2 (enterprises.318.1.1.26), one device, as its maker publishes it. A value
is a (type, value) pair; types are the words of ``TYPES`` in ``snmp_agents``.
"""

import math
from collections.abc import Callable

from mbongi.twin.plant.points import Readings

Oid = tuple[int, ...]
Value = tuple[str, int | str | Oid]
Row = Callable[[Oid, int, dict[int, Value]], None]
SYSTEM: Oid = (1, 3, 6, 1, 2, 1, 1)
UPS: Oid = (1, 3, 6, 1, 2, 1, 33, 1)
PDU: Oid = (1, 3, 6, 1, 4, 1, 318, 1, 1, 26)
OUTLET_COMMAND: Oid = (*PDU, 9, 2, 4, 1, 5)
"""rPDU2OutletSwitchedControlCommand, followed by the outlet."""
ON, OFF, REBOOT = 1, 2, 3
"""Immediate commands; a reboot is carried out as "on" here."""
ON_BATTERY_ALARM: Oid = (*UPS, 6, 3, 2)
LOW_BATTERY_ALARM: Oid = (*UPS, 6, 3, 3)
DEPLETED_ALARM: Oid = (*UPS, 6, 3, 4)
OUTPUT_OFF_ALARM: Oid = (*UPS, 6, 3, 10)


def system(tag: str, kind: str, uptime_s: float) -> dict[Oid, Value]:
    """MIB-2's system group."""
    identity = (*PDU[:7], 1, 3, 4, 6) if kind == "apc-rpdu2" else UPS[:-1]
    return {
        (*SYSTEM, 1, 0): ("text", f"Mbongi virtual {'PDU' if kind == 'apc-rpdu2' else 'UPS'}"),
        (*SYSTEM, 2, 0): ("oid", identity),
        (*SYSTEM, 3, 0): ("ticks", int(uptime_s * 100)),
        (*SYSTEM, 4, 0): ("text", "control room"),
        (*SYSTEM, 5, 0): ("text", tag),
        (*SYSTEM, 6, 0): ("text", "virtual site"),
    }


def ups(tag: str, found: Readings) -> dict[Oid, Value]:
    """UPS-MIB: battery, input, output and alarms of a single-phase UPS."""
    source = 2 if not found["live"] else 5 if found["on_battery"] else 3
    groups: dict[Oid, list[Value]] = {
        (1,): [("text", "Mbongi"), ("text", "Virtual UPS"), ("text", "1"), ("text", "1"), ("text", tag), ("text", "")],
        (2,): [
            ("int", int(found["status"])),
            ("int", int(found["on_battery_s"])),
            ("int", int(found["runtime_s"] / 60)),
            ("int", round(found["charge_pct"])),
            ("int", round(found["battery_v"] * 10)),
            ("int", round(found["battery_a"] * 10)),
            ("int", round(found["battery_c"])),
        ],
        (3,): [("counter", int(found["transfers"])), ("int", 1)],
        (4,): [("int", source), ("int", round(found["output_hz"] * 10)), ("int", 1)],
        (5,): [("int", 0), ("int", 0)],
    }
    objects = {(*UPS, *group, place, 0): value for group, row in groups.items() for place, value in enumerate(row, 1)}
    amps = found["input_w"] / found["input_v"] * 10 if found["input_v"] else 0.0
    into = (found["input_hz"] * 10, found["input_v"], amps, found["input_w"])
    out = (found["output_v"], found["output_w"] / 23.0, found["output_w"], found["load_pct"])
    for column, value in enumerate(into, start=2):
        objects[(*UPS, 3, 3, 1, column, 1)] = ("int", round(value))
    for column, value in enumerate(out, start=2):
        objects[(*UPS, 4, 4, 1, column, 1)] = ("int", round(value))
    alarms = [
        oid
        for oid, name in (
            (ON_BATTERY_ALARM, "on_battery"),
            (LOW_BATTERY_ALARM, "low"),
            (DEPLETED_ALARM, "depleted"),
            (OUTPUT_OFF_ALARM, "failed"),
        )
        if found[name]
    ]
    objects[(*UPS, 6, 1, 0)] = ("gauge", len(alarms))
    for number, oid in enumerate(alarms, start=1):
        objects[(*UPS, 6, 2, 1, 2, number)] = ("oid", oid)
    objects[(*UPS, 9, 4, 0)] = ("int", round(found["rated_w"]))
    objects[(*UPS, 9, 5, 0)] = ("int", round(found["rated_w"]))
    return objects


def pdu(tag: str, found: Readings) -> dict[Oid, Value]:
    """rPDU2: identity, device, phases and outlets."""
    objects: dict[Oid, Value] = {}

    def row(table: Oid, index: int, columns: dict[int, Value]) -> None:
        for column, value in columns.items():
            objects[(*PDU, *table, 1, column, index)] = value

    name: Value = ("text", tag)
    texts = ("1", "1.0", "01/01/2026", "Virtual PDU", tag)
    identity: dict[int, Value] = {column: ("text", text) for column, text in enumerate(texts, start=5)}
    row((2, 1), 1, {1: ("int", 1), 2: ("int", 1), 3: name, 4: ("text", ""), **identity})
    apparent = round(found["w"] / 0.97 / 10)
    row(
        (4, 3),
        1,
        {
            1: ("int", 1),
            2: ("int", 1),
            3: name,
            4: ("int", 2),
            5: ("int", round(found["w"] / 10)),
            9: ("int", round(found["wh"] / 100)),
            16: ("int", apparent),
            17: ("int", 97),
        },
    )
    for phase in range(1, int(found["phases"]) + 1):
        watts, volts = found[f"w{phase}"], found["v"]
        amps = watts / 0.97 / volts if volts else 0.0
        columns = (1, 1, phase, 2, round(amps * 10), round(volts), round(watts / 10), round(watts / 0.97 / 10), 97)
        row((6, 3), phase, {column: ("int", value) for column, value in enumerate(columns, start=1)})
    for outlet in range(1, int(found["outlets"]) + 1):
        _outlet(row, outlet, found)
    return objects


def _outlet(row: Row, number: int, found: Readings) -> None:
    is_on = found.get(f"outlet{number}", math.nan)
    if math.isnan(is_on):
        return
    label: Value = ("text", f"Outlet {number}")
    watts, volts = found[f"outlet{number}_w"], found["v"]
    base: dict[int, Value] = {1: ("int", number), 2: ("int", 1), 3: label, 4: ("int", number)}
    state: Value = ("int", 2 if is_on else 1)
    row((9, 2, 3), number, {**base, 5: state, 6: ("int", 2), 7: ("int", 1)})
    row((9, 2, 4), number, {**base, 5: ("int", ON if is_on else OFF), 6: ("int", 1)})
    energy: Value = ("int", round(found.get(f"outlet{number}_wh", 0.0) / 100))
    amps: Value = ("int", round(watts / 0.97 / volts * 10) if volts else 0)
    row((9, 4, 3), number, {**base, 5: state, 6: amps, 7: ("int", round(watts)), 11: energy})
