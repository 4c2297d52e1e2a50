"""The plant as NetBox imports it: one file per kind of object, with the columns of NetBox's import forms. Pure."""

import csv
import io
import json
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from mbongi.facility.rules.inventory_files import cell
from mbongi.facility.rules.netbox_fields import (
    CUSTOM,
    DOCUMENTS,
    ELEMENT_FIELDS,
    FEED,
    FEED_TYPE,
    INTERFACE,
    LEGS,
    LINK_FIELDS,
    NO_PLACE,
    NOT_STATED,
    OUTLET,
    PLACE_FIELDS,
    PORT,
    STATUS,
    UNITS,
    UNITS_MAX,
    slug,
)
from mbongi.facility.rules.network import LINE_VOLTAGE_V
from mbongi.facility.values import (
    SWITCHBOARDS,
    Element,
    ElementStatus,
    Inventory,
    Link,
    LinkKind,
    Phases,
    Place,
    PlaceKind,
    RackNumbering,
)

Rows = list[dict[str, Any]]


class _Plant:
    """The inventory, with what its rows refer to."""

    def __init__(self, inventory: Inventory) -> None:
        self.inventory = inventory
        self.places = {place.code: place for place in inventory.places}
        self.elements = {element.tag: element for element in inventory.elements}
        self.documents: dict[str, list[dict[str, str]]] = {}
        for document in inventory.documents:
            facts = msgspec.structs.asdict(document)
            self.documents.setdefault(facts.pop("element"), []).append(facts)

    def site(self, code: str) -> str:
        """The site that a place is in."""
        place = self._up_to(code, PlaceKind.SITE)
        return NO_PLACE if place is None else place.code

    def location(self, code: str) -> str:
        """The innermost hall or row that a place is or lies in; empty where there is none."""
        place = self._up_to(code, PlaceKind.HALL, PlaceKind.ROW)
        return "" if place is None else place.code

    def rack(self, code: str) -> str:
        """A rack's own code; empty for other places."""
        place = self.places.get(code)
        return code if place is not None and place.kind is PlaceKind.RACK else ""

    def _up_to(self, code: str, *kinds: PlaceKind) -> Place | None:
        place = self.places.get(code)
        while place is not None and place.kind not in kinds:
            place = self.places.get(place.parent)
        return place

    def from_board(self, link: Link) -> bool:
        """Whether a link leaves a switchboard as a power feed."""
        return link.kind is LinkKind.POWER and self.elements[link.source].kind in SWITCHBOARDS

    def links(self, *kinds: LinkKind) -> list[Link]:
        """Links of some kinds."""
        return [link for link in self.inventory.links if link.kind in kinds]


def export(file: str, inventory: Inventory) -> Rows:
    """The rows of one of FILES."""
    return _FILES[file](_Plant(inventory))


def write(file: str, inventory: Inventory) -> str:
    """One of FILES as CSV."""
    rows = export(file, inventory)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]) if rows else ["name"], lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: cell(value) for name, value in row.items()} for row in rows)
    return text.getvalue()


def _custom(row: Any, names: tuple[str, ...]) -> dict[str, Any]:
    return {f"{CUSTOM}{name}": getattr(row, name) for name in names}


def _custom_fields(_plant: _Plant) -> Rows:
    places = ["dcim.site", "dcim.location", "dcim.rack"]
    uses: dict[str, list[str]] = {}
    for names, objects in ((PLACE_FIELDS, places), (ELEMENT_FIELDS, ["dcim.device"]), (LINK_FIELDS, ["dcim.cable"])):
        for name in names:
            uses[name] = [*uses.get(name, []), *objects]
    rows = [
        {"name": f"mbongi_{name}", "type": _custom_type(name), "object_types": ",".join(objects)}
        for name, objects in uses.items()
    ]
    return [*rows, {"name": f"mbongi_{DOCUMENTS}", "type": "json", "object_types": "dcim.device"}]


def _custom_type(name: str) -> str:
    hints: dict[str, Any] = {}
    for struct in (Place, Link, Element):
        hints |= {field.name: str(field.type) for field in msgspec.structs.fields(struct)}
    words = {"float": "decimal", "int": "integer", "bool": "boolean", "date": "date"}
    return next((kind for word, kind in words.items() if word in hints[name]), "text")


def _sites(plant: _Plant) -> Rows:
    sites = [place for place in plant.inventory.places if place.kind is PlaceKind.SITE]
    if any(not element.place for element in plant.inventory.elements):
        sites.append(Place(code=NO_PLACE, kind=PlaceKind.SITE))
    taken: set[str] = set()
    return [
        {"name": place.code, "slug": slug(place.code, taken), "status": "active", "description": place.name}
        | _custom(place, PLACE_FIELDS)
        for place in sites
    ]


def _locations(plant: _Plant) -> Rows:
    taken: set[str] = set()
    order = (PlaceKind.HALL, PlaceKind.ROW)
    places = [place for kind in order for place in plant.inventory.places if place.kind is kind]
    return [
        {
            "site": plant.site(place.code),
            "name": place.code,
            "slug": slug(place.code, taken),
            "parent": plant.location(place.parent),
            "status": "active",
            "description": place.name,
        }
        | _custom(place, PLACE_FIELDS)
        for place in places
    ]


