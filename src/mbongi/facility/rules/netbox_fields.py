"""What of the plant is told to NetBox in which words. Pure.

Every element is a device, by its tag as name; halls and rows are locations. A power link is a power outlet and a power
port, both named by the link's tag, with a cable between them; what leaves a switchboard is a power feed of a power
panel of that switchboard's name. Cooling and data are interfaces and a cable. What NetBox has no field for is in
custom fields named ``mbongi_…``, so that nothing is lost on the way back.
Source: NetBox's import forms (dcim/forms/bulk_import.py) and REST API of version 4.
"""

import re
from collections.abc import Mapping
from typing import Final

from mbongi.facility.values import ElementKind, ElementStatus, Phases, Side

NOT_STATED = "(not stated)"
"""Stands where NetBox needs a maker or model and none is known."""
NO_PLACE = "(no place)"
"""The site of elements that stand nowhere."""
UNITS_MAX = 100
"""Units of a rack, at most."""
UNITS = 42
"""Units of a rack that does not say."""
CUSTOM = "cf_mbongi_"
"""How a custom field's column begins, in NetBox's files."""

PLACE_FIELDS: Final = ("kind", "slots", "numbering", "x_m", "y_m", "width_m", "depth_m")
ELEMENT_FIELDS: Final = (
    "place", "slot", "rated_kw", "rated_kva", "rated_a", "rated_v", "phases", "demand_kw", "power_factor", "efficiency",
    "capacity_kwh", "capacity_l", "capacity_m3", "machine_id", "maintenance_days", "maintenance_last",
    "maintenance_next",
)  # fmt: skip
LINK_FIELDS: Final = ("kind", "phases", "side", "breaker_a", "normally_open")
DOCUMENTS: Final = "documents"

STATUS: Final[Mapping[ElementStatus, str]] = {
    ElementStatus.PLANNED: "planned",
    ElementStatus.ACTIVE: "active",
    ElementStatus.OUT_OF_SERVICE: "offline",
    ElementStatus.RETIRED: "decommissioning",
}
STATUS_READ: Final[Mapping[str, ElementStatus]] = {word: status for status, word in STATUS.items()} | {
    "staged": ElementStatus.PLANNED,
    "inventory": ElementStatus.PLANNED,
    "failed": ElementStatus.OUT_OF_SERVICE,
}
LEGS: Final[Mapping[Phases, str]] = {Phases.L1: "A", Phases.L2: "B", Phases.L3: "C", Phases.THREE: "", Phases.NONE: ""}
LEGS_READ: Final[Mapping[str, Phases]] = {"A": Phases.L1, "B": Phases.L2, "C": Phases.L3, "": Phases.THREE}
FEED_TYPE: Final[Mapping[Side, str]] = {Side.A: "primary", Side.B: "redundant", Side.NONE: "primary"}
FEED_TYPE_READ: Final[Mapping[str, Side]] = {"primary": Side.A, "redundant": Side.B, "": Side.NONE}
FEED, OUTLET, PORT, INTERFACE = "dcim.powerfeed", "dcim.poweroutlet", "dcim.powerport", "dcim.interface"

_ALIASES: Final[Mapping[str, ElementKind]] = {
    "miner": ElementKind.MACHINE,
    "generator": ElementKind.GENSET,
    "switch": ElementKind.NETWORK_SWITCH,
    "power_distribution_unit": ElementKind.PDU,
    "utility": ElementKind.UTILITY_FEED,
    "switchboard": ElementKind.LV_SWITCHBOARD,
}


def kind_of_role(role: str) -> ElementKind | None:
    """The kind that a device role names, if it names one."""
    word = re.sub(r"[^a-z0-9]+", "_", role.lower()).strip("_")
    return _ALIASES.get(word) or next((kind for kind in ElementKind if kind.value == word), None)


def slug(text: str, taken: set[str]) -> str:
    """As NetBox wants it, small letters, digits and hyphens, and not yet in ``taken``, to which it is added."""
    base = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:90] or "x"
    found, number = base, 1
    while found in taken:
        number += 1
        found = f"{base}-{number}"
    taken.add(found)
    return found
