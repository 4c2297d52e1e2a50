"""What machines say of themselves by UDP when somebody presses their button, and which of it is listened to. Pure.

Antminers and other firmware for them send ``IP,MAC`` or ``[IP/MASK],MAC``; Whatsminers ``IP:…MAC:…`` and one more byte.
Source: what public listeners understand. Nothing here is believed: the address that a datagram comes from is asked.
"""

import ipaddress
import re
from collections import OrderedDict
from dataclasses import dataclass

from mbongi.fleet.rules.identity import normal_mac

BYTES_MAX = 200
_IP, _MAC = rb"(\d{1,3}(?:\.\d{1,3}){3})", rb"((?:[0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2})"
_TEXTS = (
    re.compile(rb"\[?" + _IP + rb"(?:/[\d.]{1,15})?\]?," + _MAC + rb"\s*\Z"),
    re.compile(rb"IP:" + _IP + rb"\s*MAC:" + _MAC + rb".?\Z", re.DOTALL),
)
_ECHO = b"OK\0"
"""Begins what the maker's own tool answers on the same port."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What a machine says of itself."""

    address: str
    mac: str


def read_report(data: bytes) -> Claim | None:
    """The claim of a datagram; None for anything that is none. Never raises."""
    if len(data) > BYTES_MAX or data.startswith(_ECHO):
        return None
    for text in _TEXTS:
        found = text.match(data)
        if found is not None:
            try:
                address = str(ipaddress.IPv4Address(found[1].decode("ascii")))
            except ValueError:
                return None
            mac = normal_mac(found[2].decode("ascii"))
            return Claim(address, mac) if mac else None
    return None


class Repeats:
    """Machines say everything twice, and floods say it without end: each source is heard once in ``quiet_s``."""

    def __init__(self, quiet_s: float, sources_max: int) -> None:
        self._quiet_s, self._sources_max = quiet_s, sources_max
        self._heard_s: OrderedDict[str, float] = OrderedDict()

    def is_repeat(self, source: str, now_s: float) -> bool:
        """Whether the source was heard a moment ago; the one heard longest ago is forgotten for a new one."""
        last_s = self._heard_s.get(source)
        if last_s is not None and now_s - last_s < self._quiet_s:
            return True
        self._heard_s[source] = now_s
        self._heard_s.move_to_end(source)
        while len(self._heard_s) > self._sources_max:
            self._heard_s.popitem(last=False)
        return False