def _racks(plant: _Plant) -> Rows:
    return [
        {
            "site": plant.site(place.code),
            "location": plant.location(place.parent),
            "name": place.code,
            "status": "active",
            "width": 19,
            "u_height": min(place.slots or UNITS, UNITS_MAX),
            "desc_units": "false",
            "description": place.name,
        }
        | _custom(place, PLACE_FIELDS)
        for place in plant.inventory.places
        if place.kind is PlaceKind.RACK
    ]


def _makers(plant: _Plant) -> Rows:
    taken: set[str] = set()
    names = sorted({element.manufacturer or NOT_STATED for element in plant.inventory.elements})
    return [{"name": name, "slug": slug(name, taken)} for name in names]


def _types(plant: _Plant) -> Rows:
    taken: set[str] = set()
    models = sorted({
        (each.manufacturer or NOT_STATED, each.model or NOT_STATED) for each in plant.inventory.elements
    })  # fmt: skip
    return [
        {"manufacturer": maker, "model": model, "slug": slug(f"{maker}-{model}", taken), "u_height": 1}
        for maker, model in models
    ]


def _roles(plant: _Plant) -> Rows:
    kinds = sorted({element.kind for element in plant.inventory.elements})
    return [
        {"name": kind.value, "slug": kind.value.replace("_", "-"), "color": "9e9e9e", "vm_role": "false"}
        for kind in kinds
    ]


def _devices(plant: _Plant) -> Rows:
    return [_device(plant, element) for element in plant.inventory.elements]


def _device(plant: _Plant, element: Element) -> dict[str, Any]:
    rack = plant.rack(element.place)
    in_units = rack and plant.places[rack].numbering is RackNumbering.UNITS
    position = element.slot if in_units and element.slot is not None and element.slot <= UNITS_MAX else None
    documents = plant.documents.get(element.tag)
    return {
        "name": element.tag,
        "role": element.kind.value,
        "manufacturer": element.manufacturer or NOT_STATED,
        "device_type": element.model or NOT_STATED,
        "serial": element.serial,
        "status": STATUS[element.status],
        "site": plant.site(element.place),
        "location": plant.location(element.place),
        "rack": rack,
        "position": position,
        "face": "" if position is None else "front",
        "description": element.name,
        **_custom(element, ELEMENT_FIELDS),
        f"{CUSTOM}{DOCUMENTS}": "" if documents is None else json.dumps(documents, ensure_ascii=False),
    }


def _panels(plant: _Plant) -> Rows:
    return [
        {"site": plant.site(each.place), "location": plant.location(each.place), "name": each.tag}
        for each in plant.inventory.elements
        if each.kind in SWITCHBOARDS
    ]


def _feeds(plant: _Plant) -> Rows:
    rows = []
    for link in plant.inventory.links:
        if not plant.from_board(link):
            continue
        source, place = plant.elements[link.source], plant.elements[link.target].place
        rows.append(
            {
                "site": plant.site(source.place),
                "power_panel": link.source,
                "location": plant.location(place) if plant.rack(place) else "",
                "rack": plant.rack(place),
                "name": link.tag,
                "status": "active" if source.status is ElementStatus.ACTIVE else "offline",
                "type": FEED_TYPE[link.side],
                "supply": "ac",
                "phase": "three-phase" if link.phases is Phases.THREE else "single-phase",
                "voltage": round(source.rated_v or LINE_VOLTAGE_V),
                "amperage": max(1, round(link.breaker_a or 1)),
                "max_utilization": 80,
            }
        )
    return rows


def _ports(plant: _Plant) -> Rows:
    return [{"device": link.target, "name": link.tag} for link in plant.links(LinkKind.POWER)]


def _outlets(plant: _Plant) -> Rows:
    return [
        {"device": link.source, "name": link.tag, "feed_leg": LEGS[link.phases]}
        for link in plant.links(LinkKind.POWER)
        if not plant.from_board(link)
    ]


def _interfaces(plant: _Plant) -> Rows:
    return [
        {"device": device, "name": link.tag, "type": "other", "enabled": "true"}
        for link in plant.links(LinkKind.COOLING, LinkKind.DATA)
        for device in (link.source, link.target)
    ]


def _cables(plant: _Plant) -> Rows:
    return [_cable(plant, link) for link in plant.inventory.links]


def _cable(plant: _Plant, link: Link) -> dict[str, Any]:
    is_feed = plant.from_board(link)
    is_power = link.kind is LinkKind.POWER
    return {
        "side_a_device": "" if is_feed else link.source,
        "side_a_power_panel": link.source if is_feed else "",
        "side_a_type": FEED if is_feed else OUTLET if is_power else INTERFACE,
        "side_a_name": link.tag,
        "side_b_device": link.target,
        "side_b_power_panel": "",
        "side_b_type": PORT if is_power else INTERFACE,
        "side_b_name": link.tag,
        "status": "connected",
        "label": link.tag,
        **_custom(link, LINK_FIELDS),
    }


_FILES: Final[Mapping[str, Callable[[_Plant], Rows]]] = {
    "custom-fields": _custom_fields,
    "sites": _sites,
    "locations": _locations,
    "racks": _racks,
    "manufacturers": _makers,
    "device-types": _types,
    "device-roles": _roles,
    "devices": _devices,
    "power-panels": _panels,
    "power-feeds": _feeds,
    "power-ports": _ports,
    "power-outlets": _outlets,
    "interfaces": _interfaces,
    "cables": _cables,
}
FILES: Final = tuple(_FILES)
"""In the order in which NetBox can import them: each names only what those before it made."""
