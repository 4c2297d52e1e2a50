"""NetBox's inventory: its devices as its files and its REST API write them, and ours as its import takes them. Pure.

A device is matched by MAC, serial number, then address. Halls are locations; the number of a hall or rack is the last
one in the name (``Hall 20``, ``20/03``). The slot is the rack unit; of racks with more slots than NetBox has units, the
devices' names carry it (``20-03-104``). Source: NetBox's import forms and REST API of version 4.
"""

import csv
import io
import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from mbongi.base.errors import MbongiError
from mbongi.fleet.rules.identity import normal_mac

UNITS_MAX = 100
"""Units of a rack in NetBox, at most."""
DEVICES_MAX = 50_000
TEXT_MAX = 120
ROLE, ROLE_SLUG, INTERFACE = "Miner", "miner", "eth0"
_NUMBERS = re.compile(r"\d+")
_NAME = re.compile(r"(\d{1,5})[-/](\d{1,5})[-/](\d{1,5})\Z")


class NetboxError(MbongiError, ValueError):
    """An inventory that cannot be read; the message says where and why."""


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """A device of NetBox's, as far as a machine can be told by it. Empty and None: not stated."""

    name: str
    model: str = ""
    serial: str = ""
    mac: str = ""
    address: str = ""
    hall: int | None = None
    rack: int | None = None
    slot: int | None = None


def read_csv(files: Mapping[str, str]) -> list[Device]:
    """The devices of NetBox's exports: ``devices`` and, where there are some, ``interfaces`` and ``mac-addresses``.

    Raises NetboxError for a file without the columns that are needed, or with too many rows.
    """
    macs: dict[str, str] = {}
    for kind in ("interfaces", "mac-addresses"):
        for row in _rows(files.get(kind, ""), kind, ()):
            mac, device = normal_mac(row.get("mac_address", "")), row.get("device", "")
            if mac and device:
                macs.setdefault(device, mac)
    found = []
    for row in _rows(files.get("devices", ""), "devices", ("name",)):
        name = row.get("name", "")
        address = row.get("primary_ip4", "") or row.get("primary_ip", "") or row.get("ip address", "")
        hall, rack, slot = _position(name, row.get("location", ""), row.get("rack", ""), row.get("position", ""))
        found.append(
            Device(
                name=name[:TEXT_MAX],
                model=(row.get("device_type", "") or row.get("type", ""))[:TEXT_MAX],
                serial=(row.get("serial", "") or row.get("serial number", ""))[:TEXT_MAX],
                mac=normal_mac(row.get("mac_address", "")) or macs.get(name, ""),
                address=_address(address),
                hall=hall,
                rack=rack,
                slot=slot,
            )
        )
    return found


def _rows(text: str, kind: str, needed: Sequence[str]) -> list[dict[str, str]]:
    if not text.strip():
        if needed:
            raise NetboxError(f"NetBox {kind}: an empty file")
        return []
    head = text.lstrip("\ufeff").split("\n", 1)[0]
    reader = csv.DictReader(
        io.StringIO(text.lstrip("\ufeff")), delimiter=";" if head.count(";") > head.count(",") else ","
    )
    try:
        rows = [
            {str(key).strip().lower(): str(value or "").replace("\0", "").strip() for key, value in row.items()}
            for row in reader
        ]
    except csv.Error as error:
        raise NetboxError(f"NetBox {kind}: line {reader.line_num}: {error}") from error
    columns = {str(name).strip().lower() for name in reader.fieldnames or ()}
    if missing := set(needed) - columns:
        raise NetboxError(f"NetBox {kind}: no column {', '.join(sorted(missing))}; found {', '.join(sorted(columns))}")
    if len(rows) > DEVICES_MAX:
        raise NetboxError(f"NetBox {kind}: {len(rows)} rows; at most {DEVICES_MAX}")
    return rows


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_interface(text.strip()).ip) if text.strip() else ""
    except ValueError:
        return ""


def _last_number(text: str) -> int | None:
    found = _NUMBERS.findall(text)
    return int(found[-1]) if found and len(found[-1]) <= 5 else None


