"""The words that people read for quantities, protocols, and what goes wrong with devices."""

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from mbongi.facility.rules.devices import Wrong
from mbongi.facility.values import Protocol, Quality, Quantity

PROTOCOLS: dict[Protocol, str] = {
    Protocol.MODBUS: "Modbus TCP",
    Protocol.SUNSPEC: "SunSpec (Modbus TCP)",
    Protocol.SNMP2: "SNMP v2c",
    Protocol.SNMP3: "SNMP v3",
    Protocol.NUT: "NUT",
    Protocol.BACNET: "BACnet/IP",
    Protocol.REDFISH: "Redfish",
}
QUALITIES: dict[Quality, Promise] = {
    Quality.GOOD: _("good"),
    Quality.STALE: _("stale"),
    Quality.BAD: _("not known"),
    Quality.SUBSTITUTED: _("entered, not measured"),
}
ERRORS: dict[str, Promise] = {
    "silent": _("It does not answer."),
    "unreachable": _("Nobody takes the connection: look at the address, the port and the cable."),
    "garbled": _("It answers, but not as this protocol does: is it another kind of device?"),
    "denied": _("It does not accept our name or secret."),
    "missing": _("It answers, and has nothing of what the map says, or is another device."),
    "refused": _("It did not take the value that was written."),
    "map": _("Its map cannot be used."),
    "broken": _("Reading it failed in a way that was not foreseen; the log says more."),
}
WRONGS: dict[Wrong, Promise] = {
    Wrong.TAG: _("A tag has 1 to 60 letters, without blanks at its ends."),
    Wrong.HOST: _("The address is an IP address or a host name."),
    Wrong.PORT: _("A port is a number from 1 to 65535."),
    Wrong.SELECTOR_UNIT: _("The unit is a number from 0 to 255."),
    Wrong.SELECTOR_UPS: _("NUT needs the name of the UPS on its server."),
    Wrong.SELECTOR_INSTANCE: _("BACnet needs the device's instance, a number up to 4194302."),
    Wrong.SELECTOR_DIGEST: _("SNMP takes nothing here, or sha256 with version 3."),
    Wrong.SELECTOR_CHASSIS: _("This is no id of a chassis."),
    Wrong.MAP: _("Choose a map of this protocol."),
    Wrong.SCHEME: _("Redfish takes https, https-unchecked or http as its map."),
    Wrong.PERIOD: _("The period is from 1 to 3600 seconds."),
    Wrong.TIMEOUT: _("The time limit is from 0.2 to 30 seconds."),
    Wrong.COMMUNITY: _("SNMP v2c needs a community; enter it again where the address changed."),
    Wrong.USER: _("SNMP v3 needs a user."),
    Wrong.PASS_PHRASE: _("Pass phrases of SNMP v3 have at least 8 letters."),
    Wrong.PRIVACY_ALONE: _("SNMP v3 encrypts only what is signed: enter both pass phrases."),
    Wrong.SECRET_LONG: _("Names and secrets have at most 128 letters."),
}
QUANTITIES: dict[Quantity, Promise] = {
    Quantity.POWER_W: _("Power"),
    Quantity.POWER_L1_W: _("Power L1"),
    Quantity.POWER_L2_W: _("Power L2"),
    Quantity.POWER_L3_W: _("Power L3"),
    Quantity.APPARENT_POWER_VA: _("Apparent power"),
    Quantity.REACTIVE_POWER_VAR: _("Reactive power"),
    Quantity.POWER_FACTOR: _("Power factor"),
    Quantity.ENERGY_WH: _("Energy"),
    Quantity.ENERGY_EXPORTED_WH: _("Energy given back"),
    Quantity.VOLTAGE_L1_V: _("Voltage L1"),
    Quantity.VOLTAGE_L2_V: _("Voltage L2"),
    Quantity.VOLTAGE_L3_V: _("Voltage L3"),
    Quantity.VOLTAGE_L12_V: _("Voltage L1–L2"),
    Quantity.VOLTAGE_L23_V: _("Voltage L2–L3"),
    Quantity.VOLTAGE_L31_V: _("Voltage L3–L1"),
    Quantity.CURRENT_L1_A: _("Current L1"),
    Quantity.CURRENT_L2_A: _("Current L2"),
    Quantity.CURRENT_L3_A: _("Current L3"),
    Quantity.CURRENT_N_A: _("Neutral current"),
    Quantity.FREQUENCY_HZ: _("Frequency"),
    Quantity.INPUT_POWER_W: _("Input power"),
    Quantity.INPUT_VOLTAGE_L1_V: _("Input voltage L1"),
    Quantity.INPUT_VOLTAGE_L2_V: _("Input voltage L2"),
    Quantity.INPUT_VOLTAGE_L3_V: _("Input voltage L3"),
    Quantity.INPUT_FREQUENCY_HZ: _("Input frequency"),
    Quantity.LOAD_PCT: _("Load"),
    Quantity.CHARGE_PCT: _("Battery charge"),
    Quantity.RUNTIME_S: _("Battery lasts"),
    Quantity.BATTERY_VOLTAGE_V: _("Battery voltage"),
    Quantity.BATTERY_CURRENT_A: _("Battery current"),
    Quantity.BATTERY_TEMPERATURE_C: _("Battery temperature"),
    Quantity.BATTERY_STATUS: _("Battery status"),
    Quantity.ON_BATTERY: _("On battery"),
    Quantity.ON_BYPASS: _("On bypass"),
    Quantity.BREAKER_CLOSED: _("Breaker closed"),
    Quantity.RUNNING: _("Running"),
    Quantity.FAULT: _("Fault"),
    Quantity.WARNING: _("Warning"),
    Quantity.MODE: _("Mode"),
    Quantity.TEMPERATURE_C: _("Temperature"),
    Quantity.SUPPLY_TEMPERATURE_C: _("Supply temperature"),
    Quantity.RETURN_TEMPERATURE_C: _("Return temperature"),
    Quantity.SETPOINT_C: _("Setpoint"),
    Quantity.HUMIDITY_PCT: _("Humidity"),
    Quantity.PRESSURE_KPA: _("Pressure"),
    Quantity.FLOW_L_S: _("Flow"),
    Quantity.LEVEL_PCT: _("Level"),
    Quantity.VALVE_PCT: _("Valve"),
    Quantity.FAN_DUTY_PCT: _("Fans"),
    Quantity.SPEED_RPM: _("Speed"),
    Quantity.OIL_PRESSURE_KPA: _("Oil pressure"),
    Quantity.COOLANT_TEMPERATURE_C: _("Coolant temperature"),
    Quantity.STARTER_VOLTAGE_V: _("Starter battery"),
    Quantity.RUN_TIME_S: _("Run time"),
    Quantity.STARTS: _("Starts"),
    Quantity.POWER_CAP_W: _("Power cap"),
}
YES_NO = frozenset(
    {
        *(Quantity.ON_BATTERY, Quantity.ON_BYPASS, Quantity.BREAKER_CLOSED),
        *(Quantity.RUNNING, Quantity.FAULT, Quantity.WARNING),
    }
)
"""Quantities whose 0 and 1 are no and yes."""
