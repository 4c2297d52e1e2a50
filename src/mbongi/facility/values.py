"""Values of the plant's devices: what is measured, how good a value is, which protocols are spoken. Pure.

A *point* is ``(tag, quantity)``: the plant's element, such as ``UPS-A``, and what of it. An *observation* is a point's
value at a time. A value is NaN where the device does not say.
"""

import hashlib
from enum import IntEnum, StrEnum
from typing import Final, NamedTuple

import msgspec

TAG_MAX: Final = 60
"""Characters of an element's tag, at most."""


class Quantity(StrEnum):
    """Everything that may be measured, each with its unit (empty: a number without one, or a word as a whole number).

    L1, L2, L3 are phases against neutral, L12, L23, L31 between phases. Power into an element is positive, and so is
    what a genset delivers. ``input_`` is a UPS's side to the grid, the names without it the side to its load.
    """

    unit: str

    def __new__(cls, word: str, unit: str = "") -> "Quantity":
        """A word with its unit."""
        made = str.__new__(cls, word)
        made._value_ = word
        made.unit = unit
        return made

    POWER_W = "power_w", "W"
    POWER_L1_W = "power_l1_w", "W"
    POWER_L2_W = "power_l2_w", "W"
    POWER_L3_W = "power_l3_w", "W"
    APPARENT_POWER_VA = "apparent_power_va", "VA"
    REACTIVE_POWER_VAR = "reactive_power_var", "var"
    POWER_FACTOR = "power_factor"
    ENERGY_WH = "energy_wh", "Wh"
    ENERGY_EXPORTED_WH = "energy_exported_wh", "Wh"
    VOLTAGE_L1_V = "voltage_l1_v", "V"
    VOLTAGE_L2_V = "voltage_l2_v", "V"
    VOLTAGE_L3_V = "voltage_l3_v", "V"
    VOLTAGE_L12_V = "voltage_l12_v", "V"
    VOLTAGE_L23_V = "voltage_l23_v", "V"
    VOLTAGE_L31_V = "voltage_l31_v", "V"
    CURRENT_L1_A = "current_l1_a", "A"
    CURRENT_L2_A = "current_l2_a", "A"
    CURRENT_L3_A = "current_l3_a", "A"
    CURRENT_N_A = "current_n_a", "A"
    FREQUENCY_HZ = "frequency_hz", "Hz"
    INPUT_POWER_W = "input_power_w", "W"
    INPUT_VOLTAGE_L1_V = "input_voltage_l1_v", "V"
    INPUT_VOLTAGE_L2_V = "input_voltage_l2_v", "V"
    INPUT_VOLTAGE_L3_V = "input_voltage_l3_v", "V"
    INPUT_FREQUENCY_HZ = "input_frequency_hz", "Hz"
    LOAD_PCT = "load_pct", "%"
    CHARGE_PCT = "charge_pct", "%"
    RUNTIME_S = "runtime_s", "s"
    """How long a battery lasts at the present load."""
    BATTERY_VOLTAGE_V = "battery_voltage_v", "V"
    BATTERY_CURRENT_A = "battery_current_a", "A"
    BATTERY_TEMPERATURE_C = "battery_temperature_c", "°C"
    BATTERY_STATUS = "battery_status"
    """1 unknown, 2 normal, 3 low, 4 depleted: RFC 1628, upsBatteryStatus."""
    ON_BATTERY = "on_battery"
    ON_BYPASS = "on_bypass"
    BREAKER_CLOSED = "breaker_closed"
    RUNNING = "running"
    FAULT = "fault"
    """1 while the device itself reports an alarm that stops it."""
    WARNING = "warning"
    MODE = "mode"
    """A genset's: 0 stop, 1 automatic, 2 manual, 3 test on load, and what its map names further."""
    TEMPERATURE_C = "temperature_c", "°C"
    SUPPLY_TEMPERATURE_C = "supply_temperature_c", "°C"
    RETURN_TEMPERATURE_C = "return_temperature_c", "°C"
    SETPOINT_C = "setpoint_c", "°C"
    HUMIDITY_PCT = "humidity_pct", "%"
    PRESSURE_KPA = "pressure_kpa", "kPa"
    FLOW_L_S = "flow_l_s", "l/s"
    LEVEL_PCT = "level_pct", "%"
    """Of a tank: fuel or water."""
    VALVE_PCT = "valve_pct", "%"
    FAN_DUTY_PCT = "fan_duty_pct", "%"
    SPEED_RPM = "speed_rpm", "rpm"
    OIL_PRESSURE_KPA = "oil_pressure_kpa", "kPa"
    COOLANT_TEMPERATURE_C = "coolant_temperature_c", "°C"
    STARTER_VOLTAGE_V = "starter_voltage_v", "V"
    RUN_TIME_S = "run_time_s", "s"
    """How long an engine has run in all."""
    STARTS = "starts"
    POWER_CAP_W = "power_cap_w", "W"


class Quality(IntEnum):
    """How far a value may be believed."""

    GOOD = 0
    STALE = 1
    """Once good, and now older than the device's period allows."""
    BAD = 2
    """The device answers, and says that it does not know, or says what cannot be."""
    SUBSTITUTED = 3
    """Not measured: computed or entered in the place of a measurement."""

    @property
    def word(self) -> str:
        """As in a class name or a document."""
        return self.name.lower()


class Protocol(StrEnum):
    """How a device is asked."""

    MODBUS = "modbus"
    SUNSPEC = "sunspec"
    SNMP2 = "snmp2"
    SNMP3 = "snmp3"
    NUT = "nut"
    BACNET = "bacnet"
    REDFISH = "redfish"


class Point(NamedTuple):
    """What is measured, and of which element."""

    tag: str
    quantity: Quantity


class Found(NamedTuple):
    """One value that a device gave, before it is known whose it is. NaN: the device does not know it."""

    quantity: Quantity
    value: float
    quality: Quality = Quality.GOOD


class Observation(msgspec.Struct, frozen=True, gc=False):
    """A point's value. ``at_ms`` is when it was so, as the source says, ``received_ms`` when we heard it; both UTC."""

    tag: str
    quantity: Quantity
    value: float
    quality: Quality
    at_ms: int
    received_ms: int

    @property
    def point(self) -> Point:
        """What was observed."""
        return Point(self.tag, self.quantity)


def point_number(tag: str, quantity: str) -> int:
    """A number of 32 bits for a point, the same in every process, above all numbers of machines.

    Two points may share one by chance, so telemetry is always asked by tag and quantity too.
    """
    digest = hashlib.sha256(f"{tag}\n{quantity}".encode()).digest()
    return int.from_bytes(digest[:4], "big") | 0x8000_0000