def _position(name: str, location: str, rack: str, unit: str) -> tuple[int | None, int | None, int | None]:
    numbers = [int(word) for word in _NUMBERS.findall(rack)]
    hall = _last_number(location)
    if hall is None and len(numbers) >= 2:
        hall = numbers[-2]
    try:
        slot = int(float(unit)) if unit else None
    except (ValueError, OverflowError):
        slot = None
    by_name = _NAME.search(name)
    if slot is None and by_name is not None:
        slot = int(by_name[3])
        hall, rack_number = (int(by_name[1]) if hall is None else hall), (numbers[-1] if numbers else int(by_name[2]))
    else:
        rack_number = numbers[-1] if numbers else None  # type: ignore[assignment]
    return hall, rack_number, slot


# The REST API.


class Named(msgspec.Struct):
    """A brief object within another."""

    name: str = ""
    model: str = ""
    address: str = ""
    mac_address: str = ""


class ApiDevice(msgspec.Struct):
    """Of ``/api/dcim/devices/``."""

    id: int
    name: str | None = None
    device_type: Named | None = None
    serial: str = ""
    location: Named | None = None
    rack: Named | None = None
    position: float | None = None
    primary_ip4: Named | None = None
    primary_ip: Named | None = None


class ApiInterface(msgspec.Struct):
    """Of ``/api/dcim/interfaces/``; the MAC's field has changed its name with version 4.2."""

    device: ApiDevice
    mac_address: str | None = None
    primary_mac_address: Named | None = None


def devices_of(devices: Iterable[ApiDevice], interfaces: Iterable[ApiInterface]) -> list[Device]:
    """What the API's pages say, put together."""
    macs: dict[int, str] = {}
    for each in interfaces:
        stated = each.primary_mac_address.mac_address if each.primary_mac_address else each.mac_address or ""
        if mac := normal_mac(stated):
            macs.setdefault(each.device.id, mac)
    found = []
    for device in devices:
        name = device.name or ""
        unit = "" if device.position is None else str(device.position)
        location, rack = (part.name if part else "" for part in (device.location, device.rack))
        hall, rack_number, slot = _position(name, location, rack, unit)
        ip = device.primary_ip4 or device.primary_ip
        found.append(
            Device(
                name=name[:TEXT_MAX],
                model=(device.device_type.model if device.device_type else "")[:TEXT_MAX],
                serial=device.serial[:TEXT_MAX],
                mac=macs.get(device.id, ""),
                address=_address(ip.address) if ip else "",
                hall=hall,
                rack=rack_number,
                slot=slot,
            )
        )
    return found


# Our inventory as NetBox imports it.


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """A machine of ours, for the export."""

    id: int
    model: str
    serial: str
    mac: str
    address: str
    hostname: str
    hall: int | None
    rack: int | None
    slot: int | None

    @property
    def name(self) -> str:
        """Its name in NetBox, where names are unique within a site."""
        if self.hall is None or self.rack is None or self.slot is None:
            return f"machine-{self.id}"
        return f"{self.hall:02d}-{self.rack:02d}-{self.slot:02d}"


KINDS = (
    "manufacturers",
    "device-types",
    "device-roles",
    "locations",
    "racks",
    "devices",
    "interfaces",
    "mac-addresses",
    "ip-addresses",
)
"""In the order in which NetBox can import them: each names only what those before it made."""
_MAKERS = {"antminer": "Bitmain", "whatsminer": "MicroBT", "avalon": "Canaan", "bitaxe": "Bitaxe"}


def export(kind: str, machines: Sequence[Machine], site: str) -> list[dict[str, Any]]:
    """The rows of one of KINDS, with the columns that NetBox's import form of it takes."""
    return _EXPORTS[kind](machines, site)


def maker(model: str) -> str:
    """Who makes a model, by its first word."""
    return _MAKERS.get(model.split(" ", 1)[0].lower(), "Other")


