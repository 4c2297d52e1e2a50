"""The plant's kinds, fields, fates and faults in the reader's language."""

from collections.abc import Mapping

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from mbongi.facility.rules.inventory_files import Problem
from mbongi.facility.rules.load_flow import Basis
from mbongi.facility.rules.outage import Fate
from mbongi.facility.rules.trace import Verdict
from mbongi.facility.values import ElementKind, ElementStatus, LinkKind, PlaceKind

KINDS: Mapping[ElementKind, Promise] = {
    ElementKind.UTILITY_FEED: _("Utility feed"),
    ElementKind.TRANSFORMER: _("Transformer"),
    ElementKind.MV_SWITCHBOARD: _("MV switchboard"),
    ElementKind.LV_SWITCHBOARD: _("LV switchboard"),
    ElementKind.BREAKER: _("Breaker"),
    ElementKind.PDU: _("PDU"),
    ElementKind.OUTLET: _("Outlet"),
    ElementKind.UPS: _("UPS"),
    ElementKind.BATTERY: _("Battery"),
    ElementKind.GENSET: _("Genset"),
    ElementKind.FUEL_TANK: _("Fuel tank"),
    ElementKind.PV: _("PV array"),
    ElementKind.FAN_WALL: _("Fan wall"),
    ElementKind.EVAPORATIVE_PAD: _("Evaporative pad"),
    ElementKind.DRY_COOLER: _("Dry cooler"),
    ElementKind.PUMP: _("Pump"),
    ElementKind.COOLING_LOOP: _("Cooling loop"),
    ElementKind.WATER_TANK: _("Water tank"),
    ElementKind.SENSOR: _("Sensor"),
    ElementKind.METER: _("Meter"),
    ElementKind.NETWORK_SWITCH: _("Network switch"),
    ElementKind.MACHINE: _("Mining machine"),
    ElementKind.SERVER: _("Server"),
}
STATUSES: Mapping[ElementStatus, Promise] = {
    ElementStatus.PLANNED: _("Planned"),
    ElementStatus.ACTIVE: _("In service"),
    ElementStatus.OUT_OF_SERVICE: _("Out of service"),
    ElementStatus.RETIRED: _("Retired"),
}
STATUS_STYLES: Mapping[ElementStatus, str] = {
    ElementStatus.PLANNED: "sleeping",
    ElementStatus.ACTIVE: "mining",
    ElementStatus.OUT_OF_SERVICE: "unknown",
    ElementStatus.RETIRED: "off",
}
PLACES: Mapping[PlaceKind, Promise] = {
    PlaceKind.SITE: _("Site"),
    PlaceKind.HALL: _("Hall"),
    PlaceKind.ROW: _("Row"),
    PlaceKind.RACK: _("Rack"),
}
LINKS: Mapping[LinkKind, Promise] = {
    LinkKind.POWER: _("Power"),
    LinkKind.COOLING: _("Cooling"),
    LinkKind.DATA: _("Data"),
}
FIELDS: Mapping[str, Promise] = {
    "tag": _("Tag"),
    "code": _("Code"),
    "kind": _("Kind"),
    "name": _("Name"),
    "place": _("Place"),
    "parent": _("Within"),
    "slot": _("Unit or shelf"),
    "slots": _("Units or shelves"),
    "status": _("Status"),
    "manufacturer": _("Manufacturer"),
    "model": _("Model"),
    "serial": _("Serial number"),
    "rated_kw": _("Rating, kW"),
    "rated_kva": _("Rating, kVA"),
    "rated_a": _("Rated current, A"),
    "rated_v": _("Rated voltage, V"),
    "phases": _("Phases"),
    "demand_kw": _("Expected draw, kW"),
    "power_factor": _("Power factor"),
    "efficiency": _("Efficiency, 0 to 1"),
    "capacity_kwh": _("Capacity, kWh"),
    "capacity_l": _("Capacity, l"),
    "capacity_m3": _("Capacity, m³"),
    "machine_id": _("Number in the fleet"),
    "maintenance_days": _("Maintenance every, days"),
    "maintenance_last": _("Last maintenance"),
    "maintenance_next": _("Next maintenance"),
    "source": _("From"),
    "target": _("To"),
    "side": _("Side"),
    "breaker_a": _("Breaker, A"),
    "normally_open": _("Normally open"),
    "element": _("Element"),
    "title": _("Title"),
    "reference": _("Where it is kept"),
    "sha256": _("SHA-256"),
}
BASES: Mapping[Basis, Promise] = {
    Basis.METER: _("measured"),
    Basis.MIXED: _("partly measured"),
    Basis.MODEL: _("from the model"),
}
FATES: Mapping[Fate, Promise] = {
    Fate.DARK: _("Dark"),
    Fate.RUNS_OUT: _("On battery, then dark"),
    Fate.RESTARTED: _("Dark until gensets run"),
    Fate.HELD: _("Held by batteries until gensets run"),
    Fate.TRANSFERRED: _("Goes on with its other input"),
}
FATE_STYLES: Mapping[Fate, str] = {
    Fate.DARK: "fault",
    Fate.RUNS_OUT: "fault",
    Fate.RESTARTED: "unknown",
    Fate.HELD: "sleeping",
    Fate.TRANSFERRED: "mining",
}
VERDICTS: Mapping[Verdict, Promise] = {
    Verdict.UNFED: _("No source feeds it"),
    Verdict.SINGLE: _("One path only"),
    Verdict.SHARED: _("Sides A and B, but both need the same element"),
    Verdict.MESHED: _("Sides A and B cross, but neither needs the other"),
    Verdict.DISJOINT: _("Sides A and B share nothing"),
}
VERDICT_STYLES: Mapping[Verdict, str] = {
    Verdict.UNFED: "fault",
    Verdict.SINGLE: "unknown",
    Verdict.SHARED: "fault",
    Verdict.MESHED: "mining",
    Verdict.DISJOINT: "mining",
}
PROBLEMS: Mapping[str, Promise] = {
    "unknown_column": _("There is no such column. There are: %(expected)s."),
    "column_missing": _("This column is needed."),
    "column_twice": _("This column stands there twice."),
    "cells": _("%(found)s cells; the heading has %(expected)s."),
    "value": _("“%(found)s” cannot be used. Expected: %(expected)s."),
    "range": _("%(found)s is out of range: %(expected)s."),
    "long": _("The text is too long: at most %(expected)s characters."),
    "tag": _("A name has 1 to %(expected)s characters, without spaces at its ends."),
    "needed": _("This must be stated."),
    "twice": _("This is named already on line %(found)s."),
    "unknown_place": _("No place has the code “%(found)s”."),
    "unknown_element": _("No element has the tag “%(found)s”."),
    "unknown_feed": _("No power feed is called “%(found)s”."),
    "within": _("It cannot stand within a place of kind “%(found)s”; it can within: %(expected)s."),
    "slot": _("%(found)s is no slot of its rack: %(expected)s."),
    "not_a_machine": _("Only elements of kind “%(expected)s” have a number in the fleet; this one is “%(found)s”."),
    "machine_twice": _("The element “%(found)s” has this number in the fleet already."),
    "itself": _("A link leads to another element."),
    "power_only": _("Only power links have this."),
    "sha256": _("A SHA-256 has 64 digits from 0 to f."),
    "phase_open": _("The feed “%(found)s” is single-phase: state which phase it is."),
    "too_many": _("More than %(expected)s lines."),
    "not_csv": _("The file cannot be read: %(found)s"),
}


def problem_text(problem: Problem) -> str:
    """What is wrong, for the person who can mend it."""
    return str(PROBLEMS[problem.code]) % {"found": problem.found, "expected": problem.expected}
