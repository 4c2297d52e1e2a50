"""Lists of devices as CSV: what the virtual plant brings along, and what a site with hundreds of meters keeps. Pure."""

import csv
from collections.abc import Iterable

from mbongi.facility.rules.devices import PORTS, DeviceDraft
from mbongi.facility.values import Protocol

NEEDED = ("tag", "protocol", "host")
FIELDS = (
    *NEEDED,
    *("port", "selector", "map_name", "period_s", "timeout_s", "user", "secret", "privacy", "is_enabled", "note"),
)
"""The columns; those that are not needed may be left out or empty."""
LINES_MAX = 10_000
_NO = {"0", "no", "false"}


class DeviceListError(ValueError):
    """A list that cannot be used; the message names the line."""


def read_devices(lines: Iterable[str]) -> list[DeviceDraft]:
    """The devices of a list. Raises DeviceListError."""
    reader = csv.DictReader(lines)
    names = list(reader.fieldnames or ())
    if not set(NEEDED) <= set(names) or not set(names) <= set(FIELDS):
        raise DeviceListError(f"line 1: columns {', '.join(names)}; expected {', '.join(FIELDS)}")
    drafts: list[DeviceDraft] = []
    for line in reader:
        if len(drafts) >= LINES_MAX:
            raise DeviceListError(f"line {reader.line_num}: more than {LINES_MAX} devices")
        try:
            drafts.append(_draft({name: (value or "").strip() for name, value in line.items() if name is not None}))
        except ValueError as error:
            raise DeviceListError(f"line {reader.line_num}: {error}") from error
    return drafts


def _draft(line: dict[str, str]) -> DeviceDraft:
    protocol = Protocol(line["protocol"])
    return DeviceDraft(
        tag=line["tag"],
        protocol=protocol,
        host=line["host"],
        port=int(line.get("port") or PORTS[protocol]),
        selector=line.get("selector", ""),
        map_name=line.get("map_name", ""),
        period_s=float(line.get("period_s") or 10.0),
        timeout_s=float(line.get("timeout_s") or 3.0),
        user=line.get("user", ""),
        secret=line.get("secret") or None,
        privacy=line.get("privacy") or None,
        is_enabled=line.get("is_enabled", "").lower() not in _NO,
        note=line.get("note", ""),
    )