def slug(text: str) -> str:
    """As NetBox wants it: small letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:100] or "unknown"


def _models(machines: Sequence[Machine]) -> list[str]:
    return sorted({each.model or "Unknown" for each in machines})


def _manufacturers(machines: Sequence[Machine], _site: str) -> list[dict[str, Any]]:
    return [{"name": name, "slug": slug(name)} for name in sorted({maker(model) for model in _models(machines)})]


def _types(machines: Sequence[Machine], _site: str) -> list[dict[str, Any]]:
    return [
        {"manufacturer": maker(model), "model": model, "slug": slug(model), "u_height": 1, "is_full_depth": "false"}
        for model in _models(machines)
    ]


def _roles(_machines: Sequence[Machine], _site: str) -> list[dict[str, Any]]:
    return [{"name": ROLE, "slug": ROLE_SLUG, "color": "9e9e9e", "vm_role": "false"}]


def _locations(machines: Sequence[Machine], site: str) -> list[dict[str, Any]]:
    halls = sorted({each.hall for each in machines if each.hall is not None})
    return [
        {"site": site, "name": f"Hall {hall:02d}", "slug": f"hall-{hall:02d}", "status": "active"} for hall in halls
    ]


def _heights(machines: Sequence[Machine]) -> dict[tuple[int, int], int]:
    heights: dict[tuple[int, int], int] = {}
    for each in machines:
        if each.hall is not None and each.rack is not None:
            place = each.hall, each.rack
            heights[place] = max(heights.get(place, 1), each.slot or 1)
    return heights


def _racks(machines: Sequence[Machine], site: str) -> list[dict[str, Any]]:
    return [
        {
            "site": site,
            "location": f"Hall {hall:02d}",
            "name": f"{hall:02d}/{rack:02d}",
            "status": "active",
            "width": 19,
            "u_height": min(height, UNITS_MAX),
            "desc_units": "false",
        }
        for (hall, rack), height in sorted(_heights(machines).items())
    ]


def _devices(machines: Sequence[Machine], site: str) -> list[dict[str, Any]]:
    heights = _heights(machines)
    return [_device(each, site, heights) for each in machines]


def _device(machine: Machine, site: str, heights: Mapping[tuple[int, int], int]) -> dict[str, Any]:
    model, hall, rack, slot = machine.model or "Unknown", machine.hall, machine.rack, machine.slot
    placed = hall is not None and rack is not None
    has_unit = placed and slot is not None and slot >= 1 and heights[hall, rack] <= UNITS_MAX  # type: ignore[index]
    return {
        "name": machine.name,
        "role": ROLE,
        "manufacturer": maker(model),
        "device_type": model,
        "serial": machine.serial,
        "asset_tag": f"mbongi-{machine.id}",
        "status": "active",
        "site": site,
        "location": f"Hall {hall:02d}" if placed else "",
        "rack": f"{hall:02d}/{rack:02d}" if placed else "",
        "position": slot if has_unit else "",
        "face": "front" if has_unit else "",
    }


def _interfaces(machines: Sequence[Machine], _site: str) -> list[dict[str, Any]]:
    return [
        {"device": each.name, "name": INTERFACE, "type": "1000base-t", "enabled": "true"}
        for each in machines
        if each.mac or each.address
    ]


def _mac_addresses(machines: Sequence[Machine], _site: str) -> list[dict[str, Any]]:
    return [
        {"mac_address": each.mac, "device": each.name, "interface": INTERFACE, "is_primary": "true"}
        for each in machines
        if each.mac
    ]


def _ip_addresses(machines: Sequence[Machine], _site: str) -> list[dict[str, Any]]:
    return [
        {
            "address": f"{each.address}/{ipaddress.ip_address(each.address).max_prefixlen}",
            "status": "active",
            "device": each.name,
            "interface": INTERFACE,
            "is_primary": "true",
        }
        for each in machines
        if each.address
    ]


_EXPORTS = {
    "manufacturers": _manufacturers,
    "device-types": _types,
    "device-roles": _roles,
    "locations": _locations,
    "racks": _racks,
    "devices": _devices,
    "interfaces": _interfaces,
    "mac-addresses": _mac_addresses,
    "ip-addresses": _ip_addresses,
}
